"""Chains: a named, versioned way from a cube to product layers, the same from a notebook, a schedule or a request.

A chain says what it reads, what it gives, and its stages. A *map* stage turns a block of the cube into a block of
layers and never looks beyond it. Parameters are a frozen, typed model that is JSON and nothing else; the digest of
name, version and parameters stands for the chain in every product's key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import dask.array as da
import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError
from terracube.core.validation import validated
from terracube.cubes import CubePlan, CubeSpec, Grid, as_array, plan_cube, read_scenes
from terracube.cubes.blocks import BlockReader
from terracube.cubes.load import DEFAULT_BLOCK, map_plan
from terracube.cubes.storage import Layer
from terracube.cubes.storage.layers import strips

_BYTES = 4
# A strip this size keeps a block's observations small beside its result, and is long enough for the kernels.
_STRIP_PIXELS = 65_536


class ChainParameters(BaseModel):
    """What every chain can be told about the observations it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    bands: tuple[str, ...] = Field(min_length=1, max_length=16, description="role names of the bands")
    mask: Literal["clear"] | tuple[int, ...] = Field(
        default="clear", description="'clear', or the classes of the sensor's mask layer that are left out"
    )
    groupby: Literal["solar_day", "scene"] = Field(
        default="solar_day", description="solar_day: scenes of one day are one date; scene: each is a date"
    )


@dataclass(frozen=True)
class Map:
    """A stage that turns each block into another, alone."""

    name: str
    block: Callable[[NDArray[np.float32], ChainParameters], NDArray[np.float32]]
    """From (time, band, y, x) to (layer, y, x)."""
    copies: float = 2.0
    """Arrays of the size of its input that it holds at once, for the memory estimate."""


@dataclass(frozen=True)
class Estimate:
    """What a run needs, known before a pixel is read."""

    block: int
    """Pixels along each side of a block."""
    tasks: int
    """Blocks, one task each."""
    memory: int
    """Bytes in memory for the blocks in work at once."""
    disk: int
    """Bytes on disk at the peak: scratch blocks, COG and Zarr, before compression."""

    def as_dict(self) -> dict[str, int]:
        """Give plain numbers."""
        return {"block": self.block, "tasks": self.tasks, "memory": self.memory, "disk": self.disk}


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
        strip = min(side_y * side_x, max(_STRIP_PIXELS, side_x)) * self.stage.copies * cube
        whole = side_y * side_x * (_source_bytes(plan) + 2 * layers * _BYTES)
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

    def run(self, plan: CubePlan, parameters: ChainParameters, *, block: int = DEFAULT_BLOCK) -> xr.DataArray:
        """Give the lazy product of a plan: (layer, y, x), one task per block.

        A task reads and reduces its block in strips, so that it never holds the whole block of observations.
        """
        names = [layer.name for layer in self.layers(parameters)]
        read = partial(self._strips, parameters=parameters)
        return map_plan(plan, read, block=block, layers=names, name=self._task(parameters)).rename(self.name)

    def _strips(self, plan: CubePlan, target: Grid, *, parameters: ChainParameters) -> NDArray[np.float32]:
        out = np.empty((len(self.layers(parameters)), *target.shape), "float32")
        reader = BlockReader(plan, target)
        for start, stop in strips(target.shape.y, max(1, _STRIP_PIXELS // target.shape.x)):
            out[:, start:stop] = self.stage.block(reader.rows(start, stop), parameters)
        return out

    def _task(self, parameters: ChainParameters) -> str:
        return f"{self.name}-{self.digest(parameters)[:12]}"

    def __call__(
        self,
        source: Iterable[pystac.Item] | xr.Dataset | xr.DataArray,
        *,
        grid: Grid | None = None,
        parameters: ChainParameters | dict[str, Any] | None = None,
        block: int = DEFAULT_BLOCK,
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

        Returns
        -------
        xarray.Dataset
            One variable (y, x) per layer.
        """
        if isinstance(source, xr.Dataset | xr.DataArray):
            cube = as_array(source)
            given = parameters.model_dump() if isinstance(parameters, ChainParameters) else dict(parameters or {})
            known = self.to_parameters({"bands": [str(name) for name in cube.band.values]} | given)
            return self.to_dataset(self._apply(cube.sel(band=list(known.bands)), known), known)
        if grid is None:
            raise InputError("a chain on items needs a grid", where="grid", todo="give grid=Grid.from_bbox(...)")
        known = self.to_parameters(parameters)
        return self.to_dataset(self.run(self.plan(source, grid, known), known, block=block), known)

    def _apply(self, cube: xr.DataArray, parameters: ChainParameters) -> xr.DataArray:
        layers = self.layers(parameters)
        values = cube.data
        if isinstance(values, da.Array):
            result = da.map_blocks(
                self.stage.block,
                values,
                parameters,
                drop_axis=0,
                chunks=((len(layers),), *values.chunks[2:]),
                dtype="float32",
                meta=np.empty((0, 0, 0), "float32"),
                name=f"{self._task(parameters)}-{values.name}",
            )
        else:
            result = self.stage.block(np.ascontiguousarray(values, "float32"), parameters)
        kept = {name: cube.coords[name] for name in ("y", "x", "spatial_ref") if name in cube.coords}
        names = [layer.name for layer in layers]
        return xr.DataArray(result, dims=("layer", "y", "x"), coords={"layer": names, **kept}, name=self.name)

    def to_dataset(self, product: xr.DataArray, parameters: ChainParameters) -> xr.Dataset:
        """Split a product into one variable per layer, each in its own type, with title and unit."""
        variables = {}
        for layer in self.layers(parameters):
            values = product.sel(layer=layer.name, drop=True).astype(layer.dtype)
            variables[layer.name] = values.assign_attrs(long_name=layer.title, units=layer.unit)
        return xr.Dataset(variables, attrs={"title": self.title})


def _source_bytes(plan: CubePlan) -> float:
    """Bytes per target pixel for the numbers of all scenes, were they all to meet in one block, and for the lookups."""
    ratios: dict[Grid, float] = {}
    total = 0.0
    for scene in (scene for group in plan.groups for scene in group):
        for source in (*scene.bands.values(), *([scene.mask] if scene.mask else [])):
            if source.grid not in ratios:
                ratios[source.grid] = _source_pixels(source.grid, plan.grid)
            # A window that is much finer than the block is read strip by strip and not kept.
            total += min(ratios[source.grid], 2.0) * np.dtype(source.dtype).itemsize
    return total + _BYTES * (2 * len(ratios) + max(ratios.values()))


def _source_pixels(source: Grid, target: Grid) -> float:
    """Give how many pixels of a source one target pixel stands for, on average."""
    try:
        covered = Grid.covering([source], like=target).shape
    except InputError:  # it cannot be projected as a whole: then at most all of it is read
        covered = target.shape
    return source.shape.y * source.shape.x / max(1, covered.y * covered.x)


_REGISTRY: dict[str, Chain] = {}


def register(chain: Chain) -> Chain:
    """Make a chain known by its name.

    Raises
    ------
    InputError
        If another chain has that name.
    """
    if _REGISTRY.get(chain.name, chain) is not chain:
        raise InputError("a chain of this name is registered", got=chain.name, todo="choose another name")
    _REGISTRY[chain.name] = chain
    return chain


def get_chain(name: str) -> Chain:
    """Give a chain by name.

    Raises
    ------
    InputError
        If there is none; the message lists those there are.
    """
    if name not in _REGISTRY:
        raise InputError("unknown chain", expected=", ".join(sorted(_REGISTRY)), got=repr(name))
    return _REGISTRY[name]


def chain_names() -> tuple[str, ...]:
    """List the registered chains."""
    return tuple(sorted(_REGISTRY))
