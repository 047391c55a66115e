"""Absorption by dissolved matter: each formula written a second time, and where it has no value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from terracube.processing.water import retrieve
from terracube.processing.water.retrievals import get_retrieval
from terracube.processing.water.sensors import load_water_sensor

RATIOS = np.array([0.45, 0.6, 1.0, 1.7, 2.6])


def two(first: str, second: str, ratio: NDArray[np.float64]) -> xr.Dataset:
    """Two bands of these ratios."""
    attrs = {"quantity": "rrs", "sensor": "S2A_MSI"}
    return xr.Dataset({first: ("n", 0.004 * ratio), second: ("n", np.full(ratio.size, 0.004))}, attrs=attrs)


def test_ficek_agrees_with_its_formula() -> None:
    """a(440) = 3.65 (green/red)^-1.93 for five ratios."""
    out = retrieve("cdom_ficek", two("green", "red", RATIOS))
    np.testing.assert_allclose(out.cdom_ficek, 3.65 * RATIOS**-1.93, rtol=1e-12)


def test_mannino_agrees_with_its_formulas() -> None:
    """Both sets: the curve of the ratio of blue to green, turned around, gives the ratio again."""
    out = retrieve(["cdom_mannino2008", "cdom_mannino2014"], two("blue", "green", RATIOS))
    np.testing.assert_allclose(0.4363 + 2.221 * np.exp(-13.126 * out.cdom_mannino2008), RATIOS, rtol=1e-9)
    np.testing.assert_allclose(out.cdom_mannino2014, -0.0736 * np.log(0.408 * RATIOS - 0.173), rtol=2e-4)


@pytest.mark.parametrize("ratio", [0.3, 3.1])
def test_mannino_has_no_value_off_its_curve(ratio: float) -> None:
    """Greener than the curve goes, and bluer than water without any: outside."""
    out = retrieve(["cdom_mannino2008", "cdom_mannino2014"], two("blue", "green", np.array([ratio])))
    for name in ("cdom_mannino2008", "cdom_mannino2014"):
        assert np.isnan(out[name].item())
        assert out[f"{name}_flags"].item() == 4


def test_inversion_leaves_what_particles_and_water_do_not_take(data_dir: Path) -> None:
    """What is left of the inversion's absorption: formula again on 72 spectra; all have some left."""
    table = pd.read_csv(data_dir / "water/acolite/l2w_s2a_reference.csv")
    roles = {"coastal": 443, "blue": 492, "green": 560, "red": 665}
    attrs = {"quantity": "rhow", "sensor": "S2A_MSI"}
    cube = xr.Dataset({r: ("n", table[f"rhos_{c}"].to_numpy()) for r, c in roles.items()}, attrs=attrs)
    aw = load_water_sensor("S2A_MSI").band("coastal").aw
    left = (table["qaa_v6_a_443"] - aw - 0.63 * table["qaa_v6_bbp_560"] ** 0.88).to_numpy()
    out = retrieve("cdom_qaa", cube)
    np.testing.assert_allclose(out.cdom_qaa, left, rtol=1e-4)


def test_inversion_has_no_value_where_nothing_is_left() -> None:
    """Bluer than pure water: outside, not a negative absorption."""
    clear = {"coastal": 0.06, "blue": 0.02, "green": 0.003, "red": 0.0003}
    attrs = {"quantity": "rrs", "sensor": "S3A_OLCI"}
    out = retrieve("cdom_qaa", xr.Dataset({role: ("n", [value]) for role, value in clear.items()}, attrs=attrs))
    assert np.isnan(out.cdom_qaa.item())
    assert out.cdom_qaa_flags.item() == 4


@pytest.mark.parametrize("name", ["cdom_ficek", "cdom_mannino2008", "cdom_mannino2014", "cdom_qaa"])
def test_all_are_said_to_be_weak(name: str) -> None:
    """The attributes say so, and the error of the formula is no smaller than four fifths of the value."""
    retrieval = get_retrieval(name)
    assert retrieval.weak
    assert retrieval.coefficient_set(load_water_sensor("S2A_MSI")).error.relative >= 0.8


def test_bad_spectra_have_no_value() -> None:
    """Missing and negative bands, and a black green one: a reason each."""
    cube = two("green", "red", np.array([np.nan, -1.0, 0.0]))
    assert retrieve("cdom_ficek", cube).cdom_ficek_flags.values.tolist() == [1, 2, 4]
