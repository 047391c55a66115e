"""Scratch: blocks written in any order are rows again; what is not there is never made up."""

from __future__ import annotations

import os
import pickle
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, IntegrityError, StorageError
from terracube.cubes import YX
from terracube.cubes.storage import Scratch


def parts(scratch, values):
    """Cut an array into the blocks of a scratch folder."""
    size = scratch.block
    for row in range(-(-values.shape[1] // size)):
        for col in range(-(-values.shape[2] // size)):
            yield row, col, values[:, row * size : (row + 1) * size, col * size : (col + 1) * size]


@pytest.fixture
def filled(tmp_path):
    """A scratch folder of 2 layers, 23 x 17 pixels in blocks of 5, with a value of its own in every pixel."""
    values = np.arange(2 * 23 * 17, dtype="float32").reshape(2, 23, 17)
    values[0, 3, 4] = np.nan
    scratch = Scratch.create(tmp_path / "scratch", 2, YX(23, 17), 5)
    for row, col, part in reversed(list(parts(scratch, values))):
        scratch.write(row, col, part)
    return scratch, values


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1), st.integers(0, 22), st.integers(1, 23))
def test_any_rows(filled, layer, start, count):
    """Any rows of any layer are those of the array, whatever blocks they cross."""
    scratch, values = filled
    stop = min(start + count, 23)
    found = scratch.rows(layer, start, stop)
    assert found.dtype == np.float32
    assert np.array_equal(found, values[layer, start:stop], equal_nan=True)


@pytest.mark.parametrize("block", [1, 4, 100])
def test_sizes_of_blocks(tmp_path, block):
    """Blocks of one pixel, blocks that divide the rows, and one block larger than all hold the same."""
    values = np.random.default_rng(1).normal(size=(1, 8, 3)).astype("float32")
    scratch = Scratch.create(tmp_path / "s", 1, YX(8, 3), block)
    for row, col, part in parts(scratch, values):
        scratch.write(row, col, part)
    assert np.array_equal(scratch.rows(0, 0, 8), values[0])


def test_it_travels(filled):
    """A pickled scratch folder, as a worker gets it, reads and writes the same place."""
    scratch, values = filled
    again = pickle.loads(pickle.dumps(scratch))
    again.write(0, 0, values[:, :5, :5] + 1)
    assert np.array_equal(scratch.rows(1, 0, 5)[:, :5], values[1, :5, :5] + 1)


def test_many_writers(tmp_path):
    """Threads writing neighbouring blocks at once lose nothing."""
    values = np.random.default_rng(2).normal(size=(3, 64, 64)).astype("float32")
    scratch, together = Scratch.create(tmp_path / "s", 3, YX(64, 64), 8), threading.Barrier(8)

    def work(job):
        if job[1] == 0:
            together.wait()
        scratch.write(*job)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, parts(scratch, values)))
    for layer in range(3):
        assert np.array_equal(scratch.rows(layer, 0, 64), values[layer])


@pytest.mark.parametrize("shape", [(2, 5, 4), (1, 5, 5), (2, 4, 5), (5, 5), (2, 5, 5, 1)])
def test_a_block_that_does_not_fit(filled, shape):
    """A block of another shape than its place is refused."""
    with pytest.raises(InputError, match=r"does not fit its place.*\(2, 5, 5\)"):
        filled[0].write(0, 0, np.zeros(shape, "float32"))


def test_a_missing_block(filled):
    """A block that was not written is an error where it is needed, and nowhere else."""
    scratch, values = filled
    os.remove(Path(scratch.folder) / "1-2.bin")
    assert np.array_equal(scratch.rows(1, 0, 5), values[1, :5])
    with pytest.raises(IntegrityError, match=r"missing.*1-2\.bin"):
        scratch.rows(0, 4, 6)


def test_an_incomplete_block(filled):
    """A block cut short is an error, not rows of something else."""
    scratch, _ = filled
    path = Path(scratch.folder) / "0-0.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(IntegrityError, match=r"incomplete.*0-0\.bin"):
        scratch.rows(1, 0, 5)


def test_a_folder_that_cannot_be_made(tmp_path):
    """A place that is taken, or lies below a file, is a storage error."""
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError):
            Scratch.create(place, 1, YX(1, 1), 1)


def test_a_full_disk(tmp_path):
    """A disk that refuses is told with its reason, and no block appears."""
    scratch = Scratch.create(tmp_path / "s", 1, YX(64, 64), 64)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, before[1]))
    try:
        with pytest.raises(StorageError, match="File too large"):
            scratch.write(0, 0, np.zeros((1, 64, 64), "float32"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(IntegrityError, match="missing"):
        scratch.rows(0, 0, 1)
