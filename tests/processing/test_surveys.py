"""What one block cannot know: surveys of the whole grid, margins, and pixels finer than the product's."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr
from numpy.typing import NDArray

from terracube import cubes
from terracube.core.errors import InputError
from terracube.cubes import YX, Grid
from terracube.cubes.storage import Layer
from terracube.ingest.simulate import Region, write_scenes
from terracube.processing.chain import Chain, ChainParameters, Context, Intake, Map, Place, Survey

BANDS = ("red", "nir")
SQUARE = 256


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[pystac.Item]:
    """Four small simulated scenes of two dates."""
    folder = tmp_path_factory.mktemp("scenes")
    paths = write_scenes(Region(seed=11, size=90), folder, dates=["2023-06-09", "2023-07-09"])
    return [pystac.Item.from_file(str(path)) for path in paths]


@pytest.fixture(scope="module")
def grid(items: list[pystac.Item]) -> Grid:
    """A grid of 450 x 450 pixels of 2 m over the scenes: parts of nine squares, or of four."""
    scene = cubes.read_scenes(items, BANDS).scenes[0].bands["red"].grid
    return Grid.from_bbox(scene.bounds, crs=scene.crs, resolution=2, bbox_crs=scene.crs)


def place_of(context: Context) -> Place:
    """Give where a block lies."""
    if context.place is None:
        raise InputError("no place")
    return context.place


def _where(values: NDArray[np.float32], context: Context) -> Any:
    """Tell where a square lies, and the sum of what is in it as whole numbers."""
    here = place_of(context).grid
    assert values.shape[2:] == here.shape
    return [*here.offset], [*here.shape], int(np.nan_to_num(values * 1e6).astype("int64").sum())


def _listed(parts: Sequence[Any], context: Context) -> dict[str, Any]:
    return {"squares": [list(part) for part in parts], "total": sum(part[2] for part in parts)}


def _share(values: NDArray[np.float32], context: Context) -> int:
    """Count the pixels above the mean that the survey before has found."""
    count = sum(shape[0] * shape[1] for _, shape, _ in context.found["squares"])
    mean = context.found["total"] / 1e6 / (count * values.shape[0] * values.shape[1])
    return int((values > mean).sum())


def _summed(parts: Sequence[int], context: Context) -> dict[str, Any]:
    return {"above": sum(parts), "of": len(context.found["squares"])}


def _first(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Give the first band of the first date, less what the surveys found."""
    return values[0, :1] - np.float32(context.found.get("above", 0) * 1e-6)


def chain(stage: Map, *surveys: Survey, **options: Any) -> Chain:
    """Make a chain of one layer."""
    layer = Layer("value", "a value", "float32", "1", np.nan)
    return Chain("made-up", "1", "Made up", ChainParameters, lambda _: (layer,), stage, surveys=surveys, **options)


PLAIN = Map("first", _first)
SURVEYS = (Survey("where", _where, _listed), Survey("share", _share, _summed))


def found_of(made: Chain, items: list[pystac.Item], grid: Grid) -> dict[str, Any]:
    """Give what the surveys of a chain find."""
    known = made.to_parameters({"bands": BANDS})
    found = made.survey(made.plan(items, grid, known), known)
    return found if isinstance(found, dict) else found.compute()


def values_of(made: Chain, items: list[pystac.Item], grid: Grid, block: int = 1024) -> NDArray[np.float32]:
    """Run a chain on items."""
    values: NDArray[np.float32] = (
        made(items, grid=grid, parameters={"bands": BANDS}, block=block).compute().value.values
    )
    return values


def test_squares_lie_where_the_grid_counts_from(items: list[pystac.Item], grid: Grid) -> None:
    """Squares cover the grid once; all their edges are multiples of 256 pixels of the plane, or edges of the grid."""
    squares = found_of(chain(PLAIN, *SURVEYS), items, grid)["squares"]
    seen = np.zeros(grid.shape, int)
    for offset, shape, _ in squares:
        for axis in (0, 1):
            ends = {grid.offset[axis], grid.offset[axis] + grid.shape[axis]}
            for edge in (offset[axis], offset[axis] + shape[axis]):
                assert edge % SQUARE == 0 or edge in ends
        rows, cols = (slice(offset[a] - grid.offset[a], offset[a] - grid.offset[a] + shape[a]) for a in (0, 1))
        seen[rows, cols] += 1
    assert (seen == 1).all()
    assert len(squares) in (4, 6, 9)
    assert [square[0] for square in squares] == sorted(square[0] for square in squares), "in row order"


def test_another_part_of_the_grid_shares_squares(items: list[pystac.Item], grid: Grid) -> None:
    """A part of a grid has the squares that lie in it whole in common with the grid, to the number."""
    edges = [-grid.offset[axis] % SQUARE for axis in (0, 1)]
    inner = [edge if edge + SQUARE <= size else 0 for edge, size in zip(edges, grid.shape, strict=True)]
    part = grid.window(
        YX(inner[0], inner[1]), YX(*(size - start for size, start in zip(grid.shape, inner, strict=True)))
    )
    made = chain(PLAIN, *SURVEYS)
    whole, cut = (found_of(made, items, one)["squares"] for one in (grid, part))
    shared = [square for square in whole if square in cut]
    assert len(shared) >= 1
    assert len(cut) < len(whole) or part == grid


@pytest.mark.parametrize("block", [64, 100, 333])
def test_blocks_do_not_matter(items: list[pystac.Item], grid: Grid, block: int) -> None:
    """What surveys find, and what the product makes of it, does not depend on the blocks."""
    made = chain(PLAIN, *SURVEYS)
    np.testing.assert_array_equal(values_of(made, items, grid, block), values_of(made, items, grid))


def test_a_survey_sees_what_the_one_before_has_found(items: list[pystac.Item], grid: Grid) -> None:
    """Surveys follow each other, and keep what was found; the product sees it all."""
    made = chain(PLAIN, *SURVEYS)
    found = found_of(made, items, grid)
    assert set(found) == {"squares", "total", "above", "of"}
    cube = cubes.as_array(cubes.load(items, bands=BANDS, grid=grid, mask="clear")).values
    count = cube.size
    assert found["above"] == int((cube > found["total"] / 1e6 / count).sum())
    assert found["of"] == len(found["squares"])
    expected = cube[0, 0] - np.float32(found["above"] * 1e-6)
    np.testing.assert_array_equal(values_of(made, items, grid), expected)


def test_surveys_that_are_not_needed_or_made_already(items: list[pystac.Item], grid: Grid) -> None:
    """A survey that is not needed is left out; what was found before is taken as it is, without a look."""
    idle = chain(PLAIN, replace(SURVEYS[0], needed=lambda told: told.groupby == "scene"))
    assert found_of(idle, items, grid) == {}
    made = chain(PLAIN, *SURVEYS)
    known = made.to_parameters({"bands": BANDS})
    plan = made.plan(items, grid, known)
    given = made.run(plan, known, found={"above": 2_000_000})
    assert not [key for key in map(str, given.__dask_graph__()) if "survey-" in key]
    asked = made.run(plan, known)
    assert [key for key in map(str, asked.__dask_graph__()) if "survey-" in key]
    cube = cubes.as_array(cubes.load(items, bands=BANDS, grid=grid, mask="clear")).values
    np.testing.assert_array_equal(given.values[0], cube[0, 0] - np.float32(2))


def test_names_of_tasks_do_not_change(items: list[pystac.Item], grid: Grid) -> None:
    """The graph of a chain with surveys has the same names from build to build, and other ones for other items."""
    made = chain(PLAIN, *SURVEYS)
    known = made.to_parameters({"bands": BANDS})
    names = [set(made.run(made.plan(some, grid, known), known).__dask_graph__()) for some in (items, items, items[:2])]
    assert names[0] == names[1] != names[2]
    assert pickle.loads(pickle.dumps(place_probe(grid))).grid == grid


def place_probe(grid: Grid) -> Place:
    """Make a place without layers that do not change."""
    return Place(grid, (slice(None), slice(None)), np.empty((0, *grid.shape), "float32"))


def _smoothed(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Give the sum of the five pixels below and beside each, of the first date and band; NaN beyond the grid."""
    wide = np.pad(np.nan_to_num(values[0, 0]), 2)
    total = sum(wide[2 + step : 2 + step + values.shape[2], 2 : 2 + values.shape[3]] for step in (-2, -1, 0, 1, 2))
    return np.ascontiguousarray(np.asarray(total, "float32")[None][:, *place_of(context).inner])


@pytest.mark.parametrize("block", [37, 1024])
def test_a_margin_is_seen(items: list[pystac.Item], grid: Grid, block: int) -> None:
    """A stage with a margin sees the observations around its block, and none beyond the grid."""
    small = grid.window(YX(20, 30), YX(90, 75))
    made = chain(Map("smoothed", _smoothed, halo=lambda _: 2))
    cube = np.nan_to_num(cubes.as_array(cubes.load(items, bands=BANDS, grid=small, mask="clear")).values[0, 0])
    padded = np.pad(cube, ((2, 2), (0, 0)))
    expected = sum(padded[2 + step : 2 + step + 90] for step in (-2, -1, 0, 1, 2))
    np.testing.assert_array_equal(values_of(made, items, small, block), np.asarray(expected, "float32"))


def _coarse(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Give the largest of the 3 x 3 pixels in the middle of each pixel of the product, which has 5 x 5."""
    rows, cols = place_of(context).inner
    inner = np.nan_to_num(values[0, 0][rows, cols])
    parts = inner.reshape(inner.shape[0] // 5, 5, inner.shape[1] // 5, 5)[:, 1:4, :, 1:4]
    return np.ascontiguousarray(parts.max(axis=(1, 3))[None])


ZOOMED = Map("coarse", _coarse, halo=lambda _: 3, zoom=lambda _: 5)


@pytest.mark.parametrize("block", [7, 1024])
def test_pixels_finer_than_the_product(items: list[pystac.Item], grid: Grid, block: int) -> None:
    """A stage with a zoom sees so many pixels along each side of its own; what is not whole at the edge is left out."""
    small = grid.window(YX(-grid.offset.y % 5 + 1, -grid.offset.x % 5 + 3), YX(104, 88))
    made = chain(ZOOMED)
    product = made(items, grid=small, parameters={"bands": BANDS}, block=block).compute()
    whole = made.product_grid(small, made.to_parameters({"bands": BANDS}))
    assert product.value.shape == whole.shape == (20, 17)
    assert whole.resolution.x == 5 * small.resolution.x
    assert {edge % 5 for edge in whole.finer(5).offset} == {0}
    cube = cubes.as_array(cubes.load(items, bands=BANDS, grid=whole.finer(5), mask="clear")).values[0, 0]
    parts = np.nan_to_num(cube).reshape(20, 5, 17, 5)[:, 1:4, :, 1:4]
    np.testing.assert_array_equal(product.value.values, parts.max(axis=(1, 3)))
    np.testing.assert_allclose(product.y.values, whole.centres()[0])


def test_surveys_see_what_the_stage_sees(items: list[pystac.Item], grid: Grid) -> None:
    """With a zoom, squares are of the product's pixels, and their parts are handed finer pixels with the margin."""

    def part(values: NDArray[np.float32], context: Context) -> Any:
        rows, cols = place_of(context).inner
        return values.shape[2:], (rows.stop - rows.start, cols.stop - cols.start)

    def join(parts: Sequence[Any], context: Context) -> Mapping[str, Any]:
        return {"parts": list(parts)}

    small = grid.window(YX(-grid.offset.y % 5, -grid.offset.x % 5), YX(100, 50))
    made = chain(ZOOMED, Survey("shapes", part, join))
    known = made.to_parameters({"bands": BANDS})
    product = made.product_grid(small, known)
    parts = found_of(made, items, product)["parts"]
    assert sum(inner[0] * inner[1] for _, inner in parts) == 100 * 50
    assert all(wide[0] <= inner[0] + 6 and wide[1] <= inner[1] + 6 for wide, inner in parts)


def test_memory_grows_with_margin_and_zoom(items: list[pystac.Item], grid: Grid) -> None:
    """A wide block holds its margin; a fine one the square of its zoom."""
    known = ChainParameters(bands=BANDS)
    plan = chain(PLAIN).plan(items, grid, known)
    needs = [
        chain(stage).estimate(plan, known, block=64, workers=1).memory
        for stage in (
            replace(PLAIN, halo=lambda _: 2),
            replace(PLAIN, halo=lambda _: 200),
            replace(PLAIN, zoom=lambda _: 8),
        )
    ]
    assert needs[0] < needs[1]
    assert needs[2] > 20 * needs[0]


def intake(**changes: Any) -> Intake:
    """Make an intake that takes scenes for steps, and those named ``static`` for what does not change."""

    def part(every: Any) -> tuple[list[pystac.Item], list[pystac.Item]]:
        known = list(every)
        return [i for i in known if "static" not in i.properties], [i for i in known if "static" in i.properties]

    def refuse(cube: xr.Dataset, given: dict[str, Any]) -> xr.Dataset:
        raise InputError(f"no cube of {len(cube)} variables and {len(given)} parameters")

    told: dict[str, Any] = {
        "part": part, "examine": lambda parameters, _: parameters, "steps": lambda plan: tuple(map(str, plan.dates)),
        "statics": lambda _: ("nir",), "cube": refuse, "facts": lambda *_: {}, "pictures": lambda *_: [],
    }  # fmt: skip
    return Intake(**(told | changes))


def _with_static(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Give what does not change, less a number for each step."""
    return place_of(context).static[:1] - np.float32(len(context.steps)) + 0 * values[0, :1]


@pytest.mark.parametrize("block", [29, 1024])
def test_what_does_not_change(items: list[pystac.Item], grid: Grid, block: int) -> None:
    """Layers of an item of its own reach each block on its own pixels; steps are told beside the dates."""
    small = grid.window(YX(40, 40), YX(70, 60))
    fixed = items[0].clone()
    fixed.id, fixed.properties = "fixed", fixed.properties | {"static": True}
    made = chain(Map("static", _with_static), intake=intake())
    found = made([fixed, *items[2:]], grid=small, parameters={"bands": ["red"], "mask": None}, block=block).compute()
    cube = cubes.as_array(cubes.load([items[0]], bands=["nir"], grid=small, mask=None)).values[0, 0]
    red = cubes.as_array(cubes.load(items[2:], bands=["red"], grid=small, mask=None)).values[0, 0]
    steps = len({item.datetime.date() for item in items[2:] if item.datetime})
    np.testing.assert_array_equal(found.value, cube - np.float32(steps) + 0 * red)


@pytest.mark.parametrize("count", [0, 2])
def test_one_item_holds_what_does_not_change(items: list[pystac.Item], grid: Grid, count: int) -> None:
    """None, or several, of such items are refused by name."""
    fixed = [item.clone() for item in items[:count]]
    for item in fixed:
        item.properties = item.properties | {"static": True}
    made = chain(Map("static", _with_static), intake=intake())
    with pytest.raises(InputError, match="one item of geometry"):
        made([*fixed, *items[2:]], grid=grid, parameters={"bands": ["red"]})


def test_a_cube_goes_through_the_intake() -> None:
    """A chain with an intake hands a loaded cube to it, with the parameters as they were given."""
    made = chain(Map("static", _with_static), intake=intake(cube=lambda cube, given: cube.assign_attrs(given)))
    found = made(xr.Dataset({"red": ("x", np.zeros(2))}), parameters={"bands": ["red"]})
    assert found.attrs == {"bands": ["red"]}
    with pytest.raises(InputError, match="no cube"):
        chain(Map("static", _with_static), intake=intake())(xr.Dataset())
