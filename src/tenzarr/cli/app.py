"""The commands and how their errors reach the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import tenzarr as tz
from tenzarr.cli import checking, demo, describing, race
from tenzarr.cli.tables import facts_table, print_json, terminal, timing_table
from tenzarr.errors import ArgumentError, TenzarrError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Zarr arrays on the command line: look at them, check them, convert them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PathArgument = Annotated[str, typer.Argument(metavar="PATH", help="A folder, a .zip or a URL.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code: 0 done, 1 damage found, 2 refused or failed.

    Parameters
    ----------
    arguments : list of str, optional
        Without the name of the program; ``sys.argv[1:]`` where None.

    Returns
    -------
    int
        For ``sys.exit``.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    tenzarr ...
    0
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in words
    try:
        # Every command takes --debug wherever it stands, so none has to declare it.
        app(args=[word for word in words if word != "--debug"], prog_name="tenzarr")
    except TenzarrError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tenzarr {tz.__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from; goes anywhere.")]


@app.callback()
def common(version: Version = False, debug: Debug = False) -> None:
    """Options of every command."""


@app.command()
def info(path: PathArgument, as_json: Json = False) -> None:
    """Say what is stored at PATH: shape, type, chunks, codecs, what checks the data."""
    facts = describing.facts(tz.open(path, mode="r"))
    if as_json:
        print_json(facts)
    else:
        terminal().print(facts_table(describing.in_words(facts)))


@app.command()
def tree(path: PathArgument, as_json: Json = False) -> None:
    """Draw the groups and arrays below PATH."""
    node = tz.open(path, mode="r")
    if as_json:
        print_json(describing.nested(node))
    else:
        print(describing.drawn(node))


@app.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help="The array to copy.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="Where the copy goes; nothing may be there.")],
    chunks: Annotated[str | None, typer.Option(help="New chunk shape, for instance 100,100.")] = None,
    shards: Annotated[str | None, typer.Option(help="New shard shape, for instance 1000,1000.")] = None,
    compressor: Annotated[str | None, typer.Option(help="For instance zstd, zstd:3, gzip:6, blosc or none.")] = None,
    zarr_format: Annotated[int | None, typer.Option("--format", help="The Zarr version to write, 2 or 3.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at DST.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy SRC to DST, whole or not at all, rechunking and converting on the way."""
    changes: dict[str, Any] = {
        "chunks": _lengths("--chunks", chunks),
        "shards": _lengths("--shards", shards),
        "zarr_format": zarr_format,
    }
    options = {name: value for name, value in changes.items() if value is not None}
    if compressor is not None:
        options["compressor"] = None if compressor == "none" else compressor
    array = tz.open_array(source, mode="r")
    written = array.copy_to(target, overwrite=overwrite, progress=_progress(quiet or as_json), **options)
    if as_json:
        print_json(describing.facts(written))
    else:
        print(repr(written))


@app.command()
def verify(
    path: PathArgument,
    clean: Annotated[bool, typer.Option("--clean", help="Also remove what dead writers left behind.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read every chunk below PATH and check every checksum; exit code 1 where one is damaged."""
    result = checking.check(tz.open(path, mode="r+" if clean else "r"), _progress(quiet or as_json), clean=clean)
    if as_json:
        print_json(result.as_json())
    else:
        print("\n".join(result.in_words()))
    raise typer.Exit(1 if result.damaged else 0)


@app.command()
def stats(path: PathArgument, as_json: Json = False, quiet: Quiet = False) -> None:
    """Count, mean, standard deviation and range of an array, in constant memory."""
    array = tz.open_array(path, mode="r")
    found = describing.as_mapping(tz.statistics(array, progress=_progress(quiet or as_json)))
    if as_json:
        print_json(found)
    else:
        terminal().print(facts_table({label: f"{value}" for label, value in found.items()}))


@app.command("demo")
def demonstrate() -> None:
    """Store, reopen, stream and time real data in a temporary folder."""
    raise typer.Exit(0 if demo.run() else 1)


@app.command()
def bench(
    path: Annotated[Path | None, typer.Argument(metavar="[PATH]", help="A folder on the disk to measure.")] = None,
    as_json: Json = False,
) -> None:
    """Time a few array layouts on this disk, beside zarr-python and, where it is installed, TensorStore."""
    if as_json:
        print_json([describing.as_mapping(row) for rows in race.run(path) for row in rows])
        return
    console = terminal()
    layouts = race.run(path)
    while True:
        with console.status("measuring ..."):
            rows = next(layouts, None)
        if rows is None:
            return
        console.print(timing_table(rows))


def _progress(silent: bool) -> bool:
    return not silent and sys.stderr.isatty()


def _lengths(option: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ArgumentError(
            f"`{option}` must be whole numbers with commas between them; got {text!r}. Write for instance 100,100."
        ) from None
