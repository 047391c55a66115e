"""Argo: profiles read as an independent reader reads them, adjusted where they are, flags as QARTOD's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.ingest.insitu.formats import argo, netcdf
from terracube.ingest.insitu.formats._common import depth_of_pressure
from terracube.ingest.insitu.table import check

#: Of each fuzzing test; `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("TERRACUBE_FUZZ", "40"))

PLACES = ["aoml/13857/13857_prof.nc", "csio/2902696/2902696_prof.nc", "coriolis/3902131/3902131_Sprof.nc"]
NAMES = {
    "PRES": "pressure",
    "TEMP": "water_temperature",
    "PSAL": "practical_salinity",
    "DOXY": "dissolved_oxygen_content",
}


@pytest.mark.parametrize("place", PLACES)
def test_real_files_equal_xarray(place: str, data_dir: Path) -> None:
    """Profiles, times, positions and every measured or adjusted value are those that xarray gives."""
    path = data_dir / "insitu" / "argo" / place
    assert argo.recognise(path)
    assert not netcdf.recognise(path)
    found = argo.read(path)
    check(found.table)
    with xr.open_dataset(path, decode_timedelta=False) as told:
        for name in sorted(set(NAMES) & set(told.variables)):
            raw, adjusted = told[name].to_numpy(), told[f"{name}_ADJUSTED"].to_numpy()
            use = np.isfinite(adjusted)  # only profiles in mode D or A have any
            expected = np.where(use, adjusted, raw).astype("float64")
            rows = found.table[found.table["variable"] == NAMES[name]]
            assert len(rows) == np.isfinite(expected).sum()
            np.testing.assert_array_equal(rows["value"], expected[np.isfinite(expected)])
            assert rows["method"].str.contains("adjusted").sum() == use.sum()
        assert len(found.table["time"].unique()) == len(np.unique(told["JULD"]))
        times = found.table["time"].drop_duplicates().dt.tz_localize(None).sort_values().to_numpy()
        gap = np.abs(times - np.unique(told["JULD"].to_numpy()).astype("M8[us]"))
        assert gap.max() <= np.timedelta64(2, "us")
        assert set(found.table["station"]) == {path.parent.name}
        np.testing.assert_allclose(sorted(set(found.table["lat"])), np.unique(told["LATITUDE"]))


def test_real_file_of_another_type(data_dir: Path) -> None:
    """A file of a float's metadata is told to be that."""
    path = data_dir / "insitu" / "argo" / "csio" / "2902696" / "2902696_meta.nc"
    assert argo.recognise(path)
    with pytest.raises(MetadataError, match=r"no file of Argo profiles.*Argo meta-data"):
        argo.read(path)


def test_depth_by_the_check_value() -> None:
    """The depth of 10 000 dbar at 30 degrees is the report's check value; it grows with pressure."""
    assert depth_of_pressure(np.array(10_000.0), np.array(30.0)) == pytest.approx(9712.653, abs=1e-3)
    assert (np.diff(depth_of_pressure(np.linspace(0, 11_000, 100), np.array(-60.0))) > 0).all()


def _letters(texts: list[str], width: int) -> np.ndarray:
    return netCDF4.stringtochar(np.array([text.ljust(width) for text in texts], f"S{width}"))


def write(path: Path, *, mode: str = "D", change: Callable[[netCDF4.Dataset], None] | None = None) -> None:
    """Write two profiles of three levels by the user's manual, version 3.1."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as data:
        data.setncatts({"Conventions": "Argo-3.1 CF-1.6", "featureType": "trajectoryProfile", "title": "test"})
        for name, size in {"N_PROF": 2, "N_LEVELS": 3, "N_PARAM": 3, "STRING16": 16, "STRING8": 8}.items():
            data.createDimension(name, size)

        def put(name: str, kind: str, dimensions: tuple[str, ...], values: object, **told: object) -> None:
            variable = data.createVariable(name, kind, dimensions, fill_value=told.pop("fill", None))
            variable.setncatts(told)
            variable[...] = values

        put("DATA_TYPE", "S1", ("STRING16",), _letters(["Argo profile"], 16)[0])
        put("PLATFORM_NUMBER", "S1", ("N_PROF", "STRING8"), _letters(["1900001", "1900001"], 8))
        names = np.array([_letters(["PRES", "TEMP", "ZORK"], 16)] * 2)
        put("STATION_PARAMETERS", "S1", ("N_PROF", "N_PARAM", "STRING16"), names)
        put("DATA_MODE", "S1", ("N_PROF",), np.array([mode, "R"], "S1"))
        put("JULD", "f8", ("N_PROF",), [25_567.5, 25_577.5], fill=999_999.0, units="days since 1950-01-01 00:00:00 UTC")
        put("JULD_QC", "S1", ("N_PROF",), np.array(["1", "1"], "S1"))
        put("LATITUDE", "f8", ("N_PROF",), [10.0, 11.0], fill=99_999.0, units="degree_north")
        put("LONGITUDE", "f8", ("N_PROF",), [-20.0, 185.0], fill=99_999.0, units="degree_east")
        put("POSITION_QC", "S1", ("N_PROF",), np.array(["1", "8"], "S1"))
        level = ("N_PROF", "N_LEVELS")
        tables = {
            "PRES": (
                [[5, 10, 15], [6, 12, 99_999]],
                ["111", "11 "],
                [[6, 11, 16], [99_999] * 3],
                ["111", "   "],
                "decibar",
            ),
            "TEMP": (
                [[20, 19, 18], [21, 20, 99_999]],
                ["114", "29 "],
                [[20.5, 19.5, 99_999], [99_999] * 3],
                ["184", "   "],
                "degree_Celsius",
            ),
        }
        for name, (raw, qc, adjusted, adjusted_qc, units) in tables.items():
            put(name, "f4", level, raw, fill=99_999.0, units=units)
            put(f"{name}_QC", "S1", level, np.array([list(row) for row in qc], "S1"))
            put(f"{name}_ADJUSTED", "f4", level, adjusted, fill=99_999.0, units=units)
            put(f"{name}_ADJUSTED_QC", "S1", level, np.array([list(row) for row in adjusted_qc], "S1"))
        put("ZORK", "f4", level, 1.0, fill=99_999.0, units="1")
        if change:
            change(data)


def _temperature(path: Path) -> pd.DataFrame:
    found = argo.read(path)
    check(found.table)
    return found.table[found.table["variable"] == "water_temperature"].reset_index(drop=True)


def test_adjusted_values_and_flags(tmp_path: Path) -> None:
    """Mode D is adjusted, an impossible adjustment keeps the measured value as failed, mode R is as measured."""
    path = tmp_path / "a.nc"
    write(path)
    rows = _temperature(path)
    assert rows["value"].tolist() == [20.5, 19.5, 18.0, 21.0, 20.0]
    assert rows["qc"].tolist() == [1, 2, 4, 1, 3]
    assert rows["qc_tests"].tolist() == ["", "interpolated:2", "argo_qc:4", "", "argo_qc:3"]
    assert rows["method"].str.contains("as measured").tolist() == [False, False, True, True, True]
    np.testing.assert_allclose(rows["depth"][:3], depth_of_pressure(np.array([6.0, 11, 16]), np.array(10.0)))
    assert rows["lon"].tolist() == [-20.0] * 3 + [-175.0] * 2
    assert rows["source"][4] == "a.nc:N_PROF=1,N_LEVELS=1"
    assert [(i.field, i.action) for i in argo.read(path).issues] == [("ZORK", "left out")]


def test_real_time_ignores_adjusted(tmp_path: Path) -> None:
    """A profile in real time is read as measured, whatever its adjusted variables hold."""
    path = tmp_path / "a.nc"
    write(path, mode="R")
    assert _temperature(path)["value"].tolist()[:3] == [20.0, 19.0, 18.0]


def test_mode_per_parameter(tmp_path: Path) -> None:
    """PARAMETER_DATA_MODE rules each parameter alone."""

    def modes(data: netCDF4.Dataset) -> None:
        variable = data.createVariable("PARAMETER_DATA_MODE", "S1", ("N_PROF", "N_PARAM"))
        variable[:] = np.array([list("DRD"), list("RRR")], "S1")

    path = tmp_path / "a.nc"
    write(path, change=modes)
    rows = _temperature(path)
    assert rows["value"].tolist()[:3] == [20.0, 19.0, 18.0]
    np.testing.assert_allclose(rows["depth"][:3], depth_of_pressure(np.array([6.0, 11, 16]), np.array(10.0)))


def test_bad_place_time_and_pressure(tmp_path: Path) -> None:
    """What is wrong with position, time or pressure counts for what was measured there."""

    def spoil(data: netCDF4.Dataset) -> None:
        data["POSITION_QC"][:] = np.array(["4", "9"], "S1")
        data["PRES_ADJUSTED_QC"][0] = np.array(list("143"), "S1")
        data["PRES_ADJUSTED"][0] = [6, 99_999, 16]

    path = tmp_path / "a.nc"
    write(path, change=spoil)
    rows = _temperature(path)
    assert rows["qc"].tolist()[:3] == [4, 4, 4]
    assert rows["qc_tests"].tolist()[1] == "pressure:4,position:4,interpolated:2"
    assert np.isnan(rows["depth"].to_numpy()[1])
    assert rows["lon"].isna().tolist() == [False] * 3 + [True] * 2
    assert any(issue.value == "N_PROF=1" for issue in argo.read(path).issues)


def test_profile_without_a_time(tmp_path: Path) -> None:
    """A profile whose time is missing is left out and told."""

    def spoil(data: netCDF4.Dataset) -> None:
        data["JULD"][0] = 999_999.0

    path = tmp_path / "a.nc"
    write(path, change=spoil)
    assert len(_temperature(path)) == 2
    assert ("JULD", "N_PROF=0", "left out") in [(i.field, i.value, i.action) for i in argo.read(path).issues]


def test_flag_of_a_missing_value(tmp_path: Path) -> None:
    """Flag 9 without a value is a missing observation, not nothing."""

    def spoil(data: netCDF4.Dataset) -> None:
        data["TEMP"][1, 1] = 99_999.0

    path = tmp_path / "a.nc"
    write(path, change=spoil)
    row = _temperature(path).iloc[4]
    assert np.isnan(row["value"])
    assert row["qc"] == 9


@pytest.mark.parametrize("name", ["JULD", "LATITUDE", "PLATFORM_NUMBER", "STATION_PARAMETERS", "DATA_MODE", "PRES"])
def test_missing_variables(name: str, tmp_path: Path) -> None:
    """A file that lacks what a profile needs is refused by its name."""
    path = tmp_path / "a.nc"
    write(path, change=lambda data: data.renameVariable(name, "GONE"))
    with pytest.raises((MetadataError, AssetError), match=name):
        argo.read(path)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_files(changes: list[tuple[int, int]], tmp_path: Path) -> None:
    """Whatever bytes are changed, a file is read to a table that holds, or refused in our words."""
    path, other = tmp_path / "a.nc", tmp_path / "b.nc"
    if not path.exists():
        write(path)
    raw = bytearray(path.read_bytes())
    for place, value in changes:
        raw[place % len(raw)] = value
    other.write_bytes(bytes(raw))
    with contextlib.suppress(TerraCubeError):
        check(argo.read(other).table)
