"""From bands to products: what is refused, what is skipped, reasons, uncertainty, chunks, sensors along time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from terracube.core.errors import InputError, MetadataError
from terracube.processing import water
from terracube.processing.water.assembly import PARTS, REASONS, assemble, costs
from terracube.processing.water.products import retrieve
from terracube.processing.water.retrievals import get_retrieval, retrieval_names
from terracube.processing.water.sensors import load_water_sensor, water_sensor_names

LOST = REASONS["missing"] | REASONS["negative"] | REASONS["outside"] | REASONS["saturated"]
KEPT = REASONS["below_range"] | REASONS["above_range"]
SOME = ("spm_nechad2010", "turbidity_dogliotti2015", "chl_ndci", "hue_angle", "secchi_lee2015")
# Their bands are nearly those of another one.
SISTERS = ("S2B_MSI", "S2C_MSI", "L9_OLI", "S3B_OLCI", "TERRA_MODIS")
# Green, turbid water: reflectance per band of Sentinel-2A.
GREEN = {"coastal": 0.020, "blue": 0.026, "green": 0.045, "red": 0.025, "rededge1": 0.024, "rededge2": 0.009,
         "rededge3": 0.0095, "nir": 0.007, "nir08": 0.006}  # fmt: skip


def spectral(bands: dict[str, Any], *, quantity: str = "rhow", sensor: str | None = "S2A_MSI") -> xr.Dataset:
    """Make a spectral dataset along ``sample``."""
    attrs = {"quantity": quantity} | ({"sensor": sensor} if sensor else {})
    return xr.Dataset({role: ("sample", np.atleast_1d(values)) for role, values in bands.items()}, attrs=attrs)


def image(shape: tuple[int, ...] = (3, 17, 13), dtype: str = "float32", seed: int = 1) -> xr.Dataset:
    """Make a cube around the green water, with gaps, negative and dark values."""
    rng = np.random.default_rng(seed)
    bands = {}
    for role, level in GREEN.items():
        values = level * np.exp(rng.normal(0, 0.5, shape))
        values[rng.random(shape) < 0.02] = np.nan
        values[rng.random(shape) < 0.02] *= -1
        bands[role] = (("time", "y", "x")[-len(shape) :], values.astype(dtype))
    return xr.Dataset(bands, attrs={"quantity": "rhow", "sensor": "S2A_MSI"})


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Demand equal bits, types and attributes."""
    xr.testing.assert_identical(one, other)
    for name in one.data_vars:
        assert one[name].dtype == other[name].dtype
        assert np.ascontiguousarray(one[name].values).tobytes() == np.ascontiguousarray(other[name].values).tobytes()


class TestRefused:
    """Nothing is guessed, and all that is wrong is said before anything is computed."""

    def test_quantity_that_is_not_said(self) -> None:
        """Without a quantity nothing is made; the message says how to declare it."""
        cube = spectral(GREEN)
        del cube.attrs["quantity"]
        with pytest.raises(MetadataError, match="declare"):
            retrieve(SOME, cube)

    @pytest.mark.parametrize("quantity", ["reflectance", "rhot", 1])
    def test_quantity_of_no_meaning(self, quantity: Any) -> None:
        """A quantity that there is not is refused with those that there are."""
        with pytest.raises(InputError, match="rhow"):
            retrieve(SOME, spectral(GREEN).assign_attrs(quantity=quantity))

    def test_surface_reflectance_is_no_water_leaving_reflectance(self) -> None:
        """Formulas of levels refuse it and say what to do; formulas of ratios take it."""
        cube = spectral(GREEN, quantity="rhos")
        with pytest.raises(InputError, match="correct") as caught:
            retrieve(["spm_nechad2010", "ndci", "kd490_lee2013"], cube)
        assert "spm_nechad2010" in str(caught.value)
        assert "kd490_lee2013" in str(caught.value)
        assert np.isfinite(retrieve("hue_angle", cube).hue_angle).all()

    def test_all_costs_of_missing_bands_are_told_at_once(self) -> None:
        """Each product that lacks a band is named with the band, beside one that is unknown; none is computed."""
        cube = spectral(GREEN).drop_vars(["coastal", "rededge1"])
        lazy = cube.chunk(sample=1).map(lambda band: band.copy(data=band.data.map_blocks(_never, dtype=band.dtype)))
        with pytest.raises(InputError) as caught:
            retrieve(["chl_oc3", "chl_ndci", "spm_nechad2010", "spm_nechat2010"], lazy)
        told = str(caught.value)
        assert "chl_oc3: needs coastal" in told
        assert "chl_ndci: needs rededge1" in told
        assert "'spm_nechat2010'" in told
        assert "spm_nechad2010: " not in told

    def test_near_names_are_offered(self) -> None:
        """A wrong name brings those that look like it."""
        for wrong, near in (("chl_gnos", "chl_gons"), ("sechi_lee2015", "secchi_lee2015")):
            with pytest.raises(InputError, match=near):
                retrieve(wrong, spectral(GREEN))

    def test_a_sensor_without_coefficients_or_band(self) -> None:
        """What a sensor has no band or no coefficients for is refused with the reason."""
        found = costs(["chl_ndci", "turbidity_nechad2009_srf"], load_water_sensor("L5_TM"), ["red"], "rhow")
        assert set(found) == {"chl_ndci", "turbidity_nechad2009_srf"}

    def test_a_sensor_that_nobody_names(self) -> None:
        """Without a sensor nothing is computed; an unknown one is refused with those known."""
        with pytest.raises(InputError, match="which sensor"):
            retrieve(SOME, spectral(GREEN, sensor=None))
        with pytest.raises(InputError, match="S2A_MSI"):
            retrieve(SOME, spectral(GREEN), sensor="S2_MSI")

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"names": []}, "no product"),
            ({"on_missing": "ignore"}, "raise, skip"),
            ({"uncertainty": ["bias"]}, "noise, algorithm"),
            ({"noise": {"swir99": 0.1}, "uncertainty": True}, "swir99"),
            ({"noise": {"red": -0.1}, "uncertainty": True}, "red"),
            ({"noise": {"red": math.nan}, "uncertainty": True}, "red"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_wrong_options(self, options: dict[str, Any], told: str) -> None:
        """Options of no meaning are refused, not passed over."""
        with pytest.raises(InputError, match=told):
            retrieve(**{"names": SOME, "cube": spectral(GREEN)} | options)

    def test_whole_numbers_are_no_reflectance(self) -> None:
        """Bands as a product stores them (times 10 000) are refused by name."""
        stored = (spectral(GREEN) * 10_000).astype("int16").assign_attrs(spectral(GREEN).attrs)
        with pytest.raises(InputError, match="int16"):
            retrieve("spm_nechad2010", stored)


def _never(values: np.ndarray) -> np.ndarray:
    raise AssertionError("nothing is to be read")


class TestSkipped:
    """What cannot be made is left out, on demand, and said."""

    def test_the_rest_is_kept_and_the_loss_is_told(self) -> None:
        """The products that can be made are those of a run of their own; those that cannot are in an attribute."""
        cube = spectral(GREEN).drop_vars("rededge1")
        found = retrieve(SOME, cube, on_missing="skip")
        left_out = json.loads(found.attrs.pop("left_out"))
        assert set(left_out) == {"chl_ndci", "hue_angle"}
        assert "rededge1" in left_out["chl_ndci"]
        same(found, retrieve([name for name in SOME if name not in left_out], cube))

    def test_a_mistyped_name_is_no_missing_band(self) -> None:
        """What nobody knows is refused, with names that are near."""
        with pytest.raises(InputError, match=r"unknown retrieval.*spm_"):
            retrieve([*SOME, "spmm"], spectral(GREEN), on_missing="skip")

    def test_where_nothing_is_left(self) -> None:
        """Then there is no result, and each is refused with its reason."""
        with pytest.raises(InputError, match="chl_ndci: needs rededge1"):
            retrieve("chl_ndci", spectral(GREEN).drop_vars("rededge1"), on_missing="skip")

    def test_of_two_sensors_one_cannot(self) -> None:
        """A product that only one sensor of two allows is missing, and flagged so, on the dates of the other."""
        cube = _seen_by(image((2, 3, 3)), ["sentinel-2a", "landsat-8"], ["msi", "oli"])
        found = retrieve(["spm_nechad2010", "chl_ndci"], cube, on_missing="skip", uncertainty=True)
        assert np.isfinite(found.chl_ndci.values[0]).any()
        assert np.isnan(found.chl_ndci.values[1]).all()
        assert np.isnan(found.chl_ndci_noise.values[1]).all()
        assert found.chl_ndci_flags.dtype == np.uint8
        assert (found.chl_ndci_flags.values[1] == REASONS["missing"]).all()
        assert "chl_ndci" in found.attrs["left_out"]
        assert np.isfinite(found.spm_nechad2010.values).any(axis=(1, 2)).all()


class TestReasons:
    """The bits say why there is no value."""

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_each_reason(self, dtype: str) -> None:
        """Missing, infinite, negative, saturated, below and above the range, and nothing to say."""
        known = get_retrieval("spm_nechad2010").coefficient_set(load_water_sensor("S2A_MSI"))
        assert known.range is not None
        red = np.array([np.nan, np.inf, -np.inf, -0.001, 0.5, 1e-6, 0.02], dtype)
        found = retrieve("spm_nechad2010", spectral({"red": red}))
        values, flags = found.spm_nechad2010.values, found.spm_nechad2010_flags.values
        missing = REASONS["missing"]
        expected = [missing, missing, missing, REASONS["negative"], REASONS["saturated"], REASONS["below_range"], 0]
        assert flags.tolist() == expected
        assert np.isnan(values[:5]).all()
        assert 0 < values[5] < known.range[0] < values[6] < known.range[1]
        assert values.dtype == dtype

    def test_above_the_range(self) -> None:
        """Beyond the range of calibration the value is kept."""
        found = retrieve("chl_ndci", spectral({"red": 0.01, "rededge1": 0.06}))
        assert found.chl_ndci_flags.item() == REASONS["above_range"]
        known = get_retrieval("chl_ndci").coefficient_set(load_water_sensor("S2A_MSI"))
        assert known.range is not None
        assert found.chl_ndci.item() > known.range[1]

    def test_missing_comes_before_negative(self) -> None:
        """Of two reasons the one that leaves nothing to judge is told."""
        found = retrieve("chl_ndci", spectral({"red": -0.1, "rededge1": np.nan}))
        assert found.chl_ndci_flags.item() == REASONS["missing"]

    def test_meanings_are_in_the_attributes(self) -> None:
        """Masks and meanings are those of the table; without flags there are none."""
        found = retrieve("spm_nechad2010", spectral(GREEN))
        attrs = found.spm_nechad2010_flags.attrs
        assert dict(zip(attrs["flag_meanings"].split(), attrs["flag_masks"], strict=True)) == dict(REASONS)
        assert found.spm_nechad2010.attrs["ancillary_variables"] == "spm_nechad2010_flags"
        assert set(retrieve("spm_nechad2010", spectral(GREEN), flags=False).data_vars) == {"spm_nechad2010"}

    @pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (0, 3), (2, 0, 4)])
    def test_one_pixel_and_none(self, shape: tuple[int, ...]) -> None:
        """One pixel has what it has among others; no pixel gives empty variables."""
        found = retrieve(SOME, image(shape), uncertainty=True)
        assert all(variable.shape == shape for variable in found.data_vars.values())

    def test_all_missing(self) -> None:
        """A scene of nothing is a valid answer: no value anywhere, and the reason is that."""
        cube = image((4, 5)) * np.float32(np.nan)
        found = retrieve(SOME, cube.assign_attrs(image((1, 1)).attrs), uncertainty=True)
        for name in SOME:
            assert np.isnan(found[name].values).all()
            assert (found[f"{name}_flags"].values == REASONS["missing"]).all()


class TestEveryRetrieval:
    """What holds for every product of every sensor, on spectra of every kind."""

    @pytest.mark.parametrize(
        "sensor",
        [pytest.param(name, marks=pytest.mark.slow if name in SISTERS else ()) for name in water_sensor_names()],
    )
    def test_finite_or_flagged(self, sensor: str) -> None:
        """Never infinite; NaN just where a bit says why; uncertainty beside every value; float32 near float64."""
        known = load_water_sensor(sensor)
        roles = list(known.bands)
        names = [name for name in retrieval_names() if not costs([name], known, roles, "rhow")]
        assert len(names) >= 20
        found = assemble(names, known, roles, quantity="rhow", parts=PARTS)
        values = _odd_spectra(len(found.program.bands), 1500)
        wide, narrow = (found.program.run(values.astype(dtype)) for dtype in ("float64", "float32"))
        for products, flags in (wide, narrow):
            assert not np.isinf(products).any()
            out = dict(zip(found.program.products, products, strict=True))
            marks = dict(zip(found.program.flags, flags, strict=True))
            assert set(marks) == {f"{name}_flags" for name in names}
            for name in names:
                there, why = np.isfinite(out[name]), marks[f"{name}_flags"]
                np.testing.assert_array_equal(there, (why & LOST) == 0, err_msg=name)
                assert (why[there] & ~np.uint8(KEPT) == 0).all(), name
                # Polynomials of spectra that no water has run into numbers whose square is no float32 any more.
                sound = there & (np.abs(out[name]) < 1e9)
                for part, told in _told_parts(name, sensor).items():
                    beside = out[f"{name}_{part}"]
                    assert not np.isfinite(beside[~there]).any(), f"{name}_{part}"
                    assert (np.isfinite(beside[sound]) == told).all(), f"{name}_{part}"
                    assert not (beside < 0).any(), f"{name}_{part}"
        _near(found.program.products, names, wide[0], narrow[0])

    def test_missing_bands_are_told_as_missing(self) -> None:
        """Any one band that a product needs, missing or infinite, leaves no value, whatever the others are."""
        known = load_water_sensor("S2A_MSI")
        names = [name for name in retrieval_names() if not costs([name], known, list(known.bands), "rhow")]
        found = assemble(names, known, list(known.bands), quantity="rhow")
        bands = found.program.bands
        base = np.array([GREEN.get(role, 0.003) for role in bands], "float32")
        for bad in (np.nan, np.inf):
            values = np.tile(base[:, None], (1, len(bands)))
            np.fill_diagonal(values, bad)
            products, flags = found.program.run(values)
            for number, product in enumerate(found.products):
                needed = np.isin(bands, product.retrieval.roles(known))
                assert np.isnan(products[number][needed]).all(), product.retrieval.name
                assert (flags[number][needed] == REASONS["missing"]).all(), product.retrieval.name

    def test_rrs_and_rhow_are_the_same_water(self) -> None:
        """The factor of pi is taken where a formula needs it, and nowhere else."""
        cube = image((9, 9), dtype="float64")
        names = [name for name in retrieval_names() if not costs([name], load_water_sensor("S2A_MSI"), GREEN, "rhow")]
        one, other = retrieve(names, cube), retrieve(names, water.to_quantity(cube, "rrs"))
        for name in names:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-6, atol=1e-9, err_msg=name)


def _told_parts(name: str, sensor: str) -> dict[str, bool]:
    """Say which parts of the uncertainty a product has: classes have no noise, and no error is told of some."""
    known = get_retrieval(name)
    error = known.coefficient_set(load_water_sensor(sensor)).error
    return {"noise": not known.classes, "algorithm": bool(error.relative or error.absolute)}


def _odd_spectra(bands: int, count: int) -> np.ndarray:
    """Draw spectra of water, dark and bright, of any shape; some missing, negative, zero, far too bright, infinite."""
    rng = np.random.default_rng(bands)
    values = 10 ** rng.uniform(-3.3, -0.7, count) * np.exp(rng.normal(0, 0.5, (bands, count)))
    odd = rng.random(values.shape)
    for number, change in enumerate((np.nan, -1.0, 0.0, 1.7, np.inf)):
        where = (odd >= number / 100) & (odd < (number + 1) / 100)
        values[where] = -values[where] if change == -1 else change
    return values


def _near(all_names: tuple[str, ...], names: list[str], wide: np.ndarray, narrow: np.ndarray) -> None:
    """Demand that single precision gives nearly what double does; at switches and poles a few may fall elsewhere."""
    for name in names:
        row = all_names.index(name)
        one, other = wide[row], narrow[row]
        both = np.isfinite(one) & np.isfinite(other)
        assert (np.isfinite(one) == np.isfinite(other)).mean() >= 0.99, name
        if both.any():
            error = np.abs(other[both] - one[both]) / (np.abs(one[both]) + 1e-3)
            assert np.quantile(error, 0.98) <= 1e-3, name


class TestUncertainty:
    """Two parts: noise carried through, and the error of the formula."""

    @pytest.mark.parametrize("name", [*SOME, "chl_blend", "spm_blend", "kd490_lee2013", "a443_qaa6"])
    def test_noise_is_that_of_many_draws(self, name: str) -> None:
        """Small noise on the bands, drawn 20 000 times, scatters the product as the noise part says, to 4 %."""
        sigma = {role: 0.004 * value for role, value in GREEN.items()}
        told = retrieve(name, spectral(GREEN), uncertainty=("noise",), noise=sigma)[f"{name}_noise"].item()
        rng = np.random.default_rng(3)
        drawn = {role: value + sigma[role] * rng.standard_normal(20_000) for role, value in GREEN.items()}
        many = retrieve(name, spectral(drawn), flags=False)[name].values
        assert told == pytest.approx(many.std(), rel=0.04)

    def test_noise_of_bands_is_told_in_attributes_or_by_the_sensor(self) -> None:
        """What is given comes first, then the attribute of the band, then the sensor; in the quantity of the bands."""
        cube = spectral({"red": 0.02})
        own = load_water_sensor("S2A_MSI").bands["red"].noise
        sigma = retrieve("spm_nechad2010", cube, uncertainty=["noise"]).spm_nechad2010_noise.item()
        double = cube.assign(red=cube.red.assign_attrs(noise=2 * own))
        assert retrieve("spm_nechad2010", double, uncertainty="noise").spm_nechad2010_noise.item() == pytest.approx(
            2 * sigma
        )
        given_ = retrieve("spm_nechad2010", double, uncertainty="noise", noise={"red": 3 * own}).spm_nechad2010_noise
        assert given_.item() == pytest.approx(3 * sigma)
        rrs = retrieve("spm_nechad2010", water.to_quantity(cube, "rrs"), uncertainty="noise").spm_nechad2010_noise
        assert rrs.item() == pytest.approx(sigma)

    def test_algorithm_is_what_the_coefficients_say(self) -> None:
        """hypot(absolute, relative * value), as the set that the attributes name says."""
        found = retrieve(SOME, image(dtype="float64"), uncertainty="algorithm")
        for name in SOME:
            error = json.loads(found[name].attrs["coefficients"])["error"]
            expected = np.hypot(error["absolute"], error["relative"] * found[name].values)
            np.testing.assert_allclose(found[f"{name}_algorithm"], expected, rtol=1e-9, err_msg=name)
            assert f"{name}_noise" not in found
            assert error["basis"] in found[f"{name}_algorithm"].attrs["long_name"]

    def test_products_do_not_depend_on_the_uncertainty_asked_for(self) -> None:
        """The values are the same but for rounding with and without it, alone or beside others; flags are equal."""
        cube = image()
        whole = retrieve(SOME, cube, uncertainty=True)
        for name in SOME:
            alone = retrieve(name, cube)
            np.testing.assert_allclose(whole[name], alone[name], rtol=1e-4, atol=1e-3, err_msg=name)
            np.testing.assert_array_equal(whole[f"{name}_flags"], alone[f"{name}_flags"], err_msg=name)


class TestArrays:
    """Types, chunks, coordinates."""

    @settings(max_examples=15, deadline=None)
    @given(st.tuples(st.integers(1, 2), st.integers(2, 9), st.integers(2, 7)), st.booleans())
    def test_any_chunks_give_the_same_bits(self, chunks: tuple[int, int, int], uneven: bool) -> None:
        """Lazy and cut in any way, bands cut differently too, the result is that of the arrays in memory."""
        cube = image((2, 9, 7))
        lazy = cube.chunk(dict(zip(("time", "y", "x"), chunks, strict=True)))
        if uneven:
            lazy = lazy.assign(red=cube.red.chunk(time=2, y=5, x=4))
        found = retrieve(SOME[:3], lazy, uncertainty=True)
        assert all(variable.chunks for variable in found.data_vars.values())
        same(found.compute(scheduler="sync"), retrieve(SOME[:3], cube, uncertainty=True))

    def test_lazy_names_are_stable(self) -> None:
        """The same products of the same chunks are the same tasks."""
        lazy = image().chunk(y=5)
        one, other = (retrieve(SOME, lazy) for _ in range(2))
        assert one.spm_nechad2010.data.name == other.spm_nechad2010.data.name

    def test_types(self) -> None:
        """float64 is computed in float64, all else in float32; flags are bytes; only bands that are needed count."""
        cube = image((4, 4), dtype="float64")
        assert retrieve("hue_angle", cube).hue_angle.dtype == np.float64
        assert retrieve("hue_angle", cube.astype("float32")).hue_angle.dtype == np.float32
        assert retrieve("hue_angle", cube.astype("float16")).hue_angle.dtype == np.float32
        mixed = cube.astype("float32").assign(nir=cube.nir)
        assert retrieve("spm_nechad2010", mixed).spm_nechad2010.dtype == np.float32
        assert retrieve("hue_angle", cube).hue_angle_flags.dtype == np.uint8

    def test_order_of_dimensions_and_of_products(self) -> None:
        """Transposed bands give the transposed product; products come in the order asked for, each once."""
        cube = image()
        found = retrieve(["hue_angle", "spm_nechad2010", "hue_angle"], cube)
        assert list(found.data_vars)[::2] == ["hue_angle", "spm_nechad2010"]
        turned = retrieve("hue_angle", cube.transpose("x", "time", "y")).hue_angle
        np.testing.assert_array_equal(turned.transpose("time", "y", "x"), found.hue_angle)

    def test_coordinates_stay(self) -> None:
        """Coordinates of the dimensions and scalars (the CRS) are those of the cube; the cube is not changed."""
        cube = image().assign_coords(y=np.arange(17.0), x=np.arange(13.0), spatial_ref=0)
        before = cube.copy(deep=True)
        found = retrieve(SOME, cube)
        assert set(found.coords) == {"y", "x", "spatial_ref"}
        xr.testing.assert_identical(cube, before)

    def test_what_was_used_is_in_the_attributes(self) -> None:
        """Coefficients with source, bands, sensor, unit, quantity; as JSON where it is more than text."""
        found = retrieve("spm_nechad2010", spectral(GREEN))
        told = json.loads(found.spm_nechad2010.attrs["coefficients"])
        known = get_retrieval("spm_nechad2010").coefficient_set(load_water_sensor("S2A_MSI"))
        assert told["values"] == known.values
        assert told["name"] == known.name
        assert "doi" in told["source"]
        assert found.spm_nechad2010.attrs["bands"] == "red"
        assert found.spm_nechad2010.attrs["units"] == "g m-3"
        assert found.attrs["quantity"] == "rhow"
        assert found.attrs["sensor"] == found.spm_nechad2010.attrs["sensor"] == "S2A_MSI"

    def test_weak_products_say_so(self) -> None:
        """A product of little skill has it in its title."""
        weak = [name for name in retrieval_names() if get_retrieval(name).weak]
        assert any(name.startswith("cdom_") for name in weak)
        assert "weak" in retrieve("cdom_ficek", spectral(GREEN)).cdom_ficek.attrs["long_name"]

    def test_a_result_can_be_written(self, tmp_path: Path) -> None:
        """All attributes are of kinds that netCDF keeps."""
        found = retrieve([*SOME, "owt_spyrakos", "bloom_afai"], image((4, 5)), uncertainty=True, on_missing="skip")
        found.to_netcdf(tmp_path / "out.nc")
        with xr.open_dataset(tmp_path / "out.nc", decode_cf=False) as again:
            assert again.attrs["left_out"] if "left_out" in found.attrs else True
            np.testing.assert_array_equal(again.hue_angle.values, found.hue_angle.values)


def _seen_by(cube: xr.Dataset, platforms: list[str], instruments: list[str]) -> xr.Dataset:
    """Say of each date who saw it, as a loaded cube does."""
    times = np.arange("2023-06-01", len(platforms), dtype="datetime64[D]").astype("datetime64[ns]")
    facts = {"platforms": [[one] for one in platforms], "times": [str(one) for one in times],
             "instruments": instruments}  # fmt: skip
    told = cube.assign_coords(time=times).assign_attrs({"terracube:cube": json.dumps(facts)})
    del told.attrs["sensor"]
    return told


class TestSensorsAlongTime:
    """Dates of several sensors in one cube: each with its own numbers."""

    PLATFORMS = ("sentinel-2b", "sentinel-2a", "sentinel-2b", "sentinel-2a")

    def cube(self) -> xr.Dataset:
        """Four dates of two platforms."""
        return _seen_by(image((4, 5, 6)), list(self.PLATFORMS), ["msi"])

    def test_each_date_is_that_of_its_sensor(self) -> None:
        """A date of the mixed cube is to the bit that date alone with its sensor named; dates stay in order."""
        cube = self.cube()
        found = retrieve(SOME, cube, uncertainty=True)
        xr.testing.assert_identical(found.time, cube.time)
        assert found.attrs["sensor"] == "S2A_MSI, S2B_MSI"
        for step, platform in enumerate(self.PLATFORMS):
            sensor = "S2A_MSI" if platform.endswith("a") else "S2B_MSI"
            alone = retrieve(SOME, cube.isel(time=step), sensor=sensor, uncertainty=True)
            for name in alone.data_vars:
                assert found[name].values[step].tobytes() == alone[name].values.tobytes(), (name, step)
                assert found[name].dtype == alone[name].dtype
        assert "S2A_MSI" in found.hue_angle.attrs["sensor"]
        assert "S2B_MSI" in found.hue_angle.attrs["sensor"]

    def test_the_sensors_make_a_difference(self) -> None:
        """Otherwise the test above would say nothing."""
        cube = self.cube()
        one, other = (retrieve("hue_angle", cube, sensor=name).hue_angle for name in ("S2A_MSI", "S2B_MSI"))
        assert np.nanmax(np.abs(one - other)) > 0.01

    def test_lazy_is_the_same(self) -> None:
        """Also cut along time."""
        cube = self.cube()
        found = retrieve(SOME, cube.chunk(time=3, y=2))
        assert found.hue_angle.chunks
        same(found.compute(scheduler="sync"), retrieve(SOME, cube))

    def test_dates_taken_out_or_turned_keep_their_sensor(self) -> None:
        """What saw a date goes by its time, not by its place."""
        cube = self.cube()
        whole = retrieve("hue_angle", cube).hue_angle
        for steps in ([3, 2, 1, 0], [1, 2], [0]):
            part = retrieve("hue_angle", cube.isel(time=steps)).hue_angle
            np.testing.assert_array_equal(part, whole.isel(time=steps))
        np.testing.assert_array_equal(retrieve("hue_angle", cube.isel(time=2)).hue_angle, whole.isel(time=2))

    def test_a_time_that_no_scene_has(self) -> None:
        """A date of unknown origin is refused where it could be of either; where all are of one, it is of that."""
        cube = self.cube().isel(time=[0]).assign_coords(time=[np.datetime64("2020-01-01", "ns")])
        with pytest.raises(InputError, match="which sensor"):
            retrieve("hue_angle", cube)
        alike = _seen_by(image((2, 3, 3)), ["sentinel-2b"] * 2, ["msi"])
        assert retrieve("hue_angle", alike.mean("time", keep_attrs=True)).attrs["sensor"] == "S2B_MSI"

    def test_what_is_told_comes_first(self) -> None:
        """A sensor given by name is taken for all dates."""
        assert retrieve("hue_angle", self.cube(), sensor="S2C_MSI").attrs["sensor"] == "S2C_MSI"

    def test_one_date_of_two_platforms(self) -> None:
        """A mosaic of two platforms on one date is of neither: it is refused."""
        cube = self.cube()
        facts = json.loads(cube.attrs["terracube:cube"])
        facts["platforms"][1] = ["sentinel-2a", "sentinel-2b"]
        with pytest.raises(InputError, match="which sensor"):
            retrieve("hue_angle", cube.assign_attrs({"terracube:cube": json.dumps(facts)}))
