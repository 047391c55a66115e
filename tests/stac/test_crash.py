"""Killed, raced, starved: a catalogue is whole afterwards. The work is done by worker.py, in real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pystac
import pytest

from terracube.stac import Catalog, Query

WORKER = Path(__file__).with_name("worker.py")


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the worker."""
    command = [sys.executable, "-W", "ignore", str(WORKER), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the worker, which must have found nothing wrong; give what it told."""
    told, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return told


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_kill_at_any_step_leaves_the_catalogue_whole(tmp_path: Path) -> None:
    """Publishing, replacing, versioning, removing, creating: before or after, never between; and again it completes."""
    for scenario in ("new", "replace", "version", "remove", "create"):
        (tmp_path / scenario).mkdir()
    running = [start("kill", tmp_path / scenario, scenario, "points") for scenario in ("new", "replace")]
    told = [finish(process) for process in running]
    running = [start("kill", tmp_path / scenario, scenario, "points") for scenario in ("version", "remove", "create")]
    told += [finish(process) for process in running]
    assert "A B N" in told[0]
    assert "Asecond B" in told[1]
    assert "A B* N" in told[2]


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """Wherever writing stops, the item is published or there is no trace of it."""
    assert "refused" in finish(start("full", tmp_path))


def test_two_processes_publish_at_once(tmp_path: Path) -> None:
    """Nothing is lost, an id that both want goes to one of them, a sweeping reader sees whole items only."""
    root = tmp_path / "catalogue"
    running = [start("race", root, name, 12) for name in ("left", "right")]
    seen = 0
    while any(process.poll() is None for process in running):
        if (root / "catalog.json").exists():
            reader = Catalog.open(root)
            reader.gc()
            items = reader.search(Query())
            assert len(items) >= seen
            seen = len(items)
            assert all(
                Path(str(asset.get_absolute_href())).exists() for item in items for asset in item.assets.values()
            )
    told = [finish(process).split("\n") for process in running]
    wanted = {f"{name}{number}" for name in ("left", "right", "both") for number in range(12)}
    catalog = Catalog.open(root)
    assert {item.id for item in catalog.search(Query())} == wanted
    assert sorted([*told[0], *told[1]]).count("not both0") == 1
    for number in range(12):
        assert sum(f"both{number}" in lines for lines in told) == 1
    assert all(catalog.verify(item) == [] for item in catalog.search(Query()))
    walked = pystac.Catalog.from_file(str(root / "catalog.json")).get_items(recursive=True)
    assert {item.id for item in walked} == wanted
    assert catalog.gc() == []
