"""What is written can be read by others, and tells how to read it."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr

from terracube.core.errors import BudgetError, ConflictError, InputError, MetadataError
from terracube.processing.deformation.outputs import (
    facts_of,
    points_of,
    write_maps,
    write_points,
    write_series,
)

DAYS = np.array(["2020-01-01", "2020-01-13", "2020-01-25"], "datetime64[ns]")
SHAPE = (6, 8)
FACTS = {
    "wavelength": 0.0555,
    "phase_sign": "positive towards the satellite",
    "reference": "point y=1.0, x=2.0",
    "network": "ab" * 32,
    "reference_date": "2020-01-01",
    "looks": 8.0,
}


def make(**attrs):
    """A series of three dates with maps; pixel (0, 0) is missing."""
    step = np.arange(48, dtype="float32").reshape(SHAPE) / 1000
    displacement = np.arange(3, dtype="float32")[:, None, None] * step
    displacement[:, 0, 0] = np.nan
    velocity = np.where(np.isnan(displacement[1]), np.nan, step * 10).astype("float32")
    layers = {
        "displacement": (("time", "y", "x"), displacement),
        "std_network": (("time", "y", "x"), displacement * 0 + np.float32(0.001)),
        "velocity": (("y", "x"), velocity),
        "velocity_std": (("y", "x"), velocity * 0 + np.float32(0.002)),
        "n_pairs": (("y", "x"), np.full(SHAPE, 3, "float32")),
    }
    coords = {"time": DAYS, "y": 5000.0 - 100 * np.arange(6), "x": 500_000.0 + 100 * np.arange(8)}
    return xr.Dataset(layers, coords, FACTS | attrs).rio.write_crs("EPSG:32633")


@pytest.mark.parametrize("lazy", [False, True])
def test_series(tmp_path, lazy):
    """A series comes back with its numbers, units, sign and facts."""
    series = make().chunk(y=3) if lazy else make()
    path = write_series(series, tmp_path / "series.zarr")
    found = xr.open_zarr(path)
    np.testing.assert_array_equal(found.displacement, make().displacement)
    np.testing.assert_array_equal(found.time, DAYS)
    assert found.displacement.attrs["units"] == "m"
    assert found.displacement.attrs["positive"] == "towards the satellite"
    assert found.displacement.attrs["ancillary_variables"] == "std_network"
    assert found.velocity.attrs["units"] == "m year-1"
    assert {name: found.attrs[name] for name in FACTS} == FACTS
    with pytest.raises(ConflictError):
        write_series(series, path)
    write_series(series, path, overwrite=True)


def test_facts_are_asked_for(tmp_path):
    """Without sign, reference or network nothing is written."""
    for name in ("phase_sign", "reference", "network", "wavelength"):
        with pytest.raises(MetadataError, match=f"without {name}"):
            write_series(make(**{name: None}), tmp_path / "series.zarr")
        with pytest.raises(MetadataError, match=f"without {name}"):
            write_maps(make(**{name: None}), tmp_path / "maps")
    with pytest.raises(InputError, match="no series"):
        write_series(make().drop_vars("displacement"), tmp_path / "series.zarr")
    assert not list(tmp_path.iterdir())
    told = facts_of(make(odd=np.float32(2.5), list=np.array([1, 2])).assign(reference_y=1.0, reference_x=2.0))
    assert (told["odd"], told["list"], told["reference_y"]) == (2.5, [1, 2], 1.0)


def test_maps(tmp_path):
    """Maps are COGs with unit and name, and one file tells what they have in common."""
    files = write_maps(make().chunk(y=3), tmp_path / "maps", names=["velocity", "velocity_std"])
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
        "attributes.json", "velocity.tif", "velocity_std.tif",
    ]  # fmt: skip
    with rasterio.open(files["velocity"]) as file:
        np.testing.assert_array_equal(file.read(1), make().velocity)
        assert file.units == ("m year-1",)
        assert "towards the satellite" in file.descriptions[0]
    assert json.loads(files["attributes"].read_text()) == FACTS
    with pytest.raises(ConflictError):
        write_maps(make(), tmp_path / "maps")
    write_maps(make(), tmp_path / "maps", overwrite=True)
    with pytest.raises(InputError, match="no map"):
        write_maps(make(), tmp_path / "other", names=["displacement"])


def test_points():
    """All pixels that have a value become rows, with a column for each date."""
    frame = points_of(make().chunk(y=2))
    assert len(frame) == 47
    assert [name for name in frame if name.startswith("displacement")] == [
        "displacement_20200101", "displacement_20200113", "displacement_20200125",
    ]  # fmt: skip
    row = frame[(frame.y == 4800) & (frame.x == 500_300)].iloc[0]
    assert row["displacement_20200125"] == pytest.approx(2 * 0.019)
    assert row["velocity"] == pytest.approx(0.19)
    assert row["velocity_std"] == pytest.approx(0.002)
    assert frame.crs.to_epsg() == 32633
    assert frame.attrs == FACTS
    points_of(make(), frame)  # its own points


def test_points_asked_for():
    """Points in any CRS give the pixels that they lie in, missing ones too; points outside are refused."""
    frame = points_of(make(), [(5000.0, 500_000.0), (4949.0, 500_149.0)])
    assert frame["velocity"].isna().tolist() == [True, False]
    assert frame[["y", "x"]].to_numpy().tolist() == [[5000, 500_000], [4900, 500_100]]
    there = geopandas.GeoSeries(frame.geometry).to_crs("EPSG:4326")
    pd.testing.assert_frame_equal(points_of(make(), there).drop(columns="geometry"), frame.drop(columns="geometry"))
    north = points_of(make().isel(y=slice(None, None, -1)), [(4949.0, 500_149.0)])
    assert north["velocity"].tolist() == frame["velocity"].tolist()[1:]
    with pytest.raises(InputError, match="outside"):
        points_of(make(), [(5051.0, 500_000.0)])
    with pytest.raises(InputError, match="no points"):
        points_of(make(), [1.0, 2.0])
    with pytest.raises(InputError, match="no points"):
        points_of(make(), there.to_crs(32633).buffer(10))
    with pytest.raises(MetadataError, match="no CRS"):
        points_of(make(), geopandas.GeoSeries(there.to_numpy()))
    with pytest.raises(BudgetError, match="too many points"):
        points_of(make(), np.zeros((2_000_001, 2)))


def test_two_times_a_day():
    """Acquisitions of one day have columns of their own."""
    series = make().assign_coords(time=DAYS[0] + np.arange(3) * np.timedelta64(1, "h"))
    assert "displacement_20200101T010000" in points_of(series)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_write_points(tmp_path, suffix):
    """Points come back from GeoParquet and CSV, and what they mean with them."""
    path = write_points(make(), tmp_path / f"points{suffix}")
    if suffix == ".parquet":
        frame = geopandas.read_parquet(path)
        assert frame.crs.to_epsg() == 32633
        assert frame.attrs == FACTS
    else:
        frame = pd.read_csv(path)
        told = json.loads((tmp_path / "points.csv.json").read_text())
        assert told == FACTS | {"crs": "EPSG:32633"}
        assert frame["longitude"].between(14.9, 15.1).all()
        assert frame["latitude"].between(0.03, 0.06).all()
    np.testing.assert_allclose(frame["velocity"], make().velocity.values.ravel()[1:], rtol=1e-6)
    with pytest.raises(ConflictError):
        write_points(make(), path)
    assert write_points(make(), path, overwrite=True) == path
    with pytest.raises(InputError, match="unknown format"):
        write_points(make(), tmp_path / "points.xlsx")
