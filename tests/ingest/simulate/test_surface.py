"""Land covers: their shares, seasons and spectra."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from terracube.ingest.simulate.landscape import draw_lake, draw_land
from terracube.ingest.simulate.sensor import BANDS
from terracube.ingest.simulate.surface import LAND, PHENOLOGY, Cover, end_members, green_shares, land_reflectance

SIZE = 120
DAYS = np.arange(1.0, 366.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shares_sum_to_one(seed: int) -> None:
    """The covers of every pixel make up the whole pixel, and none is missing from the region."""
    land = draw_land(seed, SIZE)
    assert np.array_equal(land.fractions.sum(axis=0), np.ones((SIZE, SIZE), np.float32))
    assert land.fractions.min() == 0
    assert (land.fractions.mean(axis=(1, 2)) > 0).all()


def test_edges_are_mixed() -> None:
    """Pixels on an edge hold parts of two covers, in sixteenths; most pixels are pure."""
    shares = draw_land(1, SIZE).fractions
    mixed = (shares.max(axis=0) < 1).mean()
    assert 0.05 < mixed < 0.5
    assert np.array_equal(shares * 16, np.rint(shares * 16))


def test_maps_are_reproducible() -> None:
    """The same seed gives the same maps to the bit, another seed others."""
    first, again, other = draw_land(5, SIZE), draw_land(5, SIZE), draw_land(6, SIZE)
    for name in ("fractions", "delay", "vigour", "brightness"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_seasons_are_distinct() -> None:
    """No two covers are equally green all the year."""
    curves = {cover: PHENOLOGY[cover].greenness(DAYS) for cover in LAND}
    for a, b in combinations(LAND, 2):
        assert np.abs(curves[a] - curves[b]).max() > 0.15


@pytest.mark.parametrize("cover", LAND)
def test_season_is_a_season(cover: Cover) -> None:
    """Greenness stays in its bounds, and is near its winter value at both ends of the year."""
    known, curve = PHENOLOGY[cover], PHENOLOGY[cover].greenness(DAYS)
    assert known.low <= curve.min()
    assert known.high - 0.1 < curve.max() <= known.high
    assert curve[[0, -1]] == pytest.approx([known.low, known.low], abs=0.05)


@pytest.mark.parametrize("cover", LAND)
def test_end_members_are_reflectances(cover: Cover) -> None:
    """Every cover has a dry and a green value in each band; the green state has more red edge."""
    values = {band: end_members(cover, BANDS[band]) for band in BANDS}
    assert all(0 < value < 0.6 for pair in values.values() for value in pair)
    steps = [values["nir08"][state] - values["red"][state] for state in (0, 1)]
    assert steps[1] > steps[0] or cover is Cover.BARE


def test_pure_pixel_is_its_end_member() -> None:
    """Out of the mixture comes what the tables say, times brightness."""
    land = draw_land(2, SIZE)
    green = green_shares(land, 200.0)
    pure = land.fractions[Cover.CONIFER - 1] == 1
    share = green[LAND.index(Cover.CONIFER)][pure]
    dry, lush = end_members(Cover.CONIFER, BANDS["nir"])
    expected = (dry + (lush - dry) * share) * land.brightness[pure]
    assert land_reflectance(land, green, BANDS["nir"])[pure] == pytest.approx(expected, rel=1e-5)


def test_water_is_black_land() -> None:
    """Pixels that are all water get nothing from the land."""
    land = draw_land(2, SIZE)
    lake = land.fractions[Cover.WATER - 1] == 1
    assert lake.any()
    assert (land_reflectance(land, green_shares(land, 100.0), BANDS["red"])[lake] == 0).all()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_lake_content(seed: int) -> None:
    """Chlorophyll and suspended matter vary smoothly over a useful range in every lake."""
    lake = draw_lake(seed, SIZE)
    wet = draw_land(seed, SIZE).fractions[Cover.WATER - 1] > 0
    for content, lowest, highest in ((lake.chlorophyll, 1.5, 60), (lake.suspended, 0.7, 80)):
        inside = content[wet]
        assert lowest < inside.min()
        assert inside.max() < highest
        assert inside.max() > 3 * inside.min()
        assert np.abs(np.diff(np.log(content), axis=0)).max() < 0.35
