"""Land cover from end to end: samples and scenes of a simulated year to a model and a map, held against the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import xarray as xr
import zarr
from click.testing import CliRunner, Result

from terracube import cubes
from terracube.cli.main import main
from terracube.core.errors import EmptyResultError, InputError, IntegrityError, NotFoundError
from terracube.cubes.engine import Scheduler
from terracube.cubes.sources import local_folder, local_path
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, acquisition_dates, write_scenes
from terracube.processing import landcover
from terracube.processing.landcover.accuracy import calibration
from terracube.production import RunOptions, RunRequest, RunResult, reproduce, run
from terracube.production.models import ASSET, find_model
from terracube.production.training import TrainResult, train_model
from terracube.stac import Catalog, to_query

REGION = Region(seed=5, size=90)
BANDS = ("green", "red", "nir", "swir16")
SEASON: dict[str, Any] = {"start": "01-01", "step": 30, "count": 12}
FEATURES = {"bands": BANDS, "series": (*BANDS, "NDVI"), "season": SEASON}
LEARN = {"trees": 60, "repeats": 1}
PURE = REGION.land.fractions.max(axis=0) > 0.99
TRUTH = REGION.land_cover
EACH = 40


def call(*words: str | Path) -> Result:
    """Call the command inside this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


def squares(rows: Any, cols: Any, **columns: Any) -> geopandas.GeoDataFrame:
    """Make a small square around the middle of each pixel."""
    to = REGION.transform()
    x, y = to.c + to.a * (np.asarray(cols) + 0.5), to.f + to.e * (np.asarray(rows) + 0.5)
    places = geopandas.GeoSeries(geopandas.points_from_xy(x, y)).buffer(4, cap_style="square")
    return geopandas.GeoDataFrame(columns, geometry=places, crs=REGION.epsg)


@dataclass(frozen=True)
class World:
    """A simulated year in a catalogue, and samples of it."""

    catalog: Catalog
    samples: Path
    sampled: np.ndarray
    """Where the samples are: no part of what is judged."""

    @property
    def items(self) -> list[pystac.Item]:
        """The scenes."""
        return self.catalog.search(to_query(collections="sentinel-2-l2a"))

    def request(self, **changed: Any) -> dict[str, Any]:
        """Ask for a model."""
        asked = {"samples": str(self.samples), "collection": "sentinel-2-l2a", "datetime": "2023", "pixels": 1}
        return {**asked, "features": FEATURES, "learn": LEARN, "title": "A simulated valley", **changed}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Fourteen dates of a year, and forty samples of each class as a GeoPackage."""
    folder = tmp_path_factory.mktemp("landcover")
    write_scenes(REGION, folder / "scenes", dates=acquisition_dates("2023-01-10", "2023-12-31", every=27))
    catalog = Catalog.create(folder / "catalog")
    assert ingest("sentinel-2-l2a", [folder / "scenes"], catalog, jobs=2).as_dict()["refused"] == []
    rng = np.random.default_rng(0)
    rows, cols = np.nonzero(PURE)
    chosen = np.concatenate([
        rng.permutation(np.flatnonzero(TRUTH[rows, cols] == code))[:EACH] for code in np.unique(TRUTH)
    ])  # fmt: skip
    rows, cols = rows[chosen], cols[chosen]
    squares(rows, cols, label=TRUTH[rows, cols]).to_file(folder / "train.gpkg")
    sampled = np.zeros(TRUTH.shape, bool)
    sampled[rows, cols] = True
    return World(catalog, folder / "train.gpkg", sampled)


@pytest.fixture(scope="module")
def trained(world: World) -> TrainResult:
    """The model, in the catalogue."""
    return train_model(world.catalog, world.request())


@pytest.fixture(scope="module")
def request_(trained: TrainResult) -> RunRequest:
    """The request of a map with all probabilities."""
    parameters = {"model": trained.model.digest, "probabilities": True}
    return RunRequest(chain="landcover", collection="sentinel-2-l2a", datetime="2023", parameters=parameters)


@pytest.fixture(scope="module")
def mapped(world: World, request_: RunRequest) -> RunResult:
    """The map, in the catalogue."""
    return run(world.catalog, request_, RunOptions(Scheduler("threads", 2)))


@pytest.fixture(scope="module")
def grid(mapped: RunResult) -> cubes.Grid:
    """The grid of the map."""
    return mapped.job.plan.grid


@pytest.fixture(scope="module")
def cube(world: World, grid: cubes.Grid) -> xr.Dataset:
    """The observations in memory, clouds masked."""
    return cubes.load(world.items, bands=BANDS, grid=grid, mask="clear").compute()


def item_of(found: RunResult | TrainResult) -> pystac.Item:
    """Give the item of a result."""
    assert found.item is not None
    return found.item


def layer(found: RunResult, name: str) -> np.ndarray:
    """Read a layer of a map on the pixels of the region."""
    with rasterio.open(local_path(item_of(found), name)) as file:
        top, left = rasterio.transform.rowcol(file.transform, *(REGION.transform() * (0.5, 0.5)))
        values: np.ndarray = file.read(1)[top : top + TRUTH.shape[0], left : left + TRUTH.shape[1]]
    assert values.shape == TRUTH.shape
    return values


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Demand equal bits in every layer."""
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        first, second = (values[name].transpose(..., "y", "x").values for values in (one, other))
        assert first.dtype == second.dtype
        assert np.ascontiguousarray(first).tobytes() == np.ascontiguousarray(second).tobytes(), name


def test_the_map_is_true_and_says_how_sure_it_is(mapped: RunResult, trained: TrainResult, world: World) -> None:
    """Unmixed pixels are right to 95 % and more, and probabilities are calibrated to .03, which the samples told."""
    codes = trained.model.classes
    found = layer(mapped, "class")
    judged = PURE & ~world.sampled & (found != 255)
    assert judged.sum() > 0.99 * (PURE & ~world.sampled).sum()
    assert (found == TRUTH)[judged].mean() >= 0.95
    chances = np.stack([layer(mapped, f"p_{code}")[judged] for code in codes], axis=1)
    after = calibration(chances, TRUTH[judged], codes)
    assert after.ece <= 0.03
    plain = chances.astype(float) ** trained.model.temperature
    before = calibration(plain / plain.sum(axis=1, keepdims=True), TRUTH[judged], codes)
    assert before.ece > 0.04
    np.testing.assert_array_equal(found[judged], np.asarray(codes)[chances.argmax(axis=1)])
    np.testing.assert_array_equal(layer(mapped, "probability")[judged], chances.max(axis=1))


def test_what_was_calibrated_is_told(trained: TrainResult) -> None:
    """Card and report say that the error shown is after calibration, by a temperature found on the same samples."""
    model, report = trained.model, trained.training.report
    assert report is not None
    assert report.cross is not None
    assert report.calibration is not None
    told = model.card["calibration"]
    assert told["temperature"] == model.temperature < 1
    assert told["ece"] == pytest.approx(report.calibration.ece, abs=1e-6)
    assert told["ece"] < told["ece_before"]
    assert any("same held-out samples" in note for note in report.cross.notes)
    assert "same held-out samples" in Path(local_path(item_of(trained), "report")).read_text(encoding="utf-8")
    assert landcover.Model.load(local_path(item_of(trained), ASSET)).temperature == model.temperature


def test_validity_counts_the_clear_dates(mapped: RunResult, cube: xr.Dataset, grid: cubes.Grid) -> None:
    """Validity is the number of dates of the season on which all bands are clear."""
    with rasterio.open(local_path(item_of(mapped), "validity")) as file:
        found = file.read(1)
    days = (cube.time.values.astype("datetime64[D]") - np.datetime64("2023-01-01")).astype(int)
    season = cube.isel(time=days < SEASON["step"] * SEASON["count"]).transpose("time", "y", "x")
    assert 10 < season.sizes["time"] < cube.sizes["time"]
    clear = np.isfinite(season.to_array().values).all(axis=0)
    np.testing.assert_array_equal(found, clear.sum(axis=0))
    assert found.shape == tuple(grid.shape)
    assert found.max() > found.min()


def test_any_block_and_scheduler_make_the_same(mapped: RunResult, world: World) -> None:
    """The product is made again from its item alone, in other blocks, on threads and on processes."""
    for options in (RunOptions(Scheduler("threads", 2), block=32), RunOptions(Scheduler("processes", 1), block=64)):
        found = reproduce(world.catalog, item_of(mapped), options)
        assert found.equal, found.as_dict()
        assert len(found.comparisons) == 2 * (6 + len(np.unique(TRUTH)))


def test_items_and_catalogue_entries_are_valid(
    mapped: RunResult, trained: TrainResult, validate_stac: Callable[[dict[str, Any]], None]
) -> None:
    """Map and model hold to the schemas of STAC and of every extension they name; the model names mlm 1.5."""
    said = item_of(trained).to_dict()
    assert "https://stac-extensions.github.io/mlm/v1.5.0/schema.json" in said["stac_extensions"]
    validate_stac(said)
    said = item_of(mapped).to_dict()
    assert any("classification" in uri for uri in said["stac_extensions"])
    validate_stac(said)
    named = said["assets"]["class"]["classification:classes"]
    assert [one["value"] for one in named] == list(trained.model.classes)
    assert all(one["name"] and len(one["color_hint"]) == 6 for one in named)
    assert said["properties"]["terracube:model"] == {"id": item_of(trained).id, "sha256": trained.model.digest}


def test_files_carry_colours_and_meanings(mapped: RunResult) -> None:
    """The COG has the colours of the item, the Zarr array the flags of the classes."""
    named = item_of(mapped).assets["class"].extra_fields["classification:classes"]
    with rasterio.open(local_path(item_of(mapped), "class")) as file:
        colours = file.colormap(1)
        assert file.nodata == 255
    for one in named:
        assert "".join(f"{part:02X}" for part in colours[one["value"]][:3]) == one["color_hint"]
    flags: dict[str, Any] = dict(zarr.open_group(str(local_folder(item_of(mapped), "zarr")), mode="r")["class"].attrs)
    assert list(flags["flag_values"]) == [one["value"] for one in named]
    assert flags["flag_meanings"].split() == [one["name"] for one in named]


@pytest.mark.parametrize("smoothing", [None, {"window": 5}], ids=["alone", "smoothed"])
def test_scenes_cubes_and_arrays_agree(
    smoothing: dict[str, int] | None, world: World, trained: TrainResult, cube: xr.Dataset, grid: cubes.Grid
) -> None:
    """`classify` of items, of a lazy cube in any chunks, and of arrays in memory: equal bits, with a margin too."""
    told: dict[str, Any] = {"smoothing": smoothing}
    whole = landcover.classify(cube, trained.model, **told)
    assert not whole.chunks
    for block in (33, 64):
        direct = landcover.classify(world.items, trained.model, grid=grid, block=block, **told)
        assert direct.chunks
        same(direct.compute(), whole)
    loaded = cubes.load(world.items, bands=BANDS, grid=grid, mask="clear", chunks=40)
    same(landcover.classify(loaded, trained.model, **told).compute(), whole)
    same(landcover.classify(cube[list(BANDS[::-1])], trained.model, **told), whole)


def test_classify_is_what_run_publishes(
    mapped: RunResult, cube: xr.Dataset, trained: TrainResult, grid: cubes.Grid
) -> None:
    """The published layers are those of `classify`."""
    maps = landcover.classify(cube, trained.model)
    for name in ("class", "probability", "entropy", "validity", "outside"):
        with rasterio.open(local_path(item_of(mapped), name)) as file:
            np.testing.assert_array_equal(file.read(1), maps[name].values)
    assert tuple(grid.shape) == maps["class"].shape


def test_places_without_a_clear_date(cube: xr.Dataset, trained: TrainResult) -> None:
    """Where nothing was clear all year there is no class and validity is 0; elsewhere nothing changes."""
    whole = landcover.classify(cube, trained.model)
    hidden = xr.zeros_like(cube.red.isel(time=0), dtype=bool)
    hidden[20:40, 30:50] = True
    found = landcover.classify(cube.where(~hidden), trained.model)
    blind = hidden.values
    assert (found.validity.values[blind] == 0).all()
    assert (found["class"].values[blind] == found["class"].attrs["nodata"]).all()
    assert np.isnan(found.probability.values[blind]).all()
    assert np.isnan(found.probabilities.values[:, blind]).all()
    for name in ("class", "probability", "validity"):
        np.testing.assert_array_equal(found[name].values[~blind], whole[name].values[~blind])


def test_the_model_refuses_other_observations(cube: xr.Dataset, trained: TrainResult, world: World) -> None:
    """A band that the new year lacks and another sensor are refused by name; nothing takes their place."""
    with pytest.raises(InputError, match="nir"):
        landcover.classify(cube.drop_vars("nir"), trained.model)
    with pytest.raises(InputError, match="nir"):
        landcover.classify(cube.rename(nir="nir08"), trained.model)
    with pytest.raises(InputError, match="another sensor"):
        find_model(world.catalog, trained.model.digest, "landsat-c2-l2")
    with pytest.raises(NotFoundError, match="no such model"):
        find_model(world.catalog, "0" * 64, "sentinel-2-l2a")


def test_another_year_without_scenes(world: World, request_: RunRequest) -> None:
    """A year that the catalogue has no scene of is refused, and nothing is published."""
    with pytest.raises(EmptyResultError, match="no scene"):
        run(world.catalog, request_.model_copy(update={"datetime": "2021"}))


def test_a_model_that_was_changed_is_not_used(world: World, request_: RunRequest, trained: TrainResult) -> None:
    """One bit of the model's file in the catalogue flipped: the run fails, and says which."""
    path = Path(local_path(item_of(trained), ASSET))
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    path.write_bytes(bytes(broken))
    try:
        with pytest.raises(IntegrityError, match="changed"):
            run(world.catalog, request_.model_copy(update={"bbox": tuple(world.items[0].bbox or ())}))
        done = call("model", "show", item_of(trained).id, "--catalog", world.catalog.root)
        assert done.exit_code == 1
        assert "Traceback" not in done.output
    finally:
        path.write_bytes(whole)


def test_the_command(world: World, trained: TrainResult, mapped: RunResult, tmp_path: Path) -> None:
    """`train`, `model show`, `run` and `reproduce` as typed: the same model again, and the same map by its id."""
    (tmp_path / "features.json").write_text(json.dumps(FEATURES))
    words = ("--samples", world.samples, "--collection", "sentinel-2-l2a", "--datetime", "2023", "--pixels", "1")
    how = ("--features", tmp_path / "features.json", "--param", "trees=60", "--param", "repeats=1")
    root = ("--catalog", world.catalog.root)
    done = call("train", "landcover", *words, *how, *root, "--title", "A simulated valley", "--json",
                "--out", tmp_path / "m.tcmodel")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["sha256"] == trained.model.digest
    shown = call("model", "show", tmp_path / "m.tcmodel")
    assert shown.exit_code == 0
    assert trained.model.digest in shown.output
    assert "temperature" in shown.output
    again = call("run", "landcover", "--model", item_of(trained).id, "--datetime", "2023", *root,
                 "--param", "probabilities=true", "--json")  # fmt: skip
    assert again.exit_code == 4, again.output
    assert json.loads(again.stdout)["item"] == item_of(mapped).id
    assert call("reproduce", item_of(mapped).id, *root, "--block", "50").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--label", "crop"), "crop"),
        (("--datetime", "2021"), "no scene"),
        (("--param", "trees=0"), "trees"),
        (("--param", "surprise=1"), "surprise"),
        (("--bands", "red,ultraviolet"), "ultraviolet"),
        (("--nomenclature", "corine"), "corine"),
        (("--column", "group"), "ROLE=COLUMN"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else "",
)
def test_refusals_of_training(world: World, words: tuple[str, ...], told: str) -> None:
    """What no model can be made of is refused in a sentence, without a traceback."""
    base = ("train", "landcover", "--samples", world.samples, "--catalog", world.catalog.root)
    done = call(*base, "--collection", "sentinel-2-l2a", "--datetime", "2023", *words)
    assert done.exit_code == 2, done.output
    assert told in done.output
    assert "Traceback" not in done.output


def test_samples_that_no_model_can_be_made_of(world: World, tmp_path: Path) -> None:
    """One class, a class of one sample, and samples where no scene is: refused, with the class or place named."""
    rows, cols = (found[:6] for found in np.nonzero(PURE & (TRUTH == 1)))
    for labels, words in (([1] * 6, "one class"), ([1, 1, 1, 1, 1, 2], "single sample")):
        squares(rows, cols, label=labels).to_file(tmp_path / "bad.gpkg")
        done = call("train", "landcover", "--samples", tmp_path / "bad.gpkg", "--catalog", world.catalog.root,
                    "--collection", "sentinel-2-l2a", "--datetime", "2023", "--bands", "red,nir,green")  # fmt: skip
        assert done.exit_code == 2, done.output
        assert words in done.output
    far = squares(rows + 100_000, cols, label=[1, 1, 1, 2, 2, 2])
    far.to_file(tmp_path / "far.gpkg")
    with pytest.raises(EmptyResultError, match="no scene over the samples"):
        train_model(world.catalog, world.request(samples=str(tmp_path / "far.gpkg")))


def test_samples_in_degrees_and_some_outside(world: World, trained: TrainResult, tmp_path: Path) -> None:
    """Samples in another CRS give the same model; one far outside is left out by name, its class told as lost."""
    frame = geopandas.read_file(world.samples).to_crs("EPSG:4326")
    outside = squares([-40], [-40], label=[99]).to_crs("EPSG:4326")
    frame = pd.concat([frame, outside], ignore_index=True)
    frame.to_file(tmp_path / "degrees.gpkg")
    asked = world.request(samples=str(tmp_path / "degrees.gpkg"), learn={**LEARN, "repeats": 0})
    found = train_model(world.catalog, asked)
    assert found.model.classes == trained.model.classes
    assert found.as_dict()["status"] == "partly"
    told = {one.id: one.reason for one in found.training.left_out}
    assert "none of its samples" in told["class 99"]
    assert any(name.split(":")[0] == str(len(frame) - 1) for name in told)
    series = found.training.series
    np.testing.assert_array_equal(series.values[series.labels != 99], trained.training.series.values)
