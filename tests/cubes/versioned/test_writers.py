"""Several writers at once, and writers that die: nothing is lost but what was not committed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from terracube.core.errors import ConflictError
from terracube.cubes.storage.versioned import VersionedCube
from terracube.cubes.storage.versioned import cube as cube_module

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="processes are forked, and folders locked, on POSIX only"
)
CHILD = Path(__file__).parent / "child.py"

DAYS = ["2023-08-10", "2023-08-12", "2023-08-15"]


def while_computed(dataset, work):
    """Give the dataset lazily, such that something happens while it is appended."""
    done = []

    def once(values):
        if values.size and not done:
            done.append(True)
            work()
        return values

    lazy = dataset.chunk()
    data = lazy.red.data.map_blocks(once, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    lazy["red"] = lazy.red.copy(data=data)
    return lazy


@pytest.fixture(scope="module")
def folders(tmp_path_factory, cube_in, scene):
    """Five cubes after other processes wrote into them (one program, because it takes long to start)."""
    place = tmp_path_factory.mktemp("writers")
    found = [place / name for name in ("several", "together", "killed-0", "killed-1", "killed-2")]
    for number, folder in enumerate(found):
        cube = cube_in(folder)
        if number == 2:
            cube.append(scene(DAYS))
            for other in found[3:]:
                shutil.copytree(folder, other)
            break
    command = [sys.executable, "-W", "ignore", str(CHILD), *map(str, found)]
    # A process with threads is not to be forked.
    environment = {key: value for key, value in os.environ.items() if key != "ICECHUNK_LOG"}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environment)
    # Nothing else is printed: what icechunk warns of does not hold here.
    assert (done.stdout, done.stderr) == ("[-9, -9, -9]\n[0, 0]\n[0, 0]\n", "")
    return found


@posix_only
@pytest.mark.parametrize("number", [2, 3, 4])
def test_killed(folders, cube, scene, number):
    """Killed while it writes or before it commits, an append leaves the cube as it was, and can be done again."""
    cube.append(scene(DAYS))
    found = VersionedCube.open(folders[number])
    assert [(one.message, one.added) for one in found.history()] == [(o.message, o.added) for o in cube.history()]
    assert found.dataset().load().identical(cube.dataset().load())
    late = scene(["2023-08-01", "2023-08-15"], seed=1)
    wanted, again = cube.append(late), found.append(late)
    assert (again.added, again.replaced) == (wanted.added, wanted.replaced)
    assert found.dataset().load().identical(cube.dataset().load())
    assert found.verify()


@posix_only
def test_processes_other_dates(folders, cube, scene):
    """Two processes that append six dates at once: all are there, in a history without gaps."""
    found = VersionedCube.open(folders[0])
    cube.append(scene([f"2023-09-{day:02}" for day in range(1, 7)]))
    assert found.dataset().load().identical(cube.dataset().load())
    assert sorted(date for one in found.history() for date in one.added) == list(cube.history()[0].added)
    assert len(found.history()) == 7
    assert found.verify()


@posix_only
def test_processes_same_date(folders, cube, scene):
    """Two processes that append parts of one date at once, which overlap: the date is whole."""
    found = VersionedCube.open(folders[1])
    cube.append(scene(["2023-09-01"]))
    assert found.dataset().load().identical(cube.dataset().load())
    assert found.verify()


@pytest.mark.parametrize("local", [True, False])
def test_overtaken(cube, new_cube, scene, local, monkeypatch):
    """Overtaken by another commit, an append goes on top of it, and computes again only what the other touched."""
    if not local:  # as in an S3 store, where no lock is to be had
        monkeypatch.setattr("terracube.cubes.storage.versioned.place.Place.folder", None)
        monkeypatch.setattr(
            "terracube.cubes.storage.versioned.place.Place.storage",
            lambda place: cube_module.icechunk.local_filesystem_storage(place.address),
        )
    calls = []
    ours = scene(DAYS)
    lazy = while_computed(ours, lambda: cube.append(scene(["2023-08-11", "2023-08-12"], seed=1)))
    lazy["scl"] = lazy.scl.copy(
        data=lazy.scl.data.rechunk((1, -1, -1)).map_blocks(
            lambda values: (calls.append(values.shape), values)[1], dtype="uint8", meta=np.empty((0, 0, 0), "uint8")
        )
    )
    found = cube.append(lazy, message="ours")
    wanted = new_cube()
    wanted.append(scene(["2023-08-11", "2023-08-12"], seed=1))
    wanted.append(ours)
    assert cube.dataset().load().identical(wanted.dataset().load())
    assert found.added == tuple(np.array(["2023-08-10", "2023-08-15"], "M8[ns]"))
    assert found.replaced == tuple(np.array(["2023-08-12"], "M8[ns]"))
    assert len(calls) == 4  # three dates, and once more the one that the other touched
    assert cube.history()[0].message == "ours"
    assert len(cube.history()) == 3
    assert cube.verify()


def test_overtaken_by_the_same(cube, scene):
    """Overtaken by a process with the same content, an append finds that all is done."""
    found = cube.append(while_computed(scene(DAYS), lambda: cube.append(scene(DAYS), message="first")))
    assert found.message == "first"
    assert len(cube.history()) == 2


def test_overtaken_and_refused(cube, scene):
    """A rule holds for what another has committed in the meantime."""
    lazy = while_computed(scene(DAYS), lambda: cube.append(scene(DAYS[:1], seed=1)))
    with pytest.raises(ConflictError, match="other values"):
        cube.append(lazy, on_conflict="raise")
    assert cube.dataset().sizes["time"] == 1


def test_never_first(cube, scene, monkeypatch):
    """Overtaken again and again, an append gives up in the end, and says so."""

    def overtaken(*_):
        raise cube_module.icechunk.ConflictError("a", "b")

    monkeypatch.setattr(VersionedCube, "_commit", overtaken)
    monkeypatch.setattr(cube_module, "_TRIES", 3)
    with pytest.raises(ConflictError, match="all the time"):
        cube.append(scene(DAYS[:1]))


def test_open_handles_see_commits(tmp_path, cube, scene):
    """Two handles of one cube see what the other commits, at once."""
    other = VersionedCube.open(tmp_path / "cube-0")
    cube.append(scene(DAYS[:1]))
    other.append(scene(DAYS[1:2]))
    cube.append(scene(DAYS[2:]))
    assert other.dataset().sizes["time"] == cube.dataset().sizes["time"] == 3
