"""Trophic state: the index against Carlson's own table, its classes, and what has no logarithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.processing.water.products import retrieve
from terracube.processing.water.retrievals import trophic  # noqa: F401  (registers the two indices)
from terracube.processing.water.trophic import (
    CLASSES,
    trophic_class,
    tsi_chlorophyll,
    tsi_nitrogen,
    tsi_phosphorus,
    tsi_secchi,
)

# Carlson (1977), table 1: index, Secchi depth (m), total phosphorus and chlorophyll (mg m-3).
_TABLE = [
    (0, 64, 0.75, 0.04),
    (10, 32, 1.5, 0.12),
    (20, 16, 3, 0.34),
    (30, 8, 6, 0.94),
    (40, 4, 12, 2.6),
    (50, 2, 24, 6.4),
    (60, 1, 48, 20),
    (70, 0.5, 96, 56),
    (80, 0.25, 192, 154),
]


@pytest.mark.parametrize(("index", "depth", "phosphorus", "chlorophyll"), _TABLE)
def test_table_of_the_paper(index: float, depth: float, phosphorus: float, chlorophyll: float) -> None:
    """Depth and phosphorus halve and double every ten units; chlorophyll is printed with two digits."""
    assert float(tsi_secchi(depth)) == pytest.approx(index, abs=0.1)
    assert float(tsi_phosphorus(phosphorus)) == pytest.approx(index, abs=0.1)
    assert float(tsi_chlorophyll(chlorophyll)) == pytest.approx(index, abs=1.5)


def test_nitrogen_is_in_milligrams() -> None:
    """One milligram per litre of nitrogen is a eutrophic lake."""
    assert float(tsi_nitrogen(1.0)) == pytest.approx(54.45)
    assert float(tsi_nitrogen(np.e)) == pytest.approx(54.45 + 14.43)


@pytest.mark.parametrize("index", [tsi_chlorophyll, tsi_secchi, tsi_phosphorus, tsi_nitrogen])
def test_zero_negative_and_missing_have_no_index(index: object) -> None:
    """There is no logarithm, so there is no index, and no warning either."""
    assert callable(index)
    assert np.isnan(index(np.array([0.0, -1.0, np.nan]))).all()


def test_classes_begin_at_their_limits() -> None:
    """40 is mesotrophic, 50 eutrophic, 70 still eutrophic, more hypereutrophic."""
    found = trophic_class(np.array([39.99, 40.0, 50.0, 70.0, 70.01, np.nan]))
    np.testing.assert_array_equal(found, [0, 1, 2, 2, 3, np.nan])
    assert [CLASSES[int(one)] for one in found[:5]] == [
        "oligotrophic",
        "mesotrophic",
        "eutrophic",
        "eutrophic",
        "hypereutrophic",
    ]


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1.01, 10.0))
def test_index_follows_the_state(value: float, more: float) -> None:
    """More chlorophyll and nutrients raise the index, more depth lowers it."""
    for index in (tsi_chlorophyll, tsi_phosphorus, tsi_nitrogen):
        assert index(value * more) > index(value)
    assert tsi_secchi(value * more) < tsi_secchi(value)


def test_lazy_maps_stay_lazy() -> None:
    """A Dask-backed map gives a Dask-backed index and class, with its coordinates."""
    chl = xr.DataArray(
        da.from_array(np.array([[2.6, 0.0], [np.nan, 56.0]]), chunks=1), dims=("y", "x"), coords={"y": [1, 2]}
    )
    classes = trophic_class(tsi_chlorophyll(chl))
    assert classes.chunks is not None
    np.testing.assert_array_equal(classes, [[0, np.nan], [np.nan, 3]])
    assert classes["y"].values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "product", "index"),
    [("tsi_chl", "chl_blend", tsi_chlorophyll), ("tsi_secchi", "secchi_lee2015", tsi_secchi)],
)
def test_retrieved_index_is_that_of_the_product(name: str, product: str, index: Callable[[Any], Any]) -> None:
    """In one pass with the product it is made of, the index is that of its values, and missing where they are."""
    rng = np.random.default_rng(3)
    shape = {"coastal": 0.6, "blue": 0.8, "green": 1.0, "red": 0.5, "rededge1": 0.4}
    data = {role: ("sample", level * 10 ** rng.uniform(-2.7, -1.7, 200) / np.pi) for role, level in shape.items()}
    data["green"][1][0] = np.nan
    out = retrieve([name, product], xr.Dataset(data, attrs={"quantity": "rrs", "sensor": "S2A_MSI"}))
    np.testing.assert_allclose(out[name], index(out[product]), rtol=1e-9)
    assert np.isnan(out[name].values[0])
    assert int(np.isfinite(out[name]).sum()) >= 150
