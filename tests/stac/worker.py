"""What the crash tests run in processes of their own: work on a catalogue that is killed, raced, or starved of disk.

``worker.py kill FOLDER SCENARIO every|points`` does the scenario again and again, killed with SIGKILL one step later
each time, and checks the catalogue after each; ``worker.py race ROOT NAME N`` publishes N items; ``worker.py full
FOLDER`` publishes under ever larger limits of file size.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import pystac

from terracube.core.errors import ConflictError, StorageError
from terracube.stac import Catalog, Query, describe_collection, link_versions, relative_link

# Where a kill could hurt: around every rename, removal and commit.
CALLS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir"}
FUNCTIONS = {"write", "flush", "place"}


def build(name: str, title: str = "") -> pystac.Item:
    """Build an item."""
    box = [15.0, 46.0, 16.0, 47.0]
    ring = [[15.0, 46.0], [16.0, 46.0], [16.0, 47.0], [15.0, 46.0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    moment = datetime(2023, 8, 1, tzinfo=UTC)
    return pystac.Item(name, geometry, box, moment, {"title": title} if title else {}, collection="scenes")


def put(catalog: Catalog, item: pystac.Item, content: bytes, **options: object) -> None:
    """Publish an item with a file and a folder as assets."""
    with catalog.stage(item.id) as folder:
        (folder / "data.bin").write_bytes(content)
        (folder / "cube").mkdir()
        (folder / "cube" / "c0").write_bytes(content[::-1])
        item.add_asset("data", pystac.Asset("./data.bin"))
        item.add_asset("cube", pystac.Asset("./cube"))
        catalog.publish(item, folder, **options)  # type: ignore[arg-type]


def prepare(root: Path) -> None:
    """Make the catalogue that each attempt starts from."""
    catalog = Catalog.create(root)
    catalog.add_collection(describe_collection("scenes", title="t", description="d"))
    put(catalog, build("A"), b"old A")
    item = build("B")
    item.add_link(relative_link("derived_from", build("A")))
    put(catalog, item, b"old B")


def new(root: Path) -> None:
    """Publish an item."""
    put(Catalog.open(root), build("N"), b"new")


def replace(root: Path) -> None:
    """Replace an item that another one links to."""
    put(Catalog.open(root), build("A", "second"), b"new A", replace=True)


def version(root: Path) -> None:
    """Publish the next version of an item."""
    catalog = Catalog.open(root)
    item = build("N")
    updated = link_versions(item, catalog.get("B"))
    put(catalog, item, b"new", updates=[updated])


def remove(root: Path) -> None:
    """Remove an item."""
    Catalog.open(root).remove("B")


def create(root: Path) -> None:
    """Create a catalogue."""
    Catalog.create(root.parent / "created")


SCENARIOS = {one.__name__: one for one in (new, replace, version, remove, create)}


def check(root: Path) -> str:
    """Check a catalogue whatever happened to it; tell its state."""
    catalog = Catalog.open(root)
    items = catalog.search(Query())
    state = [
        f"{item.id}{'*' * item.properties.get('deprecated', False)}{item.properties.get('title', '')}" for item in items
    ]
    assert state in (["A", "B"], ["A", "B", "N"], ["Asecond", "B"], ["A", "B*", "N"], ["A"]), state
    for item in items:
        assert not [line for line in catalog.verify(item) if line.startswith("asset")], catalog.verify(item)
    catalog.gc()
    assert catalog.gc() == []
    for item in catalog.search(Query()):
        assert catalog.verify(item) == []
    folders = sorted(path.name for path in (root / "scenes").iterdir() if path.is_dir())
    assert folders == sorted(Path(str(item.get_self_href())).parent.name for item in items)
    left = [path for name in (".staging", ".trash") if (root / name).is_dir() for path in (root / name).iterdir()]
    assert left == []
    walked = pystac.Catalog.from_file(str(root / "catalog.json")).get_items(recursive=True)
    assert sorted(item.id for item in walked) == sorted(item.id for item in items)
    for item in items:
        assert all(Path(str(link.get_absolute_href())).is_file() for link in item.get_links("derived_from"))
    return " ".join(state)


def die_at(step: int, *, every: bool) -> None:
    """Kill this process at its step-th line (or the step-th that could hurt) in our code."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def lines(frame: FrameType, event: str, arg: object) -> Callable[..., object]:
        if event == "line":
            tick()
        return lines

    def calls(frame: FrameType, event: str, arg: object) -> Callable[..., object] | None:
        code = frame.f_code
        ours = "/terracube/stac/" in code.co_filename or code.co_filename.endswith("/core/files.py")
        return lines if ours and (every or code.co_name in FUNCTIONS) else None

    sys.addaudithook(lambda event, args: tick() if event in CALLS else None)
    sys.settrace(calls)


def attempt(work: Callable[[Path], None], root: Path, step: int, *, every: bool) -> bool:
    """Do the work in a child that dies at a step; tell whether it did die."""
    child = os.fork()
    if child == 0:
        die_at(step, every=every)
        work(root)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def kill(folder: Path, scenario: str, how: str) -> None:
    """Kill the scenario at each step in turn."""
    work = SCENARIOS[scenario]
    prepare(folder / "base")
    states: dict[str, int] = {}
    step, died = 0, True
    while died:
        step += 1
        root = folder / "now"
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(folder / "created", ignore_errors=True)
        shutil.copytree(folder / "base", root)
        died = attempt(work, root, step, every=how == "every")
        state = check(root)
        states[state] = states.get(state, 0) + 1
        if (how == "every" or step % 4 == 0 or scenario == "create") and (scenario != "remove" or "B" in state):
            again(work, root)
            check(root)
        if scenario == "create":
            assert pystac.Catalog.from_file(str(folder / "created" / "catalog.json")).id == "terracube"
    print(f"{step} steps:", states)
    assert scenario == "create" or len(states) == 2, states


def again(work: Callable[[Path], None], root: Path) -> None:
    """Do the work once more: it completes, or was complete already."""
    with contextlib.suppress(ConflictError):
        work(root)


def race(root: Path, name: str, count: int) -> None:
    """Publish items of one's own and items that another process wants too; tell which."""
    catalog = Catalog.create(root)
    catalog.add_collection(describe_collection("scenes", title="t", description="d"))
    for number in range(count):
        for item_id in (f"{name}{number}", f"both{number}"):
            try:
                put(catalog, build(item_id), item_id.encode() + name.encode())
                print(item_id, flush=True)
            except ConflictError:
                print(f"not {item_id}", flush=True)


def full(folder: Path) -> None:
    """Publish while no file may grow beyond a limit."""
    prepare(folder / "base")
    done = set()
    present = (folder / "base" / "catalog.sqlite").stat().st_size
    for limit in [64, 1024, 2048, *range(4096, present + 12 * 4096, 4096)]:
        root = folder / "now"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(folder / "base", root)
        catalog = Catalog.open(root)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            put(catalog, build("N", "x" * 5000), b"new")
            outcome = "published"
        except StorageError:
            outcome = "refused"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        registered = catalog.find("N", "scenes") is not None
        assert registered or outcome == "refused"
        # Below the present size of the database not even its rollback can be written, which no full disk does.
        assert registered == (root / "scenes" / "N").exists() or limit < present
        assert list((root / ".staging").iterdir()) == []
        done.add((outcome, registered))
        catalog.gc()
        assert all(catalog.verify(item) == [] for item in catalog.search(Query()))
    print(sorted(done))
    assert ("refused", False) in done
    assert ("published", True) in done


if __name__ == "__main__":
    started = time.monotonic()
    command, place, *rest = sys.argv[1:]
    if command == "kill":
        kill(Path(place), *rest)
    elif command == "race":
        race(Path(place), rest[0], int(rest[1]))
    else:
        full(Path(place))
    print(f"{time.monotonic() - started:.1f} s", file=sys.stderr)
