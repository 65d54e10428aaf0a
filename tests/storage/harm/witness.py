"""Hostile names against everything that takes a name, with an audit hook as witness.

Run as a program with an empty directory. It prints one JSON object: what was refused, what was
answered, and every event that touched something outside the store.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tenzarr as tz
from tenzarr.errors import ConfinementError, MetadataError, NodeNotFoundError

NAMES: tuple[str, ...] = (
    "..",
    ".",
    "/",
    "//",
    "/outside",
    "../outside",
    "../../outside",
    "a/../../outside",
    "a/..",
    "a/./b",
    "a//b",
    "a/",
    "./a",
    "....",
    "a/...",
    "..\\outside",
    "a\\..\\..\\outside",
    "\\outside",
    "C:\\outside",
    "\\\\server\\share",
    "a\0b",
    "\0",
    "../outside\0",
    "__reserved",
    "a/__b",
    "\ud800",
    "a/\udcff/b",
    ".tenzarr.lock",
    "a/.tenzarr.lock",
    ".x.0-0.tenzarr-tmp",
    ".x.0-0.tenzarr-stage",
    "a/.x.0-0.tenzarr-old/b",
    "~/../outside/..",
    "file:///outside/..",
    "/etc",
    "/proc/self/root/etc",
    "../store/../outside",
    "../" * 40 + "etc",
    "a/" + "../" * 40 + "etc",
    "x/../../../outside",
    "/dev/shm",
    "..//outside",
)

PAYLOAD = b"cos\nmkdir\n(S'outside/pwned'\ntR."


class Witness:
    """Notes every path that is touched while it watches."""

    def __init__(self, store: Path) -> None:
        self.allowed = [str(store)]
        self.libraries = sorted({os.path.realpath(p) for p in (sys.prefix, sys.base_prefix, *sys.path) if p})
        self.watching = False
        self.seen = 0
        self.outside: list[str] = []
        self.unpickled: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class":
            self.unpickled.append(repr(arguments[1:]))
        if not self.watching or not (event == "open" or event.startswith(("os.", "shutil."))):
            return
        self.watching = False
        for path in arguments[:2]:
            if isinstance(path, str | bytes):
                self.look(event, os.fsdecode(path))
        self.watching = True

    def look(self, event: str, path: str) -> None:
        if not os.path.isabs(path):
            return
        self.seen += 1
        real = os.path.realpath(path)
        if not any(real == place or real.startswith(place + "/") for place in (*self.allowed, *self.libraries)):
            self.outside.append(f"{event} {path}")


def group_calls(group: tz.Group, store: Path) -> dict[str, Callable[[str], Any]]:
    """Everything that takes the name of a node."""
    data = np.arange(3)

    def delete(name: str) -> None:
        del group[name]

    return {
        "create_array": lambda name: group.create_array(name, shape=3, dtype="int8"),
        "create_array over": lambda name: group.create_array(name, shape=3, dtype="int8", overwrite=True),
        "create_group": lambda name: group.create_group(name),
        "create_group over": lambda name: group.create_group(name, overwrite=True),
        "require_group": lambda name: group.require_group(name),
        "getitem": lambda name: group[name],
        "contains": lambda name: name in group,
        "delitem": delete,
        "create": lambda name: tz.create(store, path=name, shape=3, dtype="int8"),
        "create over": lambda name: tz.create(store, path=name, shape=3, dtype="int8", overwrite=True),
        "open": lambda name: tz.open(store, path=name),
        "open_array": lambda name: tz.open_array(store, "r", path=name),
        "open_group": lambda name: tz.open_group(store, "a", path=name),
        "open_group w": lambda name: tz.open_group(store, "w", path=name),
        "save": lambda name: tz.save(store, data, path=name, overwrite=True),
        "load": lambda name: tz.load(store, path=name),
        "copy_to": lambda name: group["array"].copy_to(store, path=name, overwrite=True),
    }


def consolidated(name: str) -> bytes:
    """A group whose list of members has a hostile name."""
    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [1],
        "data_type": "int8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
    }
    members = {"kind": "inline", "must_understand": False, "metadata": {name: array, "fine": array}}
    return json.dumps(
        {"zarr_format": 3, "node_type": "group", "attributes": {}, "consolidated_metadata": members}
    ).encode()


def read_members(store: Path, name: str) -> int:
    """What a reader gets out of hostile consolidated metadata: elements that are not the fill value."""
    (store / "zarr.json").write_bytes(consolidated(name))
    group = tz.open_group(store, "r")
    found = 0
    for member in [name, *group.keys()]:
        try:
            found += int(np.any(np.asarray(group[member][...])))
        except (ConfinementError, NodeNotFoundError):
            continue
    repr(group.tree())
    for _, node in group.walk():
        found += int(np.any(node[...])) if isinstance(node, tz.Array) else 0
    return found


def unpickle(store: Path) -> list[str]:
    """What happens to arrays whose chunks are pickles."""
    outcomes: list[str] = []
    pickled = {"name": "numcodecs.pickle", "configuration": {"protocol": 2}}
    v3 = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [1],
        "data_type": "variable_length_utf8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "",
        "codecs": [pickled],
    }
    v2 = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C"}
    documents: list[tuple[str, Any]] = [
        (".zarray", {**v2, "filters": [{"id": "pickle", "protocol": 2}], "compressor": None}),
        (".zarray", {**v2, "filters": None, "compressor": {"id": "pickle"}}),
        (".zarray", {**v2, "dtype": "|u1", "filters": [{"id": "pickle"}], "compressor": None}),
        ("zarr.json", v3),
        ("zarr.json", {**v3, "data_type": "string"}),
        ("zarr.json", {**v3, "data_type": "uint8", "fill_value": 0}),
        ("zarr.json", {**v3, "data_type": "uint8", "fill_value": 0, "codecs": [{"name": "bytes"}, pickled]}),
        ("zarr.json", {**v3, "data_type": "uint8", "fill_value": 0, "codecs": [{"name": "pickle"}]}),
    ]
    for number, (name, document) in enumerate(documents):
        root = store / f"pickled{number}"
        (root / "c").mkdir(parents=True)
        (root / name).write_text(json.dumps(document))
        (root / "0").write_bytes(PAYLOAD)
        (root / "c" / "0").write_bytes(PAYLOAD)
        for use in (lambda a: a[...], lambda a: repr(a.zarr[...]), lambda a: a.__setitem__(0, 1)):
            try:
                use(tz.open_array(root))
                outcomes.append("read")
            except tz.TenzarrError as error:
                outcomes.append(type(error).__name__)
    return outcomes


def main(folder: str) -> None:
    """Try every name with every call."""
    base = Path(folder)
    store = base / "store"
    group = tz.open_group(store, "a")
    group.create_array("array", shape=3, dtype="int8")[...] = 1
    group.create_array("a/b", shape=3, dtype="int8")[...] = 1
    outside = tz.create(base / "outside", shape=1, dtype="int8")
    outside[...] = 66
    before = sorted(str(path) for path in base.rglob("*"))
    os.chdir(base)
    witness = Witness(store)
    refused, answered = 0, []
    calls = group_calls(group, store)
    for name in NAMES:
        for what, call in calls.items():
            witness.watching = True
            try:
                answer = call(name)
                answered.append(f"{what}({name!r}) gave {answer!r}")
            except ConfinementError:
                refused += 1
            except (tz.TenzarrError, KeyError) as error:
                answered.append(f"{what}({name!r}) raised {type(error).__name__}")
            finally:
                witness.watching = False
    after = sorted(str(path) for path in base.rglob("*"))
    leaked = 0
    odd: list[str] = []
    for name in NAMES:
        witness.watching = True
        try:
            leaked += read_members(store, name)
        except (ConfinementError, MetadataError):
            pass
        except Exception as error:
            odd.append(f"{name!r}: {type(error).__name__}: {error}")
        finally:
            witness.watching = False
    witness.watching = True
    pickles = unpickle(store)
    witness.watching = False
    outside_events = list(witness.outside)
    witness.watching = True
    (base / "outside" / "zarr.json").read_bytes()
    witness.watching = False
    report = {
        "control": len(witness.outside) - len(outside_events),
        "calls": len(calls),
        "refused": refused,
        "answered": answered,
        "seen": witness.seen,
        "outside": outside_events,
        "unpickled": witness.unpickled,
        "made": sorted(set(after) ^ set(before)),
        "leaked": leaked,
        "odd": odd,
        "pickles": pickles,
        "pwned": (base / "outside/pwned").exists(),
        "precious": int(tz.open_array(base / "outside")[0]),
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
