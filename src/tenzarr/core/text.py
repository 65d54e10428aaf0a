"""Numbers and shapes as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["format_axes", "format_bytes", "format_count", "format_ints", "format_rate", "format_seconds", "printable"]

_BYTE_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_SECOND_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def format_bytes(n_bytes: int) -> str:
    """`n_bytes` in decimal units, two to four digits.

    >>> format_bytes(812), format_bytes(64_000), format_bytes(1_351_142_400)
    ('812 bytes', '64.0 kB', '1.35 GB')
    >>> format_bytes(1)
    '1 byte'
    """
    if n_bytes < 1000:
        return f"{n_bytes} byte" if n_bytes == 1 else f"{n_bytes} bytes"
    power = next((p for p in range(1, len(_BYTE_UNITS)) if n_bytes < 999.5 * 1000**p), len(_BYTE_UNITS))
    return f"{_three_digits(n_bytes / 1000**power)} {_BYTE_UNITS[power - 1]}"


def format_rate(n_bytes: int, seconds: float) -> str:
    """Bytes per second, always in GB/s so that a column can be compared.

    >>> format_rate(256_000_000, 0.1)
    '2.56 GB/s'
    >>> format_rate(1, 0.0)
    'inf GB/s'
    """
    rate = n_bytes / 1e9 / seconds if seconds > 0 else float("inf")
    return f"{_three_digits(rate)} GB/s"


def format_seconds(seconds: float) -> str:
    """A duration in the unit that leaves one to three digits before the point.

    >>> format_seconds(2.5), format_seconds(0.0123), format_seconds(8e-6)
    ('2.50 s', '12.3 ms', '8.00 µs')
    """
    for scale, unit in _SECOND_UNITS:
        if seconds >= scale * 0.9995:
            return f"{_three_digits(seconds / scale)} {unit}"
    return f"{_three_digits(seconds / 1e-9)} ns"


def format_count(n: int, noun: str, plural: str | None = None) -> str:
    """`n` with thousands separators and its noun.

    >>> format_count(1, "chunk"), format_count(12000, "chunk"), format_count(0, "entry", "entries")
    ('1 chunk', '12,000 chunks', '0 entries')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def format_ints(values: Sequence[int]) -> str:
    """A shape as Python writes it, without NumPy's scalar types showing.

    >>> format_ints((32, 241)), format_ints([7]), format_ints(())
    ('(32, 241)', '(7,)', '()')
    """
    return str(tuple(int(v) for v in values))


def format_axes(shape: Sequence[int], names: Sequence[str | None] | None = None) -> str:
    """A shape with the names of its axes, where it has names.

    >>> format_axes((2920, 241), ("time", "lat")), format_axes((10, 4), (None, "x")), format_axes((7,), (None,))
    ('(time: 2920, lat: 241)', '(10, x: 4)', '(7,)')
    """
    if names is None or not any(names):
        return format_ints(shape)
    parts = [f"{printable(name)}: {n}" if name else f"{n}" for n, name in zip(shape, names, strict=True)]
    return f"({', '.join(parts)})"


def printable(name: str) -> str:
    r"""`name`, or its escaped form where it holds line breaks or other control characters.

    Names come out of files that anybody may have written, and go to terminals.

    >>> printable("größe"), printable("a" + chr(10) + "b")
    ('größe', 'a\\nb')
    """
    return name if name.isprintable() else ascii(name)[1:-1]


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}"
