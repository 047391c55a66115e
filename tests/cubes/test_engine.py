"""The engine: the same bytes on threads, processes and a cluster, and the same errors."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terracube.core.errors import AssetError, CancelledError, InputError, IntegrityError
from terracube.core.progress import CancelToken
from terracube.cubes import YX, CubeSpec, engine, load_array, plan_cube, read_scenes
from terracube.cubes.engine import Scheduler, run_blocks, to_scheduler
from terracube.cubes.storage import Scratch

BLOCK = 20
KINDS = ("threads", "processes", "cluster")


@pytest.fixture(scope="module")
def cluster():
    """Two workers, each a process of its own; gives the address of their scheduler."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as running:
        yield running.scheduler_address


@pytest.fixture
def scheduler(request, kind):
    """The scheduler of a kind; two workers each."""
    if kind == "cluster":
        return Scheduler(request.getfixturevalue("cluster"))
    return Scheduler(kind, 2)


@pytest.fixture(scope="module")
def product(real, native):
    """A lazy product of 72 blocks, one day's bands, with a northern part that no scene reaches."""
    window = native.window(YX(-50, 300), YX(170, 150))
    cube = load_array(plan_cube(real, CubeSpec(("red", "nir"), (0, 1, 3, 8, 9, 10)), window), BLOCK)
    return cube.isel(time=2).rename(band="layer")


@pytest.fixture(scope="module")
def expected(product):
    """The product, computed as one array."""
    return product.compute(scheduler="sync").values


def shape_of(product):
    """Give rows and columns of a product."""
    return YX(product.sizes["y"], product.sizes["x"])


def run(product, folder, scheduler, **options):
    """Run a product into a fresh scratch folder."""
    scratch = Scratch.create(folder / "scratch", product.sizes["layer"], shape_of(product), BLOCK)
    return scratch, run_blocks(product, scratch, scheduler=scheduler, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_scheduler_gives_the_same(product, expected, tmp_path, scheduler):
    """The scratch rows are the product to the bit, its clear pixels are counted, progress runs to the end."""
    told = []
    scratch, count = run(product, tmp_path, scheduler, progress=lambda done, total: told.append((done, total)))
    for layer in range(2):
        assert np.array_equal(scratch.rows(layer, 0, 170), expected[layer], equal_nan=True)
    assert count == np.isfinite(expected[0]).sum()
    assert 0 < count < expected[0].size
    assert told == [(done, 72) for done in range(73)]
    assert len(list(Path(scratch.folder).iterdir())) == 72


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, build):
    """A lazy product of four blocks, the last of which lies on a damaged tile of its file."""
    folder = tmp_path_factory.mktemp("damaged")
    values = np.random.default_rng(1).integers(1, 9, (32, 32)).astype("uint16")
    item = build(folder, "scene", {"red": values}, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    path = folder / "scene" / "red.tif"
    with rasterio.open(path) as dataset:
        at = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", 1))
    content = path.read_bytes()
    path.write_bytes(content[:at] + b"\xff" * 20 + content[at + 20 :])
    found = read_scenes([item], ["red"], mask=False)
    plan = plan_cube(found, CubeSpec(("red",), None), found.scenes[0].bands["red"].grid)
    return load_array(plan, 16).isel(time=0).rename(band="layer")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_in_a_block_arrives_as_it_was_raised(damaged, tmp_path, scheduler):
    """The error of a block has its own class, facts and text, whichever scheduler ran it."""
    scratch = Scratch.create(tmp_path / "scratch", 1, YX(32, 32), 16)
    with pytest.raises(AssetError, match=r"cannot decode pixels.*scene/red\.tif") as told:
        run_blocks(damaged, scratch, scheduler=scheduler)
    assert type(told.value) is AssetError
    assert "scene/red.tif, level 0" in told.value.where


@pytest.mark.parametrize("kind", ["threads", "cluster"])
def test_cancelled(product, tmp_path, scheduler):
    """A cancelled run stops with the error of that name, before it is done, and what it did stays whole blocks."""
    token = CancelToken()
    scratch = Scratch.create(tmp_path / "scratch", 2, shape_of(product), BLOCK)

    def stop(done: int, total: int) -> None:
        if done == 3:
            token.cancel()

    with pytest.raises(CancelledError):
        run_blocks(product, scratch, scheduler=scheduler, progress=stop, cancel=token)
    if scheduler.kind == "threads":
        written = {path.name for path in Path(scratch.folder).iterdir()}
        assert 3 <= len(written) < 72
        assert all(name.endswith(".bin") for name in written)
        with pytest.raises(IntegrityError, match="missing"):
            scratch.rows(0, 0, 170)


def test_cancelled_before_it_began(product, tmp_path):
    """A token that is cancelled already stops the run at its first block."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        run(product, tmp_path, Scheduler("threads", 1), cancel=token)


def test_blocks_must_be_those_of_the_scratch_folder(product, tmp_path):
    """A product in other blocks than the scratch folder's, or with other layers, is refused, not misplaced."""
    shape = shape_of(product)
    with pytest.raises(InputError, match="does not fit its place"):
        run_blocks(product, Scratch.create(tmp_path / "a", 2, shape, 25), scheduler=Scheduler("threads", 1))
    with pytest.raises(InputError, match="does not fit its place"):
        run_blocks(product, Scratch.create(tmp_path / "b", 3, shape, BLOCK), scheduler=Scheduler("threads", 1))
    split = product.chunk(layer=1)
    with pytest.raises(InputError, match="does not fit its place"):
        run_blocks(split, Scratch.create(tmp_path / "c", 2, shape, BLOCK), scheduler=Scheduler("threads", 1))


class TestNames:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [("local", "threads"), ("threads", "threads"), ("processes", "processes"), ("tcp://host:8786",) * 2,
         ("tls://host:8786",) * 2],
    )  # fmt: skip
    def test_known(self, name, kind):
        """Local means threads; addresses stay addresses."""
        assert to_scheduler(name, workers=3) == Scheduler(kind, 3)

    @pytest.mark.parametrize("name", ["", "dask", "host:8786", "http://host", "THREADS"])
    def test_unknown(self, name):
        """Anything else is refused with what would be right."""
        with pytest.raises(InputError, match="tcp://host:8786"):
            to_scheduler(name)

    def test_workers(self):
        """None given means one per core; a negative number is refused."""
        assert to_scheduler("local").concurrency >= 1
        assert to_scheduler("local", workers=5).concurrency == 5
        with pytest.raises(InputError, match="negative"):
            to_scheduler("local", workers=-1)

    def test_nobody_answers(self, product, tmp_path, monkeypatch):
        """An address where no scheduler runs is an error of the call, with the address."""
        monkeypatch.setattr(engine, "_ANSWER_SECONDS", 0.5)
        with pytest.raises(InputError, match=r"no Dask scheduler answers.*127\.0\.0\.1:9"):
            run(product, tmp_path, Scheduler("tcp://127.0.0.1:9"))
