"""Quantities of spectral datasets: said, never guessed, converted by name."""

from __future__ import annotations

import math
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from terracube.core.errors import InputError, MetadataError
from terracube.processing.water.quantities import band_names, declare, quantity_of, spectra, to_quantity


def _cube(dtype: str = "float32", **attrs: str) -> xr.Dataset:
    red = np.array([[0.01, np.nan], [-0.002, 0.3]], dtype)
    return xr.Dataset({"red": (("y", "x"), red), "scl": (("y", "x"), np.array([[6, 0], [6, 6]]))}, attrs=attrs)


def test_a_silent_dataset_is_refused_with_the_way_out() -> None:
    """Without the attribute there is no quantity, and the error says how to declare it."""
    with pytest.raises(MetadataError, match="declare"):
        quantity_of(_cube())


@pytest.mark.parametrize("wrong", ["Rrs", "reflectance", 3])
def test_unknown_quantities_are_refused(wrong: str) -> None:
    """Only the three names are quantities."""
    with pytest.raises(InputError, match="no such quantity"):
        quantity_of(_cube(quantity=wrong))
    with pytest.raises(InputError, match="no such quantity"):
        declare(_cube(), wrong)
    with pytest.raises(InputError, match="no such quantity"):
        to_quantity(_cube(quantity="rrs"), wrong)


def test_declare_says_and_changes_nothing() -> None:
    """A declaration adds attributes and leaves values and the given dataset alone."""
    cube = _cube()
    out = declare(cube, "rhos", sensor="S2A_MSI")
    assert quantity_of(out) == "rhos"
    assert out.attrs["sensor"] == "S2A_MSI"
    assert out["red"].attrs["units"] == "1"
    assert "units" not in out["scl"].attrs
    assert cube.attrs == {}
    assert cube["red"].attrs == {}
    np.testing.assert_array_equal(out["red"], cube["red"])


def test_declaring_something_else_is_told() -> None:
    """A second declaration by hand leaves a line in the history; the same one does not."""
    once = declare(_cube(history="made"), "rhos")
    assert declare(once, "rhos").attrs["history"] == "made"
    assert declare(once, "rhow").attrs["history"].splitlines() == ["made", "quantity declared rhow by hand, was rhos"]


def test_declare_refuses_an_unknown_sensor_and_whole_numbers() -> None:
    """A sensor must be known, and digital numbers are no reflectance."""
    with pytest.raises(InputError, match="no such sensor"):
        declare(_cube(), "rhow", sensor="S9")
    with pytest.raises(InputError, match="whole numbers"):
        declare(xr.Dataset({"red": ("x", [1, 2])}), "rhos")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_factor_is_pi(dtype: str) -> None:
    """rhow is pi times Rrs, of the same type; NaN stays NaN and other variables stay as they are."""
    cube = declare(_cube(dtype), "rrs")
    out = to_quantity(cube, "rhow")
    assert out["red"].dtype == dtype
    assert out["red"].attrs["units"] == "1"
    np.testing.assert_allclose(out["red"], cube["red"] * math.pi, rtol=1e-6)
    np.testing.assert_array_equal(out["scl"], cube["scl"])
    assert out.attrs["quantity"] == "rhow"


def test_lazy_stays_lazy() -> None:
    """A Dask-backed cube is not computed by a conversion."""
    lazy = declare(_cube(), "rhow").chunk({"y": 1})
    out = to_quantity(lazy, "rrs")
    assert isinstance(out["red"].data, da.Array)
    np.testing.assert_array_equal(out["red"].compute(), to_quantity(declare(_cube(), "rhow"), "rrs")["red"])


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, 6, elements=st.floats(-0.1, 1.0)))
def test_there_and_back_is_the_same(values: np.ndarray) -> None:
    """Converting to Rrs and back gives the values to rounding."""
    ds = xr.Dataset({"nir": ("sample", values)}, attrs={"quantity": "rhow"})
    np.testing.assert_allclose(to_quantity(to_quantity(ds, "rrs"), "rhow")["nir"], values, rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize(("have", "want"), [("rhos", "rhow"), ("rhos", "rrs"), ("rrs", "rhos"), ("rhow", "rhos")])
def test_surface_reflectance_is_not_a_factor_away(have: str, want: str) -> None:
    """Between surface and water-leaving reflectance lies a correction: refused."""
    with pytest.raises(InputError, match="cannot be converted"):
        to_quantity(declare(_cube(), have), want)


def test_the_same_quantity_is_no_conversion() -> None:
    """Asking for what is there gives the same numbers."""
    cube = declare(_cube(), "rhos")
    np.testing.assert_array_equal(to_quantity(cube, "rhos")["red"], cube["red"])


def test_bands_are_known_by_role() -> None:
    """Roles of any sensor are bands; masks and products are not."""
    ds = xr.Dataset(dict.fromkeys(("oa05", "swir22", "flags", "spm", "modis14"), 0.0))
    assert band_names(ds) == ("oa05", "swir22", "modis14")


def test_spectra_of_a_table() -> None:
    """Columns become bands; missing codes, blanks and infinities become NaN; the index and kept columns stay."""
    table = pd.DataFrame(
        {"X442.5": [0.01, 999.99, 0.02, np.inf], "X560": [1, 2, None, 4], "site": list("abcd")}, index=[7, 8, 9, 11]
    )
    columns = {"X442.5": "coastal", "X560": "green"}
    out = spectra(table, columns, quantity="rhow", sensor="ENVISAT_MERIS", missing=(999.99,), keep=("site",))
    np.testing.assert_array_equal(out["coastal"], [0.01, np.nan, 0.02, np.nan])
    np.testing.assert_array_equal(out["green"], [1.0, 2.0, np.nan, 4.0])
    assert out["site"].values.tolist() == list("abcd")
    assert out["sample"].values.tolist() == [7, 8, 9, 11]
    assert out.attrs == {"quantity": "rhow", "sensor": "ENVISAT_MERIS"}
    assert table["X442.5"][8] == 999.99


def test_spectra_of_an_empty_table() -> None:
    """No rows are no samples."""
    assert spectra(pd.DataFrame({"a": []}), {"a": "red"}, quantity="rrs").sizes == {"sample": 0}


@pytest.mark.parametrize(
    ("columns", "more", "what"),
    [
        ({"b": "red"}, {}, "lacks columns"),
        ({"a": "red"}, {"keep": ["c"]}, "lacks columns"),
        ({"a": "crimson"}, {}, "unknown or given twice"),
        ({"a": "red", "t": "red"}, {}, "unknown or given twice"),
        ({"a": "rededge1"}, {"sensor": "L8_OLI"}, "unknown or given twice"),
        ({"t": "red"}, {}, "something else than numbers"),
        ({"a": "red"}, {"quantity": "R"}, "no such quantity"),
        ({"a": "red"}, {"sensor": "L88"}, "no such sensor"),
    ],
)
def test_wrong_tables_are_refused(columns: dict[str, str], more: dict[str, Any], what: str) -> None:
    """What a table lacks or names wrongly is said before a number is made of it."""
    table = pd.DataFrame({"a": [1.0], "t": ["<0.01"]})
    with pytest.raises(InputError, match=what):
        spectra(table, columns, **({"quantity": "rhow"} | more))
