"""The chain from pairs to motion: the same bits by items, stacks and functions, however the work is cut."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.transform import from_origin

from terracube.core.errors import EmptyResultError, InputError, MetadataError, TerraCubeError
from terracube.cubes import Grid, read_scenes
from terracube.ingest import ingest
from terracube.processing import get_chain
from terracube.processing.deformation.asking import DeformationParameters, examine
from terracube.processing.deformation.mapping import DEFORMATION
from terracube.processing.deformation.model import fit
from terracube.processing.deformation.series import invert
from terracube.processing.deformation.stack import open_stack
from terracube.stac import Catalog, to_query

DAYS = ("2020-01-05", "2020-03-05", "2020-05-04", "2020-07-03", "2020-09-01", "2020-10-31", "2020-12-30")
WAVELENGTH, PIXEL = 0.0555, 30.0
LEFT, TOP = 500_010.0, 5_100_030.0
CALM = (slice(8, 16), slice(8, 16))
Write = Callable[..., list[pystac.Item]]


def truth(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Velocity (y, x), m/year towards the satellite: a bowl that sinks."""
    rows, cols = np.indices(shape)
    apart = ((rows - 0.55 * shape[0]) / (0.2 * shape[0])) ** 2 + ((cols - 0.6 * shape[1]) / (0.2 * shape[1])) ** 2
    return np.asarray(-0.06 * np.exp(-apart))


def neighbours(count: int, most: int = 2) -> list[tuple[int, int]]:
    """Pair each date with the next ones."""
    return [(one, one + gap) for one in range(count) for gap in range(1, most + 1) if one + gap < count]


def layers(shape: tuple[int, int], pairs: Sequence[tuple[int, int]], days: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Make phase (rad), coherence and components of each pair: motion, air per date, noise, and gaps."""
    rng = np.random.default_rng(5)
    years = (np.array(days, "M8[D]") - np.datetime64(days[0])) / np.timedelta64(1, "D") / 365.25
    air = np.cumsum(rng.normal(0, 2e-5, (len(days), shape[1])), axis=1)[:, None] + rng.normal(
        0, 0.003, (len(days), 1, 1)
    )
    moved = years[:, None, None] * truth(shape) + air
    coherence = np.clip(rng.uniform(0.5, 0.9, (len(pairs), *shape)), 0.02, 1)
    coherence[:, *CALM] = 0.95
    turns = -4 * math.pi / WAVELENGTH
    noise = rng.normal(0, 1, coherence.shape) * np.sqrt((1 - coherence**2) / (2 * 20 * coherence**2))
    phase = np.stack([turns * (moved[two] - moved[one]) for one, two in pairs]) + noise
    gone = rng.uniform(size=phase.shape) < 0.06
    gone[:, *CALM] = False
    gone[:, 0, 0] = True
    phase[gone] = np.nan
    components = np.where(np.isnan(phase), 0, 1 + (np.indices(shape)[1] > 0.9 * shape[1]))
    return {"unwrapped_phase": phase.astype("f4"), "coherence": coherence.astype("f4"),
            "connected_components": components.astype("u1")}  # fmt: skip


def write_stack(
    folder: Path, shape: tuple[int, int] = (40, 44), *, pairs: Sequence[tuple[int, int]] | None = None,
    days: Sequence[str] = DAYS, bands: Sequence[str] = ("unwrapped_phase", "coherence"), los: bool = True,
    **told: Any,
) -> Path:  # fmt: skip
    """Write a stack of plain rasters with their side-car; give the path of the side-car."""
    folder.mkdir(parents=True)
    pairs = neighbours(len(days)) if pairs is None else pairs
    made, entries = layers(shape, pairs, days), []
    for number, (one, two) in enumerate(pairs):
        names = {band: f"{days[one]}_{days[two]}_{band}.tif" for band in bands}
        for band, name in names.items():
            write(folder / name, made[band][number])
        entries.append({"reference": days[one], "secondary": days[two], "files": names,
                        "perpendicular_baseline": 10.0 * (two - one)})  # fmt: skip
    stack: dict[str, Any] = {"stack": "made", "sign": "range_increase", "wavelength": WAVELENGTH, "unit": "radian",
                             "zero": "value", "looks_range": 5, "looks_azimuth": 4, "pairs": entries}  # fmt: skip
    if los:
        east = np.linspace(-0.62, -0.6, shape[1])[None].repeat(shape[0], 0)
        vector = {"los_east": east, "los_north": np.full(shape, -0.11), "los_up": np.sqrt(1 - 0.11**2 - east**2)}
        for name, values in vector.items():
            write(folder / f"{name}.tif", values)
        stack["geometry"] = {name: f"{name}.tif" for name in vector}
    path = folder / "made.pairs.json"
    path.write_text(json.dumps({**stack, **told}))
    return path


def write(path: Path, values: NDArray[Any]) -> None:
    """Write one raster."""
    kind = "float32" if values.dtype.kind == "f" else str(values.dtype)
    nodata = math.nan if kind == "float32" else 0
    profile = {"driver": "GTiff", "width": values.shape[1], "height": values.shape[0], "count": 1, "dtype": kind,
               "crs": "EPSG:32633", "transform": from_origin(LEFT, TOP, PIXEL, PIXEL), "nodata": nodata}  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(values.astype(kind), 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write a stack, ingest it, and give its items."""

    def run(*args: Any, **options: Any) -> list[pystac.Item]:
        folder = tmp_path_factory.mktemp("stack")
        path = write_stack(folder / "in", *args, **options)
        catalog = Catalog.create(folder / "catalog")
        report = ingest("interferograms", [path], catalog)
        assert not report.refused, report.refused
        return list(catalog.search(to_query(collections="interferograms")))

    return run


@pytest.fixture(scope="module")
def items(made: Write) -> list[pystac.Item]:
    """Eleven pairs of seven dates, with their geometry."""
    return made()


def grid_of(items: Sequence[pystac.Item]) -> Grid:
    """The grid of the pairs."""
    pairs = [item for item in items if item.properties["terracube:insar"] == "pair"]
    scene = read_scenes(pairs, ("unwrapped_phase",), mask=False).scenes[0]
    return scene.bands["unwrapped_phase"].grid


def chained(items: Sequence[pystac.Item], block: int = 1024, **parameters: Any) -> xr.Dataset:
    """Run the chain on items."""
    return DEFORMATION(items, grid=grid_of(items), parameters=parameters, block=block).compute()


def same(one: xr.Dataset, two: xr.Dataset) -> None:
    """Both have the same layers, equal to the bit."""
    assert list(one.data_vars) == list(two.data_vars)
    for name in one.data_vars:
        assert one[name].dtype == two[name].dtype, name
        np.testing.assert_array_equal(one[name].values, two[name].values, err_msg=str(name))


def by_functions(items: Sequence[pystac.Item], model: str = "linear", **options: Any) -> xr.Dataset:
    """Do what the chain does with the functions of notebooks."""
    series = invert(open_stack(items), **options)
    return xr.merge([fit(series, model, coloured="ar1"), series], compat="override", combine_attrs="override").compute()


def test_items_stack_and_functions_give_the_same_bits(items: list[pystac.Item]) -> None:
    """Items, an opened stack and the functions of a notebook give every layer alike."""
    chain = chained(items, block=17)
    stack = open_stack(items, chunks={"y": 16, "x": 23})
    lazy = DEFORMATION(stack)
    assert all(values.chunks for values in lazy.data_vars.values())
    same(chain, lazy.compute())
    functions = by_functions(items)
    for name in ("velocity", "velocity_std", "temporal_coherence", "residual_rms", "n_pairs", "los_east"):
        np.testing.assert_array_equal(chain[name].values, functions[name].values, err_msg=name)
    for step, day in enumerate(DAYS):
        short = day.replace("-", "")
        np.testing.assert_array_equal(chain[f"displacement_{short}"], functions.displacement.isel(time=step))
        both = np.hypot(functions.std_network.isel(time=step), functions.std_atmosphere.isel(time=step))
        np.testing.assert_allclose(chain[f"std_{short}"], both, rtol=1e-6)


@pytest.mark.parametrize(
    "parameters", [{}, {"robust": True, "model": "linear + step(2020-06-01)"}], ids=["plain", "robust"]
)
def test_blocks_threads_and_order_do_not_matter(items: list[pystac.Item], parameters: dict[str, Any]) -> None:
    """One block, small odd blocks, one thread and items in another order: the same bits."""
    whole = chained(items, **parameters)
    same(whole, chained(items, block=13, **parameters))
    shuffled = random.Random(3).sample(items, len(items))
    lazy = DEFORMATION(shuffled, grid=grid_of(items), parameters=parameters, block=29)
    same(whole, lazy.compute(scheduler="synchronous"))


def test_the_reference_of_a_large_grid_does_not_depend_on_the_cut(made: Write) -> None:
    """On a grid of four squares of the surveys all blocks, and the stack, give the same bits."""
    pairs = neighbours(5, 1)
    items = made((300, 280), pairs=pairs, days=DAYS[:5], los=False)
    whole = chained(items, series=False, weights="none")
    same(whole, chained(items, block=111, series=False, weights="none"))
    stack = open_stack(items, chunks={"y": 90, "x": 280})
    same(whole, DEFORMATION(stack, parameters={"series": False, "weights": "none"}).compute())


def test_known_motion_is_found(items: list[pystac.Item]) -> None:
    """The velocity is that of the bowl, to a millimetre per year and a half; layers say what they are."""
    found = chained(items)
    expected = truth((40, 44)) - truth((40, 44))[CALM].mean()
    error = found.velocity.values - expected
    known = np.isfinite(error)
    assert known.mean() > 0.95
    assert np.sqrt(np.mean(error[known] ** 2)) < 0.0015
    assert (found.velocity_std.values[known] > 0).all()
    assert found.velocity.attrs["units"] == "m/year"
    assert "towards the satellite" in found.velocity.attrs["long_name"]
    assert (found["displacement_20200105"].values[known] == 0).all()
    assert found.n_pairs.values[0, 0] == 0
    assert np.isnan(found.velocity.values[0, 0])


def test_references(items: list[pystac.Item]) -> None:
    """The calm area is found; a point, an area and none give what the functions give."""
    grid = grid_of(items)
    y, x = TOP - 12.4 * PIXEL, LEFT + 12.4 * PIXEL
    area = (x - 100, y - 100, x + 100, y + 100)
    found = {name: chained(items, reference=name, atmosphere=False) for name in ("auto", (y, x), area, None)}
    for name, one in found.items():
        functions = by_functions(items, reference=name, atmosphere=None)
        np.testing.assert_array_equal(one.velocity, functions.velocity, err_msg=str(name))
    moved = {name: one["displacement_20201230"].values for name, one in found.items()}
    here = (12, 12)
    assert abs(moved["auto"][here] - moved[area][here]) < 0.002
    assert moved[(y, x)][here] == pytest.approx(0, abs=1e-6)
    assert moved[area][8:16, 8:16].mean() == pytest.approx(0, abs=1e-3)
    # Where all pairs count alike, and all are there, a reference takes the same from every pixel.
    alike = [chained(items, reference=name, weights="none", atmosphere=False) for name in ("auto", area)]
    gap = (alike[0]["displacement_20201230"] - alike[1]["displacement_20201230"]).values[alike[0].n_pairs.values == 11]
    assert np.ptp(gap) < 1e-6
    assert grid.shape == (40, 44)


@pytest.mark.parametrize(
    ("reference", "words"),
    [((0.0, 0.0), "no pixel of the stack"), ((TOP - 10, LEFT + 10), "0 of 1"),
     ((LEFT + 900, TOP - 10, LEFT, TOP - 900), "no pixel of the stack")],
    ids=["outside", "missing", "crossed"],
)  # fmt: skip
def test_a_reference_that_is_none(items: list[pystac.Item], reference: tuple[float, ...], words: str) -> None:
    """A reference beyond the stack, or without a phase, is refused; pairs are named."""
    with pytest.raises(InputError, match=words):
        chained(items, reference=reference)


def test_components_bound_where_the_reference_may_be(made: Write) -> None:
    """Where pairs have components, the reference lies in one; items and stack agree."""
    items = made(bands=("unwrapped_phase", "coherence", "connected_components"), los=False)
    known = examine(DeformationParameters(), items)
    assert known.bands == ("unwrapped_phase", "coherence", "connected_components")
    assert examine(DeformationParameters(reference=None), items).bands == ("unwrapped_phase", "coherence")
    same(chained(items, series=False), DEFORMATION(open_stack(items), parameters={"series": False}).compute())


def test_what_pairs_tell_settles_the_parameters(items: list[pystac.Item]) -> None:
    """Dates, network, wavelength, looks, weights and line of sight come from the items, in any order."""
    known = examine(DeformationParameters(), items)
    assert known == examine(DeformationParameters(), items[::-1])
    assert known.dates == tuple(f"{day}T00:00:00" for day in DAYS)
    assert known.pairs == tuple(neighbours(7))
    assert (known.wavelength, known.looks, known.weights) == (WAVELENGTH, 20, "variance")
    assert known.baselines[:2] == (10.0, 20.0)
    assert known.statics == ("los_east", "los_north", "los_up")
    assert DeformationParameters.model_validate_json(known.model_dump_json()) == known
    assert DEFORMATION.digest(known) == DEFORMATION.digest(examine(known, items))


def test_weights_settle_themselves(made: Write) -> None:
    """Without looks or coherence all pairs count alike; looks may be told."""
    silent = made(los=False, looks_range=None, looks_azimuth=None)
    assert examine(DeformationParameters(), silent).weights == "none"
    assert examine(DeformationParameters(looks=20), silent).weights == "variance"
    with pytest.raises(InputError, match="looks"):
        examine(DeformationParameters(weights="fisher"), silent)
    phases = made(bands=("unwrapped_phase",), los=False)
    assert examine(DeformationParameters(), phases).weights == "none"
    with pytest.raises(InputError, match="coherence"):
        examine(DeformationParameters(weights="coherence"), phases)
    with pytest.raises(InputError, match="coherence"):
        examine(DeformationParameters(bands=("unwrapped_phase", "coherence")), phases)
    assert list(chained(phases, series=False).data_vars)[:2] == ["velocity", "velocity_std"]


def test_a_network_in_two_parts(made: Write) -> None:
    """Dates that no pair joins to the first are missing, or joined as asked for; the parts are counted."""
    pairs = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (5, 6), (3, 5)]
    items = made(pairs=pairs, los=False)
    known = {how: chained(items, disconnected=how) for how in ("nan", "minimum_velocity", "linear")}
    here = known["nan"].n_pairs.values == len(pairs)
    assert (known["nan"].n_components.values[here] == 2).all()
    assert np.isnan(known["nan"]["displacement_20201230"].values).all()
    assert np.isfinite(known["nan"]["displacement_20200504"].values[here]).all()
    for how in ("minimum_velocity", "linear"):
        assert np.isfinite(known[how]["displacement_20201230"].values[here]).all()
        same(known[how], chained(items, disconnected=how, block=15))


@pytest.mark.filterwarnings("ignore:the stack has one pair")
def test_few_dates(made: Write) -> None:
    """Four dates tell nothing of the air; two do not hold the model."""
    four = chained(made(days=DAYS[:4], los=False))
    assert np.isfinite(four.velocity_std.values[12, 12])
    two = made(days=DAYS[:2], pairs=[(0, 1)], los=False)
    for run in (lambda: chained(two), lambda: DEFORMATION(open_stack(two)).compute()):
        with pytest.raises(InputError, match="dates"):
            run()


def test_terms_that_the_dates_do_not_hold(items: list[pystac.Item]) -> None:
    """A model beyond the dates, or beyond words, is refused before a pixel is read."""
    for model, words in (("linear + sepia", "sepia"), ("step(2031-01-01)", "2031")):
        with pytest.raises(InputError, match=words):
            chained(items, model=model)


@pytest.mark.parametrize(
    "values",
    [{"reference": [1, 2, 3]}, {"reference": "there"}, {"weights": "heavy"}, {"mask": "clear"}, {"looks": 0},
     {"groupby": "solar_day"}, {"disconnected": "zero"}, {"surprise": 1}],
    ids=str,
)  # fmt: skip
def test_wrong_parameters_are_named(values: dict[str, Any]) -> None:
    """A wrong parameter is refused by name."""
    with pytest.raises(InputError, match=next(iter(values))):
        DEFORMATION.to_parameters(values)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [({"terracube:wavelength": 0.24}, MetadataError, "several wavelengths"),
     ({"sat:relative_orbit": 5}, MetadataError, "several tracks"),
     ({"terracube:phase_sign": None}, MetadataError, "sign"),
     ({"insar:secondary_datetime": "2020-01-05T00:00:00Z"}, MetadataError, "equal or reversed"),
     ({"insar:reference_datetime": None}, MetadataError, "date of the pair is missing")],
    ids=["wavelength", "track", "sign", "dates", "no date"],
)  # fmt: skip
def test_items_that_are_no_stack(
    items: list[pystac.Item], change: dict[str, Any], kind: type[TerraCubeError], words: str
) -> None:
    """Pairs of several radars or tracks, without sign or dates, are refused by name, before a pixel is read."""
    told = {"sat:relative_orbit": 4} if "sat:relative_orbit" in change else {}
    changed = [item.clone() for item in items if item.properties["terracube:insar"] == "pair"]
    for number, item in enumerate(changed):
        item.properties |= change if number == 3 else told
    with pytest.raises(kind, match=words):
        examine(DeformationParameters(), changed)


def test_no_pair_and_no_pixel(items: list[pystac.Item], made: Write) -> None:
    """Geometry alone is no stack; where no pixel has all pairs, the error says so."""
    with pytest.raises(InputError, match="no pair"):
        examine(DeformationParameters(), [item for item in items if item.properties["terracube:insar"] == "geometry"])
    few = made((8, 1), los=False)
    grid = grid_of(few)
    with pytest.raises(EmptyResultError, match="reference"):
        DEFORMATION(few, grid=grid.window(type(grid.shape)(0, 0), type(grid.shape)(1, 1))).compute()


def test_one_pixel(items: list[pystac.Item]) -> None:
    """The product of one pixel is that pixel of the whole product, where the reference is given."""
    grid = grid_of(items)
    pair = type(grid.shape)
    one = DEFORMATION(items, grid=grid.window(pair(20, 20), pair(1, 1)), parameters={"reference": None}).compute()
    whole = chained(items, reference=None, atmosphere=False)
    np.testing.assert_array_equal(one.velocity.values[0, 0], whole.velocity.values[20, 20])


def test_registered_and_described() -> None:
    """The chain is known by name; its schema describes every parameter; memory grows with dates and block."""
    assert get_chain("deformation") is DEFORMATION
    assert all("description" in told for told in DEFORMATION.schema()["properties"].values())


def test_estimates_grow(items: list[pystac.Item]) -> None:
    """Memory grows with the block and the workers."""
    known = examine(DeformationParameters(), items)
    plan = DEFORMATION.plan(items, grid_of(items), known)
    small = DEFORMATION.estimate(plan, known, block=20, workers=1)
    large = DEFORMATION.estimate(plan, known, block=40, workers=2)
    assert (small.tasks, large.tasks) == (6, 2)
    assert large.memory > 3 * small.memory


def test_scenes_are_no_pairs(items: list[pystac.Item]) -> None:
    """An item that is no interferogram is named, with what it lacks; a pair without its date is another matter."""
    scene = items[1].clone()
    scene.properties = {"datetime": "2023-01-01T00:00:00Z"}
    with pytest.raises(InputError, match=rf"no interferogram.*{scene.id}"):
        DEFORMATION.observed(DEFORMATION.to_parameters(), [*items, scene])
