"""Stations: their files, their motion along a line of sight, and how radar compares with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from terracube.core.errors import AssetError, EmptyResultError, HostileInputError, InputError, MetadataError
from terracube.processing.deformation.gnss import at_times, project_gnss, read_gnss
from terracube.processing.deformation.gnss import reading as gnss
from terracube.processing.deformation.gnss.comparing import compare_gnss, plot_gnss

_HEAD = (
    "site YYMMMDD yyyy.yyyy __MJD week d reflon _e0(m) __east(m) ____n0(m) _north(m) u0(m) ____up(m) _ant(m) "
    "sig_e(m) sig_n(m) sig_u(m) __corr_en __corr_eu __corr_nu _latitude(deg) _longitude(deg) __height(m)"
)
_LINES = (
    "ABCD 99DEC31 1999.9973 51543 1042 5 -99.1 -5 0.990000 2142 0.100000 2200 0.500000 0.0 0.0010 0.0012 0.0040 "
    "0.1 -0.2 0.3 19.42 -259.14 2200.5",
    "ABCD 00JAN02 2000.0027 51545 1043 0 -99.1 -4 0.010000 2142 0.100000 2200 0.480000 0.0 0.0010 0.0012 0.0040 "
    "0.1 -0.2 0.3 19.42 -259.14 2200.5",
)
_TABLE = (
    "time,east,north,up,std_east,std_north,std_up\n2020-01-02T12:00Z,2,0,-4,1,1,3\n2020-01-01T12:00,1,0,-2,1,1,3\n\n"
    "2020-01-03,3,,-6,1,1,3\n"
)


def _file(folder: Path, text: str, name: str = "ABCD.tenv3") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_tenv3(tmp_path: Path) -> None:
    """Days at noon, whole metres that change, both centuries, longitudes below -180."""
    found = read_gnss(_file(tmp_path, "\n".join((_HEAD, *_LINES))))
    assert found["time"].values.astype("datetime64[h]").astype(str).tolist() == ["1999-12-31T12", "2000-01-02T12"]
    np.testing.assert_allclose(found["east"].values, [0, 0.02], atol=1e-12)
    np.testing.assert_allclose(found["up"].values, [0, -0.02], atol=1e-12)
    assert found["std_north"].values.tolist() == [0.0012, 0.0012]
    assert found["correlation_eu"].values.tolist() == [-0.2, -0.2]
    assert found.attrs["station"] == "ABCD"
    np.testing.assert_allclose([found.attrs["latitude"], found.attrs["longitude"]], [19.42, 100.86])


def test_tenv3_without_its_place(tmp_path: Path) -> None:
    """Older files do not tell where the station stands: it is asked for."""
    short = ["\n".join(" ".join(line.split()[:20]) for line in (_HEAD, *_LINES))]
    path = _file(tmp_path, short[0])
    with pytest.raises(MetadataError, match="where the station stands"):
        read_gnss(path)
    assert read_gnss(path, at=(19.42, -99.14), name="here").attrs["station"] == "here"


def test_table(tmp_path: Path) -> None:
    """A table tells no unit: it is asked for; lines are put in order, and those that are not whole left out."""
    path = _file(tmp_path, _TABLE, "roof.csv")
    with pytest.raises(MetadataError, match="unit"):
        read_gnss(path, at=(1, 2))
    found = read_gnss(path, unit="mm", at=(1, 2))
    np.testing.assert_allclose(found["east"].values, [0, 1e-3])
    np.testing.assert_allclose(found["std_up"].values, [3e-3, 3e-3])
    assert found["correlation_en"].values.tolist() == [0, 0]
    assert found.attrs["station"] == "roof"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        (_HEAD, "empty"),
        (_HEAD + "\nABCD 00JAN01", "not whole"),
        ("\n".join((_HEAD, _LINES[0].replace("99DEC31", "99DEX31"))), "is none"),
        ("\n".join((_HEAD, _LINES[0].replace("0.990000", "x"))), "no number"),
        ("\n".join((_HEAD.replace("YYMMMDD", "day"), _LINES[0])), "missing"),
        ("\n".join((_HEAD.replace("sig_e(m)", "s"), _LINES[0])), "missing"),
        ("\n".join((_HEAD, _LINES[0], _LINES[0])), "twice"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, what: str) -> None:
    """What is no such file is refused with the reason."""
    with pytest.raises(AssetError, match=what):
        read_gnss(_file(tmp_path, text))


@pytest.mark.parametrize("text", ["east\n1\n", "time,east\nnoon,1\n"])
def test_tables_without_dates(tmp_path: Path, text: str) -> None:
    """A table without dates, or with words for them, is refused."""
    with pytest.raises(AssetError, match="date of the series"):
        read_gnss(_file(tmp_path, text, "a.csv"), unit="m", at=(1, 2))


def test_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, bytes that are no text, a file that is too large, and one without a whole line."""
    with pytest.raises(AssetError, match="cannot be read"):
        read_gnss(tmp_path / "none.tenv3")
    (tmp_path / "b.tenv3").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AssetError, match="cannot be read"):
        read_gnss(tmp_path / "b.tenv3")
    bad = _LINES[0].replace("0.0010", "0.0")
    with pytest.raises(EmptyResultError, match="no line"):
        read_gnss(_file(tmp_path, "\n".join((_HEAD, bad))))
    monkeypatch.setattr(gnss, "_LARGEST", 10)
    with pytest.raises(HostileInputError, match="too large"):
        read_gnss(tmp_path / "ABCD.tenv3")


def _station(
    name: str, lat: float, lon: float, rate: tuple[float, float, float], seed: int | None = None
) -> xr.Dataset:
    times = np.datetime64("2020-01-01T12", "ns") + np.arange(0, 400) * np.timedelta64(1, "D")
    years = np.arange(400) / 365.25
    noise = np.zeros((3, 400)) if seed is None else np.random.default_rng(seed).normal(0, 0.003, (3, 400))
    data: dict[str, Any] = {
        axis: ("time", rate[n] * years + noise[n]) for n, axis in enumerate(("east", "north", "up"))
    }
    data |= {f"std_{axis}": ("time", np.full(400, 0.003)) for axis in ("east", "north", "up")}
    return xr.Dataset(data, coords={"time": times}, attrs={"station": name, "latitude": lat, "longitude": lon})


_VECTOR = (-0.6, -0.1, float(np.sqrt(1 - 0.37)))


def _series(rate: tuple[float, float, float], *, noise: float = 0.0) -> xr.Dataset:
    """Radar around 45 N 3 E in UTM, pixels of 40 m."""
    times = np.datetime64("2020-01-10", "ns") + np.arange(0, 360, 24) * np.timedelta64(1, "D")
    years = (times - times[0]) / np.timedelta64(1, "D") / 365.25
    shape = (times.size, 21, 25)
    towards = float(np.dot(rate, _VECTOR))
    moved = np.broadcast_to(towards * years[:, None, None], shape) + 0.5
    if noise:
        moved = moved + np.random.default_rng(5).normal(0, noise, (times.size, 1, 1))
    data: dict[str, Any] = {
        "displacement": (("time", "y", "x"), moved.astype("float32"), {"units": "m"}),
        "std_network": (("time", "y", "x"), np.full(shape, max(noise, 0.002), "float32")),
        "los_east": _VECTOR[0],
        "los_north": _VECTOR[1],
        "los_up": _VECTOR[2],
    }
    # 45 N, 3 E is the middle of zone 31: easting 500 km, northing 4982950.4 m.
    coords = {
        "time": times,
        "y": 4982950.4 - 40.0 * (np.arange(21) - 10),
        "x": 500000.0 + 40.0 * (np.arange(25) - 12),
        "spatial_ref": xr.DataArray(0, attrs={"crs_wkt": "EPSG:32631"}),
    }
    return xr.Dataset(data, coords=coords)


_RATE = (0.02, -0.01, -0.03)


@pytest.mark.parametrize(
    "time",
    ["now", "today", "9999-01-01", "1815-03-31", "2020-01-01T00:00:00+05:00", "2020-13-01", "NaT", "x" * 200_000],
)
def test_dates_of_tables_are_dates(tmp_path: Path, time: str) -> None:
    """Words, dates out of the time of such stations, other zones and cells without end are refused."""
    path = tmp_path / "odd.csv"
    path.write_text(f"time,east,north,up,std_east,std_north,std_up\n2020-01-01,0,0,0,1,1,1\n{time},0,0,0,1,1,1\n")
    with pytest.raises(AssetError):
        read_gnss(path, unit="m", at=(0, 0))


def test_windows_have_a_length() -> None:
    """A window of no or endless days is refused, one of a century is not."""
    days = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    for window in (0.0, -1.0, np.nan, 1e6, np.inf):
        with pytest.raises(InputError, match="window"):
            at_times(days, np.ones(2), np.ones(2), days, window=window)
    assert at_times(days, np.ones(2), np.ones(2), days, window=36_525.0)[0].tolist() == [1.0, 1.0]


def test_projection_uses_the_correlations() -> None:
    """Motion is the scalar product; the variance is that of a quadratic form with the correlations."""
    station = _station("A", 45, 3, _RATE).assign(correlation_eu=("time", np.full(400, 0.5)))
    motion, std = project_gnss(station, _VECTOR)
    np.testing.assert_allclose(motion[-1], np.dot(_RATE, _VECTOR) * 399 / 365.25)
    expected = 0.003 * np.sqrt(1 + 2 * 0.5 * _VECTOR[0] * _VECTOR[2])
    np.testing.assert_allclose(std, expected, rtol=1e-9)


def test_days_around_a_date() -> None:
    """Days beyond the window do not count, and a date without any has no value."""
    days = np.datetime64("2020-01-01", "ns") + np.arange(5) * np.timedelta64(1, "D")
    wanted = np.array(["2020-01-02", "2020-03-01"], "datetime64[ns]")
    value, std = at_times(days, np.arange(5.0), np.array([1, 1, 0.5, 1, 1]), wanted, window=1.0)
    np.testing.assert_allclose(value, [(0 + 1 + 8) / 6, np.nan])
    np.testing.assert_allclose(std, [6**-0.5, np.nan])


@pytest.mark.parametrize("lazy", [False, True])
def test_equal_motion_has_no_difference(lazy: bool) -> None:
    """Radar that sees what the station does differs by a constant only, which is taken out."""
    series = _series(_RATE)
    found = compare_gnss(series.chunk({"time": 4, "y": 7}) if lazy else series, [_station("A", 45.0, 3.0, _RATE)])
    assert float(found["rmse"][0]) < 1e-4
    np.testing.assert_allclose(found["velocity_insar"], np.dot(_RATE, _VECTOR), atol=1e-6)
    np.testing.assert_allclose(found["velocity_gnss"], np.dot(_RATE, _VECTOR), atol=1e-3)
    assert int(found["n_dates"][0]) == series.sizes["time"]
    # Centres within 100 m of 40 m pixels.
    assert int(found["n_pixels"][0]) == 21
    np.testing.assert_allclose(found["insar"].values[0, 0], 0.5, atol=1e-6)


def test_difference_of_rates_is_found() -> None:
    """A drift of radar against the station comes out with an error that covers it."""
    wrong = (_RATE[0], _RATE[1], _RATE[2] + 0.01)
    found = compare_gnss(_series(wrong, noise=0.002), [_station("A", 45.0, 3.0, _RATE, seed=3)])
    drift, spread = float(found["velocity_difference"][0]), float(found["velocity_difference_std"][0])
    assert abs(drift - 0.01 * _VECTOR[2]) < 3 * spread
    assert 0.0005 < spread < 0.005
    assert 0.3 < float(compare_gnss(_series(_RATE, noise=0.002), [_station("A", 45, 3, _RATE, 3)])["chi2"][0]) < 2.5


def test_reference_station_takes_common_motion_out() -> None:
    """Motion that radar does not see, that of its reference, cancels against a station."""
    stations = [_station("A", 45.0, 3.0, _RATE), _station("B", 45.002, 3.003, _RATE)]
    still = _series((0.0, 0.0, 0.0))
    assert float(compare_gnss(still, stations)["rmse"][1]) > 5e-3
    found = compare_gnss(still, stations, reference="A")
    assert float(found["rmse"][1]) < 1e-6
    assert found.attrs["reference"] == "station A"
    assert np.isnan(float(found["chi2"][0])) or float(found["chi2"][0]) == 0


def test_stations_without_pixels() -> None:
    """A station outside and one on missing pixels stay in the table, empty; if there is no other, it is said."""
    series = _series(_RATE)
    series["displacement"][:, :5, :5] = np.nan
    lost = _station("gone", 45.0034, 2.9935, _RATE)
    far, good = _station("far", 10.0, 3.0, _RATE), _station("A", 45.0, 3.0, _RATE)
    found = compare_gnss(series, [far, good, lost], radius=0)
    assert found["n_pixels"].values.tolist() == [0, 1, 0]
    assert np.isnan(found["rmse"].values).tolist() == [True, False, True]
    with pytest.raises(EmptyResultError, match="no station"):
        compare_gnss(series, [far])


def test_station_without_common_dates() -> None:
    """A station of another time has no statistics, and no error either."""
    late = _station("A", 45.0, 3.0, _RATE)
    late = late.assign_coords(time=late["time"] + np.timedelta64(4000, "D"))
    found = compare_gnss(_series(_RATE), [late])
    assert float(found["n_dates"][0]) == 0
    assert np.isnan(float(found["velocity_difference"][0]))
    with pytest.raises(EmptyResultError, match="no station"):
        plot_gnss(found)


def test_geographic_grids() -> None:
    """Neighbourhoods are metres on grids of degrees too, and are not round there in pixels."""
    series = _series(_RATE).assign_coords(
        y=45.0 - 0.0005 * (np.arange(21) - 10),
        x=3.0 + 0.0005 * (np.arange(25) - 12),
        spatial_ref=xr.DataArray(0, attrs={"crs_wkt": "EPSG:4326"}),
    )
    found = compare_gnss(series, [_station("A", 45.0, 3.0, _RATE)], radius=80.0)
    # 0.0005 degrees: 55.6 m in latitude, 39.4 m in longitude.
    assert int(found["n_pixels"][0]) == 5 + 2 * 3


def test_one_row_of_pixels() -> None:
    """A strip of one pixel's height has its neighbours along it."""
    strip = _series(_RATE).isel(y=[10])
    transform = "499500 40 0 4982970.4 0 -40"
    strip["spatial_ref"] = xr.DataArray(0, attrs={"crs_wkt": "EPSG:32631", "GeoTransform": transform})
    assert int(compare_gnss(strip, [_station("A", 45.0, 3.0, _RATE)])["n_pixels"][0]) == 5


def test_one_pixel_is_not_everywhere() -> None:
    """A station stands in a series of one pixel only if it is within that pixel's size."""
    alone = _series(_RATE).isel(y=[10], x=[12])
    transform = "499980 40 0 4982970.4 0 -40"
    alone["spatial_ref"] = xr.DataArray(0, attrs={"crs_wkt": "EPSG:32631", "GeoTransform": transform})
    found = compare_gnss(alone, [_station("A", 45.0, 3.0, _RATE), _station("B", 50.0, 20.0, _RATE)])
    assert found["n_pixels"].values.tolist() == [1, 0]


def test_units_of_time_do_not_matter() -> None:
    """Slopes are per year, whether dates are in seconds or nanoseconds."""
    series, station = _series(_RATE), _station("A", 45.0, 3.0, _RATE)
    coarse = [each.assign_coords(time=each["time"].values.astype("datetime64[s]")) for each in (series, station)]
    found, expected = compare_gnss(coarse[0], [coarse[1]]), compare_gnss(series, [station])
    np.testing.assert_allclose(found["velocity_insar"].values, expected["velocity_insar"].values)
    np.testing.assert_allclose(found["velocity_difference_std"], expected["velocity_difference_std"])


def test_refusals() -> None:
    """Names, neighbourhoods and maps that will not do are refused."""
    series, station = _series(_RATE), _station("A", 45.0, 3.0, _RATE)
    with pytest.raises(InputError, match="names of their own"):
        compare_gnss(series, [station, station])
    with pytest.raises(InputError, match="neighbourhood"):
        compare_gnss(series, [station], radius=-1)
    with pytest.raises(InputError, match="no such station"):
        compare_gnss(series, [station], reference="B")
    with pytest.raises(InputError, match="no series"):
        compare_gnss(series.isel(time=3), [station])


def test_picture() -> None:
    """One panel per station, with what was found in its title."""
    stations = [_station("A", 45.0, 3.0, _RATE, 1), _station("B", 45.002, 3.003, _RATE, 2)]
    found = compare_gnss(_series(_RATE, noise=0.002), stations)
    figure = plot_gnss(found)
    assert isinstance(figure, Figure)
    assert [axis.get_title(loc="left")[:7] for axis in figure.axes] == ["A: RMSE", "B: RMSE"]
    assert len(plot_gnss(found, stations=["B"]).axes) == 1
    with pytest.raises(InputError, match="no such station"):
        plot_gnss(found, stations=["C"])
