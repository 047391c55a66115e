"""Chains: the same result from items, cubes, numpy and Dask; lazy; one task per block; parameters that are checked."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr
from dask.base import optimize

from terracube import cubes
from terracube.core.errors import InputError
from terracube.cubes.storage import Layer
from terracube.ingest.simulate import Region, write_scenes
from terracube.processing import COMPOSITE, CompositeParameters, chain_names, composite, get_chain, register, warmup
from terracube.processing.chain import Chain, ChainParameters, Context, Finish, Map

BANDS = ("red", "nir")


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[pystac.Item]:
    """Four small simulated scenes of two dates."""
    folder = tmp_path_factory.mktemp("scenes")
    paths = write_scenes(Region(seed=11, size=90), folder, dates=["2023-06-09", "2023-07-09"])
    return [pystac.Item.from_file(str(path)) for path in paths]


@pytest.fixture(scope="module")
def grid(items: list[pystac.Item]) -> cubes.Grid:
    """The grid of the scenes."""
    scenes = cubes.read_scenes(items, BANDS).scenes
    return cubes.Grid.covering([s.bands["red"].grid for s in scenes], like=scenes[0].bands["red"].grid)


def _noise(shape: tuple[int, ...], missing: float = 0.3) -> xr.Dataset:
    rng = np.random.default_rng(7)
    values = rng.uniform(0.02, 0.4, (2, *shape)).astype("float32")
    values[:, rng.uniform(size=shape) < missing] = np.nan
    return xr.Dataset({name: (("time", "y", "x"), layer) for name, layer in zip(BANDS, values, strict=True)})


def test_items_and_cube_give_the_same_bits(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """`chain(items)` equals `chain(cubes.load(items))`, lazily, in other blocks too."""
    direct = COMPOSITE(items, grid=grid, parameters={"bands": BANDS}, block=40)
    loaded = COMPOSITE(cubes.load(items, bands=BANDS, grid=grid, chunks=33))
    assert direct.chunks
    assert loaded.chunks
    xr.testing.assert_identical(direct.compute(), loaded.compute())
    assert float(direct["count"].max()) == 2


def test_a_block_of_several_strips(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """A block that is worked on in more than one strip equals small blocks, pixel by pixel."""
    fine = cubes.Grid.from_bbox(grid.bounds, crs=grid.crs, resolution=3, bbox_crs=grid.crs)
    assert fine.shape.y * fine.shape.x > 1 << 16, "more than the longest strip"
    whole = COMPOSITE(items, grid=fine, parameters={"bands": BANDS}, block=400).compute()
    xr.testing.assert_identical(COMPOSITE(items, grid=fine, parameters={"bands": BANDS}, block=100).compute(), whole)
    assert (whole["count"].values[-30:] > 0).any(), "the last strip is seen, too"


def test_numpy_and_dask_agree() -> None:
    """A cube in memory and a lazy one give the same; a cube in several chunks along time is joined."""
    cube = _noise((6, 17, 13))
    whole = composite(cube)
    xr.testing.assert_identical(composite(cube.chunk(time=2, y=5, x=4)).compute(), whole)
    assert whole["count"].dtype == "uint16"
    assert whole.red.dtype == "float32"
    np.testing.assert_array_equal(whole["count"], np.isfinite(cube.red).sum("time"))


def test_one_task_per_block(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """Reading and reducing a block are one task; task names do not change from build to build."""
    parameters = COMPOSITE.to_parameters({"bands": BANDS})
    plan = COMPOSITE.plan(items, grid, parameters)
    first, second = (COMPOSITE.run(plan, parameters, block=30).data for _ in range(2))
    assert set(first.__dask_graph__()) == set(second.__dask_graph__())
    (optimised,) = optimize(first)
    blocks = 9
    keys = [key for key in optimised.__dask_graph__() if isinstance(key, tuple)]
    assert len(keys) <= 2 * blocks, "one fused task and one name for it per block"
    assert len(optimised.__dask_graph__()) - len(keys) <= 2, "the plan and what all blocks share, once each"
    assert len(pickle.dumps(plan)) < 20_000


def test_min_clear() -> None:
    """Pixels seen less often than asked for are missing in bands and deviations; their count stays."""
    cube = _noise((4, 9, 9), missing=0.5)
    found = composite(cube, min_clear=3)
    few = found["count"].values < 3
    assert few.any()
    assert not few.all()
    for name in (*BANDS, "emad", "smad", "bcmad"):
        np.testing.assert_array_equal(np.isnan(found[name]), few)


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 4, 5), (0, 3, 3)])
def test_small_and_empty(shape: tuple[int, int, int]) -> None:
    """One pixel, one date, no date: NaN and a count of zero where nothing was seen."""
    found = composite(_noise(shape, missing=0.0))
    assert (found["count"] == shape[0]).all()
    assert bool(found.red.isnull().all()) == (shape[0] == 0)


def test_all_missing() -> None:
    """A cube without any observation gives NaN, never zero."""
    found = composite(_noise((4, 5, 5), missing=1.1))
    assert bool(found.to_array().sel(variable=[*BANDS, "emad", "smad", "bcmad"]).isnull().all())
    assert int(found["count"].max()) == 0


def test_a_date_needs_all_bands() -> None:
    """Where one band is missing, the date does not count."""
    cube = _noise((5, 4, 4), missing=0.0)
    cube.nir.values[2] = np.nan
    assert (composite(cube)["count"] == 4).all()


def test_digest_and_schema() -> None:
    """The digest follows name, version and parameters; the schema describes every parameter."""
    one = COMPOSITE.to_parameters({"bands": ["red"]})
    other = COMPOSITE.to_parameters({"bands": ["red"], "min_clear": 2})
    assert COMPOSITE.digest(one) == COMPOSITE.digest(CompositeParameters(bands=("red",)))
    newer = replace(COMPOSITE, version="9")
    assert len({COMPOSITE.digest(one), COMPOSITE.digest(other), newer.digest(one)}) == 3
    properties: dict[str, Any] = COMPOSITE.schema()["properties"]
    assert set(properties) == {"bands", "mask", "groupby", "min_clear", "eps"}
    assert all("description" in told for told in properties.values())


def test_estimate_bounds_what_is_needed(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """Memory grows with block and workers; disk does not; tasks are counted exactly."""
    parameters = COMPOSITE.to_parameters({"bands": BANDS})
    plan = COMPOSITE.plan(items, grid, parameters)
    small = COMPOSITE.estimate(plan, parameters, block=30, workers=1)
    large = COMPOSITE.estimate(plan, parameters, block=60, workers=2)
    assert small.tasks == 9
    assert large.tasks == 4
    assert large.memory > 7 * small.memory
    block_bytes = 4 * 30 * 30 * (2 * len(plan.groups) + 6)
    assert small.memory >= block_bytes


def test_registry() -> None:
    """A chain is known by name; an unknown name lists the known ones; a name is taken once."""
    assert get_chain("composite") is COMPOSITE
    assert "composite" in chain_names()
    with pytest.raises(InputError, match="composite"):
        get_chain("alchemy")
    with pytest.raises(InputError, match="registered"):
        register(replace(COMPOSITE, title="another"))


@pytest.mark.parametrize(
    "values",
    [{"bands": []}, {"min_clear": 0}, {"eps": -1}, {"mask": ["cloudy"]}, {"groupby": "week"}, {"surprise": 1}],
)
def test_wrong_parameters_are_named(values: dict[str, Any]) -> None:
    """A wrong parameter is refused by name."""
    with pytest.raises(InputError, match=next(iter(values))):
        COMPOSITE.to_parameters(values)


def test_an_unknown_mask_rule_is_named(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """Rules are those of the sensor, which the scenes tell: an unknown one is refused with those that there are."""
    with pytest.raises(InputError, match="clear"):
        COMPOSITE(items, grid=grid, parameters={"bands": ["red"], "mask": "cloudy"})


def test_items_need_a_grid(items: list[pystac.Item]) -> None:
    """Without a grid the error says how to give one."""
    with pytest.raises(InputError, match="from_bbox"):
        COMPOSITE(items)


def test_real_cube_from_netcdf_like_dataset(tmp_path: Path) -> None:
    """A dataset from anywhere enters the chain: other order of dimensions, float64, extra coordinates."""
    cube = _noise((5, 8, 6))
    other = cube.transpose("y", "x", "time").astype("float64").assign_coords(x=np.arange(6.0), y=np.arange(8.0))
    found = composite(other)
    np.testing.assert_array_equal(found.red.values, composite(cube).red.values)
    assert "x" in found.coords


def test_warmup_compiles_what_a_run_needs() -> None:
    """After `warmup` the kernel of that band count is compiled, and a wrong count is refused."""
    warmup([2])
    with pytest.raises(InputError, match="at least one band"):
        warmup([0])
    from terracube.cubes._geomedian.kernel import kernel

    compiled = len(kernel(2).signatures)
    composite(_noise((3, 2, 2)))
    assert len(kernel(2).signatures) == compiled == 1


class BlurParameters(ChainParameters):
    """Of a chain that needs a weight beside its parameters, and looks beyond its block."""

    reach: int = 2
    weight: str = "half"


def _summed(cube: np.ndarray, context: Context) -> np.ndarray:
    """Give the weighted sum of all clear observations, and their number."""
    seen = np.isfinite(cube).all(axis=1)
    total = np.where(seen, cube.sum(axis=1), 0).sum(axis=0) * np.float32(context.resource["half"])
    return np.stack([total, seen.sum(axis=0)]).astype("float32")


def _blurred(values: np.ndarray, context: Context) -> np.ndarray:
    """Give the mean of the window around each pixel, as far as there are pixels, its size, and the day of the first."""
    assert isinstance(context.parameters, BlurParameters)
    reach = context.parameters.reach
    wide = np.pad(np.stack([values[0].astype("float64"), np.ones(values.shape[1:])]), ((0, 0), *[(reach, reach)] * 2))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (2 * reach + 1,) * 2, axis=(1, 2))
    total, size = windows.sum(axis=(3, 4))
    day = np.nan if context.dates is None else context.dates[0].astype(int)
    return np.stack([total / size, size, np.full(size.shape, day)]).astype("float32")


BLUR = Chain(
    name="blur",
    version="1",
    title="Mean around each pixel",
    parameters=BlurParameters,
    layers=lambda _: tuple(Layer(name, name, "float32", "1", float("nan")) for name in ("mean", "size", "day")),
    stage=Map("sum", _summed),
    finish=Finish("blur", _blurred, values=lambda _: 2, halo=lambda told: told.model_dump()["reach"]),
    resource=lambda told: told.model_dump()["weight"],
    settle=lambda told, resource: told.model_copy(update={"weight": "/".join(resource)}),
)
WEIGHT = {"half": 0.5}


def _equal(one: xr.Dataset, other: xr.Dataset) -> None:
    for name in ("mean", "size", "day"):
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


@pytest.mark.parametrize("reach", [0, 1, 5])
def test_a_margin_leaves_no_seams(reach: int, items: list[pystac.Item], grid: cubes.Grid) -> None:
    """A second stage with neighbours gives equal bits from items, a lazy cube and arrays, in any blocks."""
    told: dict[str, Any] = {"bands": BANDS, "reach": reach}
    cube = cubes.load(items, bands=BANDS, grid=grid, chunks=37)
    whole = BLUR(cube.compute(), parameters=told, resource=WEIGHT)
    assert not whole.chunks
    for block in (17, 40, 1000):
        direct = BLUR(items, grid=grid, parameters=told, resource=WEIGHT, block=block)
        assert direct.chunks
        _equal(direct.compute(), whole)
    _equal(BLUR(cube, parameters=told, resource=WEIGHT).compute(), whole)
    _equal(BLUR(cube.chunk(y=11, x=23), parameters=told, resource=WEIGHT).compute(scheduler="single-threaded"), whole)
    rows, cols = grid.shape
    assert whole["size"].values[0, 0] == (min(reach, rows - 1) + 1) * (min(reach, cols - 1) + 1)
    assert whole["size"].values.max() == (2 * reach + 1) ** 2


def test_a_margin_wider_than_blocks(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """Neighbours come from beyond the next block, too."""
    told: dict[str, Any] = {"bands": BANDS, "reach": 9}
    whole = BLUR(items, grid=grid, parameters=told, resource=WEIGHT, block=1000).compute()
    _equal(BLUR(items, grid=grid, parameters=told, resource=WEIGHT, block=8).compute(), whole)
    cube = cubes.load(items, bands=BANDS, grid=grid, chunks=8)
    _equal(BLUR(cube, parameters=told, resource=WEIGHT).compute(), whole)


def test_stages_know_dates_and_what_was_handed_over(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """The context has the days of the steps of time and the resource; without times the days are unknown."""
    told: dict[str, Any] = {"bands": BANDS}
    cube = cubes.load(items, bands=BANDS, grid=grid).compute()
    first = BLUR(cube, parameters=told, resource=WEIGHT)
    assert (first.day == cube.time.values[0].astype("datetime64[D]").astype(int)).all()
    assert BLUR(cube.drop_vars("time"), parameters=told, resource=WEIGHT).day.isnull().all()
    double = BLUR(cube, parameters=told, resource={"half": 1.0})
    np.testing.assert_array_equal(double["mean"].values, 2 * first["mean"].values)


def test_what_must_be_handed_over_is_asked_for(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """Without its resource a chain is refused; with it, what it decides is filled in and is part of the digest."""
    for source in (_noise((2, 4, 4)), items):
        with pytest.raises(InputError, match="needs"):
            BLUR(source, grid=grid, parameters={"bands": BANDS})
    settled = BLUR.settled({"bands": BANDS}, {"half": 0.5, "whole": 1})
    assert settled.model_dump()["weight"] == "half/whole"
    assert BLUR.digest(settled) != BLUR.digest(BLUR.settled({"bands": BANDS}, WEIGHT))


def test_a_missing_band_is_named() -> None:
    """A cube that lacks a band is refused by its name; bands in another order are put in order."""
    cube = _noise((2, 5, 5))
    told: dict[str, Any] = {"bands": BANDS}
    with pytest.raises(InputError, match="nir"):
        BLUR(cube.drop_vars("nir"), parameters=told, resource=WEIGHT)
    turned = BLUR(cube[list(BANDS[::-1])], parameters=told, resource=WEIGHT)
    _equal(turned, BLUR(cube, parameters=told, resource=WEIGHT))


def test_estimate_with_a_second_stage(items: list[pystac.Item], grid: cubes.Grid) -> None:
    """What lies between the stages takes memory, too."""
    parameters = BLUR.settled({"bands": BANDS}, WEIGHT)
    plan = BLUR.plan(items, grid, parameters)
    alone = replace(BLUR, finish=None)
    one, two = (chain.estimate(plan, parameters, block=30, workers=1) for chain in (alone, BLUR))
    assert two.memory == one.memory + 30 * 30 * 2 * 2 * 4
    assert (two.tasks, two.disk) == (one.tasks, one.disk)
