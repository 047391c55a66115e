"""Settle everything before a pixel is read: scenes, checksums, grid, key, block size, and whether it fits."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
import xarray as xr
from dask.delayed import Delayed

from terracube.core.digest import sha256_of
from terracube.core.errors import AssetError, BudgetError, EmptyResultError, InputError, LeftOut, TerraCubeError
from terracube.core.sensors import sensor_of
from terracube.cubes import CubePlan, Grid, Scene, SceneSet, plan_cube, read_scenes
from terracube.cubes.plan import CubeSpec, mask_classes
from terracube.cubes.sources import Given
from terracube.cubes.storage import Layer
from terracube.processing import Chain, ChainParameters, Estimate, get_chain
from terracube.production.request import RunRequest
from terracube.stac import Catalog, input_checksum, product_key, to_query

if TYPE_CHECKING:
    from terracube.production.models import StoredModel

_BLOCKS = (1024, 512, 256, 128, 64)
# Blocks per worker below which the last ones leave the other workers idle for long.
_SHARE = 4
_SMALLEST = 256
# What one block costs in the task graph, with all that Dask keeps of it.
_TASK_BYTES = 8_192
DEFAULT_MEMORY = 4 << 30


@dataclass(frozen=True)
class Job:
    """A run that is settled, and may start."""

    request: RunRequest
    chain: Chain
    parameters: ChainParameters
    """With the mask settled to classes."""
    layers: tuple[Layer, ...]
    """What comes out."""
    plan: CubePlan
    items: tuple[pystac.Item, ...]
    """The scenes used, in canonical order."""
    inputs: tuple[tuple[str, str], ...]
    """Id and checksum of each."""
    left_out: tuple[LeftOut, ...]
    key: str
    """sha256 of chain digest, grid and inputs."""
    model: StoredModel | None = None
    """What the parameters name by its digest."""
    static: CubePlan | None = None
    """What is read of layers that do not change."""

    @property
    def resource(self) -> Any:
        """What is handed to the blocks beside the parameters."""
        return None if self.model is None else self.model.file

    def survey(self) -> Delayed | dict[str, Any]:
        """Look at the whole grid for what no block can know, lazily."""
        return self.chain.survey(self.plan, self.parameters, resource=self.resource, static=self.static)

    def run(self, block: int, found: Mapping[str, Any]) -> xr.DataArray:
        """Give the lazy product (layer, y, x), with what the survey found."""
        return self.chain.run(
            self.plan, self.parameters, block=block, resource=self.resource, static=self.static, found=found
        )


def find_items(catalog: Catalog, request: RunRequest) -> list[pystac.Item]:
    """Search the scenes that a request asks for.

    Raises
    ------
    EmptyResultError
        If there is none.
    """
    asked: dict[str, Any] = {"collections": request.collection, "bbox": request.bbox, "datetime": request.period}
    items = catalog.search(to_query(**asked, filters=request.filters))
    intake = get_chain(request.chain).intake
    if items and request.filters and intake is not None and intake.shared is not None:
        # What does not change is no step, and does not tell what steps are chosen by.
        there = {item.id for item in items}
        items += [item for item in catalog.search(to_query(**asked, filters=[intake.shared])) if item.id not in there]
    if not items:
        raise EmptyResultError(
            "no scene was found",
            where=str(catalog.root),
            expected=f"items of {request.collection} in {request.period or 'all dates'}",
            got="0",
            todo="widen bbox, datetime or filters, or ingest scenes; `terracube search` shows what there is",
        )
    return items


def rejected(items: Iterable[pystac.Item]) -> list[LeftOut]:
    """Name the scenes whose measured quality was rejected when they came in; they are not asked for their pixels."""
    found = []
    for item in items:
        if item.properties.get("terracube:quality") == "rejected":
            reasons = item.properties.get("terracube:quality_reasons") or ["no reason is told"]
            found.append(LeftOut(item.id, f"rejected by its quality: {'; '.join(map(str, reasons))}"[:500]))
    return found


def prepare(
    catalog: Catalog,
    request: RunRequest,
    items: Sequence[pystac.Item],
    *,
    without: Sequence[LeftOut] = (),
    grid: Grid | None = None,
) -> Job:
    """Settle a run on given scenes.

    Parameters
    ----------
    catalog, request, items
        Where, what, and from which scenes.
    without : sequence of LeftOut
        Scenes that are known to be unusable.
    grid : Grid
        The product's grid; settled from the request unless given.

    Raises
    ------
    EmptyResultError
        If no scene is usable; the message says why for each.
    InputError
        If the request is wrong.
    """
    chain = get_chain(request.chain)
    asked = chain.to_parameters(request.parameters)
    model = _model(catalog, chain, asked, request.collection)
    gone = {left.id for left in without}
    known = {item.id: item for item in items if item.id not in gone}
    steps, fixed = (list(known.values()), []) if chain.intake is None else chain.intake.part(known.values())
    parameters = chain.observed(chain.settled(asked, None if model is None else model.file), [*steps, *fixed])
    if chain.intake is None:
        _check_bands(request.collection, parameters.bands)
    # A product is made of files whose checksums are in the catalogue, and of nothing else.
    given, masked = Given(local=True), parameters.mask is not None
    scenes = read_scenes(steps, parameters.bands, mask=masked, on_error="skip", given=given)
    good, broken = verified(catalog, scenes, known)
    left_out = tuple(sorted({*without, *scenes.left_out, *broken}, key=lambda left: left.id))
    if not good:
        told = "; ".join(f"{left.id}: {left.reason}" for left in left_out)
        raise EmptyResultError("no scene is usable", where=request.collection, got=told)
    target = grid or chain.product_grid(settle_grid(request, good), parameters)
    used = tuple(scene for scene in good if _meets(scene, target))
    if not used:
        raise EmptyResultError("no scene reaches the grid", expected=str(target.bounds), got=f"{len(good)} scenes")
    if chain.intake is not None and len(used) < len(steps):
        # Dates that only those left out had are no dates of the product.
        parameters = chain.observed(chain.settled(asked), [*(known[scene.id] for scene in used), *fixed])
    settled = parameters.model_copy(update={"mask": mask_classes(SceneSet(good), parameters.mask)})
    spec = CubeSpec(settled.bands, settled.mask, settled.groupby)
    static = chain.plan_static(fixed, target, settled, given=given)
    held = () if static is None else static.groups[0]
    if static is not None and (problems := [gone for scene in held for gone in catalog.verify(known[scene.id])]):
        raise AssetError("the layers that do not change are no longer what was ingested", got="; ".join(problems))
    inputs = tuple((scene.id, scene_checksum(scene, known[scene.id])) for scene in (*used, *held))
    return Job(
        request=request,
        chain=chain,
        parameters=settled,
        layers=chain.product(settled, None if model is None else model.file),
        plan=plan_cube(SceneSet(used), spec, target),
        items=tuple(known[scene.id] for scene in (*used, *held)),
        inputs=inputs,
        left_out=left_out,
        key=product_key(_digest(chain, settled), target.as_dict(), inputs),
        model=model,
        static=static,
    )


def _digest(chain: Chain, settled: ChainParameters) -> str:
    """Give the chain's digest; masks of bits were not read by runs once, so that such products are made again."""
    digest = chain.digest(settled)
    return sha256_of([digest, "mask rule", settled.mask]) if isinstance(settled.mask, str) else digest


def _model(catalog: Catalog, chain: Chain, parameters: ChainParameters, collection: str) -> StoredModel | None:
    """Find the model that the parameters name, if the chain needs one."""
    if chain.resource is None:
        return None
    from terracube.production.models import find_model  # brings all of land cover along

    return find_model(catalog, chain.resource(parameters), collection)


def _check_bands(collection: str, bands: Sequence[str]) -> None:
    """Refuse layers that hold no reflectance: a median of classes means nothing."""
    sensor = sensor_of(collection)
    for name in bands:
        if sensor.layer(name).name not in sensor.bands:
            raise InputError("not a measured band", where="bands", expected=", ".join(sensor.bands), got=repr(name))


def scene_checksum(scene: Scene, item: pystac.Item) -> str:
    """Give one fingerprint of all of a scene that decides pixels: its files, and what makes values of their numbers."""
    sources = {**scene.bands, **({"": scene.mask} if scene.mask else {})}
    return sha256_of(
        {
            "files": input_checksum(item, scene.asset_keys),
            "acquired": scene.acquired.isoformat(),
            "solar_day": scene.solar_day.isoformat(),
            "values": {name: [repr(s.scale), repr(s.offset), repr(s.nodata), s.band] for name, s in sources.items()},
        }
    )


def verified(
    catalog: Catalog, scenes: SceneSet, items: dict[str, pystac.Item]
) -> tuple[tuple[Scene, ...], list[LeftOut]]:
    """Keep the scenes whose files are still those that were ingested."""
    good, broken = [], []
    for scene in scenes.scenes:
        problems = catalog.verify(items[scene.id], assets=scene.asset_keys)
        if problems:
            broken.append(LeftOut(scene.id, "; ".join(problems)))
        else:
            good.append(scene)
    return tuple(good), broken


def _meets(scene: Scene, target: Grid) -> bool:
    """Whether a scene reaches the grid at all; what cannot be projected into its CRS does not."""
    source = next(iter(scene.bands.values())).grid
    try:
        reach = Grid.covering([source], like=target)
    except InputError:
        return True
    apart_x = reach.bounds.right <= target.bounds.left or reach.bounds.left >= target.bounds.right
    apart_y = reach.bounds.top <= target.bounds.bottom or reach.bounds.bottom >= target.bounds.top
    return not (apart_x or apart_y)


def settle_grid(request: RunRequest, scenes: Sequence[Scene]) -> Grid:
    """Settle the grid: given by CRS and resolution, or native, with the pixel edges of one scene."""
    anchor = _anchor(request, scenes)
    if request.crs is None and request.resolution is None:
        like = anchor
    else:
        if request.crs is None or request.resolution is None:
            raise InputError(
                "CRS and resolution go together",
                where="--crs, --resolution",
                todo="give both, or neither for the native grid",
            )
        like = Grid.from_bbox((0, 0, 1, 1), crs=request.crs, resolution=request.resolution, bbox_crs=request.crs)
        if request.align is not None:
            like = Grid.from_bbox(
                anchor.bounds, crs=request.crs, resolution=request.resolution, bbox_crs=anchor.crs, align=anchor
            )
    if request.bbox is None:
        return Grid.covering([next(iter(scene.bands.values())).grid for scene in scenes], like=like)
    size = (-like.resolution.y, like.resolution.x)
    return Grid.from_bbox(request.bbox, crs=like.crs, resolution=size, align=like)


def _anchor(request: RunRequest, scenes: Sequence[Scene]) -> Grid:
    """Give the finest band grid of the scene that others are aligned with."""
    chosen = [scene for scene in scenes if request.align in (None, scene.id)]
    if not chosen:
        raise InputError(
            "the scene to align with is not among those found",
            where="--align",
            expected=", ".join(scene.id for scene in scenes[:10]),
            got=repr(request.align),
        )
    grids = [source.grid for source in chosen[0].bands.values()]
    return min(grids, key=lambda grid: grid.resolution.x)


def choose_block(job: Job, *, workers: int, memory: int, block: int | None, folder: Path) -> Estimate:
    """Choose the largest block that fits the memory and leaves work for every worker; check the disk.

    Parameters
    ----------
    job : Job
    workers : int
        Blocks in work at once.
    memory : int
        Bytes they may take together.
    block : int or None
        Pixels along each side, if the user has chosen.
    folder : Path
        Where the product will be written.

    Raises
    ------
    BudgetError
        With the number, if it cannot fit.
    """
    if block is not None and block < 1:
        raise InputError("blocks need at least one pixel", where="--block", expected=">= 1", got=str(block))
    sizes = _BLOCKS if block is None else (block,)
    estimates = [job.chain.estimate(job.plan, job.parameters, block=size, workers=workers) for size in sizes]
    needs = [estimate.memory + estimate.tasks * _TASK_BYTES for estimate in estimates]
    shape = job.plan.grid.shape
    where = f"grid of {shape.y} x {shape.x} pixels, {len(job.plan.groups)} dates"
    free = shutil.disk_usage(folder).free
    if estimates[0].disk > free:
        raise BudgetError(
            "the product does not fit on the disk",
            where=where,
            expected=f"at most {_size(free)} free in {folder}",
            got=_size(estimates[0].disk),
            todo="choose a coarser resolution, a smaller bbox, or another disk",
        )
    fitting = [estimate for estimate, need in zip(estimates, needs, strict=True) if need <= memory]
    shared = [estimate for estimate in fitting if estimate.tasks >= _SHARE * workers and estimate.block >= _SMALLEST]
    if fitting:
        return (shared or [e for e in fitting if e.block >= _SMALLEST][-1:] or fitting)[0]
    raise BudgetError(
        "the run does not fit in memory",
        where=where,
        expected=f"at most {_size(memory)} (--memory)",
        got=_size(min(needs)),
        todo="give more memory or fewer workers, choose a coarser resolution or a smaller bbox",
    )


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if count < 1000 or unit == "PB":
            return f"{count:.3g} {unit}"
        count /= 1000
    return ""


def explain(error: TerraCubeError, job: Job) -> LeftOut | None:
    """Name the scene that a reading error inside a block belongs to, if it is one of the job's."""
    for group in (*job.plan.groups, *(() if job.static is None else job.static.groups)):
        for scene in group:
            paths = [source.path for source in (*scene.bands.values(), *([scene.mask] if scene.mask else []))]
            # A reader may say which tile of the file it was.
            if error.where.partition(", level ")[0] in paths:
                return LeftOut(scene.id, str(error))
    return None
