"""Stacks: one form whatever was delivered, and an error that names what is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.pairs import SIGN
from terracube.processing.deformation.stack import StackWarning, join_stacks, open_stack, to_stack

DAYS = np.array(["2020-01-01", "2020-01-13", "2020-01-25", "2020-02-06"], "datetime64[ns]")
ENDS = ((0, 1), (0, 2), (1, 2), (2, 3))
WAVELENGTH = 0.0555


def make(ends=ENDS, *, shape=(4, 5), placed=True, **attrs):
    """Pairs whose phases tell which they are; pixel (0, 0) is missing, (1, 1) is zero."""
    ends = np.array(ends)
    phase = (10.0 * ends[:, :1] + ends[:, 1:])[:, :, None] + np.zeros((len(ends), *shape))
    phase[:, 0, 0], phase[:, 1, 1] = np.nan, 0.0
    data = {
        "unwrapped_phase": (("pair", "y", "x"), phase.astype("float32"), {"units": "rad"}),
        "coherence": (("pair", "y", "x"), np.full(phase.shape, 0.5, "float32")),
    }
    coords = {
        "reference_time": ("pair", DAYS[ends[:, 0]]),
        "secondary_time": ("pair", DAYS[ends[:, 1]]),
        "perpendicular_baseline": ("pair", 10.0 * ends[:, 0] - ends[:, 1]),
    }
    if placed:
        coords |= {"y": 4000.0 - 100 * np.arange(shape[0]), "x": 500.0 + 100 * np.arange(shape[1])}
    found = xr.Dataset(data, coords, {"wavelength": WAVELENGTH, "phase_sign": SIGN, "looks": 8} | attrs)
    return found.rio.write_crs("EPSG:32633") if placed else found


def test_canonical():
    """Pairs come out in order with names, float32 radians and facts, in memory and lazily the same."""
    given = make().isel(pair=[2, 0, 3, 1])
    stack = to_stack(given)
    assert stack.pair.values.tolist() == [
        "20200101_20200113", "20200101_20200125", "20200113_20200125", "20200125_20200206",
    ]  # fmt: skip
    assert stack.unwrapped_phase.dtype == np.float32
    assert stack.unwrapped_phase.attrs["units"] == "rad"
    np.testing.assert_array_equal(stack.unwrapped_phase[:, 2, 2], [1, 2, 12, 23])
    np.testing.assert_array_equal(stack.unwrapped_phase[:, 1, 1], 0)
    assert np.isnan(stack.unwrapped_phase[:, 0, 0]).all()
    assert (stack.attrs["wavelength"], stack.attrs["phase_sign"], stack.attrs["looks"]) == (WAVELENGTH, SIGN, 8.0)
    lazy = to_stack(given.chunk(pair=1, y=3, x=2))
    assert lazy.unwrapped_phase.chunks == ((4,), (3, 1), (2, 2, 1))
    xr.testing.assert_identical(lazy.compute(), stack)
    xr.testing.assert_identical(to_stack(stack), stack)


@pytest.mark.parametrize(
    ("units", "factor"),
    [("rad", 1.0), ("cycle", 2 * math.pi), ("m", 4 * math.pi / WAVELENGTH), ("mm", 4e-3 * math.pi / WAVELENGTH)],
)
@pytest.mark.parametrize("sign", ["range_increase", "range_decrease"])
def test_units_and_signs(units, factor, sign):
    """A number in any unit and sign that are said becomes the phase that it stands for."""
    given = make()
    del given.attrs["phase_sign"], given.unwrapped_phase.attrs["units"]
    stack = to_stack(given, units=units, sign=sign)
    turned = 1 if sign == "range_increase" else -1
    np.testing.assert_allclose(stack.unwrapped_phase, turned * factor * given.unwrapped_phase, rtol=1e-6)
    assert stack.attrs["phase_sign"] == SIGN


def test_what_is_not_told():
    """Unit, sign, wavelength and the direction of metres are asked for, and contradictions refused."""
    plain = make()
    del plain.attrs["phase_sign"]
    with pytest.raises(MetadataError, match="sign of the phase is not told"):
        to_stack(plain)
    bare = plain.copy()
    bare["unwrapped_phase"] = bare.unwrapped_phase.drop_attrs()
    with pytest.raises(MetadataError, match="unit of the phase is not told"):
        to_stack(bare, sign="range_increase")
    with pytest.raises(MetadataError, match="wavelength is not told"):
        to_stack(make(wavelength=None))
    metres = make()
    metres.unwrapped_phase.attrs["units"] = "m"
    with pytest.raises(MetadataError, match="which way a phase in metres grows"):
        to_stack(metres)
    for options, words in (
        ({"units": "cycle"}, "another unit"),
        ({"sign": "range_decrease"}, "another sign"),
        ({"wavelength": 0.031}, "another wavelength"),
    ):
        with pytest.raises(MetadataError, match=words):
            to_stack(make(), **options)
    with pytest.raises(MetadataError, match="unknown unit"):
        to_stack(plain, units="furlong", sign="range_increase")
    with pytest.raises(InputError, match="unknown sign"):
        to_stack(plain, sign="up")
    with pytest.raises(MetadataError, match="imaging radar"):
        to_stack(make(wavelength=5.55))
    with pytest.raises(MetadataError, match="no number"):
        to_stack(make(wavelength="long"))
    with pytest.raises(MetadataError, match="number of looks"):
        to_stack(make(looks=0))


def test_sign_says_radians():
    """A dataset that tells the convention of this library is in radians, as load_pairs gives it."""
    given = make()
    del given.unwrapped_phase.attrs["units"]
    np.testing.assert_array_equal(to_stack(given).unwrapped_phase, given.unwrapped_phase)


def test_zero_is_a_phase_unless_declared():
    """Zero is missing only where the producer, by argument or attribute, says so."""
    assert np.isnan(to_stack(make(), nodata=0).unwrapped_phase[:, 1, 1]).all()
    told = make()
    told.unwrapped_phase.attrs["nodata"] = 0
    stack = to_stack(told.chunk(y=2))
    assert np.isnan(stack.unwrapped_phase[:, 1, 1]).all()
    assert "nodata" not in stack.unwrapped_phase.attrs
    endless = make()
    endless.unwrapped_phase[0, 3, 3] = np.inf
    assert np.isnan(to_stack(endless).unwrapped_phase[0, 3, 3])


@pytest.mark.parametrize("nodata", [-32768, -99999, 1e20, np.int16(-32768), np.array([-32768.0]), np.nan])
def test_stored_numbers_are_unpacked(nodata):
    """A scale and an offset are applied, after nodata of the stored numbers, also one that their type cannot hold."""
    given, plain = make(), make()
    stored = np.round(given.unwrapped_phase.fillna(0).values / 0.001).astype("int32")
    stored[0, 2, 2] = -32768
    packed = {"units": "rad", "scale_factor": 0.001, "add_offset": 0.5, "_FillValue": nodata}
    given["unwrapped_phase"] = (given.unwrapped_phase.dims, stored, packed)
    given["coherence"] = (given.unwrapped_phase.dims, np.full(stored.shape, 51, "uint8"),
                          {"scale_factor": 1 / 255, "missing_value": -9999})  # fmt: skip
    given["dem"] = (("y", "x"), np.full(stored.shape[1:], -9999, "int16"), {"nodata": -9999, "units": "m"})
    stack = to_stack(given)
    expected = plain.unwrapped_phase.fillna(0) + 0.5
    expected[0, 2, 2] = np.nan if np.any(np.equal(nodata, -32768)) else -32.768 + 0.5
    np.testing.assert_allclose(stack.unwrapped_phase, expected, atol=1e-5)
    np.testing.assert_allclose(stack.coherence, 0.2, atol=1e-6)
    assert np.isnan(stack.dem).all()
    assert stack.dem.attrs == {"units": "m"}
    assert not {"scale_factor", "add_offset", "_FillValue"} & set(stack.unwrapped_phase.attrs)
    xr.testing.assert_identical(to_stack(given.chunk(y=2)).compute(), stack)
    xr.testing.assert_identical(to_stack(stack), stack)


@pytest.mark.parametrize(
    ("name", "told"), [("_FillValue", "0"), ("missing_value", True), ("scale_factor", 0), ("add_offset", np.inf)]
)
def test_attributes_of_storage_are_numbers(name, told):
    """Text, or a scale that loses everything, is refused by name."""
    given = make()
    given.unwrapped_phase.attrs[name] = told
    with pytest.raises(MetadataError, match="unwrapped_phase"):
        to_stack(given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: to_stack(s, looks=5), "another number of looks"),
        (lambda s: to_stack(s.assign_attrs(wavelength="0.0555").assign_coords(wavelength=("pair", [0.0555] * 4))),
         "coordinate and attribute differ"),
        (lambda s: to_stack(s.assign(incidence_angle=s.coherence)), "other dimensions"),
        (lambda s: to_stack(s.assign_coords(perpendicular_baseline=("pair", ["a"] * 4))), "baselines are no numbers"),
        (lambda s: to_stack(s.assign_coords(perpendicular_baseline=("pair", [np.inf] * 4))), "baseline has no end"),
        (lambda s: to_stack(s.assign_coords(reference_time=("pair", np.array(["0001-01-01"] * 4, "M8[s]")))), "dates"),
        (lambda s: to_stack(s.assign_attrs(phase_sign=["x"])), "unknown sign"),
        (lambda s: to_stack(s, sign=["x"]), "unknown sign"),
    ],
)  # fmt: skip
def test_odd_attributes(change, words):
    """What is told from outside is checked before it is used: an error of the library names it."""
    with pytest.raises((InputError, MetadataError), match=words):
        change(make())


def test_bad_pairs():
    """Equal, reversed, repeated and missing dates are refused by name; one pair is allowed, and told."""
    with pytest.raises(InputError, match="dates of a pair are equal"):
        to_stack(make(((0, 1), (2, 2))))
    with pytest.raises(InputError, match=r"reversed.*2020-01-25.* and 2020-01-01"):
        to_stack(make(((0, 1), (2, 0))))
    with pytest.raises(InputError, match="twice"):
        to_stack(make(((0, 1), (0, 1))))
    with pytest.raises(InputError, match="no stack of pairs"):
        to_stack(make().drop_vars("reference_time"))
    with pytest.warns(StackWarning, match="one pair"):
        assert to_stack(make(((0, 1),))).sizes["pair"] == 1


def test_coherence_out_of_range():
    """A coherence in bytes is refused, of lazy stacks when it is computed; rounding is held within 0 and 1."""
    bytes_ = make()
    bytes_["coherence"] = bytes_.coherence * 255
    with pytest.raises(InputError, match="not in 0 to 1"):
        to_stack(bytes_)
    lazy = to_stack(bytes_.chunk(y=2))
    with pytest.raises(InputError, match="not in 0 to 1"):
        lazy.coherence.compute()
    rounded = make()
    rounded["coherence"] = rounded.coherence + 0.5 + 1e-5
    assert float(to_stack(rounded).coherence.max()) == 1.0


def test_layers():
    """Wrong dimensions, text and a stack without phase or pixels are refused."""
    with pytest.raises(InputError, match="no phase"):
        to_stack(make().drop_vars("unwrapped_phase"))
    with pytest.raises(InputError, match="other dimensions"):
        to_stack(make().transpose("y", "x", "pair"))
    with pytest.raises(InputError, match="empty"):
        to_stack(make().isel(y=slice(0, 0)))
    words = make()
    words["coherence"] = words.coherence.astype(str)
    with pytest.raises(InputError, match="no numbers"):
        to_stack(words)


def test_rows_run_south():
    """A stack whose rows run north is turned; one that has no place is left as it is."""
    given = make()
    xr.testing.assert_identical(to_stack(given.isel(y=slice(None, None, -1))), to_stack(given))
    bare = make(placed=False)
    np.testing.assert_array_equal(to_stack(bare).unwrapped_phase, bare.unwrapped_phase)


def test_mixed():
    """Wavelengths, tracks, looks and grids of several kinds are refused, in one dataset and between datasets."""
    for name, values in (("wavelength", [0.0555, 0.0555, 0.031, 0.0555]), ("relative_orbit", [1, 1, 2, 1])):
        given = make()
        given.attrs.pop("wavelength" if name == "wavelength" else "none", None)
        with pytest.raises(MetadataError, match=f"several values of {name}"):
            to_stack(given.assign_coords({name: ("pair", values)}))
    told = make().assign_coords(orbit_state=("pair", ["ascending"] * 4))
    with pytest.raises(MetadataError, match="coordinate and attribute differ"):
        to_stack(told.assign_attrs(orbit_state="descending"))
    one, other = make(ENDS[:2]), make(ENDS[2:])
    for changed, words in (
        (make(ENDS[2:], wavelength=0.031), "wavelength"),
        (make(ENDS[2:], looks=4), "looks"),
        (other.assign_attrs(relative_orbit=7), "relative_orbit"),
        (other.assign_coords(x=other.x + 50), "different pixels"),
        (make(ENDS[2:], shape=(4, 6)), "different pixels"),
    ):
        with pytest.raises(MetadataError, match=words):
            to_stack([one, changed])
    xr.testing.assert_identical(to_stack([other, one]), to_stack(make()))
    with pytest.raises(InputError, match="twice"):
        to_stack([one, make(ENDS[1:])])
    with pytest.raises(InputError, match="no stack to join"):
        join_stacks([])


def test_open_items(data_dir, tmp_path):
    """Ingested pairs open lazily, with what the geometry holds, and blocks that hold all pairs."""
    from terracube.ingest import ingest
    from terracube.stac import Catalog, to_query

    catalog = Catalog.create(tmp_path / "catalog")
    report = ingest("gamma-insar", [data_dir / "insar" / "mexico-sentinel1"], catalog)
    assert not report.refused
    stack = open_stack(catalog.search(to_query(collections="gamma-insar")))
    assert dict(stack.sizes) == {"pair": 30, "y": 60, "x": 100}
    assert set(stack.data_vars) == {"unwrapped_phase", "coherence", "dem"}
    assert stack.unwrapped_phase.chunks[0] == (30,)
    assert stack.attrs["looks"] == 8
    assert np.isfinite(stack.unwrapped_phase.values).sum() > 170_000
