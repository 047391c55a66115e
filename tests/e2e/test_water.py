"""Water from end to end, as a new user types it: scenes in, a published map out, held against the simulated truth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import zarr
from click.testing import CliRunner, Result

from terracube import cubes
from terracube.cli.main import main
from terracube.cubes.sources import local_folder, local_path
from terracube.ingest.simulate import Region, write_scenes
from terracube.processing import water
from terracube.processing.water.assembly import REASONS
from terracube.stac import Catalog, to_query

REGION = Region(seed=3, size=120)
DATES = ("2023-06-09", "2023-06-24", "2023-07-09")
RUN = ("run", "water", "--collection", "sentinel-2-l2a", "--datetime", "2023-06/2023-07")
LOST = np.uint8(255 - REASONS["below_range"] - REASONS["above_range"])
USUAL = ("spm_blend", "turbidity_dogliotti2015", "chl_blend", "secchi_lee2015", "hue_angle")


def call(*words: str | Path) -> Result:
    """Call the command inside this process; an exception that it does not tell in a sentence is a failure."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "Traceback" not in done.output
    return done


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of three dates of two platforms, made by the command."""
    folder = tmp_path_factory.mktemp("water")
    write_scenes(REGION, folder / "delivered", dates=DATES)
    assert call("init", folder / "catalog").exit_code == 0
    done = call("ingest", "sentinel-2-l2a", folder / "delivered", "--into", folder / "catalog", "--jobs", "2")
    assert done.exit_code == 0, done.output
    return folder / "catalog"


@pytest.fixture(scope="module")
def said(root: Path) -> dict[str, Any]:
    """What the first run said, as JSON."""
    done = call(*RUN, "--catalog", root, "--json")
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def item(root: Path, said: dict[str, Any]) -> pystac.Item:
    """The published map."""
    return Catalog.open(root).get(said["item"])


def layer(item: pystac.Item, name: str) -> np.ndarray:
    """Read a layer of the map."""
    with rasterio.open(local_path(item, name)) as file:
        values: np.ndarray = file.read(1)
    assert values.shape == (REGION.size, REGION.size)
    return values


def truth_of(quantity: Callable[[str], np.ndarray]) -> np.ndarray:
    """Give the median of the true maps of the dates."""
    found: np.ndarray = np.median([quantity(day) for day in DATES], axis=0)
    return found


def test_the_run_names_what_it_made(root: Path, said: dict[str, Any], item: pystac.Item) -> None:
    """The first run makes the usual products, each with flags and uncertainty; settled parameters are written down."""
    assert said["status"] == "done"
    assert len(said["inputs"]) == 6
    parts = ("", "_flags", "_noise", "_algorithm")
    layers = {"water", "frequency", "validity", "near_land", "flags"} | {
        f"{name}{part}" for name in USUAL for part in parts
    }
    assert layers <= set(item.assets)
    told = item.properties["terracube:parameters"]
    assert tuple(told["products"]) == USUAL
    assert told["sensors"] == ["S2A_MSI", "S2B_MSI"]
    assert (told["quantity"], told["correction"], told["water_mask"]) == ("rhos", "swir", "wofs")
    assert item.assets["chl_blend"].to_dict()["bands"][0]["unit"] == "mg m-3"


def test_a_second_run_has_nothing_to_do(root: Path, said: dict[str, Any]) -> None:
    """The same request again finds the map, by options or as a file; what is the default need not be left out."""
    again = call(*RUN, "--catalog", root)
    assert again.exit_code == 4
    assert "nothing to do" in again.output
    named = call(*RUN, "--catalog", root, "--products", ",".join(USUAL), "--json")
    assert named.exit_code == 4
    assert json.loads(named.stdout)["item"] == said["item"]


def test_show_verify_reproduce(root: Path, said: dict[str, Any]) -> None:
    """The map shows how it was made, its files are what they were, and it is made again to the bit in other blocks."""
    shown = call("show", said["item"], "--catalog", root)
    assert shown.exit_code == 0
    assert "water 1." in shown.output
    assert shown.output.count("  from ") == 6
    assert call("verify", said["item"], "--catalog", root).exit_code == 0
    again = call("reproduce", said["item"], "--catalog", root, "--block", "50")
    assert again.exit_code == 0, again.output
    rows = re.findall(r"^(\S+) +(cog|zarr) +[\d,]+ pixels +equal to the bit$", again.output, re.MULTILINE)
    assert len(rows) == 2 * (5 + 4 * len(USUAL)), "one line for each layer and store, in columns"


def test_the_item_is_valid_and_names_its_classes(
    item: pystac.Item, validate_stac: Callable[[dict[str, Any]], None]
) -> None:
    """Core, extensions, and the meaning of the numbers of the layers of classes, in item, COG and Zarr."""
    told = item.to_dict()
    assert any("classification" in uri for uri in told["stac_extensions"])
    validate_stac(told)
    classes = told["assets"]["water"]["classification:classes"]
    assert [(one["value"], one["name"]) for one in classes] == [(0, "dry"), (1, "water")]
    assert told["assets"]["water"]["nodata"] == 255
    with rasterio.open(local_path(item, "water")) as file:
        assert file.nodata == 255
        colours = file.colormap(1)
    assert ["".join(f"{part:02X}" for part in colours[one["value"]][:3]) for one in classes] == [
        one["color_hint"] for one in classes
    ]
    attrs: dict[str, Any] = dict(zarr.open_group(str(local_folder(item, "zarr")), mode="r")["water"].attrs)
    assert attrs["flag_meanings"].split() == ["dry", "water"]


def test_the_report_has_pictures(item: pystac.Item) -> None:
    """A page for people: a picture of water and of each product, on its own without any other file."""
    page = Path(local_path(item, "report")).read_text(encoding="utf-8")
    assert page.count("<img") >= 2 + len(USUAL)
    assert not re.findall(r'(?:src|href)="https?://', page)
    for name in ("Water", "Secchi depth", "Chlorophyll a", "Suspended matter", "Hue angle"):
        assert name in page


def test_water_is_where_it_is(item: pystac.Item) -> None:
    """The mask covers the lake but for mixed pixels of the shore; elsewhere there is no value, and a bit says why."""
    truth = np.isfinite(truth_of(REGION.chlorophyll))
    found = layer(item, "water")
    wet, seen = found == 1, found != 255
    assert seen.mean() > 0.9
    assert (wet & truth).sum() / ((wet | truth) & seen).sum() >= 0.85
    assert (wet & ~truth).sum() <= 0.01 * wet.sum()
    assert not layer(item, "near_land")[wet].all()
    for name in USUAL:
        values, why = layer(item, name), layer(item, f"{name}_flags")
        np.testing.assert_array_equal(np.isfinite(values), wet & ((why & LOST) == 0), err_msg=name)
        assert (why[seen & ~wet] == REASONS["not_water"]).all()
        assert np.isfinite(values)[wet].mean() > 0.95


def test_suspended_matter_of_a_clear_day_is_true(root: Path) -> None:
    """Without haze, away from the shore, the map of one date is within a quarter of the truth, and goes with it."""
    day = DATES[1]
    done = call(*RUN[:-1], day, "--catalog", root, "--products", "spm_blend", "--json")
    assert done.exit_code == 0, done.output
    made = Catalog.open(root).get(json.loads(done.stdout)["item"])
    values, truth = layer(made, "spm_blend"), REGION.suspended_matter(day)
    there = (layer(made, "near_land") == 0) & np.isfinite(values) & np.isfinite(truth)
    assert there.sum() > 500
    assert np.median(np.abs(values[there] / truth[there] - 1)) <= 0.25
    assert np.corrcoef(np.log(values[there]), np.log(truth[there]))[0, 1] > 0.7


def test_the_map_is_that_of_a_notebook(root: Path, item: pystac.Item) -> None:
    """The chain on a loaded cube gives what the command has published."""
    scenes = Catalog.open(root).search(to_query(collections="sentinel-2-l2a"))
    told = {"products": ["hue_angle"], "uncertainty": False}
    bands = water.WATER.observed(water.WATER.settled(told), scenes).bands
    cube = cubes.load(scenes, bands=bands, mask="clear")
    found = water.WATER(cube, parameters=told).compute()
    np.testing.assert_array_equal(found.water, layer(item, "water"))
    np.testing.assert_array_equal(found.validity, layer(item, "validity"))
    np.testing.assert_allclose(found.hue_angle, layer(item, "hue_angle"), rtol=1e-5)


def test_products_by_name(root: Path, said: dict[str, Any]) -> None:
    """Named products alone are a product of their own; by option or parameter they are the same one."""
    done = call(
        *RUN, "--catalog", root, "--products", "chl_ndci, owt_spyrakos", "--param", "uncertainty=false", "--json"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["item"] != said["item"]
    made = Catalog.open(root).get(told["item"])
    assert {"chl_ndci", "chl_ndci_flags", "owt_spyrakos"} <= set(made.assets)
    assert not {"chl_ndci_noise", "hue_angle"} & set(made.assets)
    types = layer(made, "owt_spyrakos")
    assert np.array_equal(types[np.isfinite(types)] % 1, np.zeros(np.isfinite(types).sum()))
    again = call(*RUN, "--catalog", root, "--param", 'products=["chl_ndci","owt_spyrakos"]',
                 "--param", "uncertainty=false", "--json")  # fmt: skip
    assert again.exit_code == 4
    assert json.loads(again.stdout)["item"] == told["item"]


def test_the_only_collection_of_scenes_needs_no_name(root: Path, said: dict[str, Any]) -> None:
    """Products are no scenes: with one collection of scenes the command knows which is meant."""
    words = [word for word in RUN if word not in ("--collection", "sentinel-2-l2a")]
    done = call(*words, "--catalog", root, "--json")
    assert done.exit_code == 4, done.output
    assert json.loads(done.stdout)["item"] == said["item"]


def test_dry_run(root: Path) -> None:
    """It tells what a run would need, reads no pixel and leaves no trace."""
    before = sorted(root.rglob("*"))
    done = call(*RUN, "--catalog", root, "--products", "ndci", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["status"] == "planned"
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--products", "spm_blendd"), ["spm_blend,"]),
        (("--products", "chl_oc4,hue_angle,chl_mph"), ["chl_oc4: S2A_MSI has no band 510", "chl_mph", "681"]),
        (("--products", ","), ["no product"]),
        (("--param", 'products="spm_blend"'), ["products"]),
        (("--param", "products=spm_blend"), ["NAME=JSON"]),
        (("--products", "spm_blend", "--param", 'correction="none"'), ["takes rhow, not rhos", "water.correct"]),
        (("--param", 'quantity="rrs"'), ["another reflectance", "rhos"]),
        (("--param", 'water_mask="tree"'), ["mndwi"]),
        (("--param", "threshold=0.1"), ["mndwi"]),
        (("--param", "shore=99"), ["shore"]),
        (("--param", 'sensors=["S2X"]'), ["S2A_MSI"]),
        (("--param", "surprise=1"), ["surprise"]),
        (("--bands", "red,ultraviolet"), ["ultraviolet"]),
        (("--model", "some"), ["some"]),
        (("--datetime", "2021"), ["no scene"]),
    ],
    ids=lambda value: "_".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_refusals(root: Path, words: tuple[str, ...], told: list[str]) -> None:
    """What no map can be made of is refused in a sentence with the names concerned, before anything is read."""
    before = sorted(root.rglob("*.tif"))
    done = call(*RUN, "--catalog", root, *words)
    assert done.exit_code == 2, done.output
    output = " ".join(done.output.split())
    assert all(word in output for word in told), done.output
    assert sorted(root.rglob("*.tif")) == before


def test_scenes_that_lack_a_band(tmp_path: Path) -> None:
    """Products that need the band are refused with scene and band; others are planned."""
    for path in write_scenes(Region(seed=3, size=90), tmp_path / "delivered", dates=DATES[:1]):
        scene = json.loads(path.read_text(encoding="utf-8"))
        (path.parent / scene["assets"].pop("rededge1")["href"]).unlink()
        path.write_text(json.dumps(scene), encoding="utf-8")
    root = tmp_path / "catalog"
    assert call("init", root).exit_code == 0
    assert call("ingest", "sentinel-2-l2a", tmp_path / "delivered", "--into", root).exit_code == 0
    done = call(*RUN, "--catalog", root, "--products", "chl_ndci,spm_blend")
    assert done.exit_code == 2, done.output
    assert "rededge1" in done.output
    assert "S2A_33TSM_20230609_0_L2A" in done.output
    assert call(*RUN, "--catalog", root, "--products", "spm_blend", "--dry-run").exit_code == 0
