"""Glint that was added is taken off again; what cannot be corrected is missing, and said."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.processing.water.correction import (
    CorrectionRules,
    correct,
    fresnel_reflectance,
    glint_ratio,
    refractive_index,
)
from terracube.processing.water.masks.flags import BITS, flag_attrs
from terracube.processing.water.noise import band_noise
from terracube.processing.water.products import retrieve
from terracube.processing.water.sensors import load_water_sensor

GLINT, NEGATIVE = 1 << BITS["glint"], 1 << BITS["negative"]
WATER = {"blue": 0.03, "green": 0.04, "red": 0.02, "nir": 0.0, "swir16": 0.0, "swir22": 0.0}


def lake(glint: np.ndarray, factors: dict[str, float] | None = None, dtype: str = "float32") -> xr.Dataset:
    """Make a cube of uniform water with glint on it."""
    dims = ("time", "y", "x")[-glint.ndim :]
    bands = {
        name: (dims, (value + glint * (factors or {}).get(name, 1.0)).astype(dtype)) for name, value in WATER.items()
    }
    cube = xr.Dataset(bands, attrs={"quantity": "rhos", "sensor": "S2A_MSI"})
    coords = {"y": 4e6 - 20.0 * np.arange(glint.shape[-2]) - 10, "x": 5e5 + 20.0 * np.arange(glint.shape[-1]) + 10}
    if glint.ndim == 3:
        coords["time"] = np.array([f"2020-06-{day + 1:02d}T10:00" for day in range(len(glint))], "datetime64[ns]")
    placed: xr.Dataset = cube.assign_coords(coords).rio.write_crs("EPSG:32633")
    return placed


def swell(*shape: int, seed: int = 1) -> np.ndarray:
    """Make glint between 0 and 0.04."""
    return np.random.default_rng(seed).uniform(0, 0.04, shape)


def test_refractive_index_of_the_release() -> None:
    """The values printed with the formulation are met (IAPWS R9-97, table 3)."""
    assert refractive_index(589.3, temperature=25, density=997.047435) == pytest.approx(1.33285819, abs=1e-8)
    assert refractive_index(226.5, temperature=25, density=997.047435) == pytest.approx(1.39277824, abs=1e-8)


@pytest.mark.parametrize("wavelength", [100.0, 3000.0, math.nan])
def test_refractive_index_out_of_range(wavelength: float) -> None:
    """Beyond the formula nothing is said."""
    with pytest.raises(InputError, match="no refractive index"):
        refractive_index(wavelength)


def test_fresnel_at_its_known_angles() -> None:
    """Straight down ((n-1)/(n+1))^2, at the angle of Brewster half of the crossed part, at 90 degrees all."""
    index = 1.34
    brewster = math.degrees(math.atan(index))
    crossed = ((index**2 - 1) / (index**2 + 1)) ** 2
    assert fresnel_reflectance(index) == pytest.approx(((index - 1) / (index + 1)) ** 2)
    assert fresnel_reflectance(index, brewster) == pytest.approx(crossed / 2)
    assert fresnel_reflectance(index, 90) == 1.0
    with pytest.raises(InputError, match="angle"):
        fresnel_reflectance(index, 91)


@given(st.floats(400, 2300), st.floats(0, 60))
@settings(max_examples=25, deadline=None)
def test_glint_is_stronger_at_shorter_waves(wavelength: float, angle: float) -> None:
    """The index falls with the wavelength, and so does the mirroring."""
    assert glint_ratio(wavelength, wavelength + 50, angle) > 1
    assert glint_ratio(wavelength, wavelength, angle) == 1


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_swir_takes_grey_glint_off(lazy: bool, dtype: str) -> None:
    """What was added to all bands is gone, in the type of the bands, lazy where the cube is lazy."""
    cube = lake(swell(2, 6, 5), dtype=dtype)
    done = correct(cube.chunk(y=3, x=2) if lazy else cube, "swir")
    assert bool(done.chunks) is lazy
    for name, value in WATER.items():
        assert done[name].dtype == dtype
        assert done[name].dims == ("time", "y", "x")
        np.testing.assert_allclose(done[name].values, value, atol=1e-7)
    assert done.attrs["quantity"] == "rhow"
    assert "swir22 subtracted" in done.attrs["correction"]
    assert "no full atmospheric" in done.attrs["history"]
    assert cube.attrs["quantity"] == "rhos"
    assert done.rio.crs.to_epsg() == done["flags"].rio.crs.to_epsg() == 32633


def test_swir_may_be_the_other_band() -> None:
    """The black band is the one that is named."""
    cube = lake(swell(4, 4))
    cube["swir22"] = cube["swir22"] * 0 + 0.5
    np.testing.assert_allclose(correct(cube, "swir", swir="swir16")["red"].values, WATER["red"], atol=1e-7)


def test_spectral_glint_is_taken_off() -> None:
    """Glint that follows Fresnel's law over the bands of the sensor is gone, also at another angle."""
    known = load_water_sensor("S2A_MSI")
    for angle in (0.0, 25.0):
        ratios = {
            name: glint_ratio(known.band(name).wavelength, known.band("swir16").wavelength, angle) for name in WATER
        }
        cube = lake(swell(5, 5), ratios, "float64")
        done = correct(cube, "glint", rules=CorrectionRules(incidence=angle))
        for name, value in WATER.items():
            np.testing.assert_allclose(done[name].values, value, atol=1e-12)
    assert "Fresnel" in done.attrs["correction"]
    grey = correct(cube, "swir", swir="swir16")
    assert float(abs(grey["blue"] - WATER["blue"]).max()) > 1e-3


def test_spectral_glint_needs_the_sensor() -> None:
    """Without wavelengths there is no ratio."""
    cube = lake(swell(3, 3))
    del cube.attrs["sensor"]
    with pytest.raises(InputError, match="not said which sensor"):
        correct(cube, "glint")


def test_hedley_recovers_the_slopes_of_every_date() -> None:
    """Slopes and minimum of the deep water are those that were put in, and the glint is gone everywhere."""
    slopes = {"blue": 0.9, "green": 1.1, "red": 1.2, "swir16": 0.7, "swir22": 0.5}
    cube = lake(swell(2, 12, 12), slopes, "float64")
    deep = xr.DataArray(np.arange(12) < 6, dims="y", coords={"y": cube["y"]}) & (cube["x"] == cube["x"])
    shallow = cube.assign({name: cube[name] + 0.02 * ~deep for name in ("blue", "green")})
    done = correct(shallow, "hedley", deep=deep)
    for name, slope in slopes.items():
        np.testing.assert_allclose(done[f"hedley_slope_{name}"].values, slope, rtol=1e-9)
    assert done["hedley_count"].values.tolist() == [72, 72]
    least = cube["nir"].where(deep).min(["y", "x"])
    np.testing.assert_array_equal(done["hedley_least"].values, least.values)
    bright = xr.full_like(cube["green"], 0.02) * ~deep
    # The minimum holds a little glint, as the method says.
    left = (done["green"] - bright - WATER["green"] - 1.1 * least).values
    np.testing.assert_allclose(left, 0, atol=1e-12)


@pytest.mark.parametrize(("rows", "cols", "lazy"), [(270, 300, False), (100, 133, True), (256, 77, False)])
def test_hedley_does_not_depend_on_chunks(rows: int, cols: int, lazy: bool) -> None:
    """The same to the bit however the scene is cut, also beyond one tile of 256 pixels."""
    cube = lake(swell(270, 300), {"red": 1.3}).drop_vars(["blue", "green", "swir16"])
    deep = cube["nir"] < 0.03
    whole = correct(cube, "hedley", deep=deep)
    cut = correct(cube.chunk(y=rows, x=cols), "hedley", deep=deep.chunk(y=cols, x=rows) if lazy else deep)
    assert cut["hedley_slope_red"].chunks is not None
    xr.testing.assert_identical(cut.compute(), whole)


def test_hedley_of_a_date_without_deep_water_is_missing() -> None:
    """Where nothing tells the slope nothing is corrected, and the count says why."""
    cube = lake(swell(2, 4, 4))
    deep = xr.DataArray(np.array([True, False]), dims="time", coords={"time": cube["time"]}) & cube["nir"].notnull()
    done = correct(cube.chunk(time=1), "hedley", deep=deep)
    assert np.isfinite(done["red"].values[0]).all()
    assert np.isnan(done["red"].values[1]).all()
    assert np.isnan(done["nir"].values[1]).all()
    assert done["hedley_count"].values.tolist() == [16, 0]


def test_hedley_asks_for_deep_water_and_a_crs() -> None:
    """Neither is guessed."""
    cube = lake(swell(4, 4))
    with pytest.raises(InputError, match="deep water"):
        correct(cube, "hedley")
    with pytest.raises(InputError, match="other pixels"):
        correct(cube, "hedley", deep=cube["nir"].isel(y=slice(2)) < 1)
    with pytest.raises(InputError, match="true or false"):
        correct(cube, "hedley", deep=cube["nir"])
    with pytest.raises(MetadataError):
        correct(cube.drop_vars("spatial_ref"), "hedley", deep=cube["nir"].drop_vars("spatial_ref") < 1)


def test_nothing_taken_off_is_declared() -> None:
    """None changes no value, and says so."""
    cube = lake(swell(3, 3))
    done = correct(cube, None)
    xr.testing.assert_equal(done[list(WATER)], cube)
    assert done.attrs["quantity"] == "rhow"
    assert "nothing taken off" in done.attrs["correction"]
    assert "residual correction" not in done.attrs["correction"]


def test_flags_of_glint_and_negative_reflectance() -> None:
    """High glint and values below zero are flagged; flags that were there are kept."""
    cube = lake(np.array([[0.0, 0.02, 0.05]]))
    cube["red"] = cube["red"] - np.float32(0.03) * (cube["x"] < 5e5 + 20)
    cube["flags"] = (("y", "x"), np.array([[64, 64, 0]], "uint16"), flag_attrs())
    done = correct(cube, "swir")
    assert done["flags"].values.tolist() == [[64 | NEGATIVE, 64, GLINT]]
    assert done["flags"].dtype == np.uint16
    assert done["red"].values[0, 0] == pytest.approx(-0.01)


@pytest.mark.parametrize(
    ("dtype", "attrs"),
    [
        ("int64", {"flag_masks": [1, 2], "flag_meanings": "invalid land"}),
        ("uint16", {}),
        ("float32", flag_attrs()),
        ("uint16", flag_attrs() | {"flag_masks": [2 << bit for bit in BITS.values()]}),
    ],
)
def test_flags_of_another_meaning(dtype: str, attrs: dict[str, Any]) -> None:
    """Flags of another processor are neither read as ours nor lost: they have to have another name."""
    cube = lake(np.full((1, 2), 0.05))
    cube["flags"] = (("y", "x"), np.array([[1 << 11, 1]]).astype(dtype), attrs)
    with pytest.raises(InputError, match=r"another meaning.*rename"):
        correct(cube)
    done = correct(cube.rename(flags="quality"))
    assert done["quality"].identical(cube["flags"].rename("quality"))
    assert done["flags"].values.tolist() == [[GLINT, GLINT]]


def test_flags_on_water_alone() -> None:
    """Land is bright in the infrared, and that is no glint."""
    cube = lake(np.array([[0.05, 0.05]]))
    done = correct(cube, "swir", water=xr.DataArray([True, False], dims="x"))
    assert done["flags"].values.tolist() == [[GLINT, 0]]
    assert done["flags"].dims == ("y", "x")


def test_missing_stays_missing() -> None:
    """A missing band or black band makes a missing value and no flag; nothing turns into zero."""
    cube = lake(np.zeros((1, 3)))
    cube["red"].values[0, 0] = np.nan
    cube["swir22"].values[0, 1] = np.nan
    done = correct(cube, "swir", rules=CorrectionRules(limit=0.05))
    assert np.isnan(done["red"].values[0]).tolist() == [True, True, False]
    assert np.isnan(done["green"].values[0]).tolist() == [False, True, False]
    assert not done["flags"].values.any()


@pytest.mark.parametrize(("elsewhere", "wanted"), [("keep", 0.22), ("missing", np.nan)])
def test_bright_pixels_are_no_glint(elsewhere: str, wanted: float) -> None:
    """Above the limit, or off the water, nothing is subtracted."""
    cube = lake(np.array([[0.02, 0.2, 0.02]]), dtype="float64")
    rules = CorrectionRules(limit=0.05, elsewhere=elsewhere)  # type: ignore[arg-type]  # a word of two
    water = xr.DataArray([[True, True, False]], dims=("y", "x"))
    done = correct(cube, "swir", water=water, rules=rules)
    last = 0.04 if elsewhere == "keep" else np.nan
    np.testing.assert_allclose(done["red"].values, [[0.02, wanted, last]])


@pytest.mark.parametrize(("below", "wanted"), [("keep", -0.01), ("zero", 0.0), ("missing", np.nan)])
def test_values_below_zero(below: str, wanted: float) -> None:
    """They are kept, set to zero or missing, and flagged in any case."""
    cube = lake(np.zeros((1, 1)), dtype="float64")
    cube["red"] = cube["red"] - 0.03
    done = correct(cube, "swir", rules=CorrectionRules(below_zero=below))  # type: ignore[arg-type]  # a word of three
    np.testing.assert_allclose(done["red"].values, wanted)
    assert done["flags"].item() == NEGATIVE


def test_noise_of_what_is_subtracted_is_in_all_bands() -> None:
    """Each band says what was subtracted from it; the black band itself has no noise left."""
    sensor = load_water_sensor("S2A_MSI")
    own, shared = band_noise(correct(lake(np.zeros((1, 1))), "swir"), sensor)
    assert shared["red"] == shared["green"] == pytest.approx(sensor.bands["swir22"].noise)
    assert own == {"swir22": 0.0}
    assert band_noise(correct(lake(np.zeros((1, 1))), None), sensor) == ({}, {})
    _, spectral = band_noise(correct(lake(np.zeros((1, 1))), "glint"), sensor)
    assert spectral["red"] == pytest.approx(sensor.bands["swir16"].noise * glint_ratio(664.6, 1613.7), rel=2e-3)


def test_noise_is_that_of_many_draws() -> None:
    """Of ratios and sums alike, the noise told is that of noisy scenes: what bands have in common cancels in ratios."""
    sensor = load_water_sensor("S2A_MSI")
    clean = {"coastal": 0.02, "blue": 0.03, "green": 0.04, "red": 0.025, "rededge1": 0.022, "nir08": 0.006}
    clean |= {"rededge2": 0.008, "rededge3": 0.008, "swir16": 0.004, "swir22": 0.003}
    rng = np.random.default_rng(5)
    drawn = {name: ("n", value + rng.normal(0, sensor.bands[name].noise, 20_000)) for name, value in clean.items()}
    names = ["ndci", "spm_nechad2016", "chl_gilerson2b", "hue_angle"]
    attrs = {"quantity": "rhos", "sensor": "S2A_MSI"}
    noisy = retrieve(names, correct(xr.Dataset(drawn, attrs=attrs), "swir"))
    still = xr.Dataset({name: ("n", [value]) for name, value in clean.items()}, attrs=attrs)
    told = retrieve(names, correct(still, "swir"), uncertainty=["noise"])
    for name in names:
        assert told[f"{name}_noise"].item() == pytest.approx(float(noisy[name].std()), rel=0.06), name


def test_spectra_of_any_dimension() -> None:
    """A table of spectra is corrected as a cube is; other variables are passed on."""
    table = xr.Dataset(
        {"red": ("sample", [0.05]), "swir22": ("sample", [0.02]), "depth": ("sample", [3.0])},
        attrs={"quantity": "rhow", "history": "measured"},
    )
    done = correct(table)
    assert done["red"].item() == pytest.approx(0.03)
    assert done["depth"].item() == 3.0
    assert done.attrs["history"].startswith("measured\n")


@pytest.mark.parametrize(
    ("change", "options", "error", "text"),
    [
        ({"quantity": "rrs"}, {}, InputError, "no reflectance to correct"),
        ({"quantity": None}, {}, MetadataError, "quantity|reflectance"),
        ({}, {"method": "magic"}, InputError, "no such method"),
        ({}, {"swir": "swir17"}, InputError, "a band is missing"),
        ({}, {"sensor": "X_Y"}, InputError, "sensor"),
        ({}, {"method": "hedley", "rules": CorrectionRules(nir="nir09"), "deep": True}, InputError, "true or false"),
    ],
)
def test_bad_calls(change: dict[str, Any], options: dict[str, Any], error: type[Exception], text: str) -> None:
    """Wrong quantity, method, band or sensor are refused with a sentence."""
    cube = lake(np.zeros((2, 2)))
    cube.attrs |= change
    cube.attrs = {key: value for key, value in cube.attrs.items() if value is not None}
    with pytest.raises(error, match=text):
        correct(cube, **options)


def test_no_band_and_whole_numbers() -> None:
    """A cube without roles, or of digital numbers, is refused."""
    attrs = {"quantity": "rhos"}
    with pytest.raises(InputError, match="no band"):
        correct(xr.Dataset({"B04": ("x", [0.1])}, attrs=attrs))
    with pytest.raises(InputError, match="floating"):
        correct(xr.Dataset({"red": ("x", [100]), "swir22": ("x", [10])}, attrs=attrs))


@pytest.mark.parametrize("field", [{"below_zero": "wrap"}, {"elsewhere": "zero"}])
def test_unknown_rules(field: dict[str, Any]) -> None:
    """A word that is no rule is refused."""
    with pytest.raises(InputError, match="no such rule"):
        CorrectionRules(**field)


DEAFRICA = {
    "msi": ("12", {"blue": "02", "green": "03", "red": "04", "rededge1": "05", "rededge2": "06", "rededge3": "07"}),
    "oli": ("07", {"blue": "02", "green": "03", "red": "04"}),
}


@pytest.mark.parametrize("instrument", ["msi", "oli"])
def test_dark_pixels_of_the_four_stage_cube(data_dir: Path, instrument: str) -> None:
    """Equal in all pixels: water (frequency above 0.1) less the black band, not below zero; land as it was."""
    folder = data_dir / "water" / "deafrica_wq"
    black, bands = DEAFRICA[instrument]
    with xr.open_dataset(folder / "wq_agm_mutli_sensor_dataset_pixel_correction.nc") as stored:
        names = {f"{instrument}{number}_agm": role for role, number in bands.items()}
        cube = stored[list(names)].rename(names).load()
        cube["swir22"] = stored[f"{instrument}{black}_agm"].load()
        water = stored["wofs_ann_freq"].load() > 0.1
        wanted = {role: stored[f"{name}r"].values for name, role in names.items()}
    cube.attrs["quantity"] = "rhos"
    done = correct(cube, "swir", water=water, rules=CorrectionRules(elsewhere="keep", below_zero="zero"))
    for role, values in wanted.items():
        np.testing.assert_array_equal(done[role].values, values)
