"""The main job on the real tiles, against computations written apart from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate

from terracube.cubes.sources import local_path
from terracube.ingest import IngestReport
from terracube.processing import COMPOSITE
from terracube.production import RunOptions, RunRequest, RunResult, reproduce, run
from terracube.stac import Catalog

BANDS = ("B02", "B03", "B04", "B08")
NAMES = ("blue", "green", "red", "nir")
MASKED = (0, 1, 3, 8, 9, 10)
TOP, LEFT, SIZE = 5_200_020.0, 499_980.0, 120.0
# A window over the seam of both tiles, with cloud: rows of the native grid of 33TWM.
ROWS, COLS = slice(810, 880), slice(240, 320)

Observations = NDArray[np.float64]


def _scenes(folder: Path) -> list[tuple[str, Path, float]]:
    """Day, folder and top edge of each real scene, in order of time and id, from the JSON alone."""
    found = []
    for path in sorted(folder.glob("33TW[ML]/sentinel-2-l2a/*/*.json")):
        moment = json.loads(path.read_text())["properties"]["datetime"]
        top = 5_200_020.0 if "33TWM" in path.name else 5_100_000.0
        found.append((moment, path.stem, path.parent, top))
    return [(moment[:10], parent, top) for moment, _, parent, top in sorted(found)]


def _observations(folder: Path) -> Observations:
    """Read the window the plain way: whole files, nearest pixel, same-day mosaic, classes masked, offset taken as 0."""
    days: dict[str, Observations] = {}
    y = TOP - SIZE * (np.arange(ROWS.start, ROWS.stop) + 0.5)
    for day, parent, top in _scenes(folder):
        cube = days.setdefault(day, np.full((4, y.size, COLS.stop - COLS.start), np.nan))
        rows = np.floor((top - y) / SIZE).astype(int)
        inside = (rows >= 0) & (rows < 915)
        layers = {name: rasterio.open(parent / f"{name}.tif").read(1) for name in (*BANDS, "SCL")}
        for target, row in zip(np.flatnonzero(inside), rows[inside], strict=True):
            numbers = np.stack([layers[name][row, COLS] for name in BANDS])
            clear = ~np.isin(layers["SCL"][row, COLS], MASKED) & (numbers != 0).all(0)
            empty = np.isnan(cube[0, target])
            cube[:, target, clear & empty] = (numbers * 1e-4)[:, clear & empty]
    return np.stack([days[day] for day in sorted(days)])


def _median(points: Observations, seen: NDArray[np.bool_]) -> Observations:
    """Geometric medians of many pixels (pixel, date, band), in float64, by another way than the kernel's.

    Newton's method on the sum of sqrt(distance^2 + mu^2), with mu brought down to 1e-10: smooth at every step.
    Between two points every median is as good as another; the middle is ours, by rule.
    """
    weight = seen.astype(float)
    count = weight.sum(1)
    filled = np.where(seen[:, :, None], points, 0.0)
    centre = filled.sum(1) / count[:, None]
    identity = np.eye(points.shape[2])

    def cost(at: Observations, mu: float) -> Observations:
        return (weight * np.sqrt(np.square(at[:, None] - filled).sum(2) + mu * mu)).sum(1)

    for mu in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10):
        for _ in range(25):
            gaps = centre[:, None] - filled
            length = np.sqrt(np.square(gaps).sum(2) + mu * mu)
            pull = (weight / length)[:, :, None] * gaps
            outer = gaps[:, :, :, None] * gaps[:, :, None, :] / np.square(length)[:, :, None, None]
            bend = ((weight / length)[:, :, None, None] * (identity - outer)).sum(1)
            step = np.linalg.solve(bend + 1e-9 * identity, pull.sum(1)[:, :, None])[:, :, 0]
            size = np.ones(len(points))
            for _ in range(30):
                worse = cost(centre - size[:, None] * step, mu) > cost(centre, mu)
                if not worse.any():
                    break
                size[worse] /= 2
            centre = centre - np.where(worse, 0.0, size)[:, None] * step
            if np.abs(step).max() < 1e-13:
                break
    return np.where((count <= 2)[:, None], filled.sum(1) / count[:, None], centre)


def _reference(observed: Observations) -> dict[str, Observations]:
    """All layers of the composite, from their definitions."""
    height, width = observed.shape[2:]
    points = observed.transpose(2, 3, 0, 1).reshape(height * width, *observed.shape[:2])
    seen = np.isfinite(points).all(2)
    some = seen.any(1)
    layers = {name: np.full(height * width, np.nan) for name in (*NAMES, "emad", "smad", "bcmad")}
    layers["count"] = seen.sum(1).astype(float)
    m = _median(points[some], seen[some])
    p = np.where(seen[some][:, :, None], points[some], np.nan)
    for number, name in enumerate(NAMES):
        layers[name][some] = m[:, number]
    m = m[:, None]
    layers["emad"][some] = np.nanmedian(np.linalg.norm(p - m, axis=2), axis=1)
    cosine = (p * m).sum(2) / (np.linalg.norm(p, axis=2) * np.linalg.norm(m, axis=2))
    layers["smad"][some] = np.nanmedian(1 - cosine, axis=1)
    layers["bcmad"][some] = np.nanmedian(np.abs(p - m).sum(2) / np.abs(p + m).sum(2), axis=1)
    return {name: values.reshape(height, width) for name, values in layers.items()}


def _read(result: RunResult, name: str) -> NDArray[Any]:
    assert result.item is not None
    with rasterio.open(local_path(result.item, name)) as raster:
        values: NDArray[Any] = raster.read(1)
    return values


def test_whole_folder_comes_in(real_report: tuple[Catalog, IngestReport]) -> None:
    """Nine scenes come in, two are refused with their reasons, nothing is fetched."""
    _, report = real_report
    assert len(report.taken) == 9
    assert "S2A_29RKH_20200219_0_L2A" in report.taken
    reasons = {Path(gone.path).parts[-2 if gone.path.endswith(".tif") else -3]: gone.reason for gone in report.refused}
    assert set(reasons) == {"fishbourne-10m", "no-georeference"}
    assert "no date" in reasons["fishbourne-10m"]
    assert "no CRS and no geotransform" in reasons["no-georeference"]
    assert "same id" in reasons["no-georeference"]


def test_local_files_win_over_remote_hrefs(real_catalog: Catalog) -> None:
    """29RKH: fourteen local files are taken, their headers decide the shapes, other remote assets stay links."""
    item = real_catalog.get("S2A_29RKH_20200219_0_L2A")
    local = {key for key, asset in item.assets.items() if asset.href.startswith("./")}
    assert len(local) == 14
    assert {"red", "scl", "aot", "nir09"} <= local
    assert item.assets["red"].extra_fields["proj:shape"] == [1098, 1098]
    assert item.assets["thumbnail"].href.startswith("https://")
    assert any("claims [10980, 10980]" in note for note in item.properties["terracube:notes"])


def test_window_equals_plain_computation(data_dir: Path, real_run: RunResult) -> None:
    """Bands, count and deviations equal a computation by definition, over the seam of the two tiles."""
    expected = _reference(_observations(data_dir / "sentinel2-l2a"))
    assert (expected["count"] == 0).any() or expected["count"].min() >= 1
    for name, values in expected.items():
        found = _read(real_run, name)[ROWS, COLS].astype("float64")
        np.testing.assert_array_equal(np.isnan(found), np.isnan(values), err_msg=name)
        tolerance = 0 if name == "count" else 1e-4
        np.testing.assert_allclose(found, values, rtol=0, atol=tolerance, err_msg=name)
    assert 0.01 < np.nanmedian(expected["red"]) < 0.2


def test_no_clear_pixel_is_missing(data_dir: Path, real_run: RunResult) -> None:
    """Every pixel that any scene saw clearly has a value, and no other has: over the whole grid."""
    height = real_run.job.plan.grid.shape.y
    y = TOP - SIZE * (np.arange(height) + 0.5)
    clear = np.zeros((height, 915), bool)
    for _, parent, top in _scenes(data_dir / "sentinel2-l2a"):
        rows = np.floor((top - y) / SIZE).astype(int)
        inside = (rows >= 0) & (rows < 915)
        layers = [rasterio.open(parent / f"{name}.tif").read(1)[rows[inside]] for name in (*BANDS, "SCL")]
        clear[inside] |= ~np.isin(layers[-1], MASKED) & np.all([layer != 0 for layer in layers[:-1]], axis=0)
    np.testing.assert_array_equal(np.isfinite(_read(real_run, "red")), clear)
    np.testing.assert_array_equal(_read(real_run, "count") > 0, clear)


def test_native_grid_has_the_anchor_of_the_first_scene(real_run: RunResult) -> None:
    """The grid keeps the pixel edges of 33TWM, covers both tiles, and ends with the last row that holds a centre."""
    grid = real_run.job.plan.grid
    assert tuple(grid.transform)[:6] == (120.0, 0.0, 499980.0, 0.0, -120.0, 5200020.0)
    assert grid.shape == (1748, 915)


def test_align_takes_the_anchor_of_another_scene(real_catalog: Catalog) -> None:
    """`--align` with a scene of 33TWL moves the grid by half a pixel."""
    request = RunRequest(
        chain="composite", collection="sentinel-2-l2a", datetime="2023-08", align="S2A_33TWL_20230815_0_L2A"
    )
    planned = run(real_catalog, request, RunOptions(dry_run=True))
    assert (planned.job.plan.grid.bounds.top - 5_100_000.0) % 120 == 0
    assert planned.status == "planned"


def test_no_seam(real_run: RunResult) -> None:
    """Rows at the border of the mosaic differ from their neighbours no more than rows elsewhere do."""
    red = _read(real_run, "red")
    jumps = np.nanmean(np.abs(np.diff(red, axis=0)), axis=1)
    seam = slice(828, 842)  # 33TWL begins at row 833.5
    assert jumps[seam].max() <= np.quantile(jumps[400:1300], 0.99)


def test_files_are_what_they_claim(real_run: RunResult) -> None:
    """COGs are valid; Zarr, read by xarray and by GDAL, holds the same pixels, CRS and place."""
    item = real_run.item
    assert item is not None
    group = local_path(item, "red").parent / "cube.zarr"
    cube = xr.open_zarr(group, chunks=None)
    for layer in COMPOSITE.layers(real_run.job.parameters):
        path = local_path(item, layer.name)
        valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
        assert valid, (errors, warnings)
        with rasterio.open(path) as raster:
            values = raster.read(1)
            assert raster.overviews(1)
            assert raster.crs.to_epsg() == 32633
        np.testing.assert_array_equal(cube[layer.name].values, values)
        if layer.missing is not None:
            statistics = item.assets[layer.name].extra_fields["statistics"]
            assert statistics["mean"] == pytest.approx(float(np.nanmean(values.astype("float64"))), rel=1e-12)
    assert cube.rio.crs.to_epsg() == 32633
    with rasterio.open(f'ZARR:"{group}":/red') as through_gdal:
        assert through_gdal.crs.to_epsg() == 32633
        assert tuple(through_gdal.transform)[:6] == tuple(real_run.job.plan.grid.transform)[:6]


def test_item_is_valid_and_traceable(real_run: RunResult, real_catalog: Catalog, validate_stac: Any) -> None:
    """The published item satisfies core and extension schemas, names its eight inputs, and its files verify."""
    item = real_run.item
    assert item is not None
    document = json.loads(Path(item.get_self_href() or "").read_text())
    validate_stac(document)
    for scene in real_run.job.items:
        validate_stac(json.loads(Path(scene.get_self_href() or "").read_text()))
    links = [link for link in document["links"] if link["rel"] == "derived_from"]
    folder = Path(item.get_self_href() or "").parent
    targets = [json.loads((folder / link["href"]).read_text())["id"] for link in links]
    assert sorted(targets) == sorted(scene.id for scene in real_run.job.items)
    assert len(targets) == 8
    assert {"projection", "raster", "eo", "processing", "file"} <= {
        url.split("/")[3] for url in document["stac_extensions"]
    }
    assert real_catalog.verify(item) == []
    damaged = folder / "red.tif"
    original = damaged.read_bytes()
    damaged.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    problems = real_catalog.verify(item)
    damaged.write_bytes(original)
    assert len(problems) == 1
    assert "red" in problems[0]


def test_reproduces_to_the_bit(real_run: RunResult, real_catalog: Catalog) -> None:
    """From its item alone the product comes out the same, in other blocks; a changed pixel would be found."""
    item = real_run.item
    assert item is not None
    found = reproduce(real_catalog, item, RunOptions(block=300))
    assert found.equal
    assert len(found.comparisons) == 16
    path = local_path(item, "count")
    original = path.read_bytes()
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        values = raster.read(1)
        values[7, 7] += 1
        raster.write(values, 1)
    changed = reproduce(real_catalog, item)
    path.write_bytes(original)
    assert [(c.layer, c.stored, c.different) for c in changed.comparisons if c.different] == [("count", "cog", 1)]


def test_running_again_does_nothing(real_run: RunResult, real_catalog: Catalog) -> None:
    """The same request on the same scenes finds its product done."""
    again = run(real_catalog, real_run.job.request)
    assert again.status == "nothing to do"
    assert again.item is not None
    assert real_run.item is not None
    assert again.item.id == real_run.item.id
