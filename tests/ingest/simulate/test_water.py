"""The lake's optics: limits, signs, and agreement with another published model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.ingest.simulate.sensor import BANDS
from terracube.ingest.simulate.water import (
    Optics,
    above_surface,
    inherent_optics,
    subsurface_reflectance,
    water_reflectance,
    wavelengths_of,
)

CHLOROPHYLL = st.floats(0.1, 100.0)
SUSPENDED = st.floats(0.1, 200.0)


def rho(band: str, chlorophyll: float, suspended: float, **how: object) -> float:
    """One pixel of water."""
    return float(water_reflectance(BANDS[band], np.array(chlorophyll), np.array(suspended), **how))


def test_albert_mobley_by_hand() -> None:
    """At u = 0.1, sun and view in the zenith, the polynomial of the paper was worked out by hand."""
    value = subsurface_reflectance(np.array(9.0), np.array(1.0), sun_zenith=0.0)
    assert float(value) == pytest.approx(0.0111033, rel=1e-5)


@pytest.mark.parametrize("u", [0.02, 0.05, 0.1, 0.2, 0.3])
def test_close_to_another_model(u: float) -> None:
    """It agrees with Lee et al. 1998 (10.1364/AO.37.006329), fitted to other simulations, within 20 %."""
    value = subsurface_reflectance(np.array(1 - u), np.array(u), sun_zenith=30.0)
    assert float(value) == pytest.approx((0.084 + 0.17 * u) * u, rel=0.2)


def test_lower_sun_brighter_water() -> None:
    """The longer the light's way through the water's top, the more returns."""
    assert rho("green", 5.0, 5.0, sun_zenith=70.0) > rho("green", 5.0, 5.0, sun_zenith=20.0)


def test_surface_lets_half_through() -> None:
    """A dim reflectance loses about half of its value at the surface, a bright one less."""
    dim, bright = above_surface(np.array([1e-6, 0.05])) / np.array([1e-6, 0.05])
    assert 0.5 < dim < 0.55 < bright < 0.6


@given(chlorophyll=CHLOROPHYLL, suspended=SUSPENDED)
@pytest.mark.parametrize("band", ["red", "nir08"])
def test_brighter_with_suspended_matter(band: str, chlorophyll: float, suspended: float) -> None:
    """At 665 and 865 nm more suspended matter always means brighter water."""
    assert rho(band, chlorophyll, 1.1 * suspended) > rho(band, chlorophyll, suspended)


@given(suspended=st.floats(0.1, 10.0), chlorophyll=st.floats(0.1, 4.0))
@pytest.mark.parametrize("band", ["coastal", "blue"])
def test_chlorophyll_takes_blue_from_green(band: str, chlorophyll: float, suspended: float) -> None:
    """In water with little else dissolved, the ratio of blue to green falls with chlorophyll."""
    water = Optics(dissolved=0.05)

    def ratio(c: float) -> float:
        return rho(band, c, suspended, optics=water) / rho("green", c, suspended, optics=water)

    assert ratio(1.3 * chlorophyll) < ratio(chlorophyll)


@given(suspended=st.floats(1.0, 30.0), chlorophyll=st.floats(2.0, 60.0))
def test_red_edge_peak_grows_with_chlorophyll(chlorophyll: float, suspended: float) -> None:
    """The peak near 705 nm rises over the line from 665 to 740 nm, and over 665 nm."""

    def peak(c: float) -> tuple[float, float]:
        red, edge, far = (rho(band, c, suspended) for band in ("red", "rededge1", "rededge2"))
        return edge / red, edge - (red + (far - red) * (705 - 665) / (740 - 665))

    less, more = peak(chlorophyll), peak(1.3 * chlorophyll)
    assert more[0] > less[0]
    assert more[1] > less[1]


def test_pure_water() -> None:
    """Nothing in it, nothing dissolved: blue water, black in the near infrared."""
    pure = {band: rho(band, 0.0, 0.0, optics=Optics(dissolved=0.0)) for band in BANDS}
    assert pure["blue"] > pure["green"] > pure["red"] > pure["rededge1"]
    for band in ("rededge2", "rededge3", "nir", "nir08", "nir09", "swir16", "swir22"):
        assert 0 <= pure[band] < 3e-4


@given(chlorophyll=st.floats(0.0, 300.0), suspended=st.floats(0.0, 500.0))
def test_possible_reflectance(chlorophyll: float, suspended: float) -> None:
    """Every band stays between black and a plausible bright."""
    for band in BANDS:
        assert 0 <= rho(band, chlorophyll, suspended) < 0.5


def test_every_band_is_tabulated() -> None:
    """Each band has wavelengths in the table, all inside it, and positive constants there."""
    for band in BANDS.values():
        inside = wavelengths_of(band)
        assert len(inside) >= 1
        assert band.low <= inside.min()
        assert inside.max() <= band.high
        absorption, back = inherent_optics(np.array(0.0), np.array(0.0), nm=inside[0], optics=Optics())
        assert absorption > back > 0


def test_shape_is_kept() -> None:
    """Maps give maps, and a map of no pixel gives none."""
    assert water_reflectance(BANDS["red"], np.ones((2, 3)), np.ones((2, 3))).shape == (2, 3)
    assert water_reflectance(BANDS["red"], np.ones(0), np.ones(0)).shape == (0,)
