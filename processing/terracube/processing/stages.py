"""The parts of a chain: what it can be told, what its stages see, and the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from terracube.cubes import YX, CubePlan, Grid
from terracube.processing.origins import Origin


class ChainParameters(BaseModel):
    """What every chain can be told about the observations it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    bands: tuple[str, ...] = Field(min_length=1, max_length=16, description="role names of the bands")
    mask: Annotated[str, Field(max_length=40)] | tuple[int, ...] | None = Field(
        default="clear",
        description="a rule of the sensor by name ('clear'), the classes of its mask layer that are left out, or none",
    )
    groupby: Literal["solar_day", "scene"] = Field(
        default="solar_day", description="solar_day: scenes of one day are one date; scene: each is a date"
    )


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
    steps: Any = None
    """What the chain keeps of each step beside its date, like the two dates of a pair."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """What surveys of the whole grid have found."""
    place: Place | None = None
    """Where the block lies; ``None`` for a cube that has no place."""


Block = Callable[[NDArray[np.float32], Context], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a block lies, and what does not change there."""

    grid: Grid
    """Of the pixels that are handed over."""
    inner: tuple[slice, slice]
    """Rows and columns that are asked for; the others are margin."""
    static: NDArray[np.float32]
    """Layers that do not change, (band, y, x), in the order of the chain's ``statics``; NaN where there is none."""

    @property
    def asked(self) -> Grid:
        """The grid of the pixels that are asked for, without the margin."""
        down, right = (range(size)[part] for part, size in zip(self.inner, self.grid.shape, strict=True))
        return self.grid.window(YX(down.start, right.start), YX(len(down), len(right)))


@dataclass(frozen=True)
class Map:
    """A stage that turns each block into another, alone."""

    name: str
    block: Block
    """From (time, band, y, x) to (layer, y, x)."""
    copies: float | Callable[[ChainParameters], float] = 2.0
    """Arrays of the size of its input that it holds at once: strips are cut, and memory is estimated, by it."""
    halo: Callable[[ChainParameters], int] | None = None
    """Pixels of margin of the observations that it sees; such a block is not cut into strips."""
    zoom: Callable[[ChainParameters], int] | None = None
    """Pixels of the observations along each side of a pixel of the product."""

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
class Survey:
    """A look at all observations before the product is made, for what no block can know: a reference, a ramp.

    Parts are squares of 256 pixels that lie where the grid counts from, whatever the blocks of the product are, and
    are joined in their order: what is found does not depend on how the work is cut.
    """

    name: str
    part: Callable[[NDArray[np.float32], Context], Any]
    """From (time, band, y, x) of a square to its part, plain numbers and arrays."""
    join: Callable[[Sequence[Any], Context], Mapping[str, Any]]
    """From all parts, in row order, to JSON values under names of its own."""
    needed: Callable[[ChainParameters], bool] = lambda _: True


class Shown(Protocol):
    """A product that is looked at."""

    @property
    def grid(self) -> Grid:
        """Of the whole product."""

    def thin(self, name: str) -> NDArray[np.float32]:
        """Give every n-th pixel of a layer, n being the same for all."""

    def pixel(self, name: str, row: int, col: int) -> float:
        """Give a layer at a row and column of those that :meth:`thin` gives."""


@dataclass(frozen=True)
class Intake:
    """How a chain takes what is no series of scenes, like pairs with the geometry of their stack."""

    part: Callable[[Iterable[pystac.Item]], tuple[list[pystac.Item], list[pystac.Item]]]
    """Part items into those that are the steps, and those that hold what does not change."""
    examine: Callable[[ChainParameters, Sequence[pystac.Item]], ChainParameters]
    """Fill in what the steps decide, from their items; the same whatever their order."""
    steps: Callable[[CubePlan], Any]
    """Tell of the steps of a plan what the stages need beside their dates."""
    statics: Callable[[ChainParameters], tuple[str, ...]]
    """Layers that do not change, by name."""
    cube: Callable[[xr.Dataset, dict[str, Any]], xr.Dataset]
    """Make the layers of a cube that is loaded already; lazy in, lazy out."""
    facts: Callable[[ChainParameters, Mapping[str, Any]], dict[str, Any]]
    """Tell what the properties of the product say, with what the surveys found."""
    pictures: Callable[[Shown, ChainParameters], list[tuple[str, bytes]]]
    """Draw what is looked at first: titles and PNG, each layer thinned out."""
    noun: str = "scene"
    """What an item of a step is called."""
    row: Callable[[pystac.Item], dict[str, str]] | None = None
    """What is told of the item of a step in a table, by column; ``None``: as of any scene."""
    found_by: str | None = None
    """The filter that finds items of steps; ``None``: they are scenes of any sensor."""
    shared: str | None = None
    """The filter that finds what does not change, whatever else steps are chosen by."""
