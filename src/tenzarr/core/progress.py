"""One way to say how far long work is: a bar, a callback, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from tenzarr.errors import ArgumentTypeError

__all__ = ["Advance", "Progress", "track"]

Progress: TypeAlias = bool | Callable[[int, int], object]
"""The type of every ``progress=``: False for silence, True for a bar on standard error, or a callable
that gets ``(done, total)`` after each step, in the unit of the work."""

Advance: TypeAlias = Callable[[int], None]
"""What `track` yields: call it with the amount of work that has just been done."""


@contextmanager
def track(
    progress: Progress, total: int, *, label: str = "", unit: Literal["B", "chunk", "block"] = "B"
) -> Generator[Advance]:
    """Follow work of `total` units; yields the function to call as it advances.

    Parameters
    ----------
    progress : bool or callable
        False is silent. True draws a bar with `tqdm.auto` on standard error, or in the
        notebook. A callable gets ``(done, total)`` after every step.
    total : int
        The amount of work, in `unit`.
    label : str
        What is being done, in front of the bar.
    unit : {"B", "chunk", "block"}
        What is counted. Bytes are shown with decimal prefixes.

    Raises
    ------
    ArgumentTypeError
        If `progress` is neither a bool nor callable.

    Examples
    --------
    >>> seen = []
    >>> with track(lambda done, total: seen.append((done, total)), 3, unit="chunk") as advance:
    ...     advance(1)
    ...     advance(2)
    >>> seen
    [(1, 3), (3, 3)]
    >>> with track("yes", 3) as advance:  # doctest: +IGNORE_EXCEPTION_DETAIL
    ...     pass
    Traceback (most recent call last):
    tenzarr.errors.ArgumentTypeError: `progress` must be True, False or a callable of (done, total)
    """
    if progress is False:
        yield _ignore
    elif progress is True:
        with _bar(total, label, unit) as advance:
            yield advance
    elif callable(progress):
        yield _report_to(progress, total)
    else:
        raise ArgumentTypeError(
            f"`progress` must be True, False or a callable of (done, total); got {progress!r} of type "
            f"{type(progress).__name__}. Pass True for a bar."
        )


def _ignore(_amount: int) -> None:
    return


def _report_to(callback: Callable[[int, int], object], total: int) -> Advance:
    done = 0

    def advance(amount: int) -> None:
        nonlocal done
        done += amount
        callback(done, total)

    return advance


@contextmanager
def _bar(total: int, label: str, unit: str) -> Generator[Advance]:
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=label or None, unit=unit, unit_scale=unit == "B", dynamic_ncols=True) as bar:

        def advance(amount: int) -> None:
            bar.update(amount)

        yield advance
