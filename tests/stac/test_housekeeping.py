"""What is swept away, and what never is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pystac
import pytest

from terracube.stac import Catalog, Query

Publish = Callable[..., pystac.Item]
Build = Callable[..., pystac.Item]


@pytest.fixture
def dead() -> int:
    """The id of a process that no longer runs."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def age(path: Path, seconds: float) -> None:
    """Make a path look older."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_gc_removes_what_no_item_needs(catalog: Catalog, make_item: Build, publish: Publish, dead: int) -> None:
    """Staging of the dead, unregistered item folders, trash, half-written files; each is told."""
    publish(make_item("A"))
    with catalog.stage("mine") as mine:
        host = mine.name.split("-")[0]
        gone = catalog.root / ".staging" / f"{host}-{dead}-0-x"
        foreign = catalog.root / ".staging" / f"00000000-{os.getpid()}-0-x"
        for folder in (gone, foreign):
            folder.mkdir()
        age(foreign, 2 * 24 * 3600)
        orphan = catalog.root / "scenes" / "B.12345678"
        shutil.copytree(catalog.root / "scenes" / "A", orphan)
        (orphan / "A.json").rename(orphan / "B.json")
        trash = catalog.root / ".trash" / "x" / "A"
        trash.mkdir(parents=True)
        half = catalog.root / "scenes" / "A" / f".writing-{dead}-A.json"
        half.write_text("{")
        age(half, 3600)
        removed = catalog.gc()
        assert sorted(removed) == sorted([gone, foreign, orphan, trash.parent, half])
        assert not any(path.exists() for path in removed)
        assert mine.is_dir()
    assert catalog.verify(catalog.get("A")) == []
    assert catalog.gc() == []


def test_gc_keeps_what_may_be_in_use(catalog: Catalog, make_item: Build, publish: Publish, dead: int) -> None:
    """Running processes, other hosts, files that are being written, and what is none of the catalogue's."""
    publish(make_item("A"))
    with catalog.stage("mine") as mine:
        age(mine, 10 * 24 * 3600)
        kept = [
            mine,
            catalog.root / ".staging" / f"00000000-{dead}-0-fresh",
            catalog.root / "scenes" / "notes",
            catalog.root / "own",
        ]
        for folder in kept[1:]:
            folder.mkdir()
        files = [
            catalog.root / f".writing-{os.getpid()}-catalog.json",
            catalog.root / f".writing-{dead}-catalog.json",
            catalog.root / "own" / "own.json",
        ]
        for file in files:
            file.write_text("{}")
        age(files[0], 3600)
        assert catalog.gc() == []
        assert all(path.exists() for path in (*kept, *files))


def test_a_folder_left_by_a_crash_is_never_adopted(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """What lies under the name of a new item is swept aside."""
    left = catalog.root / "scenes" / "A"
    left.mkdir()
    (left / "A.json").write_text("{}")
    (left / "other.bin").write_bytes(b"old")
    item = publish(make_item("A"), b"new")
    assert sorted(path.name for path in left.iterdir()) == ["A.json", "data.bin"]
    assert catalog.verify(item) == []
    assert list((catalog.root / ".trash").iterdir()) == []


def test_files_that_lag_behind_are_written_by_the_next_change(
    catalog: Catalog, make_item: Build, publish: Publish
) -> None:
    """A crash between index and files leaves the files behind; anything that changes the catalogue brings them up."""
    with catalog.batch():
        publish(make_item("A"))
        other = Catalog.open(catalog.root)
        assert "A.json" not in (catalog.root / "scenes/collection.json").read_text()
        other.gc()
        assert "A.json" in (catalog.root / "scenes/collection.json").read_text()


def test_reading_needs_no_right_to_write(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """A catalogue on a read-only disk is searched and verified."""
    publish(make_item("A"))
    folders = [catalog.root, *catalog.root.rglob("*")]
    for path in folders:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        again = Catalog.open(catalog.root)
        assert [item.id for item in again.search(Query())] == ["A"]
        assert again.verify(again.get("A")) == []
    finally:
        for path in folders:
            path.chmod(0o755 if path.is_dir() else 0o644)
