"""Tracking: a known field is recovered, also beside a fault; blocks change no bit; missing georeference is allowed."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import rioxarray  # noqa: F401  (brings the accessor that writes a CRS)
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from terracube.core.errors import InputError
from terracube.processing.deformation.offsets import FLAGS, Rules, neighbour_filter, track
from terracube.processing.deformation.offsets.pyramid import Plan

type Floats = NDArray[np.float64]

FAULT = 150.3


def field(y: Floats, x: Floats, side: Floats | float, jump: float) -> tuple[Floats, Floats]:
    """Motion along y and x of ground at (y, x); ``side`` is 1 right of the fault."""
    down = 1.1 * np.sin(x / 80 + 0.4) * np.cos(y / 95) + 0.004 * x + side * jump - 0.3
    right = 0.9 * np.cos(y / 90 + 0.3) * np.sin(x / 110) + 0.003 * y - 0.61
    return np.asarray(down), np.asarray(right)


def pair(
    side: int = 256, *, jump: float = 0.0, noise: float = 0.02, seed: int = 0, shift: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two images of moved ground, sampled from a texture known on half pixels."""
    rng = np.random.default_rng(seed)
    pad, size = 40, 2 * (side + 80)
    texture = ndimage.gaussian_filter(rng.standard_normal((size, size)), 2.4)
    texture = texture / texture.std()
    broad = ndimage.gaussian_filter(rng.standard_normal((size, size)), 9)
    known = ndimage.spline_filter(texture + 0.7 * broad / broad.std(), order=5)

    def seen(y: Floats, x: Floats) -> Floats:
        return np.asarray(ndimage.map_coordinates(known, [2 * (y + pad), 2 * (x + pad)], order=5, prefilter=False))

    y, x = np.mgrid[:side, :side].astype(float)
    sources = []
    for part in (0.0, 1.0):
        row, column = y, x
        for _ in range(10):
            moved = field(row, column, part, jump)
            row, column = y - moved[0] - shift, x - moved[1] + shift
        sources.append((row, column))
    right = sources[1][1] >= FAULT
    row, column = (np.where(right, sources[1][axis], sources[0][axis]) for axis in range(2))
    images = seen(y, x), 1.1 * seen(row, column) + 0.2
    return images[0].astype(np.float32) + grain(rng, noise, side), images[1].astype(np.float32) + grain(
        rng, noise, side
    )


def grain(rng: np.random.Generator, noise: float, side: int) -> NDArray[np.float32]:
    """Noise, in standard deviations of the texture."""
    return (1.2 * noise * rng.standard_normal((side, side))).astype(np.float32)


def errors(found: xr.Dataset, jump: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Errors along y and x, and the distance of each point from the fault."""
    x, y = np.meshgrid(found.x.values, found.y.values)
    down, right = field(y, x, (x >= FAULT) * 1.0, jump)
    return found.dy.values - down, found.dx.values - right, np.abs(x - FAULT)


def rms(values: Floats) -> float:
    """Root mean square of what is there."""
    there = values[np.isfinite(values)]
    assert there.size
    return float(np.sqrt(np.mean(there**2)))


def test_recovers_a_smooth_field() -> None:
    """Chips of 32 pixels find a smooth field to 0.018 pixels, and every point is valid."""
    found = track(*pair())
    down, right, _ = errors(found)
    assert np.isfinite(found.dy.values).all()
    assert (found.flags.values & ~np.uint16(256) == 0).all()
    assert rms(down) < 0.018
    assert rms(right) < 0.018


def test_beside_a_fault() -> None:
    """Within 24 pixels of a jump of one pixel the motion is that of the own side, and few points are given up."""
    images = pair(jump=1.0)
    found = track(*images)
    down, right, distance = errors(found, 1.0)
    near = distance <= 24
    assert rms(down[near]) < 0.12
    assert rms(right[near]) < 0.12
    assert np.isfinite(found.dy.values[near]).mean() >= 0.95
    assert rms(down[~near]) < 0.018
    smeared = errors(track(*images, rules=Rules(breaks=False, neighbours=False)), 1.0)[0]
    assert rms(smeared[near]) > 1.5 * rms(down[near])


@pytest.mark.parametrize(("chip", "step", "search"), [(16, 8, 4), (32, 24, 3), (64, 32, 40)])
def test_other_sizes(chip: int, step: int, search: int) -> None:
    """Small and large chips, steps wider than they are, and no coarse level at all."""
    found = track(*pair(), chip=chip, step=step, search=search)
    down, right, _ = errors(found)
    assert np.isfinite(found.dy.values).mean() > 0.99
    assert max(rms(down), rms(right)) < 0.05


def test_large_motion_is_found_from_coarse_to_fine() -> None:
    """Ground that moved by many pixels is followed down the pyramid."""
    found = track(*pair(shift=11.0), step=16, search=16)
    down, right, _ = errors(found)
    inside = np.s_[2:-2, 2:-2]
    assert rms(down[inside] - 11.0) < 0.03
    assert rms(right[inside] + 11.0) < 0.03


@pytest.mark.parametrize("chunks", [(100, 130), (256, 61)])
def test_blocks_change_no_bit(chunks: tuple[int, int]) -> None:
    """Lazy in, lazy out; every layer is equal to the bit, with gaps and the way back."""
    before, after = pair(264, jump=1.0)
    before[60:75, 80:100] = np.nan
    after[150:156, 200:230] = np.nan
    settings: dict[str, Any] = {"chip": 16, "step": 8, "search": 5, "both_ways": True}
    whole = track(before, after, **settings)
    lazy = track(da.from_array(before, chunks=chunks), xr.DataArray(after, dims=["y", "x"]), **settings)
    assert all(isinstance(one.data, da.Array) for one in lazy.values())
    assert lazy.dy.data.npartitions > 1
    xr.testing.assert_identical(lazy.compute(scheduler="threads"), whole)


def test_the_halo_is_wide_enough() -> None:
    """A window cut right at the halo gives the points in it the same bits as the whole image."""
    from terracube.processing.deformation.offsets.pyramid import match_window

    before, after = pair(384, jump=1.0, seed=4)
    plan = Plan(16, 8, 6, Rules(), False)
    count = (384 - 16) // 8 + 1
    whole = match_window(before, after, (0, 0), (slice(0, count), slice(0, count)), plan)
    part = slice(21, 25)
    start = (21 * 8 - plan.halo) // 2 * 2
    stop = 24 * 8 + 16 + plan.halo
    assert start > 0
    assert stop < 384
    cut = match_window(
        before[start:stop, start:stop], after[start:stop, start:stop], (start, start), (part, part), plan
    )
    assert np.array_equal(cut, whole[:, part, part], equal_nan=True)


def test_the_way_back() -> None:
    """Good points return to a hundredth of a pixel; where the ground was changed they do not count."""
    before, after = pair(192)
    after[100:150, 100:150] = np.random.default_rng(3).normal(size=(50, 50))
    found = track(before, after, both_ways=True)
    changed = found.isel(y=slice(12, 14), x=slice(12, 14))
    assert np.isnan(changed.dy.values).all()
    assert (changed.flags.values != 0).all()
    assert float(found.round_trip.where(found.flags == 0).quantile(0.9)) < 0.02


def test_what_is_missing_stays_missing() -> None:
    """NaN, a declared nodata and flat areas give NaN with their reasons; zeros are values."""
    before, after = pair(192)
    image = xr.DataArray(before, dims=["y", "x"]).copy()
    image[0:60, 0:60] = -9999
    image.attrs["nodata"] = -9999
    image[120:180, 0:60] = 0
    found = track(image, after)
    assert found.flags.values[0, 0] == FLAGS["too_few_valid_pixels"]
    assert found.flags.values[17, 1] & FLAGS["no_texture"]
    assert np.isnan(found.dx.values[[0, 17], [0, 1]]).all()
    assert np.isfinite(found.dx.values[10, 12])
    empty = track(np.full((64, 64), np.nan), after[:64, :64], step=32)
    assert np.isnan(empty.dy.values).all()
    assert (empty.flags.values == 1).all()


def test_one_point_and_rejected_points_can_be_kept() -> None:
    """An image of one chip gives one point; rules tell whether rejected motion is kept."""
    before, after = pair(192)
    one = track(before[64:96, 64:96], after[64:96, 64:96], search=3)
    assert one.dy.shape == (1, 1)
    noise = np.random.default_rng(0).normal(size=(96, 96)).astype("float32")
    lost = track(before[:96, :96], noise)
    kept = track(before[:96, :96], noise, rules=Rules(keep=True))
    assert np.isnan(lost.dy.values).mean() > 0.9
    assert np.isfinite(kept.dy.values).mean() > 0.5
    assert (kept.flags.values & FLAGS["weak_correlation"] != 0).mean() > 0.9


@pytest.mark.parametrize("up", [False, True])
def test_metres_on_a_projected_grid(up: bool) -> None:
    """East and north are positive to the east and the north, whichever way rows run."""
    before, after = pair(128)
    y = np.arange(128) * (10.0 if up else -10.0) + 5_000_005.0
    x = 500_005.0 + np.arange(128) * 10.0
    made = [xr.DataArray(one, {"y": y, "x": x}, ["y", "x"]).rio.write_crs(32631) for one in (before, after)]
    found = track(*made, step=16)
    assert found.x.values[0] == 500_005 + 155
    assert found.y.values[0] == y[0] + 15.5 * (y[1] - y[0])
    np.testing.assert_allclose(found.east, 10 * found.dx, rtol=1e-6)
    np.testing.assert_allclose(found.north, (10 if up else -10) * found.dy, rtol=1e-6)
    assert found.east.attrs["units"] == "m"
    assert "spatial_ref" in found.coords
    assert (found.std_north >= 0).all()


def test_pixels_without_a_projected_grid() -> None:
    """Arrays, and grids in degrees, give pixels only."""
    before, after = pair(96)
    degrees = {"y": 45 - np.arange(96) * 1e-4, "x": 5 + np.arange(96) * 1e-4}
    made = [xr.DataArray(one, degrees, ["y", "x"]).rio.write_crs(4326) for one in (before, after)]
    assert "east" not in track(*made, step=32)
    plain = track(before, after, step=32)
    assert "east" not in plain
    assert plain.x.values[0] == 15.5


@pytest.mark.parametrize(
    ("sizes", "word"),
    [({"chip": 30}, "four"), ({"chip": 4}, "8"), ({"step": 0}, "step"), ({"search": 2.5}, "search"),
     ({"search": True}, "search"), ({"chip": 128}, "chip")],
)  # fmt: skip
def test_bad_sizes_are_refused(sizes: dict[str, Any], word: str) -> None:
    """Sizes that make no sense, and images smaller than a chip, are told."""
    image = np.zeros((64, 64), np.float32)
    with pytest.raises(InputError, match=word):
        track(image, image, **sizes)


def test_bad_images_are_refused() -> None:
    """Other shapes, other pixels, and what is no image are told before anything is computed."""
    image = xr.DataArray(np.zeros((64, 64), np.float32), {"x": np.arange(64.0), "y": np.arange(64.0)}, ["y", "x"])
    with pytest.raises(InputError, match="shape"):
        track(image, image[:60])
    with pytest.raises(InputError, match="different pixels"):
        track(image, image.assign_coords(x=np.arange(64.0) + 0.5))
    with pytest.raises(InputError, match="no image"):
        track(np.zeros((2, 64, 64)), np.zeros((2, 64, 64)))
    with pytest.raises(InputError, match="evenly"):
        track(image.assign_coords(x=np.arange(64.0) ** 2), image.assign_coords(x=np.arange(64.0) ** 2))
    with pytest.raises(InputError, match="correlation"):
        Rules(correlation=2)


def test_neighbours_that_disagree_go() -> None:
    """Single points that move otherwise are flagged, also when only a little; a broad step is not."""
    rng = np.random.default_rng(0)
    step = np.where(np.arange(30) < 15, 0.0, 2.0) * np.ones((30, 1))
    dx = (step + rng.normal(0, 0.02, (30, 30))).astype("float32")
    dx[5, 5], dx[20, 8], dx[9, 22] = 9.0, 0.9, np.nan
    flags = np.zeros((30, 30), np.uint16)
    data = {"dx": (("y", "x"), dx), "dy": (("y", "x"), 0 * dx), "flags": (("y", "x"), flags)}
    found = neighbour_filter(xr.Dataset(data, attrs={"search": 16}))
    assert np.isnan(found.dx.values[[5, 20], [5, 8]]).all()
    assert int((found.flags.values == 32).sum()) == 2
    lazy = neighbour_filter(xr.Dataset(data, attrs={"search": 16}).chunk({"y": 7, "x": 11}))
    xr.testing.assert_identical(lazy.compute(), found)
    with pytest.raises(InputError, match="how far"):
        neighbour_filter(xr.Dataset(data))
