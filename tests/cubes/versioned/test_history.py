"""Every state stays as it was; what happened can be told; what is forgotten is gone, and nothing else."""

from __future__ import annotations

import datetime as dt
import shutil
import time

import numpy as np
import pytest

from terracube.core.errors import ConflictError, HostileInputError, InputError, NotFoundError
from terracube.cubes.storage.versioned import Difference, VersionedCube

DAYS = ["2023-08-10", "2023-08-12", "2023-08-15"]


def as_dates(days):
    """Give days as the history tells them."""
    return tuple(np.array(days, "datetime64[ns]"))


def now():
    """Give a moment that is later than all before and earlier than all after."""
    time.sleep(0.002)
    moment = dt.datetime.now(dt.UTC)
    time.sleep(0.002)
    return moment


@pytest.fixture(scope="module")
def template(tmp_path_factory, cube_in, scene):
    """The folder of a cube after three appends, with snapshot, dataset and moment of each state."""
    folder = tmp_path_factory.mktemp("template") / "cube"
    cube = cube_in(folder)
    appends = [(scene(DAYS[1:2]), "a"), (scene(DAYS[::2]), "late"), (scene(DAYS[:2], seed=1), "corrected")]
    states, loaded, moments = [], [], []
    for dataset, message in appends:
        states.append(cube.append(dataset, message=message))
        loaded.append(cube.dataset().load())
        moments.append(now())
    return folder, states, loaded, moments


@pytest.fixture
def grown(template, tmp_path):
    """A cube after three appends, to do anything with."""
    folder, states, loaded, moments = template
    shutil.copytree(folder, tmp_path / "cube-0")
    return VersionedCube.open(tmp_path / "cube-0"), states, loaded, moments


def test_history(grown):
    """Each commit tells its dates, message, inputs and the pixels that changed, newest first."""
    cube, states, loaded, _ = grown
    found = cube.history()
    assert found[:3] == states[::-1]
    assert [one.message for one in found] == ["corrected", "late", "a", "cube created"]
    assert [one.added for one in found] == [(), as_dates(DAYS[::2]), as_dates(DAYS[1:2]), ()]
    assert [one.replaced for one in found] == [as_dates(DAYS[:2]), (), (), ()]
    assert found[2].attributes["inputs"] == ["scene of 2023-08-12"]
    assert found[2].changed_pixels == int(loaded[0].red.count()) + int((loaded[0].scl != 255).sum())
    assert found[0].time.tzinfo is not None
    assert found[0].time > found[1].time > found[2].time
    assert cube.history(limit=2) == found[:2]


def test_time_travel(grown):
    """Each state can be opened by its id, by a moment, and by a tag, and is what it was."""
    cube, states, loaded, moments = grown
    for number, (state, dataset, moment) in enumerate(zip(states, loaded, moments, strict=True)):
        cube.tag(f"v{number}", state.id)
        for when in (state.id, moment, f"v{number}"):
            assert cube.at(when).load().identical(dataset)
    assert cube.tags() == {f"v{number}": state.id for number, state in enumerate(states)}
    assert cube.at(states[0].id).encoding["snapshot"] == states[0].id


def test_no_such_state(grown):
    """A state that never was is told so; a moment needs a time zone."""
    cube, states, _, _ = grown
    for when in ("0" * 20, states[0].time - dt.timedelta(days=1)):
        with pytest.raises(NotFoundError):
            cube.at(when)
    for when in ("../../etc/passwd", "", dt.datetime(2023, 1, 1)):
        with pytest.raises(InputError):
            cube.at(when)
    with pytest.raises(NotFoundError):
        cube.at(cube._place.open().lookup_snapshot(cube.history()[-1].id).parent_id)


def test_diff(grown, scene):
    """A difference counts pixels by date and variable, as two whole arrays tell them."""
    cube, states, loaded, _ = grown
    found = cube.diff(states[0].id)
    assert (found.added, found.removed, found.replaced) == (as_dates(DAYS[::2]), (), as_dates(DAYS[1:2]))
    counted = {(d.date, d.variable): d.pixels for d in found.differences}
    old = loaded[0].reindex(time=loaded[2].time, fill_value={"red": np.nan, "scl": 255})
    for day in loaded[2].time.values:
        for name in ("red", "scl"):
            one, other = old[name].sel(time=day).values, loaded[2][name].sel(time=day).values
            different = (one != other) & ~((one != one) & (other != other))
            assert counted[day, name] == different.sum()
    back = cube.diff(states[2].id, states[0].id)
    assert (back.added, back.removed) == ((), as_dates(DAYS[::2]))
    assert back.differences == found.differences
    assert not cube.diff(states[2].id).differences


def test_diff_small(cube, scene):
    """One pixel that changes is one pixel."""
    whole = scene(DAYS)
    first = cube.append(whole)
    whole.red[1, 40, 54] = 7.0
    cube.append(whole)
    found = cube.diff(first.id)
    assert found.differences == (Difference(as_dates(DAYS)[1], "red", 1),)
    assert (found.added, found.removed, found.replaced) == ((), (), as_dates(DAYS[1:2]))


def test_expire(grown, tmp_path):
    """Old states go, with their chunks; the newest and a tagged one stay whole, and the cube goes on growing."""
    cube, states, loaded, moments = grown
    cube.tag("paper", states[0].id)
    files = len(list((tmp_path / "cube-0" / "chunks").iterdir()))
    gone = cube.expire(moments[2])
    assert states[1].id in gone
    assert states[2].id not in gone
    assert len(list((tmp_path / "cube-0" / "chunks").iterdir())) <= files
    assert [one.id for one in cube.history()] == [states[2].id]
    assert cube.dataset().load().identical(loaded[2])
    assert cube.at("paper").load().identical(loaded[0])
    with pytest.raises(NotFoundError):
        cube.at(states[1].id)
    with pytest.raises(NotFoundError):
        cube.at(moments[1])
    assert cube.expire(now()) == ()
    assert cube.verify() == cube.verify("paper") * 3


def test_expire_frees(new_cube, scene, tmp_path):
    """What was replaced takes no space after its state is forgotten, nor does what was never committed."""
    wanted, cube = new_cube(), new_cube()
    wanted.append(scene(DAYS, seed=1))
    needed = len(list((tmp_path / "cube-0" / "chunks").iterdir()))
    chunks = tmp_path / "cube-1" / "chunks"
    cube.append(scene(DAYS))
    cube.append(scene(DAYS, seed=1), on_conflict="overwrite")
    with pytest.raises(ConflictError):
        cube.append(scene([*DAYS, "2023-09-01"], seed=2), on_conflict="raise")
    assert len(list(chunks.iterdir())) > needed
    cube.expire(now())
    assert len(list(chunks.iterdir())) == needed
    cube.append(scene(["2023-09-01"]))
    assert cube.verify()


def test_expire_needs_zone(cube):
    """A moment without time zone is not guessed."""
    with pytest.raises(InputError, match="time zone"):
        cube.expire(dt.datetime(2030, 1, 1))


def test_expire_waits_for_no_append(cube, scene):
    """While an append is under way nothing is cleared away: its chunks would go with it."""
    refused = []

    def meanwhile(values):
        try:
            cube.expire(now())
        except ConflictError as error:
            refused.append(error)
        return values

    lazy = scene(DAYS).chunk()
    lazy["red"] = lazy.red.copy(data=lazy.red.data.map_blocks(meanwhile, dtype="f4", meta=np.empty((0, 0, 0), "f4")))
    cube.append(lazy)
    assert len(refused) == 1
    assert cube.verify()


def test_tags_are_for_good(grown):
    """A name is given once."""
    cube, states, _, _ = grown
    cube.tag("v1", states[0].id)
    with pytest.raises(ConflictError):
        cube.tag("v1", states[1].id)
    with pytest.raises(NotFoundError):
        cube.tag("v2", "0" * 20)
    for name in ("a/b", "", "x" * 200):
        with pytest.raises(HostileInputError):
            cube.tag(name)
    with pytest.raises(InputError, match="id of a snapshot"):
        cube.tag(states[0].id)
    assert cube.tags() == {"v1": states[0].id}


def test_long_attributes(cube, scene):
    """Attributes that are no JSON are told as text; of too many only the digest is kept."""
    odd = scene(DAYS).assign_attrs(kind=np.float32(1.5), path=object())
    kept = cube.append(odd).attributes
    assert kept["inputs"]
    assert kept["path"].startswith("<object")
    signed = "https://example.org/B04.tif?sv=1&sig=secretword"
    told = scene(DAYS[:1], seed=3).assign_attrs(sources={"red": [signed]}, odd={1: signed})
    assert cube.append(told).attributes["sources"] == {"red": ["https://example.org/B04.tif"]}
    assert "secretword" not in str(cube.history())
    long = scene(DAYS, seed=1).assign_attrs(ledger=["x" * 100] * 1000)
    assert set(cube.append(long).attributes) == {"sha256", "bytes"}
