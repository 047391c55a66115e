"""Motion by image offsets as a new user types it: orthoimages in, velocities out, held against the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
import yaml
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy import ndimage

from terracube.cli.main import main
from terracube.cubes import YX, Grid
from terracube.cubes.sources import local_folder, local_path
from terracube.processing import get_chain
from terracube.stac import Catalog, Query, to_query

DAYS = ("2019-07-01", "2020-07-01", "2021-07-01", "2022-07-01")
SIDE, PIXEL, STEP = 288, 2.0, 8
LEFT, TOP = 500_000.0, 5_100_000.0
FAULT = 216.0
MISPLACED = ((0.0, 0.0), (0.7, -0.4), (-0.5, 0.9), (0.3, 0.2))
"""By how many pixels each image lies too far down and right."""
CLOUDS = {1: (slice(40, 90), slice(100, 150)), 2: (slice(200, 240), slice(0, 60))}
RUN = ("run", "offsets", "--collection", "ortho")


def call(*words: str | Path) -> Result:
    """Call the command inside this process; an exception that it does not tell in a sentence is a failure."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "Traceback" not in done.output
    return done


def velocity(rows: NDArray[np.float64], cols: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the velocity to the east and the north, m/year, at places in pixels: a slide, and ground behind a fault."""
    slide = np.exp(-(((rows - 150) / 35) ** 2) - ((cols - 90) / 35) ** 2)
    return 0.9 * slide + np.where(cols > FAULT, 0.7, 0.0), -0.6 * slide


def image(number: int, rng: np.random.Generator, ground: NDArray[np.float64]) -> NDArray[np.uint16]:
    """See the ground as it has moved, misplaced by a constant, with noise; 0 under clouds."""
    years = (date.fromisoformat(DAYS[number]) - date.fromisoformat(DAYS[0])).days / 365.25
    rows, cols = (at - shift for at, shift in zip(np.indices((SIDE, SIDE)), MISPLACED[number], strict=True))
    start = [rows.copy(), cols.copy()]
    for _ in range(8):  # where what is seen here was at first
        east, north = velocity(*start)
        start = [rows + north * years / PIXEL, cols - east * years / PIXEL]
    seen = ndimage.map_coordinates(ground, [start[0] + 40, start[1] + 40], order=3)
    values = np.clip(1500 + 200 * seen + rng.normal(0, 4, seen.shape), 1, 65_535).astype("uint16")
    if number in CLOUDS:
        values[CLOUDS[number]] = 0
    return values


def deliver(folder: Path, crs: str = "EPSG:32633", size: float = PIXEL, count: int = len(DAYS)) -> Path:
    """Write orthoimages with what a user tells of them."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    ground = ndimage.gaussian_filter(rng.normal(size=(SIDE + 80, SIDE + 80)), 1.2)
    ground /= ground.std()
    corner = (LEFT, TOP) if size >= 1 else (15.0, 46.0)
    for number, day in enumerate(DAYS[:count]):
        path = folder / f"ortho_{day[:4]}.tif"
        with rasterio.open(path, "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="uint16", crs=crs,
                           transform=from_origin(*corner, size, size), nodata=0) as target:  # fmt: skip
            target.write(image(number, rng, ground), 1)
        told = {"datetime": f"{day}T10:30:00Z", "licence": "CC-BY-4.0", "access": "open", "bands": [{"role": "red"}]}
        path.with_suffix(".yaml").write_text(yaml.safe_dump(told))
    return folder


def catalogue(folder: Path, **options: Any) -> Path:
    """Make a catalogue of orthoimages by the command."""
    assert call("init", folder / "catalog").exit_code == 0
    done = call("ingest", "ortho", deliver(folder / "delivered", **options), "--into", folder / "catalog")
    assert done.exit_code == 0, done.output
    return folder / "catalog"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of four orthoimages, made by the command."""
    return catalogue(tmp_path_factory.mktemp("offsets"))


@pytest.fixture(scope="module")
def said(root: Path) -> dict[str, Any]:
    """What the first run said, as JSON: neither dates nor parameters were given."""
    done = call(*RUN, "--catalog", root, "--json")
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def item(root: Path, said: dict[str, Any]) -> pystac.Item:
    """The published product."""
    return Catalog.open(root).get(said["item"])


def layer(item: pystac.Item, name: str) -> NDArray[Any]:
    """Read a layer of the product."""
    with rasterio.open(local_path(item, name)) as file:
        values: NDArray[Any] = file.read(1)
    return values


def places(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give rows and columns of the images at the middle of each pixel of the product."""
    rows, cols = (np.indices(shape) + 0.5) * STEP - 0.5
    return rows, cols


def images_in(root: Path) -> list[pystac.Item]:
    """The items of the images."""
    return list(Catalog.open(root).search(to_query(collections="ortho")))


def test_the_run_names_what_it_made(
    said: dict[str, Any], item: pystac.Item, validate_stac: Callable[[dict[str, Any]], None]
) -> None:
    """Speed, velocities with errors, quality, and displacements of each date, on pixels as large as a step."""
    assert said["status"] == "done"
    days = [day.replace("-", "") for day in DAYS]
    expected = {"speed", "velocity_east", "velocity_east_std", "velocity_north", "velocity_north_std", "correlation",
                "n_pairs", "uncertain", "residual_rms",
                *(f"displacement_{axis}_{day}" for axis in ("east", "north") for day in days)}  # fmt: skip
    assert expected <= set(item.assets)
    validate_stac(item.to_dict())
    assert said["grid"]["shape"] == [SIDE // STEP, SIDE // STEP]
    with rasterio.open(local_path(item, "speed")) as file:
        assert file.transform == from_origin(LEFT, TOP, PIXEL * STEP, PIXEL * STEP)
    own = item.properties
    assert own["terracube:reference"]["how"] == "median of all points of a pair"
    assert own["terracube:reference_date"] == DAYS[0]
    assert own["terracube:parameters"]["mask"] is None
    assert own["terracube:parameters"]["model"] == "linear"
    assert item.assets["velocity_east"].to_dict()["bands"][0]["unit"] == "m/year"


def test_velocities_are_those_of_the_truth(item: pystac.Item) -> None:
    """Away from the fault both components are within 0.03 m/year (1.5 hundredths of a pixel).

    The median that is taken off is drawn by what moves, here by less than a hundredth of a pixel.

    That they are so where the slide is steep says that points lie in the middle of the product's pixels: half a pixel
    of the product aside the truth differs by twice as much.
    """
    rows, cols = places(layer(item, "speed").shape)
    away = np.abs(cols - FAULT) > 24
    for name, true in zip(("east", "north"), velocity(rows, cols), strict=True):
        found = layer(item, f"velocity_{name}")
        error = found - true
        known = np.isfinite(error) & away
        assert known.mean() > 0.75
        assert np.sqrt(np.mean(error[known] ** 2)) < 0.03, name
        assert abs(np.median(error[known])) < 0.012, name
    aside = velocity(rows + STEP / 2, cols + STEP / 2)[0] - velocity(rows, cols)[0]
    slide = (np.hypot(rows - 150, cols - 90) < 60) & away
    error = (layer(item, "velocity_east") - velocity(rows, cols)[0])[slide]
    assert np.sqrt(np.nanmean(error**2)) < 0.5 * np.sqrt(np.mean(aside[slide] ** 2))


def test_the_fault_is_sharp(item: pystac.Item) -> None:
    """Behind the fault the ground moves, before it it stands still; most points near it are of one of both sides."""
    rows, cols = places(layer(item, "speed").shape)
    east, near = layer(item, "velocity_east"), np.abs(cols - FAULT) <= 24
    error = np.abs(east - velocity(rows, cols)[0])[near]
    assert np.isfinite(error).mean() > 0.9
    assert np.median(error[np.isfinite(error)]) < 0.03
    assert np.nanmedian(east[cols > FAULT + 8]) == pytest.approx(0.7, abs=0.02)


def test_the_shift_of_the_images_is_found_and_removed(root: Path, item: pystac.Item) -> None:
    """What all points of a pair have in common is that by which its images are misplaced; it can be left."""
    shift = item.properties["terracube:found"]["shift"]
    pairs = [(one, two) for one in range(4) for two in range(one + 1, 4)]
    for axis, name in enumerate(("dy", "dx")):
        expected = [MISPLACED[two][axis] - MISPLACED[one][axis] for one, two in pairs]
        np.testing.assert_allclose(shift[name], expected, atol=0.06)
    assert min(shift["points"]) > 0.6 * (SIDE // STEP) ** 2
    done = call(*RUN, "--catalog", root, "--param", "shift=false", "--param", 'model="none"', "--json")
    assert done.exit_code == 0, done.output
    left = Catalog.open(root).get(json.loads(done.stdout)["item"])
    assert left.properties["terracube:reference"]["how"] == "as delivered"
    still = layer(left, "displacement_east_20220701")[2:10, 20:24] / PIXEL
    assert np.nanmedian(still) == pytest.approx(MISPLACED[3][1], abs=0.05)
    still = layer(left, "displacement_north_20220701")[2:10, 20:24] / -PIXEL
    assert np.nanmedian(still) == pytest.approx(MISPLACED[3][0], abs=0.05)
    assert "speed" not in left.assets
    assert "motion" in left.assets


def test_clouds_take_pairs_and_no_more(item: pystac.Item) -> None:
    """Under a cloud of one date the pairs of the others are left; its displacement is missing there, not zero."""
    pairs, gone = layer(item, "n_pairs"), layer(item, "displacement_east_20200701")
    middle = tuple(slice(part.start // STEP + 2, part.stop // STEP - 2) for part in CLOUDS[1])
    assert (pairs[middle] == 3).all()
    assert np.isnan(gone[middle]).all()
    assert np.isfinite(layer(item, "displacement_east_20220701")[middle]).all()
    assert pairs.max() == 6


def test_blocks_threads_and_order_do_not_matter(root: Path, item: pystac.Item) -> None:
    """Small blocks, one thread, images in another order: the same bits, also by the command."""
    chain = get_chain("offsets")
    items = images_in(root)
    product = Grid.from_dict(item.properties["terracube:grid"])
    found = chain(items[::-1], grid=product.finer(STEP), block=23).compute(scheduler="synchronous")
    for name, values in found.data_vars.items():
        np.testing.assert_array_equal(layer(item, str(name)), values, err_msg=str(name))
    again = call("reproduce", item.id, "--catalog", root, "--block", "17")
    assert again.exit_code == 0, again.output
    assert again.output.count("equal to the bit") == 2 * len(found.data_vars)


def test_a_part_of_the_grid_has_the_same_values_inside(root: Path, item: pystac.Item) -> None:
    """Points far from the edge of a part, wherever it begins, are to the bit those of the whole."""
    chain = get_chain("offsets")
    told = {"shift": False, "series": False, "chip": 16, "search": 4, "model": "linear"}
    fine = Grid.from_dict(item.properties["terracube:grid"]).finer(STEP)
    whole = chain(images_in(root), grid=fine, parameters=told).compute()
    part = chain(images_in(root), grid=fine.window(YX(3 * STEP, 5 * STEP), YX(240, 240)), parameters=told).compute()
    inside = {"y": slice(10, 20), "x": slice(10, 20)}
    shifted = {"y": slice(13, 23), "x": slice(15, 25)}
    for name in whole.data_vars:
        np.testing.assert_array_equal(part[name].isel(inside), whole[name].isel(shifted), err_msg=str(name))
    assert int(np.isfinite(part.isel(inside).speed).sum()) > 90


def test_the_zarr_group_and_the_report(item: pystac.Item) -> None:
    """Displacements are arrays (time, y, x); the page for people shows both components."""
    with xr.open_zarr(local_folder(item, "zarr"), consolidated=False) as cube:
        assert cube.displacement_east.dims == ("time", "y", "x")
        assert cube.time.values.astype("M8[D]").astype(str).tolist() == list(DAYS)
        np.testing.assert_array_equal(cube.displacement_north[3], layer(item, "displacement_north_20220701"))
    page = Path(local_path(item, "report")).read_text(encoding="utf-8")
    assert page.count("<img") == 4
    assert not re.findall(r'(?:src|href)="https?://', page)
    for words in ("Speed of the surface", "Velocity to the east", "Velocity to the north", "ortho_2019", "2022-07-01"):
        assert words in page


def test_a_second_run_has_nothing_to_do(root: Path, said: dict[str, Any]) -> None:
    """The same request again finds the product."""
    again = call(*RUN, "--catalog", root, "--json")
    assert again.exit_code == 4
    assert json.loads(again.stdout)["item"] == said["item"]


def test_two_images_give_a_displacement(root: Path) -> None:
    """Of two dates there is no velocity, but motion with its error, marked as not to be told right from wrong."""
    done = call(*RUN, "--catalog", root, "--datetime", "2019/2020", "--json")
    assert done.exit_code == 0, done.output
    made = Catalog.open(root).get(json.loads(done.stdout)["item"])
    assert made.properties["terracube:parameters"]["model"] == "none"
    east = layer(made, "displacement_east_20200701")
    rows, cols = places(east.shape)
    error = east - velocity(rows, cols)[0] * 366 / 365.25
    known = np.isfinite(error) & (np.abs(cols - FAULT) > 24)
    assert np.sqrt(np.mean(error[known] ** 2)) < 0.06
    assert (layer(made, "uncertain")[known] == 1).all()
    assert np.isfinite(layer(made, "std_east_20200701")[known]).all()
    np.testing.assert_allclose(
        layer(made, "motion")[known], np.hypot(east, layer(made, "displacement_north_20200701"))[known], rtol=1e-6
    )


def test_degrees_are_refused_and_metres_of_them_are_not(tmp_path: Path) -> None:
    """Images in degrees have no pixels in metres: refused, saying what to do; with a projected grid they run."""
    root = catalogue(tmp_path, crs="EPSG:4326", size=2e-5, count=2)
    done = call(*RUN, "--catalog", root)
    assert done.exit_code == 2, done.output
    assert "metres" in done.output
    assert "--crs" in done.output
    planned = call(*RUN, "--catalog", root, "--crs", "EPSG:32633", "--resolution", "2", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert Catalog.open(root).count(Query()) == 2


@pytest.mark.parametrize(
    ("words", "said_"),
    [
        (("--datetime", "2019"), "two dates"),
        (("--datetime", "1999"), "no scene was found"),
        (("--bands", "nir"), "nir"),
        (("--bands", "red,green"), "bands"),
        (("--param", "chip=30"), "chip"),
        (("--param", "step=12"), "step"),
        (("--param", "search=0"), "search"),
        (("--param", 'groupby="scene"'), "solar_day"),
        (("--param", 'mask="clear"'), "mask"),
        (("--param", 'model="linear + sepia"'), "sepia"),
        (("--param", 'model="linear + annual + semiannual"'), "dates"),
        (("--memory", "10kB"), "does not fit in memory"),
    ],
    ids=lambda value: "_".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_refusals(root: Path, words: Sequence[str], said_: str) -> None:
    """What cannot be done is refused in a sentence, without a traceback, and nothing is published."""
    count = Catalog.open(root).count(Query())
    done = call(*RUN, "--catalog", root, *words)
    assert done.exit_code == 2, done.output
    assert said_ in done.output
    assert Catalog.open(root).count(Query()) == count


def test_a_cube_is_not_taken(root: Path) -> None:
    """A loaded cube is refused with the functions that take arrays."""
    with pytest.raises(Exception, match="track"):
        get_chain("offsets")(xr.Dataset({"red": (("time", "y", "x"), np.zeros((2, 64, 64), "float32"))}))
