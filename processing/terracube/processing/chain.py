"""Chains: a named, versioned way from a cube to product layers, the same from a notebook, a schedule or a request.

A chain says what it reads, what it gives, and its stages. A *map* stage turns a block of the cube into a block of
layers and never looks beyond it, or its margin; a *finish* stage, where there is one, sees what the first gave with a
margin of its neighbours; a *survey* looks at the whole grid before, for what no block can know. Parameters are a
frozen, typed model that is JSON and nothing else; the digest of name, version and parameters stands for the chain in
every product's key. What is too large for JSON, like a trained model, is handed over beside the parameters, which hold
its digest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import pystac
import xarray as xr
from dask.delayed import Delayed, delayed

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError
from terracube.core.validation import validated
from terracube.cubes import CubePlan, CubeSpec, Grid, as_array, plan_cube, read_scenes
from terracube.cubes.load import DEFAULT_BLOCK, map_plan, plan_node
from terracube.cubes.sources import Given
from terracube.cubes.storage import Layer, LayerClass
from terracube.cubes.storage.layers import TILE
from terracube.processing.blockwise import BYTES, Blockwise, joined, squares, strip_pixels
from terracube.processing.estimate import Estimate, source_bytes
from terracube.processing.origins import Origin, cube_origins, origin_of, plan_origins
from terracube.processing.stages import Block, ChainParameters, Context, Finish, Intake, Map, Place, Shown, Survey

__all__ = [
    "Block",
    "Chain",
    "ChainParameters",
    "Context",
    "Finish",
    "Intake",
    "Map",
    "Place",
    "Shown",
    "Survey",
]


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
    surveys: tuple[Survey, ...] = ()
    """Looks at the whole grid, each after the one before; a chain that has some takes items, or has an intake."""
    intake: Intake | None = None
    """How it takes what is no series of scenes."""

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
        if self.intake is not None:
            return self.intake.examine(parameters, sorted(items, key=lambda item: item.id))
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
        cube = len(plan.groups) * len(plan.spec.bands) * BYTES
        held = self.stage.held(parameters)
        strip = min(side_y * side_x, max(strip_pixels(plan, held), side_x)) * held * cube
        blocks = self._blocks
        if blocks.sees_wide(parameters):
            strip = blocks.wide_pixels(side_y, side_x, parameters) * held * cube
        # Squares of surveys are read whole, whatever the block.
        square = (
            blocks.wide_pixels(min(TILE, plan.grid.shape.y), min(TILE, plan.grid.shape.x), parameters) * held * cube
        )
        looked = square if any(survey.needed(parameters) for survey in self.surveys) else 0.0
        between = 0 if self.finish is None else self.finish.values(parameters)
        whole = side_y * side_x * (source_bytes(plan) + 2 * (layers + between) * BYTES)
        rows, cols = (len(pieces) for pieces in plan.grid.chunks(block))
        pixels = plan.grid.shape.y * plan.grid.shape.x
        return Estimate(
            block=block,
            tasks=rows * cols,
            memory=int(workers * max(strip + whole, looked)),
            # The scratch blocks, the COGs with overviews (4/3), the plain copy of one band per worker, and the Zarr.
            disk=int(pixels * BYTES * (layers * (1 + 4 / 3 + 1) + workers)),
        )

    def plan(
        self, items: Iterable[pystac.Item], grid: Grid, parameters: ChainParameters, *, on_error: str = "raise"
    ) -> CubePlan:
        """Settle what is read for these items on this grid."""
        wanted = items if self.intake is None else self.intake.part(items)[0]
        scenes = read_scenes(wanted, parameters.bands, mask=parameters.mask is not None, on_error=on_error)
        spec = CubeSpec(parameters.bands, parameters.mask, parameters.groupby)
        return plan_cube(scenes, spec, grid)

    def plan_static(
        self, items: Iterable[pystac.Item], grid: Grid, parameters: ChainParameters, *, given: Given | None = None
    ) -> CubePlan | None:
        """Settle what is read of layers that do not change; ``None`` where there are none.

        Raises
        ------
        InputError
            If several items hold them.
        """
        names = () if self.intake is None else self.intake.statics(parameters)
        if self.intake is None or not names:
            return None
        holders = self.intake.part(items)[1]
        if len(holders) != 1:
            raise InputError(
                "not one item has the layers that do not change",
                where=", ".join(names),
                expected="one item of geometry",
                got=", ".join(item.id for item in holders) or "none",
            )
        scenes = read_scenes(holders, names, mask=False, given=given)
        return plan_cube(scenes, CubeSpec(names, None, "scene"), grid)

    def run(
        self,
        plan: CubePlan,
        parameters: ChainParameters,
        *,
        block: int = DEFAULT_BLOCK,
        resource: Any = None,
        static: CubePlan | None = None,
        found: Mapping[str, Any] | None = None,
    ) -> xr.DataArray:
        """Give the lazy product of a plan: (layer, y, x), one task per block.

        A task reads and reduces its block in strips, so that it never holds the whole block of observations.

        Parameters
        ----------
        plan, parameters, resource
        block : int
            Pixels along each side of a block.
        static : CubePlan
            As :meth:`plan_static` gives it.
        found : mapping
            What the surveys found, where they were made before; else they are made with the product.
        """
        names = [layer.name for layer in self.layers(parameters)]
        shared = self._node(self._context(plan, parameters, resource))
        known = self.survey(plan, parameters, resource=resource, static=static) if found is None else found
        name = self._task(parameters) if static is None else f"{self._task(parameters)}-{static.digest[:12]}"
        handed = (shared, None if static is None else plan_node(static), known)
        return map_plan(plan, self._blocks.block, block=block, layers=names, name=name, handed=handed).rename(self.name)

    def survey(
        self, plan: CubePlan, parameters: ChainParameters, *, resource: Any = None, static: CubePlan | None = None
    ) -> Delayed | dict[str, Any]:
        """Look at the whole grid for what no block can know, lazily: a mapping of JSON values; empty without surveys.

        One task per square of 256 pixels and survey; their names begin with ``survey-``.
        """
        found: Delayed | dict[str, Any] = {}
        shared = self._node(self._context(plan, parameters, resource))
        for survey in self.surveys:
            if not survey.needed(parameters):
                continue
            name = f"{survey.name}-{self._task(parameters)}-{plan.digest[:16]}"
            fixed = None if static is None else plan_node(static)
            parts = [
                delayed(self._blocks.part, pure=True)(
                    survey, plan_node(plan), tile, shared, fixed, found, dask_key_name=f"survey-{name}-{number}"
                )
                for number, tile in enumerate(squares(plan.grid))
            ]
            found = delayed(joined)(survey, parts, shared, found, dask_key_name=f"found-{name}")
        return found

    def _context(self, plan: CubePlan, parameters: ChainParameters, resource: Any) -> Context:
        dates = np.array(plan.dates, "datetime64[D]")
        origins = None if self.observe is None else plan_origins(plan)
        return Context(parameters, dates, origins, resource, None if self.intake is None else self.intake.steps(plan))

    @property
    def _blocks(self) -> Blockwise:
        return Blockwise(self.stage, self.finish, self._values)

    def _values(self, parameters: ChainParameters) -> int:
        """Count what the first stage gives of a pixel."""
        return len(self.layers(parameters)) if self.finish is None else self.finish.values(parameters)

    def product_grid(self, grid: Grid, parameters: ChainParameters) -> Grid:
        """Give the grid of the product of observations on a grid."""
        return grid.coarser(self._blocks.zoom(parameters))

    def _node(self, context: Context) -> Delayed:
        """Make what all blocks share a graph node: it travels to each worker once, not with each block."""
        dates = "" if context.dates is None else sha256_of([str(day) for day in context.dates])[:12]
        if context.origins is not None:
            dates = sha256_of([dates, *map(repr, context.origins)])[:12]
        if context.steps is not None:
            dates = sha256_of([dates, repr(context.steps)])[:12]
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
        if isinstance(source, xr.Dataset) and self.intake is not None:
            told = parameters.model_dump() if isinstance(parameters, ChainParameters) else dict(parameters or {})
            return self.intake.cube(source, told)
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
        plan = self.plan(items, self.product_grid(grid, known), known)
        static = self.plan_static(items, plan.grid, known)
        made = self.run(plan, known, block=block, resource=resource, static=static)
        return self.to_dataset(made, known, resource)

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


def _banded(cube: xr.DataArray, bands: tuple[str, ...]) -> xr.DataArray:
    """Take bands by name, in order; one that is not there is refused by name, never replaced by another."""
    there = [str(name) for name in cube.band.values]
    missing = [name for name in bands if name not in there]
    if missing:
        raise InputError(
            "the cube lacks bands", where=", ".join(missing), expected=", ".join(bands), got=", ".join(there)
        )
    return cube.sel(band=list(bands))
