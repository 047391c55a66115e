"""Blocks cover the cube once, however they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from terracube.core.errors import InputError
from terracube.cubes import YX, CubeSpec, Grid, plan_cube, read_scenes
from terracube.cubes.cut import BUDGET, Blocks, cut


@pytest.fixture
def plan(make_scene):
    """Two dates of a tiled raster, on a window that begins in the middle of a tile."""
    tiled = {"tiled": True, "blockxsize": 128, "blockysize": 128}
    items = [
        make_scene(f"s{day}", {"red": np.ones((700, 900), "uint16")}, when=f"2023-08-{day}T10:00:00Z", **tiled)
        for day in (14, 15)
    ]
    found = read_scenes(items, ["red"], mask=False)
    native = found.scenes[0].bands["red"].grid
    return plan_cube(found, CubeSpec(("red",), None), native.window(YX(50, 100), YX(600, 700)))


@pytest.mark.parametrize("chunks", ["auto", 100, 5000, {"y": 64}, {"x": 33, "y": 600}, {"time": 1}, {"y": -1}])
def test_every_pixel_once(plan, chunks):
    """Sizes add up, and windows follow one another."""
    blocks = cut(plan, chunks)
    assert [sum(sizes) for sizes in blocks.chunks] == [2, 600, 700]
    assert all(size > 0 for sizes in blocks.chunks for size in sizes)
    seen = np.zeros((2, 600, 700), int)
    for index in np.ndindex(*map(len, blocks.chunks)):
        steps, (start, shape) = blocks.of(index)
        seen[steps, start.y : start.y + shape.y, start.x : start.x + shape.x] += 1
    assert (seen == 1).all()
    assert blocks.count == np.prod([len(sizes) for sizes in blocks.chunks])


def test_mapping_leaves_time_whole(plan):
    """Rows and columns may be cut without cutting time."""
    assert cut(plan, {"y": 100, "x": 100}).time == (2,)
    assert cut(plan, {"time": 1}).chunks == ((1, 1), (600,), (700,))


def test_auto_lies_on_tiles(plan):
    """Where the pixels agree, blocks begin on borders of the files' tiles, so that no tile is decoded twice."""
    blocks = cut(plan, "auto")
    edges = 50 + np.cumsum(blocks.y)[:-1], 100 + np.cumsum(blocks.x)[:-1]
    assert all((borders % 128 == 0).all() for borders in edges)
    assert max(blocks.y) * max(blocks.x) * 2 * 4 <= BUDGET


def test_many_dates_make_smaller_blocks(plan):
    """The budget of a block holds for any number of dates."""
    from dataclasses import replace

    many = replace(plan, groups=plan.groups * 1000, grid=Grid.from_bbox(
        (0, 0, 90000, 90000), crs="EPSG:32633", resolution=10, bbox_crs="EPSG:32633"))  # fmt: skip
    blocks = cut(many, "auto")
    assert max(blocks.y) <= 128
    assert max(cut(replace(many, groups=plan.groups), "auto").y) == 2048


@pytest.mark.parametrize("chunks", [0, -2, True, {"z": 3}, {"y": 0}, {"y": 2.5}, "all", 1.5])
def test_refused(plan, chunks):
    """A size that is no positive number, or an unknown dimension, is refused."""
    with pytest.raises(InputError):
        cut(plan, chunks)


def test_tokens_differ():
    """Two cuts of one cube have different names."""
    cuts = [
        Blocks((2,), (4, 4), (8,)),
        Blocks((2,), (8,), (8,)),
        Blocks((1, 1), (8,), (8,)),
        Blocks((2,), (1, 7), (8,)),
    ]
    assert len({blocks.token for blocks in cuts}) == 4
