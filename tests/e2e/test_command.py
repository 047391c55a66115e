"""The command as a user types it: outputs, exit codes, refusals; one small catalogue, walked from end to end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click import Context
from click.testing import CliRunner, Result

from terracube.cli.main import main
from terracube.ingest.simulate import Region, write_scenes
from terracube.stac import Catalog, Query

RUN = ("run", "composite", "--collection", "sentinel-2-l2a", "--datetime", "2023-06/2023-07", "--bands", "red,nir")
REGION = Region(seed=11, size=90)


def call(*words: str | Path) -> Result:
    """Call the command inside this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with six simulated scenes, made by the command."""
    folder = tmp_path_factory.mktemp("command")
    write_scenes(REGION, folder / "delivered", dates=["2023-06-09", "2023-06-24", "2023-07-09"])
    assert call("init", folder / "catalog").exit_code == 0
    assert call("init", folder / "catalog").exit_code == 4
    done = call("ingest", "sentinel-2-l2a", folder / "delivered", "--into", folder / "catalog", "--jobs", "2")
    assert done.exit_code == 0, done.output
    assert "6 in, 0 there already, 0 refused" in done.output
    return folder / "catalog"


@pytest.fixture(scope="module")
def product(root: Path) -> dict[str, Any]:
    """The result of a run, as its JSON says it."""
    done = call(*RUN, "--catalog", root, "--json")
    assert done.exit_code == 0, done.output
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_help_is_for_newcomers() -> None:
    """The front page names the first commands and the exit codes; every command has help with an explanation."""
    front = call("--help").output
    assert "terracube init CATALOG" in front
    assert "nothing to do" in front
    for name in main.list_commands(Context(main)):
        command = main.get_command(Context(main), name)
        assert command is not None
        assert command.get_short_help_str(200) in " ".join(front.split())
        told = call(name, "--help")
        assert told.exit_code == 0
        assert len(told.output) > 300


def test_ingest_again_is_nothing_to_do(root: Path) -> None:
    """Scenes that are there already are told so."""
    done = call("ingest", "sentinel-2-l2a", root.parent / "delivered", "--into", root)
    assert done.exit_code == 4
    assert "0 in, 6 there already" in done.output


def test_search(root: Path) -> None:
    """Table, JSON and count agree; filters, boxes and periods restrict."""
    base = ("search", "--catalog", root, "--collection", "sentinel-2-l2a")
    assert call(*base, "--count").output.strip() == "6"
    assert call(*base, "--count", "--datetime", "2023-07").output.strip() == "2"
    assert call(*base, "--count", "--bbox", "0,0,1,1").output.strip() == "0"
    found = json.loads(call(*base, "--json", "--limit", "4").output)
    assert found["type"] == "FeatureCollection"
    assert len(found["features"]) == 4
    clouds = sorted(f["properties"]["eo:cloud_cover"] for f in json.loads(call(*base, "--json").output)["features"])
    below = call(*base, "--count", "--query", f"eo:cloud_cover<{clouds[3]}").output.strip()
    assert int(below) == sum(cloud < clouds[3] for cloud in clouds)
    assert "S2" in call(*base).output


def test_run_says_what_it_did(root: Path, product: dict[str, Any]) -> None:
    """The first run makes the product, the second finds it; the JSON names inputs, grid and times."""
    assert product["status"] == "done"
    assert len(product["inputs"]) == 6
    assert product["grid"]["crs"] == "EPSG:32633"
    assert {"search", "compute", "write", "publish"} <= set(product["seconds"])
    again = call(*RUN, "--catalog", root)
    assert again.exit_code == 4
    assert "nothing to do" in again.output
    assert list((root / ".records").glob("*-run-*.json"))


def test_request_file_is_the_same_run(root: Path, product: dict[str, Any], tmp_path: Path) -> None:
    """The run as one JSON document is the same request: it finds the same product done."""
    file = tmp_path / "request.json"
    file.write_text(json.dumps(product["request"]))
    done = call("run", "--catalog", root, "--request", file, "--json")
    assert done.exit_code == 4
    assert json.loads(done.stdout)["item"] == product["item"]
    mixed = call("run", "composite", "--catalog", root, "--request", file)
    assert mixed.exit_code == 2
    file.write_text('{"chain": "composite", "surprise": 1}')
    wrong = call("run", "--catalog", root, "--request", file)
    assert wrong.exit_code == 2
    assert "surprise" in wrong.output


def test_dry_run_reads_and_writes_nothing(root: Path) -> None:
    """A dry run tells blocks, memory and disk, and leaves no trace."""
    before = sorted(root.rglob("*"))
    done = call(*RUN, "--catalog", root, "--crs", "EPSG:3035", "--resolution", "20", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["status"] == "planned"
    assert said["estimate"]["memory"] > 0
    assert sorted(root.rglob("*")) == before


def test_show_verify_reproduce(root: Path, product: dict[str, Any]) -> None:
    """A product shows how it was made, verifies, and is reproduced to the bit."""
    shown = call("show", product["item"], "--catalog", root)
    assert "composite 1." in shown.output
    assert shown.output.count("  from ") == 6
    assert json.loads(call("show", product["item"], "--catalog", root, "--json").output)["id"] == product["item"]
    assert call("verify", product["item"], "--catalog", root).exit_code == 0
    again = call("reproduce", product["item"], "--catalog", root, "--scheduler", "threads", "--block", "50")
    assert again.exit_code == 0, again.output
    assert again.output.count("equal to the bit") == 12
    band = Path(product["href"]).parent / "nir.tif"
    whole = band.read_bytes()
    band.write_bytes(whole[:-7])
    assert call("verify", product["item"], "--catalog", root).exit_code == 1
    band.write_bytes(whole[: len(whole) // 2])
    damaged = call("reproduce", product["item"], "--catalog", root)
    band.write_bytes(whole)
    assert (damaged.exit_code, "damaged or gone" in damaged.output) == (1, True), damaged.output


def test_rm_and_gc(root: Path, tmp_path: Path, product: dict[str, Any]) -> None:
    """Inputs of products are protected; gc finds nothing where nothing was left behind."""
    refused = call("rm", product["inputs"][0], "--catalog", root)
    assert refused.exit_code == 2
    assert product["item"] in refused.output
    assert call("gc", "--catalog", root).exit_code == 4
    assert call("show", "no-such-item", "--catalog", root).exit_code == 2
    assert call("search", "--catalog", tmp_path / "nowhere").exit_code == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bbox", "20,20,21,21"), "no scene was found"),
        (("--bbox", "15,46,15,46"), "empty"),
        (("--bbox", "15,47,16,46"), "south"),
        (("--bbox", "nan,46,16,47"), "finite"),
        (("--bbox", "15,46,16"), "no box"),
        (("--bbox", "179,46,-179,47"), "no scene was found"),
        (("--crs", "EPSG:32633", "--resolution", "0"), "resolution is not positive"),
        (("--crs", "EPSG:32633", "--resolution", "-10"), "resolution is not positive"),
        (("--crs", "EPSG:32633", "--resolution", "0.00001"), "does not fit on the disk"),
        (("--memory", "100kB"), "does not fit in memory"),
        (("--crs", "EPSG:32633"), "go together"),
        (("--crs", "EPSG:999999", "--resolution", "10"), "unknown CRS"),
        (("--bands", "red,ultraviolet"), "unknown band 'ultraviolet'"),
        (("--mask-classes", "300"), "byte"),
        (("--bands", "scl"), "not a measured band"),
        (("--block", "0", "--bands", "green"), "at least one pixel"),
        (("--mask-classes", "cloud"), "cannot be read"),
        (("--param", "min_clear=0"), "min_clear"),
        (("--param", "surprise=1"), "surprise"),
        (("--align", "nobody"), "not among those found"),
        (("--scheduler", "tcp://127.0.0.1:1", "--bands", "blue"), "no Dask scheduler answers"),
        (("--scheduler", "mainframe"), "unknown scheduler"),
        (("--datetime", "summer"), "date or interval cannot be read"),
        (("--query", "clouds?"), "filter cannot be read"),
        (("--mask-classes", "0,1,2,3,4,5,6,7,8,9,10,11"), "no clear observation is left"),
        (("--param", "min_clear=60000"), "no clear observation is left"),
    ],
    ids=lambda value: "_".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_refusals(root: Path, words: tuple[str, ...], told: str) -> None:
    """What cannot be done is refused in a sentence, without a traceback, and nothing is published."""
    count = Catalog.open(root).count(Query())
    done = call(*RUN, "--catalog", root, *words)
    assert done.exit_code == 2, done.output
    assert told in done.output
    assert "Traceback" not in done.output
    assert Catalog.open(root).count(Query()) == count


def test_unknown_chain(root: Path) -> None:
    """An unknown chain is refused with the list of known ones."""
    done = call("run", "alchemy", *RUN[2:], "--catalog", root)
    assert done.exit_code == 2
    assert "composite" in done.output


def test_newer_catalogue_is_refused(root: Path, tmp_path: Path) -> None:
    """A catalogue that a newer TerraCube wrote is not touched."""
    copy = tmp_path / "newer"
    shutil.copytree(root, copy)
    with closing(sqlite3.connect(copy / "catalog.sqlite")) as database, database:
        tables = [row[0] for row in database.execute("select name from sqlite_master where type='table'")]
        assert "meta" in tables
        changed = database.execute("update meta set value = '999' where key like '%version%' or key like '%format%'")
        assert changed.rowcount == 1
    done = call("search", "--catalog", copy)
    assert done.exit_code == 2
    assert "newer" in done.output


def _start(root: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "terracube.cli.main", *RUN, "--catalog", str(root), *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), preexec_fn=_hear
    )


def _hear() -> None:
    """Let Ctrl-C be heard also where the tests themselves run in the background, whose children ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_interrupt_leaves_nothing(root: Path) -> None:
    """Ctrl-C in the middle of a run leaves no staging folder and no product, and says so."""
    before = Catalog.open(root).count(Query())
    running = _start(root, "--crs", "EPSG:32633", "--resolution", "0.7")
    deadline = time.monotonic() + 60
    while not list((root / ".staging").glob("*/*scratch*/*")) and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "nothing half-written" in told
    assert not list((root / ".staging").glob("*"))
    assert Catalog.open(root).count(Query()) == before


def test_kill_while_a_product_is_written(root: Path) -> None:
    """Killed, a run leaves only staging, which is no product; the next run completes, and gc sweeps."""
    words = ("--crs", "EPSG:32633", "--resolution", "5")
    before = Catalog.open(root).count(Query())
    running = _start(root, *words)
    deadline = time.monotonic() + 60
    while not list((root / ".staging").glob("*/*.tif")) and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.005)
    running.kill()
    running.communicate()
    catalog = Catalog.open(root)
    assert catalog.count(Query()) == before
    done = call(*RUN, "--catalog", root, *words, "--json")
    assert done.exit_code == 0, done.output
    assert catalog.verify(catalog.get(json.loads(done.stdout)["item"])) == []
    assert call("gc", "--catalog", root).exit_code == 0
    assert not list((root / ".staging").glob("*"))


def test_full_disk_while_a_product_is_written(root: Path) -> None:
    """When the disk refuses in the middle, the run fails with that reason and leaves nothing."""
    script = f"""
import resource, signal, sys
from terracube.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
main([*{RUN!r}, "--catalog", {str(root)!r}, "--crs", "EPSG:32633", "--resolution", "2"])
"""
    before = Catalog.open(root).count(Query())
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "could not write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((root / ".staging").glob("*"))
    assert Catalog.open(root).count(Query()) == before


def test_markup_in_metadata_is_escaped(tmp_path: Path) -> None:
    """A scene whose metadata holds markup cannot put it into the report."""
    delivered = write_scenes(REGION, tmp_path / "delivered", dates=["2023-06-24"])
    document = json.loads(delivered[0].read_text())
    document["properties"]["s2:processing_baseline"] = "05.09"
    document["properties"]["title"] = "<script>alert(1)</script>"
    document["properties"]["eo:cloud_cover"] = "<script>alert(2)</script>"
    delivered[0].write_text(json.dumps(document))
    root = tmp_path / "catalog"
    call("init", root, "--title", "<script>alert(3)</script>")
    taken = call("ingest", "sentinel-2-l2a", tmp_path / "delivered", "--into", root)
    assert taken.exit_code == 0, taken.output
    query = 'title!="<script>alert(4)</script>"'
    done = call("run", *RUN[1:], "--catalog", root, "--json", "--query", query)
    assert done.exit_code == 0, done.output
    page = (Path(json.loads(done.stdout)["href"]).parent / "report.html").read_text()
    assert "<script" not in page
