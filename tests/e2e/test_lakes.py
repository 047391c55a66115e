"""Series of lakes from end to end: scenes and polygons to a published table, held against the simulated truth."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import shapely
from click.testing import CliRunner, Result

from terracube import cubes
from terracube.cli.main import main
from terracube.core.errors import EmptyResultError, InputError
from terracube.cubes.engine import Scheduler
from terracube.cubes.gridlike import to_grid
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, write_scenes
from terracube.processing import water
from terracube.production import RunOptions, reproduce
from terracube.production.lakes import LAKES, LakeRequest, lake_series
from terracube.stac import Catalog, to_query

REGION = Region(seed=3, size=150)
DATES = ("2023-06-09", "2023-06-24")
RUN = {
    "chain": "water",
    "collection": "sentinel-2-l2a",
    "datetime": "2023-06",
    "parameters": {"products": ["spm_blend"]},
}
WATER = REGION.land_cover == int(np.max(REGION.land_cover))


def call(*words: str | Path) -> Result:
    """Call the command inside this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Two dates in a catalogue."""
    folder = tmp_path_factory.mktemp("lakes")
    write_scenes(REGION, folder / "scenes", dates=DATES)
    made = Catalog.create(folder / "catalog")
    ingest("sentinel-2-l2a", [folder / "scenes"], made)
    return made


@pytest.fixture(scope="module")
def polygons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole region, and a place elsewhere."""
    left, bottom, right, top = REGION.bounds
    shapes = [shapely.box(left, bottom, right, top), shapely.box(left - 9000, bottom, left - 8000, top)]
    frame = geopandas.GeoDataFrame({"name": ["all", "=elsewhere"]}, geometry=shapes, crs=REGION.epsg)
    path = tmp_path_factory.mktemp("polygons") / "lakes.gpkg"
    frame.to_crs(4326).to_file(path)
    return path


@pytest.fixture(scope="module")
def made(catalog: Catalog, polygons: Path) -> pystac.Item:
    """The published series."""
    return lake_series(catalog, {"run": RUN, "polygons": str(polygons), "id": "name"}).item


def table_of(item: pystac.Item) -> pd.DataFrame:
    """Read the table of an item."""
    return geopandas.read_parquet(cubes.sources.local_path(item, "table"))


def test_the_table_tells_the_truth(made: pystac.Item) -> None:
    """On the clear date the area of water is that of the truth within a tenth, and what was not seen is missing."""
    table = table_of(made)
    inside, outside = table[table["id"] == "all"], table[table["id"] == "=elsewhere"]
    assert len(inside) == 2
    assert (outside["status"] == "outside").all()
    best = inside.sort_values("valid_fraction").iloc[-1]
    assert best["status"] == "ok"
    truth = float(WATER.sum() * 100)
    assert best["area_wet"] == pytest.approx(truth, rel=0.1)
    assert best["area_wet_min"] <= best["area_wet"] <= best["area_wet_max"]
    assert best["spm_blend_median"] == pytest.approx(float(np.median(REGION.lake.suspended[WATER])), rel=0.6)
    assert best["spm_blend_error"] > best["spm_blend_noise"] > 0
    assert inside.loc[inside["status"] != "ok", "area_wet"].isna().all()


def test_the_item_tells_how_it_was_made(catalog: Catalog, made: pystac.Item) -> None:
    """It names scenes, polygons, parameters and software, and its files are those that were written."""
    assert made.collection_id == LAKES
    assert made.properties["terracube:polygons"]["count"] == 2
    assert len(made.properties["terracube:inputs"]) == 4
    assert made.properties["terracube:parameters"]["sensors"]
    assert {link.rel for link in made.links} >= {"derived_from"}
    assert catalog.verify(made) == []
    page = cubes.sources.local_path(made, "report").read_text(encoding="utf-8")
    assert "data:image/png" in page
    assert "'=elsewhere" in cubes.sources.local_path(made, "csv").read_text(encoding="utf-8")


def test_the_same_again_is_nothing_to_do(catalog: Catalog, polygons: Path, made: pystac.Item) -> None:
    """The same scenes and polygons are summarised once; other settings make another series."""
    again = lake_series(catalog, {"run": RUN, "polygons": str(polygons), "id": "name"})
    assert (again.status, again.item.id) == ("nothing to do", made.id)
    assert again.rows == made.properties["terracube:rows"]
    other = lake_series(catalog, {"run": RUN, "polygons": str(polygons), "min_valid": 0.9})
    assert other.status == "done"
    assert other.item.id != made.id


def test_it_is_made_again_from_its_item_alone(catalog: Catalog, made: pystac.Item, polygons: Path) -> None:
    """Polygons, settings and scenes come from the item: every column is equal to the bit; the file is not asked."""
    hidden = polygons.with_suffix(".away")
    polygons.rename(hidden)
    try:
        done = call("reproduce", made.id, "--catalog", catalog.root)
    finally:
        hidden.rename(polygons)
    assert done.exit_code == 0, done.output
    assert "spm_blend_median" in done.output
    assert "rows  equal to the bit" in done.output
    found = reproduce(catalog, made)
    assert found.equal
    assert {one.pixels for one in found.comparisons} == {len(table_of(made))}


def test_a_changed_number_is_found(catalog: Catalog, polygons: Path) -> None:
    """A table that is not what the scenes give is told, with its column and by how much."""
    item = lake_series(catalog, {"run": RUN, "polygons": str(polygons), "min_valid": 0.4}).item
    path = cubes.sources.local_path(item, "table")
    table = geopandas.read_parquet(path)
    row = int(table["spm_blend_median"].notna().to_numpy().argmax())
    table.loc[row, "spm_blend_median"] += 0.5
    table.to_parquet(path, index=False)
    found = {one.layer: one for one in reproduce(catalog, item).comparisons}
    assert (found["spm_blend_median"].different, found["spm_blend_median"].largest) == (1, pytest.approx(0.5))
    assert found["area_wet"].different == 0


def test_one_bad_scene_does_not_stop_the_others(catalog: Catalog, polygons: Path, tmp_path: Path) -> None:
    """A scene whose pixels cannot be read is left out and named, and the record says so."""
    other = Catalog.create(tmp_path / "catalog")
    write_scenes(REGION, tmp_path / "scenes", dates=DATES)
    ingest("sentinel-2-l2a", [tmp_path / "scenes"], other)
    bad = other.search(to_query(collections="sentinel-2-l2a", datetime=DATES[0]))[0]
    path = cubes.sources.local_path(bad, "red")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\0" * (len(content) - len(content) // 2)
    path.write_bytes(bytes(content))
    found = lake_series(other, {"run": RUN, "polygons": str(polygons)})
    assert found.status == "partly"
    assert [one["id"] for one in found.item.properties["terracube:left_out"]] == [bad.id]
    assert len(found.item.properties["terracube:inputs"]) == 3


def test_progress_and_threads(catalog: Catalog, polygons: Path) -> None:
    """Each part is counted to the end, and more threads change no number."""
    seen: list[tuple[int, int]] = []
    request = {"run": RUN, "polygons": str(polygons), "min_valid": 0.3}
    one = RunOptions(Scheduler("threads", 1))
    item = lake_series(catalog, request, one, progress=lambda done, total: seen.append((done, total))).item
    assert seen
    assert seen[-1][0] == seen[-1][1]
    assert reproduce(catalog, item, RunOptions(Scheduler("threads", 3))).equal


def test_failures_are_recorded(catalog: Catalog, tmp_path: Path) -> None:
    """A request that fails leaves a record that says why, and no item."""
    far = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    far.to_file(tmp_path / "far.gpkg")
    before = {item.id for item in catalog.search(to_query(collections=LAKES))}
    with pytest.raises(EmptyResultError):
        lake_series(catalog, {"run": RUN, "polygons": str(tmp_path / "far.gpkg")})
    records = [json.loads(path.read_text(encoding="utf-8")) for path in catalog.root.rglob("*lakes*.json")]
    assert any(one.get("status") == "failed" and "no polygon lies" in one["message"] for one in records)
    assert {item.id for item in catalog.search(to_query(collections=LAKES))} == before


def test_a_date_is_that_of_the_chain(catalog: Catalog) -> None:
    """Products of a date, made for series, are those of a run of that date alone, to the bit."""
    items = catalog.search(to_query(collections="sentinel-2-l2a", datetime=DATES[1]))
    cube = cubes.load(items, bands=["blue", "green", "red", "nir", "nir08", "swir16", "swir22"])
    dates = water.daily(cube, {"products": ["spm_blend"]}).isel(time=0).compute()
    chain = water.WATER(items, grid=to_grid(dates), parameters={"products": ["spm_blend"], "shore": 0}).compute()
    assert np.array_equal(chain["water"], dates["water"])
    assert np.array_equal(chain["spm_blend"], dates["spm_blend"], equal_nan=True)
    assert np.array_equal(chain["spm_blend_noise"], dates["spm_blend_noise"], equal_nan=True)


def test_on_the_command_line(catalog: Catalog, polygons: Path) -> None:
    """One command makes the map and the series, and says where to look."""
    words = ["run", "water", "--catalog", catalog.root, "--collection", "sentinel-2-l2a", "--datetime", "2023-06"]
    found = call(*words, "--products", "spm_blend", "--lakes", polygons, "--lake-id", "name", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.output)
    assert told["lakes"]["status"] == "nothing to do"
    assert told["lakes"]["rows"]["outside"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lakes", "absent.gpkg"], "no such file"),
        (["--lake-id", "name"], "names a column of the file"),
        (["--lakes", "POLYGONS", "--lake-id", "nom", "--products", "ndci"], "no such column"),
        (["--products", "spm_nothing"], "unknown retrieval"),
    ],
)
def test_bad_requests_are_refused(catalog: Catalog, polygons: Path, words: list[str], message: str) -> None:
    """What cannot be done is refused before anything is computed, with code 2."""
    before = sorted(catalog.root.rglob("*.tif"))
    start = ["run", "water", "--catalog", catalog.root, "--collection", "sentinel-2-l2a", "--datetime", "2023-06"]
    found = call(*start, *(str(polygons) if word == "POLYGONS" else word for word in words))
    assert found.exit_code == 2
    assert message in found.output
    assert sorted(catalog.root.rglob("*.tif")) == before


def test_lakes_belong_to_water(catalog: Catalog, polygons: Path) -> None:
    """Another chain has no lakes."""
    words = ["--catalog", catalog.root, "--collection", "sentinel-2-l2a", "--datetime", "2023-06", "--lakes", polygons]
    found = call("run", "composite", *words)
    assert found.exit_code == 2
    assert "belong to the chain water" in found.output
    with pytest.raises(InputError, match="lakes are made of water products"):
        lake_series(catalog, {"run": {**RUN, "chain": "composite", "parameters": {}}, "polygons": str(polygons)})


def test_polygons_that_do_not_fit(catalog: Catalog, polygons: Path, tmp_path: Path) -> None:
    """An unknown column, a file without polygons in the scenes, a table that holds none."""
    with pytest.raises(InputError, match="no such column"):
        lake_series(catalog, LakeRequest(run=RUN, polygons=str(polygons), id="nom"))
    far = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    far.to_file(tmp_path / "far.gpkg")
    with pytest.raises(EmptyResultError, match="no polygon lies"):
        lake_series(catalog, LakeRequest(run=RUN, polygons=str(tmp_path / "far.gpkg")))
    (tmp_path / "points.csv").write_text("id,lon,lat\n1,2,3\n", encoding="utf-8")
    with pytest.raises(InputError, match="polygons cannot be read"):
        lake_series(catalog, LakeRequest(run=RUN, polygons=str(tmp_path / "points.csv")))
