"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

Command = Callable[..., Any]


class Bytes(click.ParamType[int]):
    """A number of bytes: ``4GB``, ``512MiB``, ``2e9``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value))
        if not found:
            self.fail(f"{value!r} is no size; write it like 4GB or 512MiB", param, ctx)
        number, unit, binary = found.groups()
        return int(float(number) * (1024 if binary else 1000) ** _POWER[unit.lower()])


class Box(click.ParamType[tuple[float, float, float, float]]):
    """A bounding box: ``west,south,east,north``."""

    name = "west,south,east,north"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text."""
        if isinstance(value, tuple):
            return value
        try:
            west, south, east, north = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no box; write it like 15.0,45.9,16.5,47.0", param, ctx)
        return west, south, east, north


def catalog_option(command: Command) -> Command:
    """Add ``--catalog``."""
    return click.option(
        "--catalog",
        "catalog_path",
        envvar="TERRACUBE_CATALOG",
        required=True,
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the catalogue (or environment variable TERRACUBE_CATALOG).",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON document instead of text.")(command)


def compute_options(command: Command) -> Command:
    """Add how to compute: ``--scheduler``, ``--workers``, ``--memory``, ``--block``."""
    for option in (
        click.option("--block", type=int, help="Pixels along each side of a block [default: what the memory allows]."),
        click.option("--memory", type=Bytes(), default="4GB", show_default=True, help="Memory for blocks in work."),
        click.option("--workers", type=int, default=0, help="Blocks in work at once [default: one per core]."),
        click.option(
            "--scheduler",
            default="local",
            show_default=True,
            help="local (threads), processes, or the address of a Dask scheduler. The pixels are the same.",
        ),
    ):
        command = option(command)
    return command
