"""Opening an array that exists."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.harness import OURS, Bar, Candidate, Result, Row, Session, compete

__all__ = ["ROWS"]


def _create(path: Path, zarr_format: int) -> None:
    import zarr

    zarr.create_array(
        str(path),
        shape=(2920, 241, 480),
        chunks=(32, 241, 480),
        dtype="float32",
        fill_value=0.0,
        zarr_format=zarr_format,  # pyright: ignore[reportArgumentType]
        dimension_names=("time", "lat", "lon") if zarr_format == 3 else None,
        attributes={"units": "K", "long_name": "air temperature", "valid_range": [150.0, 350.0]},
    )


def _openers(session: Session, path: Path, options: dict[str, Any]) -> dict[str, tuple[str, Callable[[], Any]]]:
    words = ", ".join(f"{name}={value!r}" for name, value in options.items()) or "default mode"
    openers: dict[str, tuple[str, Callable[[], Any]]] = {}
    if OURS in session.engines:
        import tenzarr as tz

        openers[OURS] = f"tz.open_array, {words}", lambda: tz.open_array(str(path), **options)
    if "zarr-python" in session.engines:
        import zarr

        openers["zarr-python"] = f"zarr.open_array, {words}", lambda: zarr.open_array(str(path), **options)
    if "tensorstore" in session.engines:
        import tensorstore as ts

        driver = "zarr3" if (path / "zarr.json").exists() else "zarr"
        spec = json.dumps({"driver": driver, "kvstore": {"driver": "file", "path": str(path)}})
        openers["tensorstore"] = (
            "ts.open, a new context each time",
            lambda: ts.open(json.loads(spec), open=True, context=ts.Context()).result(),
        )
    return openers


def _open(name: str, zarr_format: int, options: dict[str, Any]) -> Row:
    def measure(session: Session) -> Result:
        path = session.folder / "array"
        _create(path, zarr_format)
        candidates = [
            Candidate(engine, words, call, lambda call=call: _check(call()))
            for engine, (words, call) in _openers(session, path, options).items()
        ]
        words = "mode r" if options else "default mode"
        work = f"open an array, Zarr v{zarr_format}, {words}"
        return compete(session, name, work, candidates, (Bar("zarr-python", 2),))

    return Row(name, measure)


def _check(array: Any) -> None:
    assert tuple(array.shape) == (2920, 241, 480), array.shape


ROWS = (
    _open("open-v3", 3, {"mode": "r"}),
    _open("open-default", 3, {}),
    _open("open-v2", 2, {"mode": "r"}),
)
