"""The way in as a whole: archives, patterns, dry runs, links, manifests, workers; one outcome however it is asked."""

from __future__ import annotations

import functools
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rio_cogeo.cogeo import cog_validate

from terracube.core.digest import file_sha256
from terracube.core.errors import InputError
from terracube.ingest import IngestReport, ingest, load_source, source_names
from terracube.ingest.deliveries import Incoming, candidates
from terracube.stac import Catalog, Query

SOURCE = "sentinel-2-l2a"


@pytest.fixture
def archive(delivered: list[Path], tmp_path: Path) -> Path:
    """The first scene in a zip."""
    path = tmp_path / "scene.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(delivered[0].parent.iterdir()):
            target.write(file, f"{delivered[0].parent.name}/{file.name}")
    return path


def _outcome(report: IngestReport) -> Any:
    """What may not depend on how it was asked: everything but times and names of places."""
    lines = [{k: v for k, v in line.items() if k not in ("seconds", "input")} for line in report.lines()]
    return report.taken, report.already, report.quality, lines


def _files(catalog: Catalog) -> dict[str, str]:
    """Checksums of all rasters."""
    return {p.relative_to(catalog.root).as_posix(): file_sha256(p) for p in sorted(catalog.root.rglob("*.tif"))}


def test_folder_archive_and_pattern_are_the_same(delivered: list[Path], archive: Path, tmp_path: Path) -> None:
    """However a delivery is named, the same item comes of it, and nothing of the way is left."""
    found = []
    for number, name in enumerate(
        (delivered[0].parent, archive, f"{delivered[0].parent.parent}/{delivered[0].parent.name[:-3]}*")
    ):
        catalog = Catalog.create(tmp_path / f"c{number}")
        report = ingest(SOURCE, [name], catalog)
        assert report.taken == [delivered[0].stem], report.refused
        assert not list((catalog.root / ".staging").iterdir())
        found.append((_outcome(report), _files(catalog)))
    assert found[0] == found[1] == found[2]


def test_archive_that_had_to_make_room(archive: Path, catalog: Catalog) -> None:
    """What is unpacked is removed where room is short, and unpacked again when its turn comes."""
    with catalog.stage("incoming") as scratch:
        incoming = Incoming([archive], scratch, keep=0)
        (place,) = incoming
        (one,) = candidates(place, load_source(SOURCE))
        incoming.checked(place)
        assert not one.path.exists()
        incoming.restore(one)
        assert one.path.is_file()


def test_hostile_archive_does_not_stop_the_others(delivered: list[Path], catalog: Catalog, tmp_path: Path) -> None:
    """An archive that tries to leave its folder is refused by name; the scene beside it comes in."""
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("../../evil.tif", b"x")
    report = ingest(SOURCE, [path, delivered[0]], catalog)
    assert report.taken == [delivered[0].stem]
    assert [(gone.path, "leaves its folder" in gone.reason) for gone in report.refused] == [(str(path), True)]


def test_pattern_that_matches_nothing(catalog: Catalog, tmp_path: Path) -> None:
    """A slip of the call is told at once."""
    with pytest.raises(InputError, match="matches"):
        ingest(SOURCE, [f"{tmp_path}/*.zip"], catalog)


def test_dry_run_writes_nothing(delivered: list[Path], catalog: Catalog, spoil: Any) -> None:
    """A dry run says what would be done, and leaves the catalogue as it is."""
    bad = spoil(lambda document: document["properties"].pop("datetime"))
    before = sorted(path.relative_to(catalog.root) for path in catalog.root.rglob("*") if path.is_file())
    report = ingest(SOURCE, [*delivered, bad], catalog, dry_run=True)
    assert report.taken == sorted(path.stem for path in delivered)
    assert len(report.refused) == 1
    after = sorted(path.relative_to(catalog.root) for path in catalog.root.rglob("*") if path.is_file())
    assert before == after
    assert catalog.count(Query()) == 0


@pytest.mark.parametrize(("jobs", "scheduler"), [(1, "local"), (3, "local")])
def test_any_number_of_jobs(jobs: int, scheduler: str, delivered: list[Path], tmp_path: Path) -> None:
    """Order and number of jobs change nothing: neither the report nor a byte of the files."""
    found = []
    for number, paths in enumerate((delivered, delivered[::-1])):
        catalog = Catalog.create(tmp_path / f"c{number}")
        found.append((_outcome(ingest(SOURCE, paths, catalog, jobs=jobs, scheduler=scheduler)), _files(catalog)))
    assert found[0] == found[1]
    one = Catalog.create(tmp_path / "one")
    assert found[0] == (_outcome(ingest(SOURCE, delivered, one)), _files(one))


def test_dask_workers(delivered: list[Path], tmp_path: Path) -> None:
    """Workers of a Dask cluster write the same bytes."""
    from distributed import LocalCluster

    here, there = Catalog.create(tmp_path / "here"), Catalog.create(tmp_path / "there")
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        report = ingest(SOURCE, delivered, there, jobs=2, scheduler=cluster.scheduler_address)
    assert _outcome(report) == _outcome(ingest(SOURCE, delivered, here))
    assert _files(here) == _files(there)


def test_again_changes_nothing(delivered: list[Path], catalog: Catalog) -> None:
    """The same bytes are there already: no file is touched."""
    ingest(SOURCE, delivered, catalog)
    before = {path: path.stat().st_mtime_ns for path in catalog.root.rglob("*.tif")}
    report = ingest(SOURCE, delivered, catalog)
    assert report.already == sorted(path.stem for path in delivered)
    assert {line["outcome"] for line in report.lines()} == {"already"}
    assert before == {path: path.stat().st_mtime_ns for path in catalog.root.rglob("*.tif")}


def test_manifest_tells_each_input(delivered: list[Path], catalog: Catalog, spoil: Any) -> None:
    """One line per delivery: input, checksum, outcome, reason, seconds, bytes."""
    bad = spoil(lambda document: document["properties"].pop("datetime"))
    lines = ingest(SOURCE, [delivered[0], bad], catalog).lines()
    by_input = {line["input"]: line for line in lines}
    good = by_input[str(delivered[0])]
    assert (good["outcome"], good["reason"] != "", good["seconds"] > 0) == (
        "taken",
        good["quality"] != "accepted",
        True,
    )
    assert good["bytes"] == sum(path.stat().st_size for path in delivered[0].parent.glob("*.tif"))
    assert good["sha256"] == catalog.get(delivered[0].stem).properties["terracube:content"]
    assert "no date" in by_input[str(bad)]["reason"]
    json.dumps(lines)


def test_what_comes_out(delivered: list[Path], catalog: Catalog, validate_stac: Any) -> None:
    """Valid COGs with statistics, and an item that the schemas accept."""
    ingest(SOURCE, delivered[:1], catalog)
    item = catalog.get(delivered[0].stem)
    validate_stac(item.to_dict(include_self_link=False))
    for asset in item.assets.values():
        path = Path(asset.get_absolute_href() or "")
        if path.suffix == ".tif":
            assert cog_validate(str(path), strict=True, quiet=True)[0], path
            assert {"minimum", "valid_percent"} & asset.extra_fields["statistics"].keys()
    assert {"classification:classes"} <= item.assets["scl"].extra_fields["bands"][0].keys()


def test_links_cost_no_room(delivered: list[Path], tmp_path: Path, catalog: Catalog) -> None:
    """A file that is a good COG already gets a second name; the first may go."""
    first = Catalog.create(tmp_path / "first")
    ingest(SOURCE, delivered[:1], first)
    there = first.get(delivered[0].stem)
    folder = tmp_path / "again"
    shutil.copytree(Path(there.get_self_href() or "").parent, folder)
    report = ingest(SOURCE, [folder], catalog, linking=True)
    assert report.taken == [delivered[0].stem], report.refused
    item = catalog.get(delivered[0].stem)
    path = Path(item.assets["red"].get_absolute_href() or "")
    assert os.path.samefile(path, folder / path.name)
    assert "red" in item.properties["terracube:linked"]
    shutil.rmtree(folder)
    assert catalog.verify(item) == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(archive: Path) -> Iterator[str]:
    """The address of a web server that holds the archive."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(archive.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_address(served: str, archive: Path, delivered: list[Path], catalog: Catalog) -> None:
    """An archive behind http is fetched, unpacked, and named by its address; what is not there is refused."""
    report = ingest(SOURCE, [f"{served}/{archive.name}", f"{served}/nothing.zip"], catalog)
    assert report.taken == [delivered[0].stem], report.refused
    assert [gone.path for gone in report.refused] == [f"{served}/nothing.zip"]
    assert report.lines()[-1]["input"].startswith(f"{served}/")


@pytest.mark.parametrize("address", ["ftp://a/b.zip", "https://user:secret@a.org/b.zip", "s3://"])
def test_addresses_that_are_not_read(address: str, catalog: Catalog) -> None:
    """Other schemes and addresses with keys in them are a slip of the call; no key is told again."""
    with pytest.raises(InputError) as told:
        ingest(SOURCE, [address], catalog)
    assert "secret" not in str(told.value)


def test_every_source_is_described() -> None:
    """Each source says its level, licence, forms with readers that can be imported, layers and an example."""
    assert {"sentinel-2-l2a", "landsat-c2-l2"} <= set(source_names())
    for name in source_names():
        source = load_source(name)
        assert source.name == name
        assert all((source.level, source.summary, source.licence, source.forms))
        assert source.example.startswith("terracube ")
        for form in source.forms:
            assert callable(import_module(form.reader).read)
            assert source.options.get("measurements") or (callable(form.find) and source.bands)
            assert form.reference, (name, form.name)
