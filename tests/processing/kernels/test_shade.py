"""Shade of terrain: walls of known height, against the length of their shade."""

import numpy as np
import pytest

from terracube.processing.kernels.shade import shaded


def shade(dem, azimuth, elevation, *, pixel=10.0, steps=200):
    """Tell which pixels are shaded."""
    rows, angle = dem.shape[0], np.radians(azimuth)
    out = np.empty(dem.shape, np.bool_)
    sun = (float(np.sin(angle)), float(np.cos(angle)), float(np.tan(np.radians(elevation))))
    shaded(dem, np.full(rows, pixel), np.full(rows, pixel), sun, steps, out)
    return out


@pytest.mark.parametrize(("azimuth", "turns"), [(90, 0), (0, 1), (270, 2), (180, 3)])
def test_a_wall_throws_its_shade(azimuth, turns):
    """A wall of 105 m under a sun of 45 degrees shades ten pixels of 10 m on the side away from it, and no other."""
    dem = np.zeros((41, 41))
    dem[:, 30] = 105.0
    found = shade(np.ascontiguousarray(np.rot90(dem, turns)), azimuth, 45.0)
    expected = np.zeros((41, 41), np.bool_)
    expected[:, 20:30] = True
    np.testing.assert_array_equal(np.rot90(found, -turns), expected)


def test_a_pole_on_the_diagonal():
    """Towards the south-west of a single high pixel, those on the diagonal are shaded for its height over the slant."""
    dem = np.zeros((31, 31))
    dem[5, 25] = 100.0
    found = shade(dem, 45.0, 30.0)
    reach = 100.0 / np.tan(np.radians(30.0)) / (10.0 * np.sqrt(2))
    diagonal = [bool(found[5 + step, 25 - step]) for step in range(1, 20)]
    assert diagonal == [step < reach for step in range(1, 20)]
    assert not found[:6].any()


def test_level_ground_and_even_slopes_are_lit():
    """Level ground is lit by any sun, a slope by one that stands higher than it is steep, and not by a lower one."""
    level, east = np.full((20, 20), 300.0), np.broadcast_to(np.arange(20.0) * 10, (20, 20)).copy()
    assert not shade(level, 123.0, 0.5).any()
    assert not shade(east, 90.0, 46.0).any()
    assert shade(east, 90.0, 44.0)[:, :-1].all()


def test_missing_and_reach():
    """Missing heights shade nothing and are not shaded; what lies beyond the last step does not count."""
    dem = np.zeros((1, 12))
    dem[0, 10], dem[0, 5] = 1000.0, np.nan
    assert shade(dem, 90.0, 45.0).tolist() == [[True] * 5 + [False] + [True] * 4 + [False] * 2]
    assert shade(dem, 90.0, 45.0, steps=3)[0].tolist() == [False] * 7 + [True] * 3 + [False] * 2
    assert not shade(np.full((3, 3), np.nan), 10.0, 10.0).any()
    assert not shade(np.zeros((1, 1)), 10.0, 10.0).any()


def test_any_direction_as_a_fine_ray():
    """On smooth hills the shade is that of rays in steps of a tenth of a pixel, but for pixels at its edge."""
    y, x = np.mgrid[:60, :60].astype(float)
    dem = 60 * np.exp(-((x - 35) ** 2 + (y - 25) ** 2) / 40) + 40 * np.exp(-((x - 15) ** 2 + (y - 40) ** 2) / 60)
    from scipy.ndimage import map_coordinates

    for azimuth in (20.0, 75.0, 160.0, 233.0, 301.0):
        along, across = -np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))
        far = np.arange(0.1, 60, 0.1)[:, None, None]
        heights = map_coordinates(dem, [y + far * along, x + far * across], order=1, cval=-1.0)
        expected = (heights > dem + far * 10 * np.tan(np.radians(20)) + 1e-6).any(axis=0)
        assert expected.any()
        assert (shade(dem, azimuth, 20.0) != expected).mean() < 0.03
