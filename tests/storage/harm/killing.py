"""Processes that kill themselves at a chosen call to the operating system."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from tenzarr.storage.sources import local, trees

CALLS = ("open", "rename", "replace", "unlink", "remove", "mkdir", "rmdir", "writev", "write", "pwrite", "fsync")

OPEN_AND_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Death:
    """Counts the calls that change something, and dies before, after or in the middle of one of them.

    Parameters
    ----------
    at : int
        At which call; a negative number lives on.
    how : {"before", "after", "half"}
        ``"half"`` is different for writes only, which then write half of what they should.
    """

    def __init__(self, at: int, how: str) -> None:
        self.at = at
        self.how = how
        self.seen: list[str] = []

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """`real`, counted."""

        def counted(*arguments: Any, **named: Any) -> Any:
            if real.__name__ == "open" and not arguments[1] & OPEN_AND_WRITE:
                return real(*arguments, **named)
            number = len(self.seen)
            self.seen.append(real.__name__)
            if number != self.at:
                return real(*arguments, **named)
            if self.how == "half" and real.__name__ == "writev":
                fd, buffers = arguments
                whole = b"".join(bytes(buffer) for buffer in buffers)
                os.pwrite(fd, whole[: len(whole) // 2], 0)
            elif self.how == "after":
                real(*arguments, **named)
            die()

        return counted

    def install(self) -> None:
        """Put the counted calls in the place of the real ones, for the rest of this process."""
        for name in CALLS:
            setattr(os, name, self.wrap(getattr(os, name)))
        local._open = self.wrap(local._open)
        trees.exchange = self.wrap(trees.exchange)


def die() -> NoReturn:
    """As by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("not reached")


def run(work: Callable[[], object], at: int, how: str = "before") -> list[str] | None:
    """Run `work` in a child that dies at call `at`; the names of the calls where it lived to the end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(60)
            death = Death(at, how)
            death.install()
            work()
            death.at = -1
            os.write(writer, " ".join(death.seen).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), f"the child ended with {code}"
    return text.decode().split() if code == 0 else None


def deaths(calls: list[str]) -> list[tuple[int, str]]:
    """Every way to die: before each call, in the middle of each write, and after the last call."""
    middles = [(at, "half") for at, name in enumerate(calls) if name == "writev"]
    return [*((at, "before") for at in range(len(calls))), *middles, (len(calls) - 1, "after")]
