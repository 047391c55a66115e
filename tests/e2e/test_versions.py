"""Products follow their inputs: a late, corrected or removed scene gives a new version, and only that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from terracube.core.errors import ConflictError, EmptyResultError, IntegrityError
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, write_scenes
from terracube.production import RunRequest, reproduce, run
from terracube.stac import Catalog

REQUEST = RunRequest(
    chain="composite",
    collection="sentinel-2-l2a",
    datetime="2023-06-01/2023-07-31",
    parameters={"bands": ["red", "nir"]},
)
DATES = ("2023-06-09", "2023-06-24", "2023-07-09", "2023-07-24")


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Item files of eight small simulated scenes."""
    return write_scenes(Region(seed=11, size=90), tmp_path_factory.mktemp("delivered"), dates=DATES)


def test_late_scene_gives_a_new_version(delivered: list[Path], tmp_path: Path) -> None:
    """Seven scenes, run; the eighth, run: a new version beside the old one, linked both ways; then nothing to do."""
    catalog = Catalog.create(tmp_path / "catalog")
    ingest("sentinel-2-l2a", delivered[:7], catalog)
    first = run(catalog, REQUEST)
    assert run(catalog, REQUEST).status == "nothing to do"
    ingest("sentinel-2-l2a", delivered[7:], catalog)
    second = run(catalog, REQUEST)
    assert (first.status, second.status) == ("done", "done")
    assert first.item is not None
    assert second.item is not None
    assert first.item.id != second.item.id
    assert first.job.key != second.job.key
    assert len(second.job.items) == 8
    old, new = catalog.get(first.item.id), catalog.get(second.item.id)
    assert old.properties["deprecated"] is True
    assert [old.properties["version"], new.properties["version"]] == ["1", "2"]
    for item, rel, other in ((old, "successor-version", new), (new, "predecessor-version", old)):
        link = item.get_single_link(rel)
        assert link is not None
        target = (Path(item.get_self_href() or "").parent / str(link.get_href(transform_href=False))).resolve()
        assert json.loads(target.read_text())["id"] == other.id
    assert catalog.verify(old) == []
    assert run(catalog, REQUEST).status == "nothing to do"
    assert reproduce(catalog, catalog.get(old.id)).equal


def test_order_of_arrival_changes_nothing(delivered: list[Path], tmp_path: Path) -> None:
    """Scenes taken in the other way round, several at a time, give a product with the same key and pixels."""
    keys = set()
    pixels = set()
    for number, (order, jobs) in enumerate(((delivered, 1), (delivered[::-1], 4))):
        catalog = Catalog.create(tmp_path / str(number))
        for path in order:
            ingest("sentinel-2-l2a", [path], catalog, jobs=jobs)
        result = run(catalog, REQUEST)
        assert result.item is not None
        keys.add(result.job.key)
        pixels.add(result.item.assets["red"].extra_fields["file:checksum"])
    assert len(keys) == 1
    assert len(pixels) == 1


def test_corrected_scene_needs_a_word_and_gives_a_new_version(delivered: list[Path], tmp_path: Path) -> None:
    """A scene of a known id and other content is refused, unless it is said to be a correction."""
    catalog = Catalog.create(tmp_path / "catalog")
    ingest("sentinel-2-l2a", delivered, catalog)
    before = run(catalog, REQUEST)
    again = tmp_path / delivered[0].stem
    shutil.copytree(delivered[0].parent, again)
    document = json.loads((again / delivered[0].name).read_text())
    document["properties"]["s2:sequence"] = "1"
    (again / delivered[0].name).write_text(json.dumps(document))
    shutil.copyfile(again / "B04.tif", again / "B08.tif")
    refused = ingest("sentinel-2-l2a", [again], catalog)
    assert not refused.taken
    assert "one id and different content" in refused.refused[0].reason
    assert ingest("sentinel-2-l2a", [again], catalog, replacing=True).replaced == [delivered[0].stem]
    after = run(catalog, REQUEST)
    assert after.status == "done"
    assert after.job.key != before.job.key
    assert before.item is not None
    with pytest.raises(IntegrityError, match="no longer those that made the product"):
        reproduce(catalog, catalog.get(before.item.id))


def test_correction_of_metadata_alone_is_noticed(delivered: list[Path], tmp_path: Path) -> None:
    """The same bytes with another offset are other reflectances: the product is made anew."""
    catalog = Catalog.create(tmp_path / "catalog")
    ingest("sentinel-2-l2a", delivered[:2], catalog)
    before = run(catalog, REQUEST)
    again = tmp_path / delivered[0].stem
    shutil.copytree(delivered[0].parent, again)
    document = json.loads((again / delivered[0].name).read_text())
    document["properties"]["earthsearch:boa_offset_applied"] = True
    (again / delivered[0].name).write_text(json.dumps(document))
    assert ingest("sentinel-2-l2a", [again], catalog, replacing=True).replaced == [delivered[0].stem]
    after = run(catalog, REQUEST)
    assert (after.status, after.job.key == before.job.key) == ("done", False)
    assert after.item is not None
    assert reproduce(catalog, after.item).equal


def test_same_request_however_written(delivered: list[Path], tmp_path: Path) -> None:
    """Defaults written out, and a period named otherwise, are the same request; other parameters are another."""
    catalog = Catalog.create(tmp_path / "catalog")
    ingest("sentinel-2-l2a", delivered[:2], catalog)
    assert run(catalog, REQUEST).status == "done"
    written = {**REQUEST.model_dump(), "datetime": "2023-06/2023-07"}
    written["parameters"] = {"bands": ["red", "nir"], "mask": "clear", "min_clear": 1}
    assert run(catalog, written).status == "nothing to do"
    assert run(catalog, {**written, "parameters": {**written["parameters"], "eps": 1e-5}}).status == "done"


def test_changed_file_is_left_out_and_told(delivered: list[Path], tmp_path: Path) -> None:
    """A scene whose file is no longer what was ingested is left out; product, result and record say so."""
    catalog = Catalog.create(tmp_path / "catalog")
    ingest("sentinel-2-l2a", delivered, catalog)
    victim = catalog.get(delivered[0].stem)
    band = Path(victim.get_self_href() or "").parent / "B04.tif"
    band.write_bytes(band.read_bytes()[:-100])
    result = run(catalog, REQUEST)
    assert result.status == "partly"
    assert [left.id for left in result.job.left_out] == [victim.id]
    assert result.item is not None
    assert result.item.properties["terracube:left_out"][0]["id"] == victim.id
    assert result.record is not None
    assert victim.id in result.record.read_text()
    report = Path(result.item.get_self_href() or "").parent / "report.html"
    assert "Scenes left out" in report.read_text()
    untouched = RunRequest(**{**REQUEST.model_dump(), "parameters": {"bands": ["nir"]}})
    assert run(catalog, untouched).status == "done", "a damaged band matters only where it is asked for"


def test_rm_protects_inputs(delivered: list[Path], tmp_path: Path) -> None:
    """A scene that a product was made from is not removed, unless forced."""
    catalog = Catalog.create(tmp_path / "catalog")
    ingest("sentinel-2-l2a", delivered[:2], catalog)
    run(catalog, REQUEST)
    with pytest.raises(ConflictError, match="composite"):
        catalog.remove(delivered[0].stem)
    catalog.remove(delivered[0].stem, force=True)
    with pytest.raises(EmptyResultError, match="no scene was found"):
        run(catalog, RunRequest(**{**REQUEST.model_dump(), "datetime": "2020"}))
