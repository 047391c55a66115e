"""What the resampling kernels are made of: weighted lines, marks around holes, positions kept for the next date."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from terracube.cubes import YX, Grid
from terracube.cubes.warp import place, warp
from terracube.cubes.warp.lines import dot
from terracube.cubes.warp.missing import around, holes

UTM = "EPSG:32633"


@njit
def dot_of_two(values, first, weights):
    """Sum two pixels."""
    return dot(values, np.uint64(first), (weights[0], weights[1]))


@njit
def dot_of_four(values, first, weights):
    """Sum four pixels."""
    return dot(values, np.uint64(first), (weights[0], weights[1], weights[2], weights[3]))


@njit
def dot_of_six(values, first, weights):
    """Sum six pixels."""
    return dot(values, np.uint64(first), (weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_a_line_is_summed_pair_by_pair_to_the_bit(dtype):
    """The sum is that of Python's floats in the same order, at every place, up to the last pixel."""
    random = np.random.default_rng(5)
    values = np.array(random.uniform(0, 200, (3, 11)) * 1.37, dtype)
    values *= 1 if dtype.startswith("u") else -1
    for kernel, count in ((dot_of_two, 2), (dot_of_four, 4), (dot_of_six, 6)):
        weights = random.uniform(-1, 1, count)
        for first in range(values.size - count + 1):
            taps = [float(value) for value in values.reshape(-1)[first : first + count]]
            products = [float(weight) * tap for weight, tap in zip(weights, taps, strict=True)]
            total = products[0] + products[1]
            for pair in range(2, count, 2):
                total += products[pair] + products[pair + 1]
            assert kernel(values, first, weights) == total


@pytest.mark.parametrize("box", [(1, 1), (2, 2), (4, 4), (6, 6), (5, 3), (9, 12)])
def test_boxes_that_hold_a_hole_are_marked(box):
    """Each box inside the window is marked exactly if one of its pixels is missing."""
    values = np.random.default_rng(6).integers(1, 9, (12, 17)).astype("uint8")
    values[(3, 7, 11), (16, 5, 0)] = 0
    marked = around(holes(values, np.uint8(0), True), *box)
    for row in range(values.shape[0] - box[0] + 1):
        for col in range(values.shape[1] - box[1] + 1):
            assert bool(marked[row, col]) == bool((values[row : row + box[0], col : col + box[1]] == 0).any())


def test_a_window_without_holes_needs_no_marks():
    """Nothing is marked where all values are there, and NaN is a hole whatever nodata is."""
    values = np.ones((5, 4), "float32")
    assert holes(values, np.float32(0), True).size == 0
    assert around(holes(values, np.float32(0), True), 4, 4).size == 0
    values[2, 1] = np.nan
    assert holes(values, np.float32(0), False).sum() == 1


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "average", "mode"])
def test_a_window_in_which_all_is_missing_gives_no_value(method):
    """The block holds its fill value, in integers and floats."""
    source = Grid.from_bbox((500000, 5000000, 500400, 5000400), crs=UTM, resolution=10, bbox_crs=UTM)
    target = Grid.from_bbox(source.bounds, crs="EPSG:3857", resolution=20, bbox_crs=UTM)
    placement = place(source, target, method)
    for dtype, fill in (("uint16", 7), ("float32", np.nan)):
        out = np.ones(target.shape, dtype)
        warp(np.zeros(placement.window.shape, "uint16"), placement, nodata=0, out=out, fill=fill)
        assert np.array_equal(out, np.full(target.shape, fill, dtype), equal_nan=True)


@pytest.mark.parametrize(("nodata", "fill"), [(0, 0), (0, 9), (None, 9), (9, 0)])
def test_copied_pixels_keep_their_numbers(nodata, fill):
    """Where the pixels agree, values are copied, missing ones become the fill value, and so does what lies outside."""
    source = Grid.from_bbox((500000, 5000000, 500080, 5000060), crs=UTM, resolution=10, bbox_crs=UTM)
    target = source.window(YX(-1, 2), YX(6, 9))
    placement = place(source, target, "bilinear")
    values = np.random.default_rng(7).integers(0, 9, source.shape).astype("uint16")
    out = np.full(target.shape, 5, "uint16")
    warp(values[placement.window.slices], placement, nodata=nodata, out=out, fill=fill)
    expected = np.full(target.shape, fill, "uint16")
    part = values[:5, 2:]
    expected[1:, :6] = part if nodata is None else np.where(part == nodata, fill, part)
    assert placement.copy
    assert np.array_equal(out, expected)


def test_the_pixels_of_a_block_serve_every_date():
    """A second raster on the same grid gets its own values, from positions that were worked out for the first."""
    source = Grid.from_bbox((500000, 5000000, 501000, 5001000), crs=UTM, resolution=10, bbox_crs=UTM)
    target = Grid.from_bbox(source.bounds, crs="EPSG:3857", resolution=14, bbox_crs=UTM)
    outs = []
    for seed in (1, 2):
        placement = place(source, target, "nearest")
        values = np.random.default_rng(seed).integers(1, 999, source.shape).astype("uint16")
        out = np.empty(target.shape, "uint16")
        warp(values[placement.window.slices], placement, nodata=0, out=out, fill=0)
        slow = np.zeros(target.shape, "uint16")
        warp(values[placement.window.slices], placement, nodata=0, out=slow, fill=0, keep=True)
        assert np.array_equal(out, slow)
        outs.append(out)
    assert (outs[0] != outs[1]).any()
