"""Items appended to a cube: whole dates in any order, parts of dates refused, and what could not be read is told."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
import rasterio
import zarr

from terracube.core.errors import ConflictError, IntegrityError
from terracube.cubes import Grid, load
from terracube.cubes.storage.versioned import VersionedCube
from terracube.cubes.storage.versioned import cube as cube_module
from terracube.cubes.storage.versioned.incoming import missing_of

SHAPE = (40, 50)


def numbers(seed):
    """Give numbers with a third of them missing."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(SHAPE) < 0.3, 0, rng.integers(1, 9000, SHAPE)).astype("uint16")


@pytest.fixture(scope="module")
def scenes(build, tmp_path_factory):
    """Two scenes of one day (a, b), and one of another (c)."""
    place = tmp_path_factory.mktemp("scenes")
    when = {"a": "2023-08-20T10:00:00Z", "b": "2023-08-20T10:00:10Z", "c": "2023-08-18T10:00:00Z"}
    return {
        name: build(place, name, {"red": numbers(number)}, when=time)
        for number, (name, time) in enumerate(when.items())
    }


@pytest.fixture
def create(scenes, tmp_path):
    """Make an empty cube on the pixels of the scenes, each time another one."""
    grid = Grid.from_items([scenes["a"]], bands=["red"])
    names = iter(map(str, range(99)))
    return lambda: VersionedCube.create(tmp_path / next(names), grid=grid, variables={"red": "float32"}, chunks=32)


@pytest.fixture
def add(scenes):
    """Append scenes by their names."""
    return lambda cube, names, **options: cube.append([scenes[name] for name in names], mask=None, **options)


@pytest.fixture
def whole(create, add):
    """All scenes, appended at once."""
    cube = create()
    add(cube, "abc")
    return cube.dataset().load()


@pytest.mark.parametrize("order", [*permutations(["ab", "c"]), ["ba", "c", "ab"], ["abc", "c", "ba"], ["c", "cab"]])
def test_whole_dates_in_any_order(create, add, whole, order):
    """Whole dates in any order, and again, with items in any order, are the cube of one append."""
    cube = create()
    for names in order:
        add(cube, names)
    assert cube.dataset().load().identical(whole)
    state = cube.history()[0]
    assert [add(cube, names) for names in ("abc", "ab", "c")] == [state] * 3


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a"), ("ab", "a"), ("ac", "bc")])
def test_part_of_a_date(create, add, whole, first, second):
    """Items that leave out some of a date are refused, and all of them together make it whole, whatever was there."""
    cube = create()
    state = add(cube, first)
    with pytest.raises(ConflictError, match=r"2023-08-20.*append all items of that date together.*on_conflict="):
        add(cube, second)
    assert cube.history()[0] == state
    add(cube, "abc")
    assert cube.dataset().load().identical(whole)


@pytest.mark.parametrize("rule", ["replace", "keep", "overwrite"])
def test_a_rule_that_is_said(create, add, scenes, rule):
    """Whoever says a rule gets what it says, and the cube knows afterwards of what the date is made."""
    one, two = (load([scenes[name]], bands=["red"], mask=None, chunks=None).red.values[0] for name in "ab")
    wanted = {
        "replace": np.where(np.isnan(two), one, two),
        "keep": np.where(np.isnan(one), two, one),
        "overwrite": two,
    }[rule]
    cube = create()
    add(cube, "a")
    add(cube, "b", on_conflict=rule)
    assert np.array_equal(cube.dataset().red.values[0], wanted, equal_nan=True)
    if rule == "overwrite":
        assert add(cube, "b") == cube.history()[0]
    else:
        with pytest.raises(ConflictError, match="made of other items"):
            add(cube, "b")


def test_a_dataset_before(create, add, scenes, whole):
    """Of pixels that came as a dataset no items are known: items of that date need a rule; other dates do not."""
    cube = create()
    cube.append(load([scenes["a"]], bands=["red"], grid=cube.grid, mask=None))
    cube.append(load([scenes["a"]], bands=["red"], grid=cube.grid, mask=None))
    add(cube, "c")
    with pytest.raises(ConflictError, match="no items are known"):
        add(cube, "ab")
    add(cube, "ab", on_conflict="overwrite")
    assert cube.dataset().load().identical(whole)
    add(cube, "ab")


def test_overtaken_by_other_items(create, add, whole, monkeypatch):
    """Items of a date that another process fills in the meantime are refused as well."""
    cube = create()
    real, calls = cube_module.write, []

    def slow(*given):
        if not calls:
            calls.append(True)
            add(cube, "b")
        return real(*given)

    monkeypatch.setattr(cube_module, "write", slow)
    with pytest.raises(ConflictError, match="made of other items"):
        add(cube, "a")
    add(cube, "abc")
    assert cube.dataset().load().identical(whole)


def test_more_items_than_usual(create, add, scenes):
    """The record of a date has room for more items than it is made for."""
    cube = create()
    many = []
    for number in range(70):
        item = scenes["a"].to_dict(include_self_link=True)
        many.append(item | {"id": f"a{number}"})
    cube.append(many, mask=None)
    add(cube, "c")
    assert cube.append(many[::-1], mask=None) == cube.history()[0]
    with pytest.raises(ConflictError, match="2 of them are not among"):
        cube.append(many[1:69], mask=None)


def test_a_cube_without_record(create, add, whole):
    """A cube that was written without this record says so; a record of another shape is refused."""
    cube = create()
    add(cube, "ab")
    session, _ = cube._writable()
    group = zarr.open_group(session.store, mode="r+")
    del group["checks/_items"]
    session.commit("as it was once")
    with pytest.raises(ConflictError, match="no items are known"):
        add(cube, "ab")
    add(cube, "c")
    add(cube, "c")
    assert cube.dataset().load().identical(whole)
    assert cube.verify()
    session, _ = cube._writable()
    group = zarr.open_group(session.store, mode="r+")
    group.create_array("checks/_items", shape=(2, 3), chunks=(1, 3), dtype="uint8", overwrite=True)
    session.commit("as it never was")
    with pytest.raises(IntegrityError, match="record of items"):
        add(cube, "ab")


@pytest.mark.parametrize("lazy", [True, False])
def test_what_is_missing_is_told(build, tmp_path, create, lazy):
    """Tiles and assets that were skipped are told in the history, with the reason."""
    layer = {"red": np.ones((128, 128), "uint16")}
    damaged = build(tmp_path, "damaged", layer, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    path = tmp_path / "damaged" / "red.tif"
    with rasterio.open(path) as file:
        at, size = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", 1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(path.read_bytes())
    content[at : at + size] = b"\xff" * size
    path.write_bytes(bytes(content))
    gone = build(tmp_path, "gone", layer, when="2023-08-16T10:00:00Z")
    (tmp_path / "gone" / "red.tif").unlink()
    cube = create()
    options = {"mask": None, "on_error": "skip"}
    if lazy:
        cube.append([damaged, gone], **options)
    else:
        cube.append(load([damaged, gone], bands=["red"], grid=cube.grid, chunks=None, **options))
    assert np.isnan(cube.dataset().red.values).all()
    told = cube.history()[0].attributes["terracube:missing"]
    assert told["count"] == 2
    assert [(one["item"], one["asset"]) for one in told["notes"]] == [("gone", ""), ("damaged", "red")]
    assert "missing" in told["notes"][0]["reason"]
    assert "tile" in told["notes"][1]["reason"]


def test_nothing_is_missing(create, add, scene):
    """Where all was read, and of other datasets, nothing is told; attributes that somebody made up are left alone."""
    assert "terracube:missing" not in add(create(), "ab").attributes
    made = scene(["2023-08-15"])
    assert missing_of(made) == {}
    for facts in (
        [],
        {},
        {"key": 1},
        {"key": "../x"},
        {"key": "a" * 64},
        {"key": "a" * 64, "items": 3, "left_out": []},
    ):
        assert missing_of(made.assign_attrs({"terracube:cube": json.dumps(facts)})) == {}
