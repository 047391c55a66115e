"""One block: the mosaic rule, pixel by pixel, against a loop that anyone can read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from terracube.cubes import YX, CubeSpec, Grid, Pair, plan_cube, read_scenes
from terracube.cubes.blocks import BlockReader, read_block
from terracube.cubes.readers import close_files

SIDE = 6
MASKED = (0, 9)
TARGET = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(-510002, 50002), YX(9, 10))


@st.composite
def scenes(draw):
    """Give up to four scenes: minute, place in pixels from a common corner, numbers of two bands, classes."""
    numbers = hnp.arrays("uint16", (SIDE, SIDE), elements=st.integers(0, 3))
    classes = hnp.arrays("uint8", (SIDE, SIDE), elements=st.sampled_from([0, 4, 5, 9]))
    place = st.tuples(st.integers(-4, 4), st.integers(-4, 4))
    one = st.tuples(st.integers(0, 2), place, numbers, numbers, classes)
    return draw(st.lists(one, min_size=1, max_size=4))


def by_hand(found, target):
    """Place the scenes one after the other, one pixel after the other."""
    cube = np.full((2, *target.shape), np.nan)
    ordered = sorted(enumerate(found), key=lambda scene: (scene[1][0], f"s{scene[0]}"))
    for row in range(target.shape.y):
        for col in range(target.shape.x):
            for _, (_, (down, right), red, nir, classes) in ordered:
                y = target.offset.y + row - (-510000 + down)
                x = target.offset.x + col - (50004 + right)
                if not (0 <= y < SIDE and 0 <= x < SIDE) or classes[y, x] in MASKED:
                    continue
                for band, numbers in enumerate((red, nir)):
                    if np.isnan(cube[band, row, col]) and numbers[y, x]:
                        cube[band, row, col] = numbers[y, x]
    return cube


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=scenes(), start=st.tuples(st.integers(0, 8), st.integers(0, 9)))
def test_first_clear_wins(tmp_path_factory, build, found, start):
    """A band takes the first scene, by time then id, that is clear there and has a value; and any window agrees."""
    folder = tmp_path_factory.mktemp("block")
    items = [
        build(
            folder, f"s{number}", {"red": red, "nir": nir, "scl": classes},
            when=f"2023-08-15T10:0{minute}:00Z", origin=(500040.0 + 10 * right, 5100000.0 - 10 * down),
        )
        for number, (minute, (down, right), red, nir, classes) in enumerate(found)
    ]  # fmt: skip
    bands = ("red", "nir")
    plan = plan_cube(read_scenes(items[::-1], bands), CubeSpec(bands, MASKED, radiometry="dn"), TARGET)
    cube = read_block(plan, TARGET)
    assert cube.dtype == np.float32
    assert np.array_equal(cube[0], by_hand(found, TARGET), equal_nan=True)
    shape = YX(TARGET.shape.y - start[0], TARGET.shape.x - start[1])
    part = read_block(plan, TARGET.window(YX(*start), shape))
    assert np.array_equal(part, cube[:, :, start[0] :, start[1] :], equal_nan=True)
    reader, cut = BlockReader(plan, TARGET), start[0] + 1
    strips = [reader.rows(cut, TARGET.shape.y), reader.rows(0, cut)]  # in any order
    assert np.array_equal(np.concatenate(strips[::-1], axis=2), cube, equal_nan=True)
    close_files()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint32", "int32", "float32", "float64", "int64", "uint64", "int8"]
)
def test_every_type_of_number(make_scene, dtype):
    """Numbers of every real type are read; what equals nodata is missing."""
    values = np.array([[0, 1, 2, 100]]).astype(dtype)
    item = make_scene("scene", {"red": values})
    found = read_scenes([item], ["red"], mask=False)
    grid = found.scenes[0].bands["red"].grid
    cube = read_block(plan_cube(found, CubeSpec(("red",), None, radiometry="dn"), grid), grid)
    assert np.array_equal(cube[0, 0, 0], [np.nan, 1, 2, 100], equal_nan=True)


def test_no_mask_takes_everything(make_scene):
    """Without a mask a pixel needs only its bands, and the first scene wins."""
    first = make_scene("a", {"red": np.array([[1, 0]], "uint16")})
    second = make_scene("b", {"red": np.array([[2, 2]], "uint16")})
    found = read_scenes([second, first], ["red"], mask=False)
    grid = found.scenes[0].bands["red"].grid
    cube = read_block(plan_cube(found, CubeSpec(("red",), None, radiometry="dn"), grid), grid)
    assert cube[0, 0].tolist() == [[1, 2]]
