"""Bytes of local files: shared by threads, and never those of a file that was replaced."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError
from terracube.cubes.access import Location, forget, open_bytes
from terracube.cubes.access import files as module

DATA = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path):
    """A file whose every byte is known."""
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    yield path
    forget()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(DATA)), st.integers(0, len(DATA))).map(sorted).map(tuple)))
def test_ranges(path, ranges):
    """Any ranges, also empty and overlapping ones, are the bytes of the file."""
    source = open_bytes(Location(str(path)))
    assert source.size == len(DATA)
    assert source.read_many(ranges) == [DATA[a:b] for a, b in ranges]


def test_one_descriptor_for_all(path):
    """Opened again, the same file is the same object; by a file URL too."""
    source = open_bytes(Location(str(path)))
    assert open_bytes(Location(str(path), member="b04")) is source
    assert open_bytes(Location(path.as_uri())) is source
    assert source.name == str(path)
    assert str(path) in repr(source)


def test_a_replaced_file_is_another_file(path):
    """A file that is replaced by one of equal size and time is read anew; who holds the old one keeps reading it."""
    old = open_bytes(Location(str(path)))
    status = path.stat()
    other = path.with_name("b.bin")
    other.write_bytes(DATA[::-1])
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, path)
    new = open_bytes(Location(str(path)))
    assert new.read(0, 10) == DATA[::-1][:10]
    assert old.read(0, 10) == DATA[:10]
    assert new.version != old.version


def test_descriptors_are_bounded_and_safe(tmp_path):
    """Many more files than are kept open: no descriptor leaks, and one in use is not closed by the pool."""
    held = None
    before = len(os.listdir("/proc/self/fd"))
    for k in range(3 * module._MAX_OPEN):
        path = tmp_path / f"{k}.bin"
        path.write_bytes(bytes([k]) * 10)
        source = open_bytes(Location(str(path)))
        held = held or source
        assert source.read(0, 10) == bytes([k]) * 10
    assert held.read(0, 10) == bytes(10)
    assert len(os.listdir("/proc/self/fd")) - before <= module._MAX_OPEN + 1
    del held, source
    forget()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_threads_share_a_file(path):
    """Many threads read one file at once, each its own part."""
    source = open_bytes(Location(str(path)))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: source.read(k, k + 100), range(1000)))
    assert found == [DATA[k : k + 100] for k in range(1000)]


def test_shortened_while_open(path):
    """A file that is cut while it is open is told, not padded."""
    source = open_bytes(Location(str(path)))
    os.truncate(path, 100)
    with pytest.raises(AssetError, match="shortened"):
        source.read(50, 150)


def test_no_regular_files(tmp_path):
    """Folders, pipes, devices, missing and unreadable paths are told at once; a pipe is not waited for."""
    pipe = tmp_path / "pipe.tif"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, "/dev/null", tmp_path / "absent.tif", f"{tmp_path}/" + "x" * 300):
        with pytest.raises(AssetError):
            open_bytes(Location(str(path)))


def test_a_child_of_a_fork_is_not_stuck(path):
    """A process that is forked while a lock is held opens files all the same."""
    open_bytes(Location(str(path)))
    module._lock.acquire()
    holder = module._lock
    try:
        child = os.fork()
        if child == 0:
            threading.Timer(5, os._exit, [2]).start()
            os._exit(0 if open_bytes(Location(str(path))).read(0, 3) == DATA[:3] else 1)
    finally:
        holder.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
