"""The ENVISAT stack south of Sydney against the arrays that its origin computed: ramp, reference, rate and error."""

import numpy as np
import pytest
import xarray as xr

from terracube.cubes.grid import Grid
from terracube.cubes.layout import georeference
from terracube.processing.deformation.corrections import RampRules, correct_pair_ramps
from terracube.processing.deformation.model import fit
from terracube.processing.deformation.reference import apply_reference

WRITTEN = 1e-3
"""Half of the last digit with which the origin writes its arrays as text, on both sides, mm."""


@pytest.fixture(scope="module")
def real(data_dir):
    """The folder of the stack."""
    return data_dir / "insar" / "sydney-envisat"


@pytest.fixture(scope="module")
def grid(real):
    """Its grid, 72 x 47 pixels."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(next(iter(sorted((real / "tif").glob("geo_*.tif"))))) as file:
        return Grid.from_affine(file.crs.to_string(), file.transform, file.shape)


@pytest.fixture(scope="module")
def names(real):
    """Names of the 17 pairs, in order."""
    return sorted(path.name[7:27].split("geo_")[-1][:13] for path in (real / "prepifg_output").glob("ifg_mm_*"))


def arrays(folder, start, names):
    """Read the origin's text arrays of all pairs, (pair, y, x), mm."""
    return np.stack([np.genfromtxt(folder / f"{start}geo_{name}.unw.csv", delimiter=",") for name in names])


@pytest.fixture(scope="module")
def raw(real, names):
    """Pairs as they are, mm away from the satellite."""
    return arrays(real / "prepifg_output", "ifg_mm_", names)


@pytest.fixture(scope="module")
def level(real, names):
    """Pairs without their planes, by the origin."""
    return arrays(real / "orbital_error_correction", "ifg_orb_planar_1lks_method1_", names)


def stacked(values, names, grid):
    """Make a stack of arrays (pair, y, x)."""
    ends = np.array([[f"20{one[:2]}-{one[2:4]}-{one[4:]}" for one in name.split("-")] for name in names])
    coords = {
        key: ("pair", ends[:, at].astype("datetime64[ns]"))
        for at, key in enumerate(("reference_time", "secondary_time"))
    }
    stack = xr.Dataset({"unwrapped_phase": (("pair", "y", "x"), values.astype("float32"))}, coords=coords)
    attrs = {"wavelength": 0.0562356424, "phase_sign": "grows with distance"}
    return georeference(stack, grid).assign_attrs(attrs)


def test_planes(raw, level, names, grid):
    """The plane of each pair, by its own pixels, is the origin's: to the last digit that it writes, 0.001 mm."""
    fixed = correct_pair_ramps(stacked(raw, names, grid), rules=RampRules(significance=None))
    away = (raw - fixed["unwrapped_phase"].values) - (raw - level)
    away -= np.nanmean(away, axis=(1, 2), keepdims=True)
    assert np.array_equal(np.isnan(away), np.isnan(raw))
    assert np.nanmax(np.abs(away)) <= 1.1 * WRITTEN
    assert np.nanmax(np.abs(raw - level)) > 10


def test_planes_are_tested_by_default(raw, names, grid):
    """Few of these planes stand out of the atmosphere: the pixels are worth 4 to 70 independent ones."""
    fixed = correct_pair_ramps(stacked(raw, names, grid))
    independent = fixed["ramp_elevation_independent_pixels"].values[:, 0]
    assert (independent > 3).all()
    assert (independent < 100).all()
    removed = fixed["ramp_elevation_removed"].values[:, 0]
    assert 0 < removed.sum() < 8
    assert (fixed["ramp_elevation_partial_r2"].values[removed, 0] > 0.4).all()
    for pair in np.flatnonzero(~removed):
        assert np.array_equal(fixed["unwrapped_phase"].values[pair], raw[pair].astype("float32"), equal_nan=True)


def test_reference_of_the_whole_scene(real, level, names):
    """The origin's first way: the median of the pixels that all pairs have."""
    known = arrays(real / "ref_phase_est", "ifg_orb_and_ref_phase_corrected", names)
    whole = np.isfinite(level).all(axis=0)
    taken = np.median(level[:, whole], axis=1)
    assert whole.sum() == 2212
    assert np.nanmax(np.abs(level - taken[:, None, None] - known)) <= 1.5 * WRITTEN


def test_reference_of_an_area(real, level, names, grid):
    """The origin's second way: the median of 5 x 5 pixels around row 58, column 38."""
    known = arrays(real / "ref_phase_est", "ifg_orb_and_ref_phase_corrected_method2", names)
    stack = stacked(level, names, grid)
    y, x = stack["y"].values, stack["x"].values
    half = abs(y[1] - y[0]) / 2
    area = (x[36] - half, y[60] - half, x[40] + half, y[56] + half)
    found = apply_reference(stack, area, statistic="median")
    assert np.nanmax(np.abs(found["unwrapped_phase"].values - known)) <= 1.5 * WRITTEN


def test_linear_rate_and_its_error(real, grid, names):
    """Rate and standard error of the origin's series: to 3e-6 and 1e-6 mm/year."""
    known = {name: np.load(real / "linrate" / f"linear_{name}.npy") for name in ("rate", "error", "samples")}
    series = np.load(real / "linrate" / "tscuml_0.npy")
    solved = np.isfinite(known["rate"])
    values = np.concatenate([np.where(solved, 0.0, np.nan)[None], np.moveaxis(series, 2, 0)])
    dates = sorted({one for name in names for one in name.split("-")})
    times = np.array([f"20{one[:2]}-{one[2:4]}-{one[4:]}" for one in dates], "datetime64[ns]")
    data = xr.Dataset({"displacement": (("time", "y", "x"), values.astype("float32") / 1000)}, coords={"time": times})
    found = fit(georeference(data, grid).assign_attrs(reference_date=str(times[0])[:10]), model="linear")
    rate, error = (found[name].values * 1000 for name in ("velocity", "velocity_std"))
    assert np.array_equal(np.isfinite(rate), solved)
    assert set(np.unique(known["samples"][solved])) == {12.0, 13.0}
    assert np.abs(rate - known["rate"])[solved].max() <= 3e-6
    assert np.abs(error - known["error"])[solved].max() <= 1e-6
