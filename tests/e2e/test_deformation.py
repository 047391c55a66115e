"""Ground deformation as a new user types it: interferograms in, motion out, held against the simulated truth."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
import zarr
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from terracube.cli.main import main
from terracube.cubes.sources import local_folder, local_path
from terracube.ingest.simulate import Region, radar_dates, write_interferograms
from terracube.processing import get_chain
from terracube.processing.deformation.model import fit
from terracube.processing.deformation.series import invert
from terracube.processing.deformation.stack import open_stack
from terracube.stac import Catalog, Query, to_query

SIZE, EVERY, COUNT = 48, 48, 12
DATES = radar_dates(count=COUNT, every=EVERY)
REGION = Region(seed=5, size=90)
RUN = ("run", "deformation")
LOOK = {"los_east": -0.62, "los_north": -0.11}


def call(*words: str | Path) -> Result:
    """Call the command inside this process; an exception that it does not tell in a sentence is a failure."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "Traceback" not in done.output
    return done


def told(folder: Path, **changes: Any) -> Path:
    """Write a side-car of the simulated files; give its path."""
    network = json.loads((folder / "network.json").read_text())
    pairs = [
        {"reference": f"{one[:4]}-{one[4:6]}-{one[6:]}", "secondary": f"{two[:4]}-{two[4:6]}-{two[6:]}",
         "perpendicular_baseline": metres,
         "files": {"unwrapped_phase": f"{one}-{two}_unw.tif", "coherence": f"{one}-{two}_cc.tif"}}
        for (one, two), metres in zip(network["pairs"], network["bperp_m"], strict=True)
    ]  # fmt: skip
    stack = {"stack": "hill", "sign": "range_increase", "wavelength": network["wavelength_m"], "unit": "radian",
             "zero": "missing", "looks_range": 6, "looks_azimuth": 5, "pairs": pairs,
             "geometry": {"dem": "dem.tif", **{name: f"{name}.tif" for name in (*LOOK, "los_up")}}}  # fmt: skip
    stack = {name: value for name, value in (stack | changes).items() if value is not None}
    path = folder / "hill.pairs.json"
    path.write_text(json.dumps(stack))
    return path


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a simulated stack of twelve dates, with a line of sight and its side-car."""
    folder = tmp_path_factory.mktemp("deformation") / "delivered"
    write_interferograms(REGION, folder, dates=DATES, size=SIZE)
    up = np.sqrt(1 - sum(one**2 for one in LOOK.values()))
    with rasterio.open(folder / "dem.tif") as like:
        profile = {**like.profile, "nodata": np.nan}
    for name, value in {**LOOK, "los_up": up}.items():
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as target:
            target.write(np.full((SIZE, SIZE), value, "float32"), 1)
    told(folder)
    return folder


def catalogue(place: Path, path: Path) -> Path:
    """Make a catalogue of a stack by the command."""
    assert call("init", place).exit_code == 0
    done = call("ingest", "interferograms", path, "--into", place)
    assert done.exit_code == 0, done.output
    return place


@pytest.fixture(scope="module")
def root(delivered: Path) -> Path:
    """A catalogue of the stack, made by the command."""
    return catalogue(delivered.parent / "catalog", delivered / "hill.pairs.json")


@pytest.fixture(scope="module")
def said(root: Path) -> dict[str, Any]:
    """What the first run said, as JSON: neither collection nor dates nor parameters were given."""
    done = call(*RUN, "--catalog", root, "--json")
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def item(root: Path, said: dict[str, Any]) -> pystac.Item:
    """The published product."""
    return Catalog.open(root).get(said["item"])


@pytest.fixture
def copy(root: Path, said: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of the catalogue with its first product, to be changed."""
    assert said["status"] == "done"
    place = tmp_path / "catalog"
    shutil.copytree(root, place)
    return place


def layer(item: pystac.Item, name: str) -> NDArray[Any]:
    """Read a layer of the product."""
    with rasterio.open(local_path(item, name)) as file:
        values: NDArray[Any] = file.read(1)
    assert values.shape == (SIZE, SIZE)
    return values


def pairs_in(root: Path) -> list[pystac.Item]:
    """The items of the stack, with its geometry."""
    return list(Catalog.open(root).search(to_query(collections="interferograms")))


def test_the_run_names_what_it_made(said: dict[str, Any], item: pystac.Item) -> None:
    """The first run makes velocity with its error, quality, line of sight and the displacement of each date."""
    assert said["status"] == "done"
    assert said["item"].startswith("deformation_all_")
    assert len(said["inputs"]) == 2 * COUNT - 3 + 1, "pairs, and the geometry"
    days = [f"{day:%Y%m%d}" for day in DATES]
    expected = {"velocity", "velocity_std", "temporal_coherence", "residual_rms", "n_pairs", "n_components", "n_dates",
                *LOOK, "los_up", *(f"{kind}_{day}" for kind in ("displacement", "std") for day in days),
                "zarr", "thumbnail", "report"}  # fmt: skip
    assert expected <= set(item.assets)
    assert item.assets["velocity"].to_dict()["bands"][0]["unit"] == "m/year"
    assert item.assets["n_pairs"].to_dict()["data_type"] == "uint16"
    assert layer(item, "n_pairs").max() == 2 * COUNT - 3
    np.testing.assert_array_equal(layer(item, "los_east"), np.float32(LOOK["los_east"]))


def test_the_item_tells_how(item: pystac.Item, validate_stac: Callable[[dict[str, Any]], None]) -> None:
    """Sign, reference, network, looks, wavelength, key and inputs are properties of a valid item."""
    validate_stac(item.to_dict())
    own = item.properties
    assert "towards the satellite" in own["terracube:displacement_sign"]
    assert own["terracube:wavelength"] == pytest.approx(0.05546576)
    assert own["terracube:looks"] == 30
    assert own["terracube:reference_date"] == f"{DATES[0]}T00:00:00"
    network = own["terracube:network"]
    assert (network["dates"], network["pairs"]) == (COUNT, 2 * COUNT - 3)
    assert re.fullmatch(r"[0-9a-f]{64}", network["sha256"])
    reference = own["terracube:reference"]
    left, bottom, right, top = item.assets["velocity"].to_dict()["proj:bbox"]
    assert left < reference["x"] < right
    assert bottom < reference["y"] < top
    assert reference["how"] == "auto"
    assert len(own["terracube:found"]["reference"]["phase"]) == 2 * COUNT - 3
    assert len(own["terracube:found"]["atmosphere"]["factors"]) == COUNT
    assert own["terracube:parameters"]["weights"] == "variance"
    assert {one["id"] for one in own["terracube:inputs"]} >= {"hill-geometry", "hill_20220103_20220220"}
    assert (own["start_datetime"][:10], own["end_datetime"][:10]) == (str(DATES[0]), str(DATES[-1]))
    assert len([link for link in item.links if link.rel == "derived_from"]) == 2 * COUNT - 2


def test_the_zarr_group_has_an_axis_of_time(item: pystac.Item) -> None:
    """Displacements are one array (time, y, x) that xarray opens with its dates; its numbers are those of the COGs."""
    group = zarr.open_group(str(local_folder(item, "zarr")), mode="r")
    assert "velocity" in group
    with xr.open_zarr(local_folder(item, "zarr"), consolidated=False) as cube:
        assert cube.displacement.dims == cube["std"].dims == ("time", "y", "x")
        assert cube.time.values.astype("M8[D]").astype(str).tolist() == [str(day) for day in DATES]
        assert cube.velocity.dims == ("y", "x")
        for step, day in enumerate(DATES):
            np.testing.assert_array_equal(cube.displacement[step], layer(item, f"displacement_{day:%Y%m%d}"))
            np.testing.assert_array_equal(cube["std"][step], layer(item, f"std_{day:%Y%m%d}"))
        assert cube.displacement.attrs["units"] == "m"


def test_the_report_has_pictures(item: pystac.Item) -> None:
    """A page for people, on its own without any other file: maps, network, series; pairs by their dates."""
    page = Path(local_path(item, "report")).read_text(encoding="utf-8")
    assert page.count("<img") == 5
    assert not re.findall(r'(?:src|href)="https?://', page)
    for words in ("Velocity, positive towards the satellite", "Temporal coherence", "The network", "moves most",
                  "Ground deformation, all dates", "<th>Reference</th><th>Secondary</th>", "hill_20220103_20220220",
                  f"{2 * COUNT - 3} from {DATES[0]} to {DATES[-1]}", "Pairs per pixel"):  # fmt: skip
        assert words in page
    assert "Cloud" not in page


def test_motion_is_that_of_the_truth(delivered: Path, item: pystac.Item) -> None:
    """The velocity goes with the true one; what is between them is air (6 mm of each date), as its error says."""
    with rasterio.open(delivered / "truth" / "velocity.tif") as file:
        truth = file.read(1)
    found, coherence = layer(item, "velocity"), layer(item, "temporal_coherence")
    known = np.isfinite(found) & (coherence > 0.7)
    assert known.mean() > 0.5
    gap = found - truth
    gap -= np.median(gap[known])
    assert np.corrcoef(found[known], truth[known])[0, 1] > 0.75
    error = np.sqrt(np.mean(gap[known] ** 2))
    assert error < 0.006
    assert 0.5 < error / np.median(layer(item, "velocity_std")[known]) < 2


def test_the_product_is_that_of_a_notebook(root: Path, item: pystac.Item) -> None:
    """Every layer equals what the functions of a notebook give, to the bit."""
    series = invert(open_stack(pairs_in(root))).compute()
    model = fit(series, "linear", coloured="ar1").compute()
    for name in ("velocity", "velocity_std", "residual_std"):
        np.testing.assert_array_equal(layer(item, name), model[name], err_msg=name)
    for name in ("temporal_coherence", "residual_rms", "n_pairs", "n_components"):
        np.testing.assert_array_equal(layer(item, name), series[name], err_msg=name)
    for step, day in enumerate(DATES):
        np.testing.assert_array_equal(layer(item, f"displacement_{day:%Y%m%d}"), series.displacement[step])
    reference = item.properties["terracube:reference"]
    assert (reference["y"], reference["x"]) == (float(series.reference_y), float(series.reference_x))


def test_show_verify_reproduce(root: Path, said: dict[str, Any]) -> None:
    """The product shows how it was made, and is made again to the bit in other blocks and threads."""
    shown = call("show", said["item"], "--catalog", root)
    assert "deformation 1." in shown.output
    assert call("verify", said["item"], "--catalog", root).exit_code == 0
    again = call("reproduce", said["item"], "--catalog", root, "--block", "19", "--workers", "2")
    assert again.exit_code == 0, again.output
    rows = re.findall(r"^(\S+) +(cog|zarr) +[\d,]+ pixels +equal to the bit$", again.output, re.MULTILINE)
    assert len(rows) == 2 * (11 + 3 + 2 * COUNT)


def test_a_second_run_has_nothing_to_do(root: Path, said: dict[str, Any]) -> None:
    """The same request again finds the product, however it is written."""
    again = call(*RUN, "--catalog", root)
    assert again.exit_code == 4
    assert "nothing to do" in again.output
    named = call(*RUN, "--catalog", root, "--collection", "interferograms", "--datetime", "all", "--param",
                 'model="linear"', "--block", "20", "--json")  # fmt: skip
    assert named.exit_code == 4
    assert json.loads(named.stdout)["item"] == said["item"]


def test_a_new_pair_gives_a_new_version(copy: Path, said: dict[str, Any], delivered: Path, tmp_path: Path) -> None:
    """A pair that comes later, with a date of its own, gives a second version, linked with the first."""
    later = tmp_path / "later"
    days = [DATES[-1], radar_dates(count=COUNT + 1, every=EVERY)[-1]]
    write_interferograms(REGION, later, dates=days, size=SIZE)
    done = call("ingest", "interferograms", told(later, geometry=None), "--into", copy)
    assert done.exit_code == 0, done.output
    run = call(*RUN, "--catalog", copy, "--json")
    assert run.exit_code == 0, run.output
    made = json.loads(run.stdout)
    assert made["item"].endswith("_v2")
    newer = Catalog.open(copy).get(made["item"])
    assert newer.properties["terracube:network"]["pairs"] == 2 * COUNT - 2
    assert f"displacement_{days[1]:%Y%m%d}" in newer.assets
    assert next(link.href for link in newer.links if link.rel == "predecessor-version").endswith(f"{said['item']}.json")
    assert Catalog.open(copy).get(said["item"]).properties["version"] == "1"
    assert delivered.is_dir()


@pytest.mark.parametrize("whole", [True, False], ids=["truncated", "damaged inside"])
def test_an_unreadable_pair_is_left_out(copy: Path, whole: bool) -> None:
    """A pair whose file is broken is named and left out; the dates that only it had are none of the product."""
    catalog = Catalog.open(copy)
    only = f"hill_{DATES[-2]:%Y%m%d}_{DATES[-1]:%Y%m%d}"
    other = f"hill_{DATES[-3]:%Y%m%d}_{DATES[-1]:%Y%m%d}"
    for name in (only, other):
        path = Path(local_path(catalog.get(name), "unwrapped_phase"))
        content = path.read_bytes()
        path.write_bytes(content[:200] if whole else content[:-900] + b"\xff" * 900)
    done = call(*RUN, "--catalog", copy, "--json")
    assert done.exit_code == 3, done.output
    made = json.loads(done.stdout)
    assert made["status"] == "partly"
    assert {left["id"] for left in made["left_out"]} == {only, other}
    newer = catalog.get(made["item"])
    assert newer.properties["terracube:network"]["dates"] == COUNT - 1
    assert f"displacement_{DATES[-1]:%Y%m%d}" not in newer.assets
    assert only in Path(local_path(newer, "report")).read_text(encoding="utf-8")


def test_pairs_are_chosen_by_what_they_tell(root: Path) -> None:
    """A filter chooses pairs and leaves the geometry; a region cuts the product; both are products of their own."""
    done = call(*RUN, "--catalog", root, "--query", f"insar:temporal_baseline<{EVERY + 1}", "--param",
                "series=false", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    made = Catalog.open(root).get(json.loads(done.stdout)["item"])
    assert made.properties["terracube:network"]["pairs"] == COUNT - 1
    assert "los_up" in made.assets
    assert not [name for name in made.assets if name.startswith("displacement")]
    west, south, east, north = made.bbox
    bbox = ",".join(str(one) for one in (west, south, (west + east) / 2, (south + north) / 2))
    planned = call(*RUN, "--catalog", root, "--bbox", bbox, "--dry-run", "--json")
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["grid"]["shape"][0] < 0.7 * SIZE


def test_reference_and_model_of_the_user(root: Path, item: pystac.Item) -> None:
    """A reference that is named, in the CRS of the product, is the ground that stands still; models add layers."""
    place = item.properties["terracube:reference"]
    words = [f"reference=[{place['y']}, {place['x']}]", 'model="linear + step(2022-12-01)"', "atmosphere=false"]
    done = call(*RUN, "--catalog", root, *(word for one in words for word in ("--param", one)), "--json")
    assert done.exit_code == 0, done.output
    made = Catalog.open(root).get(json.loads(done.stdout)["item"])
    assert made.properties["terracube:reference"]["how"] == "given"
    assert {"step_20221201", "step_20221201_std"} <= set(made.assets)
    left, _, _, top = made.assets["velocity"].to_dict()["proj:bbox"]
    at = int((top - place["y"]) // 90), int((place["x"] - left) // 90)
    assert abs(layer(made, f"displacement_{DATES[-1]:%Y%m%d}")[at]) < 1e-6
    assert "atmosphere" not in made.properties["terracube:found"]


def test_without_geometry_and_looks(delivered: Path, tmp_path: Path) -> None:
    """Without a geometry item there is no line of sight; without looks all pairs count alike. Both are told."""
    folder = tmp_path / "delivered"
    shutil.copytree(delivered, folder, ignore=shutil.ignore_patterns("truth", "hill*"))
    root = catalogue(tmp_path / "catalog", told(folder, geometry=None, looks_range=None, looks_azimuth=None))
    done = call(*RUN, "--catalog", root, "--param", "series=false", "--json")
    assert done.exit_code == 0, done.output
    made = Catalog.open(root).get(json.loads(done.stdout)["item"])
    assert not [name for name in made.assets if name.startswith("los_")]
    assert made.properties["terracube:parameters"]["weights"] == "none"
    assert "terracube:looks" not in made.properties


@pytest.mark.parametrize(
    ("words", "said_"),
    [
        (("--datetime", "1999"), "no scene was found"),
        (("--collection", "nothing"), "no scene was found"),
        (("--datetime", "2022-01-03", "--query", "insar:temporal_baseline<49"), "dates"),
        (("--param", "reference=[0, 0]"), "no pixel of the stack"),
        (("--param", "reference=[1]"), "reference"),
        (("--param", 'weights="heavy"'), "weights"),
        (("--param", 'model="linear + sepia"'), "sepia"),
        (("--param", 'model="linear + exp(2040-01-01, 100)"'), "2040"),
        (("--param", 'mask="clear"'), "mask"),
        (("--bands", "coherence"), "unwrapped_phase"),
        (("--bands", "unwrapped_phase,height"), "height"),
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
    assert not list((root / ".staging").glob("*"))


def altered(delivered: Path, folder: Path, change: Callable[[str, NDArray[np.float32]], NDArray[np.float32]]) -> Path:
    """Make a catalogue of a stack whose rasters were changed."""
    shutil.copytree(delivered, folder / "delivered", ignore=shutil.ignore_patterns("truth"))
    for path in sorted((folder / "delivered").glob("*-*.tif")):
        with rasterio.open(path) as file:
            profile, values = {**file.profile, "driver": "GTiff"}, file.read(1)
        with rasterio.open(path, "w", **profile) as file:
            file.write(change(path.name, values), 1)
    return catalogue(folder / "catalog", folder / "delivered" / "hill.pairs.json")


@pytest.mark.parametrize(
    ("change", "said_"),
    [
        (lambda name, values: values * 100 if "_cc" in name else values, "coherence is not in 0 to 1"),
        (lambda name, values: _half(name, values) if "_unw" in name else values, "no pixel can be the reference"),
    ],
    ids=["coherence in percent", "no pixel in all pairs"],
)
def test_pixels_that_cannot_be(delivered: Path, tmp_path: Path, change: Any, said_: str) -> None:
    """What only the pixels tell is refused in a sentence, too, and nothing is published."""
    root = altered(delivered, tmp_path, change)
    count = Catalog.open(root).count(Query())
    done = call(*RUN, "--catalog", root)
    assert done.exit_code == 2, done.output
    assert said_ in done.output
    assert Catalog.open(root).count(Query()) == count


def _half(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the phase from one half of some pairs, and from the other half of the others."""
    values = values.copy()
    left = name.startswith(f"{DATES[0]:%Y%m%d}")
    values[:, slice(0, SIZE // 2) if left else slice(SIZE // 2, SIZE)] = 0
    return values


def test_a_date_without_any_pixel_is_none(delivered: Path, tmp_path: Path) -> None:
    """Pairs without a value are left out by their quality, and a date that only they had is no date of the product."""
    last = f"{DATES[-1]:%Y%m%d}"
    root = altered(delivered, tmp_path, lambda name, values: 0 * values if f"-{last}_unw" in name else values)
    done = call(*RUN, "--catalog", root, "--param", "series=false", "--json")
    assert done.exit_code == 3, done.output
    told_ = json.loads(done.stdout)
    assert [last in left["id"] for left in told_["left_out"]] == [True, True]
    assert Catalog.open(root).get(told_["item"]).properties["terracube:network"]["dates"] == COUNT - 1


@pytest.mark.parametrize(
    ("changes", "said_"),
    [
        ({"wavelength": 0.24}, "several wavelengths"),
        ({"relative_orbit": 7}, "several tracks"),
        ({}, "a pair comes twice"),
    ],
    ids=["wavelengths", "tracks", "twice"],
)
def test_two_stacks_in_one_collection(copy: Path, delivered: Path, changes: dict[str, Any], said_: str) -> None:
    """Pairs of several wavelengths or tracks, or one pair twice, are refused, and nothing is published."""
    if "relative_orbit" in changes:
        shutil.rmtree(copy)
        catalogue(copy, told(delivered, relative_orbit=4))
    network = json.loads((delivered / "network.json").read_text())["pairs"][0]
    done = call("ingest", "interferograms", told(delivered, stack="other", geometry=None, **changes), "--into", copy)
    told(delivered)
    assert done.exit_code == 0, done.output
    count = Catalog.open(copy).count(Query())
    refused = call(*RUN, "--catalog", copy)
    assert refused.exit_code == 2, refused.output
    assert said_ in refused.output
    assert network[0] in refused.output.replace("-", "")
    assert Catalog.open(copy).count(Query()) == count


def test_threads_and_blocks_through_the_whole(root: Path, said: dict[str, Any]) -> None:
    """The estimate of a dry run tells of the surveys' blocks; the chain by itself equals the product."""
    made = get_chain("deformation")
    items = pairs_in(root)
    product = Catalog.open(root).get(said["item"])
    from terracube.cubes import Grid

    grid = Grid.from_dict(product.properties["terracube:grid"])
    found = made(items, grid=grid, block=31).compute(scheduler="synchronous")
    for name, values in found.data_vars.items():
        np.testing.assert_array_equal(layer(product, str(name)), values, err_msg=str(name))


def test_mexico_is_that_of_the_peer(data_dir: Path, tmp_path: Path) -> None:
    """The sinking of Mexico City by the command equals the series of another software, where all pairs are."""
    folder = data_dir / "insar" / "mexico-sentinel1"
    network = json.loads((folder / "network.json").read_text())
    assert call("init", tmp_path / "catalog").exit_code == 0
    assert call("ingest", "gamma-insar", folder / "geotiffs", "--into", tmp_path / "catalog").exit_code == 0
    items = list(Catalog.open(tmp_path / "catalog").search(to_query(collections="gamma-insar")))
    with np.load(folder / "mintpy_reference.npz") as peer:
        days, series = [str(day) for day in peer["dates"]], peer["ts_no_vel"]
    row, col = network["ref_yx"]
    stack = open_stack(items)
    place = [float(stack.y[row]), float(stack.x[col])]
    done = call(*RUN, "--catalog", tmp_path / "catalog", "--param", f"reference={json.dumps(place)}", "--param",
                'weights="none"', "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    made = Catalog.open(tmp_path / "catalog").get(json.loads(done.stdout)["item"])
    with rasterio.open(local_path(made, "n_pairs")) as file:
        whole = file.read(1) == len(network["pairs"])
    assert whole.mean() > 0.5
    for number, day in enumerate(days):
        with rasterio.open(local_path(made, f"displacement_{day}")) as file:
            np.testing.assert_allclose(file.read(1)[whole], series[number][whole], atol=1e-6)
    with rasterio.open(local_path(made, "velocity")) as file:
        assert np.nanmin(file.read(1)) < -0.1
