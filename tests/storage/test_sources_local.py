"""Files below a directory: confinement, odd files, failures of the system, kills, and whole trees."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tenzarr.errors import ArgumentTypeError, ConfinementError, StoreError
from tenzarr.storage.sources import DOCUMENT, MISSING, LocalSource, check_node_path
from tenzarr.storage.sources import files as files_module
from tenzarr.storage.sources import local as local_module
from tenzarr.storage.sources import trees as trees_module
from tenzarr.storage.sources.files import read_rest, write_all
from tenzarr.storage.sources.keys import LOCK_NAME, STAGE_SUFFIX, TEMPORARY_SUFFIX
from tenzarr.testing import HOSTILE_KEYS
from tenzarr.testing.stores import in_child


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# Confinement

_WITNESS = """
import json, os, sys
from pathlib import Path
from tenzarr.errors import ConfinementError
from tenzarr.storage.sources import LocalSource
from tenzarr.testing.stores import HOSTILE_KEYS

root = Path(sys.argv[1]) / "root"
follow = sys.argv[2] == "follow"
source = LocalSource(root, follow_symlinks=follow)
source.put("a/b", [b"x"])
seen, outside, refused, values = 0, [], 0, 0
watching = False

def witness(event, arguments):
    global seen
    if watching and event in ("open", "os.mkdir", "os.rename", "os.remove", "os.scandir", "os.listdir", "os.truncate",
                              "os.rmdir", "os.link", "os.symlink", "shutil.rmtree", "os.chmod", "os.utime"):
        for path in arguments[:1]:
            if isinstance(path, (str, bytes)):
                seen += 1
                full = os.path.realpath(os.fsdecode(path))
                if full != str(root) and not full.startswith(str(root) + "/"):
                    # A strict source opens one component after the other, relative to the directory before.
                    if follow or "/" in os.fsdecode(path) or os.fsdecode(path) == "..":
                        outside.append((event, full))

sys.addaudithook(witness)
calls = [
    lambda key: source.get(key),
    lambda key: source.fetch(key, 0, [bytearray(4)]),
    lambda key: source.put(key, [b"evil"]),
    lambda key: source.put_many([(key, [b"evil"]), (key, [b"evil"])], durable=True),
    lambda key: source.delete(key),
    lambda key: key and list(source.list(key)),
    lambda key: source.open(key),
    lambda key: key and source.delete_tree(key),
    lambda key: key and source.stage(key),
    lambda key: key and source.lock(key, 0, 1).__enter__(),
]
for key in HOSTILE_KEYS:
    for call in calls:
        watching = True
        try:
            values += call(key) not in (None, "", -1)
        except ConfinementError:
            refused += 1
        finally:
            watching = False
watching = True
source.put("a/c", [b"y"])
watching = False
print(json.dumps([seen, outside, refused, values]))
"""


@pytest.mark.parametrize("links", ["follow", "strict"])
def test_no_hostile_key_opens_anything_outside(tmp_path: Path, links: str) -> None:
    (tmp_path / "outside.txt").write_bytes(b"secret")
    done = subprocess.run(
        [sys.executable, "-c", _WITNESS, str(tmp_path), links], capture_output=True, text=True, check=True
    )
    seen, outside, refused, values = json.loads(done.stdout)
    assert len(HOSTILE_KEYS) >= 40
    assert seen >= 2
    assert outside == []
    # The hot `fetch` takes "a//b" and "a/./b" for "a/b", which is inside.
    assert values <= 2
    assert refused >= len(HOSTILE_KEYS) * 9 - 10
    assert (tmp_path / "outside.txt").read_bytes() == b"secret"
    assert files_below(tmp_path) == ["outside.txt", "root/a/b", "root/a/c"]


@pytest.mark.parametrize("path", ["a/__b", "...", "a/....", "..", "/a", "a/", "a//b", "a\\b", "a\0", ".tenzarr.lock"])
def test_node_names_follow_the_specification(path: str) -> None:
    with pytest.raises(ConfinementError, match="`path` must"):
        check_node_path(path)


def test_a_write_never_leaves_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "value").write_bytes(b"precious")
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "dangling").symlink_to(tmp_path / "not-yet")
    (root / "link").symlink_to("inside")
    source = LocalSource(root)
    for call in (
        lambda: source.put("out/value", [b"evil"]),
        lambda: source.put("out/new/deep", [b"evil"]),
        lambda: source.put("dangling/value", [b"evil"]),
        lambda: source.put_many([("out/value", [b"evil"]), ("out/other", [b"evil"])], durable=True),
        lambda: source.delete("out/value"),
        lambda: source.delete_tree("out/value"),
        lambda: source.stage("out/value"),
        lambda: source.clean("out", remove=True),
        lambda: source.lock("out", 0, 1).__enter__(),
    ):
        with pytest.raises(ConfinementError, match="through a symbolic link"):
            call()
    assert files_below(tmp_path / "outside") == ["value"]
    assert (tmp_path / "outside" / "value").read_bytes() == b"precious"
    assert not (tmp_path / "not-yet").exists()
    # Reading follows, and a link that stays inside may be written through.
    assert source.get("out/value") == b"precious"
    source.put("link/value", [b"fine"])
    assert (root / "inside" / "value").read_bytes() == b"fine"


def test_a_directory_that_turns_into_a_link_is_noticed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    source = LocalSource(root)
    source.put("a/b", [b"1"])
    (root / "a").rename(tmp_path / "a")
    (root / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfinementError, match="through a symbolic link"):
        source.put("a/b", [b"2"])
    assert files_below(tmp_path / "elsewhere") == []


def test_a_value_that_is_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    root = tmp_path / "root"
    root.mkdir()
    (root / "value").symlink_to(tmp_path / "target")
    (root / "tree").symlink_to(tmp_path)
    source = LocalSource(root)
    source.put("value", [b"new"])
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert source.get("value") == b"new"
    assert not (root / "value").is_symlink()
    with source.stage("tree") as stage:
        stage.source.put("target", [b"staged"])
        stage.commit()
    assert source.get("tree/target") == b"staged"
    (root / "other").symlink_to(tmp_path)
    source.delete_tree("other")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert {entry.name for entry in source.list("")} == {"value", "tree"}


def test_links_are_refused_where_they_are_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "value").write_bytes(b"1")
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to(tmp_path / "data")
    (root / "value").symlink_to(tmp_path / "data" / "value")
    (tmp_path / "door").symlink_to(root)
    trusting, strict = LocalSource(tmp_path / "door"), LocalSource(tmp_path / "door", follow_symlinks=False)
    for key in ("folder/value", "value"):
        assert trusting.get(key) == b"1"
        for call in (strict.get, strict.open, lambda key: strict.fetch(key, 0, [bytearray(1)])):
            with pytest.raises(ConfinementError, match="must not lead through a symbolic link"):
                call(key)
    with pytest.raises(ConfinementError, match="must not lead through a symbolic link"):
        strict.list("folder")
    assert strict.get("nothing/here") is None
    assert {entry.name: entry.is_prefix for entry in strict.list("")} == {"folder": False, "value": False}


def test_a_planted_lock_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / LOCK_NAME).symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="cannot lock"), LocalSource(tmp_path / "root").lock("", 0, 1):
        pass
    assert (tmp_path / "target").read_bytes() == b""


# Odd files


def make_directory(path: Path) -> None:
    (path / "inner").mkdir(parents=True)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    # A socket's path may have 108 bytes only.
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("make", [make_directory, make_fifo, make_socket])
def test_what_is_no_regular_file_is_an_error_and_hangs_nobody(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "value")
    source = LocalSource(tmp_path)
    calls: list[Callable[[], object]] = [
        lambda: source.fetch("value", 0, [bytearray(3)]),
        lambda: source.fetch("value", 0, [bytearray(1) for _ in range(2000)]),
        lambda: source.get("value"),
        lambda: source.open("value"),
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"cannot read 'value'.*move it away"):
            call()


def test_a_directory_in_the_way_of_a_write(tmp_path: Path) -> None:
    (tmp_path / "value" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"1")
    source = LocalSource(tmp_path)
    with pytest.raises(StoreError, match="a directory lies in the place"):
        source.put("value", [b"x"])
    with pytest.raises(StoreError, match="cannot delete 'value'"):
        source.delete("value")
    with pytest.raises(StoreError, match="a file lies where a directory must be"):
        source.put("file/value", [b"x"])
    assert source.get("file/value") is None
    assert source.fetch("file/value", 0, [bytearray(1)]) == MISSING
    assert files_below(tmp_path) == ["file"]


def test_an_unreadable_value_names_itself(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    with pytest.raises(StoreError, match=r"cannot read 'xx+'.*too long") as caught:
        source.fetch("x" * 300, 0, [bytearray(1)])
    assert caught.value.errno == errno.ENAMETOOLONG
    with pytest.raises(StoreError, match="too long"):
        source.put("x" * 300, [b"x"])
    assert files_below(tmp_path) == []


def test_names_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    source.put("x" * 255, [b"x"])
    assert source.get("x" * 255) == b"x"
    with source.stage("y" * 255) as stage:
        stage.source.put("z", [b"z"])
        stage.commit()
    assert source.get("y" * 255 + "/z") == b"z"


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    source = LocalSource(tmp_path / "none", read_only=True)
    assert source.get("a") is None
    assert list(source.list("")) == []
    assert source.clean("", remove=False) == []
    assert not (tmp_path / "none").exists()


def test_the_root_is_kept_when_the_working_directory_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = LocalSource("root")
    source.put("a", [b"1"])
    monkeypatch.chdir("/")
    assert source.get("a") == b"1"
    again = pickle.loads(pickle.dumps(source))
    assert (again.get("a"), again.root, again.read_only) == (b"1", str(tmp_path / "root"), False)
    with pytest.raises(ArgumentTypeError, match="`root` must be a str or a Path, not int"):
        LocalSource(7)


# Short transfers


def test_short_reads_and_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    size = 100_000
    data = np.random.default_rng(0).bytes(size)

    def first(views: list[Any], wanted: int) -> list[memoryview]:
        return files_module.first_bytes([memoryview(view).cast("B") for view in views], wanted)

    def short_read(fd: int, views: Any, start: int) -> int:
        # The page cache hands out whole pages, so that a read is cut between two.
        return os.preadv(fd, first(views, (start // 4096 + rng.randint(1, 5)) * 4096 - start), start)

    real_write = os.writev
    monkeypatch.setattr(local_module, "_preadv", short_read)
    monkeypatch.setattr(files_module, "_preadv", short_read)
    monkeypatch.setattr(os, "writev", lambda fd, views: real_write(fd, first(views, rng.randint(1, 9000))))
    source = LocalSource(tmp_path)
    source.put("a", [data[:1], data[1:5000], memoryview(data)[5000:]])
    assert (tmp_path / "a").read_bytes() == data
    for sizes in ([size], [size + 1], [size + 5000], [1, 2, 3, 50_000, 80_000], [1000] * 120, [1000] * 100):
        for start in (0, 3, 4096):
            buffers = [bytearray(length) for length in sizes]
            expected = data[start : start + sum(sizes)]
            assert source.fetch("a", start, buffers) == len(expected)
            assert b"".join(buffers)[: len(expected)] == expected
            buffers = [bytearray(length) for length in sizes]
            with source.open("a") as value:
                assert value.read_into([(start, buffers)]) == [len(expected)]
            assert b"".join(buffers)[: len(expected)] == expected


def test_steps_of_a_transfer_lose_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Transfers over 2 GiB are cut; the cut is tested with a smaller knife.
    monkeypatch.setattr(files_module, "_STEP_BYTES", 1000)
    data = np.random.default_rng(0).integers(0, 256, 12_345, dtype=np.uint8)
    fd = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    try:
        write_all(fd, [data[:10], data[10:9000], data[9000:]])
        into = [np.zeros(n, np.uint8) for n in (3000, 1, 999, 9000)]
        assert read_rest(fd, 0, into, 0) == 12_345
    finally:
        os.close(fd)
    assert (tmp_path / "a").read_bytes() == data.tobytes()
    np.testing.assert_array_equal(np.concatenate(into)[:12_345], data)


# Failures of the system


class Failing:
    """Stands for a function of `os`, and fails at one call."""

    def __init__(self, real: Callable[..., Any], error: BaseException, at: int) -> None:
        self.real, self.error, self.left = real, error, at

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return self.real(*arguments, **named)


_ERRORS = [
    (OSError(errno.ENOSPC, "x"), StoreError, "cannot write 'a/.*full disk"),
    (OSError(errno.EDQUOT, "x"), StoreError, "cannot write 'a/.*full disk"),
    (OSError(errno.EIO, "x"), StoreError, "cannot write 'a/.*input or output error"),
    (InterruptedError(errno.EINTR, "x"), StoreError, "cannot write 'a/"),
    (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
]


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("function", ["writev", "fsync", "rename"])
@pytest.mark.parametrize(("error", "kind", "message"), _ERRORS)
def test_a_failed_write_keeps_the_old_values(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    error: BaseException,
    kind: type[BaseException],
    message: str,
    many: bool,
) -> None:
    source = LocalSource(tmp_path)
    old = {f"a/{number}": b"old" for number in range(4)}
    source.put_many([(key, [value]) for key, value in old.items()])
    for at in (1, 3) if many else (1,):
        source.put_many([(key, [value]) for key, value in old.items()])
        with monkeypatch.context() as patch:
            patch.setattr(os, function, Failing(getattr(os, function), error, at))
            items = [(key, [b"new"]) for key in (old if many else ["a/0"])]
            with pytest.raises(kind, match=message):
                source.put_many(items, durable=True)
        assert {source.get(key) for key in old} <= {b"old", b"new"}
        # Of several, those that were finished before the failure are new.
        assert [source.get(key) for key in old].count(b"new") <= (len(old) - 1 if many else 0)
        assert files_below(tmp_path) == sorted(old)
    source.put_many([(key, [b"new"]) for key in old], durable=True)
    assert {source.get(key) for key in old} == {b"new"}


def test_errors_of_close_are_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = LocalSource(tmp_path)
    source.put("a", [b"old"])
    real = os.close

    def close(fd: int) -> None:
        real(fd)
        raise OSError(errno.ENOSPC, "found out late, as on network file systems")

    with monkeypatch.context() as patch:
        patch.setattr(local_module, "_close", close)
        with pytest.raises(StoreError, match="full disk"):
            source.put("a", [b"new"])
    assert source.get("a") == b"old"
    assert files_below(tmp_path) == ["a"]


def test_a_full_disk(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    fd = os.open(full, os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left"):
            write_all(fd, [b"x"])
    finally:
        os.close(fd)


def test_durable_writes_sync_the_file_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    real_sync, real_rename = os.fsync, os.rename

    def sync(fd: int) -> None:
        steps.append("sync " + os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path))
        real_sync(fd)

    def rename(old: str, new: str) -> None:
        steps.append("name " + os.path.relpath(new, tmp_path))
        real_rename(old, new)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    source = LocalSource(tmp_path / "root")
    source.put("a/b/c", [b"1"], durable=True)
    assert steps[0].endswith(TEMPORARY_SUFFIX)
    assert steps[1] == "name root/a/b/c"
    # Every entry on the way to the value: its own, and those of the new directories.
    assert set(steps[2:]) == {"sync root/a/b", "sync root/a", "sync root", "sync ."}
    steps.clear()
    source.put_many([(f"a/b/{i}", [b"2"]) for i in range(3)], durable=True)
    # The files side by side, and the directory they share once, when all of them are in place.
    assert sorted(step.split()[0] for step in steps[:-1]) == ["name"] * 3 + ["sync"] * 3
    assert steps[-1] == "sync root/a/b"


def test_directories_that_vanish_are_made_again(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            source.delete_tree("a")
            time.sleep(0.0002)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        for number in range(100):
            source.put(f"a/b/{number % 3}", [b"x"])
    finally:
        stop.set()
        thread.join()
    source.put("a/b/0", [b"y"])
    assert source.get("a/b/0") == b"y"
    assert source.clean("", remove=False) == []


# Kills


@contextmanager
def killed(work: Callable[[], None], seconds: float) -> Iterator[None]:
    """A forked child that does `work` until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(3)
    try:
        yield
        time.sleep(seconds)
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def test_forty_kills_leave_whole_values(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    source.put("a/zarr.json", [b'{"zarr_format": 3, "node_type": "array"}'])
    size = 1 << 20
    rng = random.Random(1)
    leftovers = 0

    def write() -> None:
        letter = 0
        while True:
            letter = (letter + 1) % 26
            with source.lock("a", 0, 4):
                source.put_many([(f"a/c/{i}", [bytes([97 + letter]) * size]) for i in range(4)], durable=letter == 5)

    for _ in range(40):
        with killed(write, rng.uniform(0.002, 0.02)):
            pass
        for number in range(4):
            value = source.get(f"a/c/{number}")
            assert value is None or (len(value) == size and len(set(value)) == 1)
        assert {entry.name for entry in source.list("a/c")} <= {"0", "1", "2", "3"}
        found = source.clean("", remove=False)
        leftovers += len(found)
        assert source.clean("", remove=True) == found
        assert [name for name in files_below(tmp_path) if "tenzarr-" in name] == []
    assert leftovers > 0
    with source.lock("a", 0, 4):
        source.put("a/c/0", [b"after"])
    assert source.get("a/c/0") == b"after"


class Die:
    """Stands for a function, and kills the process at one call, before or after it."""

    def __init__(self, real: Callable[..., Any], counter: list[int], at: int, after: bool) -> None:
        self.real, self.counter, self.at, self.after = real, counter, at, after

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.counter[0] += 1
        dying = self.counter[0] == self.at
        if dying and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = self.real(*arguments, **named)
        if dying:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


@pytest.mark.parametrize("target", ["", "x/y"])
def test_a_kill_at_any_step_of_a_replacement(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lead = f"{target}/" if target else ""
    survivors: set[str] = set()
    for after in (False, True):
        for at in range(1, 40):
            root = tmp_path / f"{after}-{at}" / "root"
            source = LocalSource(root)
            source.put_many([(f"{lead}{name}", [b"old"]) for name in ("zarr.json", "c/0", "c/1")])

            def replace(source: LocalSource = source, at: int = at, after: bool = after) -> None:
                counter = [0]
                for module, name in [
                    (os, "rename"), (os, "unlink"), (os, "rmdir"), (os, "mkdir"), (os, "fsync"), (os, "writev"),
                    (trees_module, "exchange"), (files_module, "write_all"),
                ]:  # fmt: skip
                    setattr(module, name, Die(getattr(module, name), counter, at, after))
                with source.stage(target) as stage:
                    stage.source.put_many([(name, [b"new"]) for name in ("zarr.json", "c/0", "c/2")])
                    stage.commit(durable=True)

            ended = in_child(replace)
            assert ended in (0, -signal.SIGKILL)
            found = {key: source.get(lead + key) for key in ("zarr.json", "c/0", "c/1", "c/2")}
            old = {"zarr.json": b"old", "c/0": b"old", "c/1": b"old", "c/2": None}
            new = {"zarr.json": b"new", "c/0": b"new", "c/1": None, "c/2": b"new"}
            assert found in (old, new), (at, after)
            survivors.add("old" if found == old else "new")
            source.clean("", remove=True)
            assert {key: source.get(lead + key) for key in found} == found
            assert not [path for path in root.parent.rglob("*") if "tenzarr-" in path.name], (at, after)
            if ended == 0:
                break
        else:
            raise AssertionError("the replacement has more steps than this test kills")
    assert survivors == {"old", "new"}


def test_two_renames_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees_module, "exchange", lambda one, other: False)
    source = LocalSource(tmp_path / "root")
    source.put("a/old", [b"1"])
    with source.stage("a") as stage:
        stage.source.put("new", [b"2"])
        stage.commit()
    assert (source.get("a/old"), source.get("a/new")) == (None, b"2")
    # Killed between the two renames: `clean` puts the old tree back.
    real = os.rename
    calls: list[tuple[str, str]] = []

    def rename(old: str, new: str) -> None:
        calls.append((old, new))
        if len(calls) == 3:
            raise KeyboardInterrupt("killed")
        real(old, new)

    stage = source.stage("a")
    stage.source.put("newer", [b"3"])
    calls.clear()
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(KeyboardInterrupt, match="killed"):
        stage.commit()
    monkeypatch.setattr(os, "rename", real)
    assert source.get("a/new") is None
    assert len(source.clean("", remove=True)) == 1
    assert source.get("a/new") == b"2"
    stage.discard()
    assert source.clean("", remove=False) == []


# Cleaning


def test_clean_touches_nothing_of_the_living(tmp_path: Path) -> None:
    source = LocalSource(tmp_path / "root")
    source.put("a/zarr.json", [b'{"node_type": "array"}'])
    source.put("g/zarr.json", [b'{"node_type": "group"}'])
    source.put("a/c/0", [b"1"])
    litter = tmp_path / "root" / "a" / "c" / f".x.0-0{TEMPORARY_SUFFIX}"
    litter.write_bytes(b"half")
    with source.stage("b") as stage, source.stage("") as beside:
        stage.source.put("c/0", [b"2"])
        beside.source.put("c/0", [b"3"])
        with source.lock("a", 7, 8):
            assert source.clean("", remove=True) == []
        assert source.clean("a", remove=False) == [f"a/c/{litter.name}"]
        assert litter.exists()
        assert source.clean("", remove=True) == [f"a/c/{litter.name}"]
        assert not litter.exists()
        stage.commit()
    assert source.get("b/c/0") == b"2"
    assert (tmp_path / "root" / "a" / LOCK_NAME).exists()
    (tmp_path / "root" / "g" / LOCK_NAME).write_bytes(b"")
    with source.lock("g", DOCUMENT, DOCUMENT + 1):
        assert source.clean("", remove=True) == []
        (tmp_path / "root" / "g" / LOCK_NAME).write_bytes(b"left by the dead")
    assert source.clean("", remove=True) == [f"g/{LOCK_NAME}"]


def test_a_stage_in_its_first_instant_survives_a_cleaner(tmp_path: Path) -> None:
    source = LocalSource(tmp_path / "root")
    stop = threading.Event()
    failures: list[BaseException] = []

    def clean() -> None:
        while not stop.is_set():
            try:
                source.clean("", remove=True)
            except BaseException as error:
                failures.append(error)

    thread = threading.Thread(target=clean)
    thread.start()
    try:
        for number in range(60):
            with source.stage("a") as stage:
                stage.source.put("zarr.json", [str(number).encode()])
                stage.source.put("c/0", [b"x"])
                stage.commit()
            assert source.get("a/zarr.json") == str(number).encode()
            assert source.get("a/c/0") == b"x"
    finally:
        stop.set()
        thread.join()
    assert failures == []


def test_readers_meet_no_gap_while_trees_are_replaced(tmp_path: Path) -> None:
    source = LocalSource(tmp_path / "root")
    source.put("a/zarr.json", [b"0"])
    stop = threading.Event()
    missing: list[int] = []

    def read() -> None:
        while not stop.is_set():
            if source.get("a/zarr.json") is None:
                missing.append(1)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(100):
        with source.stage("a") as stage:
            stage.source.put("zarr.json", [str(number).encode()])
            stage.commit()
    stop.set()
    thread.join()
    assert missing == []


def test_zarr_lists_a_group_without_a_warning(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path)
    group.create_array("a", shape=(4,), chunks=(2,), dtype="i4")
    source = LocalSource(tmp_path)
    with source.lock("", DOCUMENT, DOCUMENT + 1):
        source.put("zarr.json", [source.get("zarr.json") or b""])
    with source.lock("a", 0, 2), source.lock("a", DOCUMENT, DOCUMENT + 1):
        pass
    assert [name for name, _ in zarr.open_group(tmp_path, mode="r").members(max_depth=None)] == ["a"]


# Values held open


def test_a_map_shares_memory_with_the_file_and_survives_its_replacement(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    data = np.arange(3 * 4096, dtype=np.uint8)
    source.put("a", [data])
    with source.open("a") as value:
        view = value.map(4100, 5000)
    assert view is not None, "the temporary directory of the tests lies on a local file system"
    assert view.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    source.put("a", [bytes(3 * 4096)])
    source.delete("a")
    np.testing.assert_array_equal(view, data[4100:9100])


def test_a_young_file_has_no_identity(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    source.put("a", [b"1"])
    with source.open("a") as value:
        assert value.identity is None
    time.sleep(0.1)
    with source.open("a") as first, source.open("a") as second:
        assert first.identity is not None
        assert first.identity == second.identity


def test_descriptors_do_not_leak(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    source.put("a", [b"1"])
    before = len(os.listdir("/dev/fd"))
    for _ in range(50):
        source.fetch("a", 0, [bytearray(2)])
        source.get("a")
        source.open("a")
        source.put("a", [b"2"], durable=True)
        with pytest.raises(ConfinementError, match="must stay"):
            source.get("..")
        with pytest.raises(TypeError, match=r"bytes-like"):
            source.put("b", [object()])
        with source.stage("t") as stage:
            stage.source.put("x", [b"1"])
            stage.commit()
    assert len(os.listdir("/dev/fd")) <= before + 1
    assert STAGE_SUFFIX not in "".join(files_below(tmp_path))
