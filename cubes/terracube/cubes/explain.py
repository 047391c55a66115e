"""What a load call will do, told before a pixel is read; and what it did, told afterwards."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError
from terracube.cubes.cut import Blocks, cut
from terracube.cubes.grid import Grid
from terracube.cubes.layout import cube_facts
from terracube.cubes.ledger import Report, make_report, parse_left_out
from terracube.cubes.load import prepare, recall
from terracube.cubes.pieces import level_grid, level_of
from terracube.cubes.plan import CubePlan
from terracube.cubes.readers import read_header
from terracube.cubes.sources import Scene, Source, verify_header
from terracube.cubes.warp import place, reach
from terracube.cubes.window import Window

_PLACE_BYTES = 16


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What will be read of one asset."""

    item: str
    band: str
    asset: str
    """Address, without any token."""
    decoder: str
    """``own``, ``gdal``, ``zarr`` or ``netcdf``; ``unknown`` where the header has not been read."""
    level: int
    """0 = full resolution, 1 = the finest overview."""
    window: tuple[int, int, int, int]
    """Row, column, height and width of the pixels needed, at that level."""
    bytes: int
    """Bytes to decode: whole internal tiles."""


@dataclass(frozen=True)
class Explanation:
    """Everything a load call has settled."""

    engine: str
    steps: int
    bands: tuple[str, ...]
    grid: dict[str, Any]
    blocks: int
    """Blocks of each band."""
    tasks: int
    """Tasks of the whole lazy dataset."""
    block_shape: tuple[int, int, int]
    """Steps, rows and columns of the largest block."""
    memory_per_block: int
    """Bytes that one task holds at its peak: its result, and the largest windows it reads for it."""
    bytes: int
    """Bytes to decode for the whole cube, each tile once."""
    decoders: dict[str, int]
    """Sources by who decodes them."""
    levels: dict[int, int]
    """Sources by overview level."""
    sources: tuple[SourcePlan, ...]
    left_out: tuple[dict[str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return asdict(self)

    def __getitem__(self, name: str) -> Any:
        return self.as_dict()[name]

    def _facts(self) -> Iterator[tuple[str, str]]:
        rows, cols = self.grid["shape"]
        yield "grid", f"{self.grid['crs'][:40]}, {rows} x {cols} pixels of {self.grid['resolution'][1]:g}"
        yield "cube", f"{self.steps} steps, bands {', '.join(self.bands)}"
        yield "blocks", f"{self.blocks} per band of up to {' x '.join(map(str, self.block_shape))}; {self.tasks} tasks"
        yield "memory", f"{_size(self.memory_per_block)} per block in work"
        yield "to decode", f"{_size(self.bytes)} in {len(self.sources)} sources"
        yield "decoders", ", ".join(f"{name}: {count}" for name, count in sorted(self.decoders.items())) or "none"
        yield (
            "overviews",
            ", ".join(f"level {level}: {count}" for level, count in sorted(self.levels.items())) or "none",
        )
        for gone in self.left_out:
            yield "left out", f"{gone['id']}: {gone['reason']}"

    def __str__(self) -> str:
        return "\n".join(f"{name:10} {value}" for name, value in self._facts())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._facts()
        )
        return f"<table>{rows}</table>"


def explain(items: Iterable[Any] | xr.Dataset, **options: Any) -> Explanation:
    """Tell what a load call will read, and what it will take, before a pixel is read.

    Parameters
    ----------
    items : iterable, or a dataset of :func:`terracube.cubes.load`
    **options
        As given to :func:`terracube.cubes.load`.

    Returns
    -------
    Explanation
        Sources with windows, decoders, overview levels and bytes; blocks, tasks and memory. It prints as text, and as
        a table in a notebook.

    Raises
    ------
    InputError
        If a dataset was not loaded in this process, or options are given with it.
    TerraCubeError
        As :func:`terracube.cubes.load`.
    """
    if isinstance(items, xr.Dataset):
        if options:
            raise InputError("a loaded dataset has its options already", got=", ".join(sorted(options)))
        plan, sizes = _plan_of(items), items.chunks
        _check_whole(plan, items)
        blocks = Blocks(*(tuple(sizes[name]) for name in ("time", "y", "x"))) if sizes else _whole(plan)
        return _explain(
            plan, blocks, cube_facts(items)["engine"], tuple(cube_facts(items)["left_out"]), lazy=bool(sizes)
        )
    call = prepare(items, **options)
    blocks = _whole(call.plan) if call.chunks is None else cut(call.plan, call.chunks)
    return _explain(call.plan, blocks, call.engine, tuple(call.left_out), lazy=call.chunks is not None)


def report(cube: xr.Dataset) -> Report:
    """Tell what a loaded cube is made of: items asked for, assets read so far, and what is missing and why.

    Ask again after computing: reading errors that were skipped (``on_error="skip"``) show only then, wherever the
    blocks were computed.

    Raises
    ------
    InputError
        If the dataset was not loaded by :func:`terracube.cubes.load`.
    """
    facts = cube_facts(cube)
    # What another engine read, it does not tell.
    plan = recall(facts["key"]) if facts["engine"] == "terracube" else None
    asked = [str(item) for step in facts["items"] for item in step]
    return make_report(asked, parse_left_out(facts["left_out"]), None if plan is None else plan.channel)


def _plan_of(cube: xr.Dataset) -> CubePlan:
    plan = recall(cube_facts(cube)["key"])
    if plan is None:
        raise InputError("this dataset was not loaded in this process", todo="explain the items with the same options")
    return plan


def _check_whole(plan: CubePlan, cube: xr.Dataset) -> None:
    wanted = {"time": len(plan.groups), "y": plan.grid.shape.y, "x": plan.grid.shape.x}
    found = {str(name): size for name, size in cube.sizes.items()}
    if found != wanted or set(map(str, cube.data_vars)) != set(plan.spec.bands):
        raise InputError(
            "this dataset is not the cube that was loaded", expected=str(wanted), got=str(found),
            todo="explain the items with the same options and the grid of this part",
        )  # fmt: skip


def _whole(plan: CubePlan) -> Blocks:
    return Blocks((len(plan.groups),), (plan.grid.shape.y,), (plan.grid.shape.x,))


def _explain(
    plan: CubePlan, blocks: Blocks, engine: str, left_out: tuple[dict[str, str], ...], *, lazy: bool
) -> Explanation:
    sources = tuple(_sources(plan))
    largest = tuple(max(sizes) for sizes in blocks.chunks)
    return Explanation(
        engine=engine,
        steps=len(plan.groups),
        bands=plan.spec.bands,
        grid=plan.grid.as_dict(),
        blocks=blocks.count,
        tasks=blocks.count * len(plan.bands) + 1 if lazy else 0,
        block_shape=(largest[0], largest[1], largest[2]),
        memory_per_block=_memory(plan, blocks, together=not lazy),
        bytes=sum(source.bytes for source in sources),
        decoders=dict(Counter(source.decoder for source in sources)),
        levels=dict(Counter(source.level for source in sources)),
        sources=sources,
        left_out=left_out,
    )


def _layers(plan: CubePlan, scene: Scene) -> Iterator[tuple[str, Source, str, bool]]:
    """Give name, source and method of each layer, and whether it is the mask."""
    for band in plan.bands:
        yield band.name, scene.bands[band.name], band.method, False
    if plan.rules and scene.mask is not None:
        yield "mask", scene.mask, "nearest", True


def _sources(plan: CubePlan) -> Iterator[SourcePlan]:
    windows: dict[tuple[Grid, str], Window | None] = {}
    for scene in (scene for group in plan.groups for scene in group):
        for name, source, method, mask in _layers(plan, scene):
            known = _known(source, f"{scene.id}/{name}")
            level = level_of(known, plan.grid, method, overviews=plan.spec.overviews, mask=mask)
            grid = level_grid(known, level)
            if (grid, method) not in windows:
                windows[grid, method] = _window(grid, plan.grid, method)
            window = windows[grid, method]
            if window is not None:
                bounds = (window.row, window.col, window.height, window.width)
                yield SourcePlan(
                    scene.id, name, str(source.location), known.decoder, level, bounds, _tile_bytes(known, window)
                )


def _known(source: Source, where: str) -> Source:
    """Read the header where only metadata are known; what cannot be read now is told as it is."""
    if source.known:
        return source
    try:
        return verify_header(source, read_header(source.location, where=where))
    except (AssetError, HostileInputError, MetadataError):
        return source


def _window(grid: Grid, target: Grid, method: str) -> Window | None:
    if reach(grid, target) is None:
        return None
    placement = place(grid, target, method)
    return None if placement is None else placement.window


def _tile_bytes(source: Source, window: Window) -> int:
    """Give what the internal tiles that a window touches take when decoded."""
    height, width = (max(1, side) for side in source.tile)
    rows = -(-window.stop[0] // height) - window.row // height
    cols = -(-window.stop[1] // width) - window.col // width
    return rows * cols * height * width * np.dtype(source.dtype).itemsize


def _memory(plan: CubePlan, blocks: Blocks, *, together: bool) -> int:
    """Give the bytes of a block's result, and of the largest source windows and tiles it needs beside.

    A lazy block is one of one band; what is read at once is the whole cube.
    """
    steps, rows, cols = (max(sizes) for sizes in blocks.chunks)
    sizes = [np.dtype(band.dtype).itemsize for band in plan.bands]
    result = steps * rows * cols * (sum(sizes) if together else max(sizes))
    beside, placed = 0, 0
    for scene in (scene for group in plan.groups for scene in group):
        for _, source, method, _ in _layers(plan, scene):
            if method == "nearest" and not source.grid.same_pixels(plan.grid):
                placed = _PLACE_BYTES * rows * cols  # where each pixel lies, worked out once for all dates
            ratio = _ratio(source.grid, plan.grid)
            pixels = rows * cols * ratio + sum(source.tile) * (rows + cols) + source.tile[0] * source.tile[1]
            beside = max(beside, int(pixels * np.dtype(source.dtype).itemsize))
    masks = rows * cols * 3 if plan.rules else 0
    return result + beside + placed + masks


def _ratio(source: Grid, target: Grid) -> float:
    """Give the source pixels that one target pixel stands for."""
    try:
        covered = Grid.covering([source], like=target).shape
    except InputError:
        return 1.0
    return source.shape.y * source.shape.x / max(1, covered.y * covered.x)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}"
        count /= 1000
    return ""
