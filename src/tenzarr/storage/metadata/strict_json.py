"""JSON documents, read strictly and in bounded time, memory and stack.

Refused: what is not UTF-8, byte order marks, repeated members, the tokens ``NaN`` and
``Infinity`` outside of a user's attributes, deep nesting, unpaired surrogates, numbers of
thousands of digits, and everything that `json` refuses.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np

from tenzarr.errors import MetadataError

__all__ = ["Path", "anywhere", "dotted", "nowhere", "parse", "write"]

Path: TypeAlias = tuple[str | int, ...]
"""Where a value is in a document: member names and list positions, from the top."""

SIZE_LIMIT_BYTES = 64 * 2**20
DEPTH_LIMIT = 32
USER_DEPTH_LIMIT = 64
"""For what lies in a user's attributes, counted from there."""

_TOTAL_DEPTH_LIMIT = DEPTH_LIMIT + USER_DEPTH_LIMIT
"""Checked before the document is parsed, so that the parser's recursion is bounded too."""
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_STEPS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")
"""An opening bracket as 1, a closing one as -1, in signed bytes."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or the rest of the text where a string does not end: no part of it is looked at twice."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def nowhere(path: Path) -> bool:
    """No part of the document is the user's own."""
    return False


def anywhere(path: Path) -> bool:
    """The whole document is the user's own."""
    return True


def dotted(path: Path) -> str:
    """A path as errors show it.

    >>> dotted(("codecs", 0, "name"))
    'codecs[0].name'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class _Token(float):
    """``NaN``, ``Infinity`` or ``-Infinity`` as a bare token: a float that remembers it."""


class _RepeatedMember(Exception):
    """Stops the parser."""


class _Repeating(dict[str, Any]):
    """An object that has `member` twice."""

    member: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RepeatedMember
    return members


def _marked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = _Repeating(pairs)
    if len(members) == len(pairs):
        return dict(members)
    members.member = Counter(name for name, _ in pairs).most_common(1)[0][0]
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_Token)
_MARKING_DECODER = json.JSONDecoder(object_pairs_hook=_marked_object)


def parse(document: str, text: bytes, *, tokens: Callable[[Path], bool] = nowhere) -> Any:
    """Read a JSON document.

    Parameters
    ----------
    document : str
        What errors call it.
    text : bytes
        At most 64 MiB of UTF-8.
    tokens : callable
        Whether the value at a path is the user's own: there, and below, the tokens ``NaN``,
        ``Infinity`` and ``-Infinity`` are read (zarr-python writes them), and values may be
        64 deep. Elsewhere the tokens are refused and the depth is limited to 32.

    Returns
    -------
    JSON value

    Raises
    ------
    MetadataError
        With the place: a path, or a line and a column where the text itself is malformed.

    Examples
    --------
    >>> parse("zarr.json", b'{"shape": [1, 2]}')
    {'shape': [1, 2]}
    >>> parse("zarr.json", b'{"a": {"b": 1, "b": 2}}')
    Traceback (most recent call last):
    tenzarr.errors.MetadataError: zarr.json at `a.b`: an object must not have a member twice
    """
    if len(text) > SIZE_LIMIT_BYTES:
        raise MetadataError(document, "", f"a document must have at most {SIZE_LIMIT_BYTES} bytes; it has {len(text)}")
    depth = text.count(b"[") + text.count(b"{")
    if depth > DEPTH_LIMIT:
        depth = _depth(text)
        if depth > _TOTAL_DEPTH_LIMIT:
            raise MetadataError(
                document, "", f"values must be nested at most {DEPTH_LIMIT} deep; they are {depth} deep"
            )
    value = _decode(document, text)
    if b"NaN" in text or b"Infinity" in text or depth > DEPTH_LIMIT:
        value = _checked(document, value, (), tokens)
    if _SURROGATE.search(text):
        _refuse_surrogates(document, value)
    return value


def _depth(text: bytes) -> int:
    """How deep the brackets outside of strings nest."""
    brackets = _STRING.sub(b"", text).translate(_STEPS, _NOT_BRACKETS)
    return max(itertools.accumulate(memoryview(brackets).cast("b")), default=0)


def _decode(document: str, text: bytes) -> Any:
    if text.startswith(codecs.BOM_UTF8):
        raise MetadataError(document, "byte 0", "a document must not begin with a byte order mark")
    try:
        return _DECODER.decode(str(text, "utf-8"))
    except UnicodeDecodeError as error:
        raise MetadataError(document, f"byte {error.start}", f"a document must be UTF-8: {error.reason}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise MetadataError(document, place, f"not JSON: {error.msg}") from None
    except _RepeatedMember:
        place = dotted(_repeating(_MARKING_DECODER.decode(str(text, "utf-8")), ()) or ())
        raise MetadataError(document, place, "an object must not have a member twice") from None
    except (ValueError, RecursionError) as error:
        raise MetadataError(document, "", f"not readable: {error}") from None


def _repeating(value: Any, path: Path) -> Path | None:
    """Where the member is that its object has twice."""
    if isinstance(value, _Repeating):
        return (*path, value.member)
    items = _items(value)
    return next((found for part, item in items if (found := _repeating(item, (*path, part))) is not None), None)


def _items(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(cast("dict[str | int, Any]", value).items())
    return list(enumerate(cast("list[Any]", value))) if isinstance(value, list) else []


def _checked(document: str, value: Any, path: Path, tokens: Callable[[Path], bool]) -> Any:
    """`value` with plain floats for the tokens that are allowed; refuses the others, and depth."""
    if tokens(path):
        if _height(value) > USER_DEPTH_LIMIT:
            raise MetadataError(document, dotted(path), f"attributes must be nested at most {USER_DEPTH_LIMIT} deep")
        return _plain(value)
    if isinstance(value, _Token):
        raise MetadataError(document, dotted(path), "the tokens NaN and Infinity are no JSON; write them as strings")
    if len(path) >= DEPTH_LIMIT and isinstance(value, (dict, list)):
        raise MetadataError(document, dotted(path), f"values must be nested at most {DEPTH_LIMIT} deep")
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: _checked(document, item, (*path, name), tokens) for name, item in members.items()}
    if isinstance(value, list):
        return [_checked(document, item, (*path, i), tokens) for i, item in enumerate(cast("list[Any]", value))]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, _Token):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


def _height(value: Any) -> int:
    if isinstance(value, (dict, list)):
        return 1 + max((_height(item) for _, item in _items(value)), default=0)
    return 0


def _refuse_surrogates(document: str, value: Any) -> None:
    """A string with half of a surrogate pair can be neither printed nor used as a key."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MetadataError(document, "", "a string must not contain an unpaired surrogate") from None


def write(value: Any) -> bytes:
    r"""Write a document: indented by two, members in the order given, NumPy values as what they hold.

    The tokens ``NaN`` and ``Infinity`` are written for such floats, as zarr-python writes them;
    only attributes have them. Raises TypeError or ValueError as `json.dumps` does.

    >>> write({"a": [1, np.float32(0.5)]})
    b'{\n  "a": [\n    1,\n    0.5\n  ]\n}'
    """
    return json.dumps(value, indent=2, allow_nan=True, default=_numpy_value).encode()


def _numpy_value(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return cast(Any, value).tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON type")
