"""Chains: a named, versioned way from a cube to product layers, the same from a notebook, a schedule or a request.

A chain says what it reads, what it gives, and its stages. A *map* stage turns a block of the cube into a block of
layers and never looks beyond it; a *finish* stage, where there is one, sees what the first gave with a margin of its
neighbours. Parameters are a frozen, typed model that is JSON and nothing else; the digest of name, version and
parameters stands for the chain in every product's key. What is too large for JSON, like a trained model, is handed
over beside the parameters, which hold its digest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import dask.array as da
import numpy as np
import pystac
import xarray as xr
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError, NotFoundError
from terracube.core.sensors import sensor_of
from terracube.core.validation import validated
from terracube.cubes import YX, CubePlan, CubeSpec, Grid, as_array, plan_cube, read_scenes
from terracube.cubes.blocks import BlockReader
from terracube.cubes.load import DEFAULT_BLOCK, map_plan
from terracube.cubes.storage import Layer, LayerClass
from terracube.cubes.storage.layers import strips
from terracube.processing.estimate import Estimate, source_bytes

_BYTES = 4
# A strip this size keeps a block's observations small beside its result, and is long enough for the kernels.
_STRIP_PIXELS = (8_192, 65_536)
_STRIP_BYTES = 1 << 25


class ChainParameters(BaseModel):
    """What every chain can be told about the observations it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    bands: tuple[str, ...] = Field(min_length=1, max_length=16, description="role names of the bands")
    mask: Annotated[str, Field(max_length=40)] | tuple[int, ...] = Field(
        default="clear",
        description="a rule of the sensor by name ('clear'), or the classes of its mask layer that are left out",
    )
    groupby: Literal["solar_day", "scene"] = Field(
        default="solar_day", description="solar_day: scenes of one day are one date; scene: each is a date"
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """What saw an observation."""

    platform: str | None = None
    instruments: tuple[str, ...] = ()
    quantity: str | None = None
    """What the bands hold: ``rhos``, ``rhow`` or ``rrs``."""


@dataclass(frozen=True)
class Context:
    """What a stage knows beside the pixels; the same for all blocks."""

    parameters: ChainParameters
    dates: NDArray[np.datetime64] | None = None
    """Day of each step of time, datetime64[D]; ``None`` where the cube has no times."""
    origins: tuple[Origin, ...] | None = None
    """What saw each step of time; ``None`` where the chain does not ask for it."""
    resource: Any = None
    """What the parameters name by its digest, or where to find it."""


Block = Callable[[NDArray[np.float32], Context], NDArray[np.float32]]


@dataclass(frozen=True)
class Map:
    """A stage that turns each block into another, alone."""

    name: str
    block: Block
    """From (time, band, y, x) to (layer, y, x)."""
    copies: float | Callable[[ChainParameters], float] = 2.0
    """Arrays of the size of its input that it holds at once: strips are cut, and memory is estimated, by it."""

    def held(self, parameters: ChainParameters) -> float:
        """Give how many arrays of the size of its input it holds at once."""
        return self.copies(parameters) if callable(self.copies) else self.copies


@dataclass(frozen=True)
class Finish:
    """A stage that turns what the first gave of a block into layers, and may see a margin of the blocks around it."""

    name: str
    block: Block
    """From (value, y, x) to (layer, y, x); beyond the edge of the grid there is nothing, not even missing values."""
    values: Callable[[ChainParameters], int]
    """How many values per pixel the first stage gives."""
    halo: Callable[[ChainParameters], int]
    """Pixels of margin."""


@dataclass(frozen=True)
class Chain:
    """A registered chain."""

    name: str
    version: str
    title: str
    parameters: type[ChainParameters]
    layers: Callable[[ChainParameters], tuple[Layer, ...]]
    """What comes out; the first layer has a value wherever the product has one."""
    stage: Map
    finish: Finish | None = None
    resource: Callable[[ChainParameters], str] | None = None
    """The digest of what must be handed over beside the parameters; ``None`` where they are all."""
    settle: Callable[[ChainParameters, Any], ChainParameters] | None = None
    """Fill in what the resource decides (its bands and classes), and refuse what contradicts it."""
    legend: Callable[[Any], Mapping[str, tuple[LayerClass, ...]]] | None = None
    """What the numbers of layers of classes mean, by layer, as the resource has it."""
    observe: Callable[[ChainParameters, tuple[Origin, ...]], ChainParameters] | None = None
    """Fill in what the observations decide, like bands, where a sensor's own numbers are used."""

    def to_parameters(self, values: ChainParameters | dict[str, Any] | None = None) -> ChainParameters:
        """Accept parameters as a model or plain JSON values.

        Raises
        ------
        InputError
            Naming each field that is wrong.
        """
        if isinstance(values, ChainParameters):
            return values
        return validated(self.parameters, values or {}, what=f"wrong parameters for the chain {self.name!r}")

    def settled(self, values: ChainParameters | dict[str, Any] | None = None, resource: Any = None) -> ChainParameters:
        """Accept parameters, filled in from what is handed over beside them.

        Raises
        ------
        InputError
            If a field is wrong, or the chain needs a resource and has none.
        """
        parameters = self.to_parameters(values)
        if self.resource is not None and resource is None:
            raise InputError("the chain needs what its parameters name", where=self.name, expected="a model")
        return self.settle(parameters, resource) if self.settle is not None else parameters

    def observed(self, parameters: ChainParameters, items: Iterable[pystac.Item]) -> ChainParameters:
        """Fill in what the scenes decide; the same whatever their order.

        Raises
        ------
        InputError
            If a scene does not tell what the chain must know.
        """
        if self.observe is None:
            return parameters
        found = {origin_of(item.collection_id or "", item.properties) for item in items}
        return self.observe(parameters, tuple(sorted(found, key=repr)))

    def product(self, parameters: ChainParameters, resource: Any = None) -> tuple[Layer, ...]:
        """Give the layers as they are stored, with the meaning of classes."""
        known = {} if self.legend is None else self.legend(resource)
        return tuple(replace(layer, classes=known.get(layer.name, ())) for layer in self.layers(parameters))

    def schema(self) -> dict[str, Any]:
        """Give the JSON schema of the parameters."""
        return self.parameters.model_json_schema()

    def digest(self, parameters: ChainParameters) -> str:
        """Give the sha256 of name, version and parameters."""
        facts = {"name": self.name, "version": self.version, "parameters": parameters.model_dump(mode="json")}
        return sha256_of(facts)

    def estimate(self, plan: CubePlan, parameters: ChainParameters, *, block: int, workers: int) -> Estimate:
        """Tell what a run of a plan needs with a block size and a number of blocks in work at once."""
        layers = len(self.layers(parameters))
        side_y, side_x = min(block, plan.grid.shape.y), min(block, plan.grid.shape.x)
        cube = len(plan.groups) * len(plan.spec.bands) * _BYTES
        held = self.stage.held(parameters)
        strip = min(side_y * side_x, max(_strip_pixels(plan, held), side_x)) * held * cube
        between = 0 if self.finish is None else self.finish.values(parameters)
        whole = side_y * side_x * (source_bytes(plan) + 2 * (layers + between) * _BYTES)
        rows, cols = (len(pieces) for pieces in plan.grid.chunks(block))
        pixels = plan.grid.shape.y * plan.grid.shape.x
        return Estimate(
            block=block,
            tasks=rows * cols,
            memory=int(workers * (strip + whole)),
            # The scratch blocks, the COGs with overviews (4/3), the plain copy of one band per worker, and the Zarr.
            disk=int(pixels * _BYTES * (layers * (1 + 4 / 3 + 1) + workers)),
        )

    def plan(
        self, items: Iterable[pystac.Item], grid: Grid, parameters: ChainParameters, *, on_error: str = "raise"
    ) -> CubePlan:
        """Settle what is read for these items on this grid."""
        scenes = read_scenes(items, parameters.bands, on_error=on_error)
        spec = CubeSpec(parameters.bands, parameters.mask, parameters.groupby)
        return plan_cube(scenes, spec, grid)

    def run(
        self, plan: CubePlan, parameters: ChainParameters, *, block: int = DEFAULT_BLOCK, resource: Any = None
    ) -> xr.DataArray:
        """Give the lazy product of a plan: (layer, y, x), one task per block.

        A task reads and reduces its block in strips, so that it never holds the whole block of observations.
        """
        names = [layer.name for layer in self.layers(parameters)]
        dates = np.array(plan.dates, "datetime64[D]")
        origins = None if self.observe is None else _origins(plan)
        handed = self._node(Context(parameters, dates, origins, resource))
        return map_plan(
            plan, self._block, block=block, layers=names, name=self._task(parameters), handed=(handed,)
        ).rename(self.name)

    def _block(self, plan: CubePlan, target: Grid, context: Context) -> NDArray[np.float32]:
        if self.finish is None:
            return self._strips(plan, target, context, len(self.layers(context.parameters)))
        halo = self.finish.halo(context.parameters)
        wide, inner = _widened(target, plan.grid, halo)
        between = self._strips(plan, wide, context, self.finish.values(context.parameters))
        return np.ascontiguousarray(self.finish.block(between, context)[:, *inner])

    def _strips(self, plan: CubePlan, target: Grid, context: Context, values: int) -> NDArray[np.float32]:
        out = np.empty((values, *target.shape), "float32")
        reader = BlockReader(plan, target)
        held = self.stage.held(context.parameters)
        for start, stop in strips(target.shape.y, max(1, _strip_pixels(plan, held) // target.shape.x)):
            out[:, start:stop] = self.stage.block(reader.rows(start, stop), context)
        return out

    def _node(self, context: Context) -> Delayed:
        """Make what all blocks share a graph node: it travels to each worker once, not with each block."""
        dates = "" if context.dates is None else sha256_of([str(day) for day in context.dates])[:12]
        if context.origins is not None:
            dates = sha256_of([dates, *map(repr, context.origins)])[:12]
        node: Delayed = delayed(context, name=f"context-{self._task(context.parameters)}-{dates}", traverse=False)
        return node

    def _task(self, parameters: ChainParameters) -> str:
        return f"{self.name}-{self.digest(parameters)[:12]}"

    def __call__(
        self,
        source: Iterable[pystac.Item] | xr.Dataset | xr.DataArray,
        *,
        grid: Grid | None = None,
        parameters: ChainParameters | dict[str, Any] | None = None,
        block: int = DEFAULT_BLOCK,
        resource: Any = None,
    ) -> xr.Dataset:
        """Run the chain on items or on a cube that is already loaded; lazy in, lazy out.

        Parameters
        ----------
        source : iterable of pystac.Item, Dataset (time, y, x) per band, or DataArray (time, band, y, x)
            ``chain(items, grid=grid)`` equals ``chain(cubes.load(items, grid=grid, ...))`` to the bit.
        grid : Grid
            Needed with items.
        parameters : model or dict
            For a cube, ``bands`` defaults to its bands.
        block : int
            Pixels along each side of a block; the values do not depend on it.
        resource
            What the parameters name by its digest, for chains that need it: a trained model.

        Returns
        -------
        xarray.Dataset
            One variable (y, x) per layer.
        """
        if isinstance(source, xr.Dataset | xr.DataArray):
            cube = as_array(source)
            given = parameters.model_dump() if isinstance(parameters, ChainParameters) else dict(parameters or {})
            if resource is None and self.observe is None:
                given = {"bands": [str(name) for name in cube.band.values]} | given
            known = self.settled(given, resource)
            if self.observe is not None:
                known = self.observe(known, tuple(sorted(set(cube_origins(source)), key=repr)))
            origins = None if self.observe is None else cube_origins(source)
            made = self._apply(_banded(cube, known.bands), known, origins, resource)
            return self.to_dataset(made, known, resource)
        if grid is None:
            raise InputError("a chain on items needs a grid", where="grid", todo="give grid=Grid.from_bbox(...)")
        items = list(source)
        known = self.observed(self.settled(parameters, resource), items)
        plan = self.plan(items, grid, known)
        return self.to_dataset(self.run(plan, known, block=block, resource=resource), known, resource)

    def _apply(
        self, cube: xr.DataArray, parameters: ChainParameters, origins: tuple[Origin, ...] | None, resource: Any
    ) -> xr.DataArray:
        layers = self.layers(parameters)
        values = cube.data
        dates = cube["time"].values.astype("datetime64[D]") if "time" in cube.coords else None
        context = Context(parameters, dates, origins, resource)
        if isinstance(values, da.Array):
            result: Any = self._lazily(values, context, len(layers))
        else:
            found = self.stage.block(np.ascontiguousarray(values, "float32"), context)
            result = found if self.finish is None else self.finish.block(found, context)
        kept = {name: cube.coords[name] for name in ("y", "x", "spatial_ref") if name in cube.coords}
        names = [layer.name for layer in layers]
        return xr.DataArray(result, dims=("layer", "y", "x"), coords={"layer": names, **kept}, name=self.name)

    def _lazily(self, values: da.Array, context: Context, layers: int) -> da.Array:
        """Apply the stages to the chunks of a lazy cube (time, band, y, x)."""
        parameters, name, shared = context.parameters, self._task(context.parameters), self._node(context)
        between = layers if self.finish is None else self.finish.values(parameters)
        options: dict[str, Any] = {"dtype": "float32", "meta": np.empty((0, 0, 0), "float32")}
        found: da.Array = da.map_blocks(
            self.stage.block, values, shared, drop_axis=0, chunks=((between,), *values.chunks[2:]),
            name=f"{name}-{values.name}", **options,
        )  # fmt: skip
        if self.finish is None:
            return found
        halo = self.finish.halo(parameters)
        wide = da.overlap.overlap(found, depth={1: halo, 2: halo}, boundary="none") if halo else found
        done: da.Array = da.map_blocks(
            self.finish.block, wide, shared, chunks=((layers,), *wide.chunks[1:]),
            name=f"{name}-finish-{values.name}", **options,
        )  # fmt: skip
        if not halo:
            return done
        trimmed: da.Array = da.overlap.trim_internal(done, {0: 0, 1: halo, 2: halo}, boundary="none")
        return trimmed

    def to_dataset(self, product: xr.DataArray, parameters: ChainParameters, resource: Any = None) -> xr.Dataset:
        """Split a product into one variable per layer, each in its own type, with title and unit."""
        variables = {}
        for layer in self.product(parameters, resource):
            values = product.sel(layer=layer.name, drop=True)
            told: dict[str, Any] = {"long_name": layer.title, "units": layer.unit, **layer.flags}
            if layer.missing is not None and not math.isnan(layer.missing):
                told["nodata"] = layer.missing
                values = values.fillna(layer.missing)
            variables[layer.name] = values.astype(layer.dtype).assign_attrs(told)
        return xr.Dataset(variables, attrs={"title": self.title})


def origin_of(collection: str, properties: Mapping[str, Any]) -> Origin:
    """Tell what saw a scene, as its item and the description of its sensor say."""
    try:
        declared = sensor_of(collection).reflectance.get("quantity")
    except NotFoundError:  # a collection without a description here
        declared = None
    platform, quantity = properties.get("platform"), properties.get("terracube:quantity", declared)
    instruments = properties.get("instruments")
    aboard = tuple(sorted(map(str, instruments))) if isinstance(instruments, list | tuple) else ()
    return Origin(str(platform) if platform else None, aboard, str(quantity) if quantity else None)


def _origins(plan: CubePlan) -> tuple[Origin, ...]:
    """Tell what saw each step of time, which must be one thing."""
    found = []
    for day, group in zip(plan.dates, plan.groups, strict=True):
        seen = {origin_of(scene.collection, scene.properties) for scene in group}
        if len(seen) > 1:
            raise InputError(
                "one date was seen by several sensors",
                where=str(day),
                got="; ".join(sorted(map(repr, seen))),
                todo='groupby="scene", or filter by platform',
            )
        found.append(seen.pop())
    return tuple(found)


def cube_origins(cube: xr.Dataset | xr.DataArray) -> tuple[Origin, ...]:
    """Tell what saw each step of time of a cube, as its attributes say; nothing is told of cubes from elsewhere."""
    steps = cube.sizes.get("time", 1)
    quantity = cube.attrs.get("quantity")
    try:
        told = json.loads(cube.attrs["terracube:cube"])
        known = list(zip(told["times"], map(tuple, told["platforms"]), strict=True))
        instruments = tuple(told.get("instruments", ()))
    except (KeyError, TypeError, ValueError):
        return (Origin(None, (), quantity),) * steps
    aboard = _aboard(cube, known, steps)
    return tuple(Origin(one[0] if len(one) == 1 else None, instruments, quantity) for one in aboard)


def _aboard(
    cube: xr.Dataset | xr.DataArray, known: list[tuple[str, tuple[str, ...]]], steps: int
) -> list[tuple[str, ...]]:
    """Give the platforms of each step by its time: dates may have been taken out or put in another order since."""
    every = {one for _, one in known}
    if "time" not in cube.coords:
        return [next(iter(every)) if len(every) == 1 else ()] * steps
    now = [str(time) for time in cube["time"].values.astype("datetime64[ns]").reshape(-1)]
    if now == [time for time, _ in known]:
        return [one for _, one in known]
    seen: dict[str, set[tuple[str, ...]]] = {}
    for time, one in known:
        seen.setdefault(time, set()).add(one)
    found = [seen.get(time, every) for time in now]
    return [next(iter(one)) if len(one) == 1 else () for one in found]


def _banded(cube: xr.DataArray, bands: tuple[str, ...]) -> xr.DataArray:
    """Take bands by name, in order; one that is not there is refused by name, never replaced by another."""
    there = [str(name) for name in cube.band.values]
    missing = [name for name in bands if name not in there]
    if missing:
        raise InputError(
            "the cube lacks bands", where=", ".join(missing), expected=", ".join(bands), got=", ".join(there)
        )
    return cube.sel(band=list(bands))


def _widened(target: Grid, whole: Grid, halo: int) -> tuple[Grid, tuple[slice, slice]]:
    """Widen a block by a margin as far as the grid goes; tell where the block lies in it."""
    top, left = (min(halo, target.offset[axis] - whole.offset[axis]) for axis in (0, 1))
    ends = [whole.offset[axis] + whole.shape[axis] - target.offset[axis] - target.shape[axis] for axis in (0, 1)]
    bottom, right = (min(halo, end) for end in ends)
    shape = target.shape
    wide = target.window(YX(-top, -left), YX(shape.y + top + bottom, shape.x + left + right))
    return wide, (slice(top, top + shape.y), slice(left, left + shape.x))


def _strip_pixels(plan: CubePlan, held: float) -> int:
    """Give how many pixels are read and reduced at once: fewer where each has many dates and bands, or products."""
    least, most = _STRIP_PIXELS
    each = _BYTES * max(1, len(plan.groups) * len(plan.spec.bands)) * max(1.0, held / 2)
    return min(most, max(least, int(_STRIP_BYTES // each)))
