"""What a call will do is told before a pixel is read, and it is true."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from terracube.core.errors import InputError
from terracube.cubes import Grid, explain, load, report


@pytest.fixture
def items(make_scene):
    """Two dates of a tiled raster with an overview, and classes at half the resolution."""
    tiled = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    values = np.arange(512 * 512, dtype="uint16").reshape(512, 512)
    return [
        make_scene(
            f"s{day}",
            {"red": values, "scl": np.full((256, 256), 4, "uint8")},
            when=f"2023-08-{day}T10:00:00Z",
            pixels={"scl": 20.0},
            **tiled,
        )
        for day in (14, 15)
    ]


def test_sources(items):
    """Every source is there, with the window it needs, the bytes of whole tiles, and who decodes it."""
    grid = Grid.from_items(items, bands=["red"])
    part = grid.window(grid.offset.__class__(100, 130), grid.shape.__class__(100, 100))
    told = explain(items, bands=["red"], grid=part)
    assert told.decoders == {"own": 4}
    assert told.levels == {0: 4}
    red = [source for source in told.sources if source.band == "red"]
    assert [source.item for source in red] == ["s14", "s15"]
    assert red[0].window == (100, 130, 100, 100)
    assert red[0].bytes == 2 * 128 * 128 * 2
    assert told.bytes == sum(source.bytes for source in told.sources)
    assert told["steps"] == told.as_dict()["steps"] == 2


def test_tasks_are_those_of_the_graph(items):
    """The number of tasks is the number there is: blocks of each band, and one for the plan."""
    for chunks in (100, 512):
        cube = load(items, bands=["red", "scl"], chunks=chunks)
        told = explain(items, bands=["red", "scl"], chunks=chunks)
        assert told.tasks == len(dict(cube.__dask_graph__()))
        assert told.blocks == cube.red.data.npartitions
        assert explain(cube).as_dict() == told.as_dict()


def test_memory_holds(items):
    """What a block takes is at most a third more than was told."""
    told = explain(items, bands=["red"], chunks=512)
    cube = load(items, bands=["red"], chunks=512)
    cube.red.isel(x=slice(1)).compute(scheduler="sync")  # compiled, opened
    tracemalloc.start()
    cube.red.data.blocks[0, 0, 0].compute(scheduler="sync")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 1.3 * told.memory_per_block


def test_words(items):
    """It prints as text and as a table."""
    told = explain(items, bands=["red"])
    assert "decoders   own: 4" in str(told)
    assert told._repr_html_().startswith("<table>")


def test_left_out(items, make_scene):
    """Items that cannot be used are told with the reason, also by the dataset itself."""
    broken = make_scene("broken", {"red": np.ones((2, 2), "uint16")}, when="2023-08-16T10:00:00Z")
    options = {"bands": ["red"], "on_error": "skip", "grid": Grid.from_items(items, bands=["red"])}
    told = explain([*items, broken], **options)
    assert [gone["id"] for gone in told.left_out] == ["broken"]
    assert "left out" in str(told)
    cube = load([*items, broken], **options)
    assert [note.item for note in report(cube).left_out] == ["broken"]
    assert explain(cube).left_out == told.left_out


def test_datasets_from_elsewhere(items):
    """A dataset that was not loaded here cannot be explained; one that was has its options."""
    cube = load(items, bands=["red"])
    with pytest.raises(InputError, match="options"):
        explain(cube, bands=["red"])
    with pytest.raises(InputError, match="how it was loaded"):
        report(cube.drop_attrs())


def test_from_the_dataset_itself(items):
    """A dataset explains itself, reports on itself, and shows grid, sources and masks as a page, safely."""
    cube = load(items, bands=["red"])
    assert cube.terracube.explain() == explain(cube)
    assert cube.terracube.report() == report(cube)
    page = cube.terracube._repr_html_()
    assert all(word in page for word in ("EPSG:32633", "s14", "clear", "solar_day"))
    named = cube.assign_attrs({"terracube:note": "<script>alert(1)</script>"})
    assert "<script>" not in named.terracube._repr_html_()
