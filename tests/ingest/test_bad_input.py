"""Bad scenes are refused with the reason; the good one beside them always comes in; nothing else is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from terracube.core.errors import InputError, NotFoundError
from terracube.core.sensors import load_sensor
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, write_scenes
from terracube.stac import Catalog, Query

Document = dict[str, Any]


def _refusal(catalog: Catalog, bad: Path, good: Path) -> str:
    """Ingest a bad scene beside a good one; give the reason of the refusal."""
    report = ingest("sentinel-2-l2a", [bad.parent, good], catalog, jobs=2)
    assert report.taken == [good.stem]
    assert len(report.refused) == 1
    assert catalog.count(Query()) == 1
    staging = catalog.root / ".staging"
    assert not staging.exists() or not list(staging.iterdir())
    known = {"catalog.json", "catalog.sqlite", "sentinel-2-l2a", ".staging", ".trash"}
    assert {path.name for path in catalog.root.iterdir()} <= known
    return report.refused[0].reason


def _set(*keys: Any, value: Any) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        place: Any = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return edit


@pytest.mark.parametrize("text", [None, "yesterday", "2023-06-24T10:00:00", "", 20230624])
def test_no_date(text: Any, spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """A missing, unreadable or zoneless date is never guessed."""
    reason = _refusal(catalog, spoil(_set("properties", "datetime", value=text)), delivered[1])
    assert "no date" in reason
    assert "never guessed" in reason


@pytest.mark.parametrize("name", ["../evil", "a/b", "nul\0", "x" * 300, ".hidden", "", "-rf"])
def test_hostile_item_id(name: str, spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """An id that could leave its folder, or cannot be a file name, is refused."""
    assert "item id" in _refusal(catalog, spoil(_set("id", value=name)), delivered[1])


@pytest.mark.parametrize("name", ["../red", "a/b", "nul\0", "x" * 300])
def test_hostile_asset_key(name: str, spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """So is an asset key."""
    reason = _refusal(catalog, spoil(_set("assets", name, value={"href": "./B04.tif"})), delivered[1])
    assert "asset key" in reason


@pytest.mark.parametrize("href", ["../../B04.tif", "/etc/passwd", "nul\0.tif", "file:///etc/passwd"])
def test_href_that_leaves_the_folder(href: str, spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """Local hrefs are read only below the folder of their item."""
    reason = _refusal(catalog, spoil(_set("assets", "red", "href", value=href)), delivered[1])
    assert "leaves the folder" in reason


def test_symbolic_link_that_leaves_the_folder(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """A link inside the folder that points out of it is not followed."""
    item = spoil()
    band = item.parent / "B04.tif"
    band.unlink()
    band.symlink_to(delivered[1].parent / "B04.tif")
    assert "leaves the folder" in _refusal(catalog, item, delivered[1])


def test_remote_files_are_never_opened(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """A remote href is kept as a link, not opened; the scene comes in without that band, and says so."""
    href = "s3://bucket/B99.tif"
    report = ingest("sentinel-2-l2a", [spoil(_set("assets", "red", "href", value=href))], catalog)
    assert len(report.taken) == 1
    item = catalog.get(delivered[0].stem)
    assert item.assets["red"].href == href
    assert "file:checksum" not in item.assets["red"].extra_fields
    assert "not taken, for they lie elsewhere: red" in report.notes[item.id]


def test_virtual_paths_are_never_opened(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """A virtual path is neither opened nor handed on; a note names the band."""
    href = "/vsicurl/http://localhost/B99.tif"
    report = ingest("sentinel-2-l2a", [spoil(_set("assets", "red", "href", value=href))], catalog)
    assert any(note.startswith("red: its href is a virtual path") for note in report.notes[delivered[0].stem])
    assert "red" not in catalog.get(delivered[0].stem).assets


def test_a_date_in_the_future(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """Nobody can have seen the ground of tomorrow."""
    reason = _refusal(catalog, spoil(_set("properties", "datetime", value="2143-08-15T10:00:00Z")), delivered[1])
    assert "future" in reason


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_truncated_file(size: int, spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """A file that ends too early is refused, wherever it ends."""
    item = spoil()
    band = item.parent / "B04.tif"
    band.write_bytes(band.read_bytes()[:size])
    reason = _refusal(catalog, item, delivered[1])
    assert "B04.tif" in reason or "/red" in reason


def test_file_that_ends_in_its_last_tile(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """Damage that no header shows is found, because every pixel is decoded."""
    item = spoil()
    band = item.parent / "B04.tif"
    band.write_bytes(band.read_bytes()[:-40])
    assert "damaged" in _refusal(catalog, item, delivered[1])


def _vrt(path: Path) -> None:
    path.write_text(
        '<VRTDataset rasterXSize="2" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        "<SourceFilename>/etc/passwd</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("B04.tif", b"II*\0")


def _png(path: Path) -> None:
    with rasterio.open(path, "w", driver="PNG", width=2, height=2, count=1, dtype="uint8") as image:
        image.write(np.ones((1, 2, 2), "uint8"))


@pytest.mark.parametrize("disguise", [_vrt, _zip, _png], ids=["vrt", "zip", "png"])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_other_format_behind_tif(
    disguise: Callable[[Path], None], spoil: Any, delivered: list[Path], catalog: Catalog
) -> None:
    """A file is opened by what it holds: a VRT named .tif, which may point at any file, is not opened at all."""
    item = spoil()
    (item.parent / "B04.tif").unlink()
    disguise(item.parent / "B04.tif")
    assert "not what its name says" in _refusal(catalog, item, delivered[1])


def _rewrite(path: Path, **changes: Any) -> None:
    with rasterio.open(path) as source:
        profile, values = source.profile, source.read()
    path.unlink()
    with rasterio.open(path, "w", **{**profile, **changes}) as target:
        target.write(values)


def test_no_georeference(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """Without CRS the place is not known, whatever the item claims."""
    item = spoil()
    _rewrite(item.parent / "B04.tif", crs=None)
    assert "no CRS" in _refusal(catalog, item, delivered[1])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_geotransform(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """Nor without a geotransform."""
    item = spoil()
    _rewrite(item.parent / "B04.tif", transform=Affine.identity())
    assert "no geotransform" in _refusal(catalog, item, delivered[1])


def test_more_pixels_than_a_scene_has(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """A small file that claims billions of empty pixels is refused before they are decoded."""
    item = spoil()
    band = item.parent / "B04.tif"
    with rasterio.open(band) as source:
        profile = source.profile
    band.unlink()
    sparse = {**profile, "width": 60_000, "height": 60_000, "sparse_ok": True}
    rasterio.open(band, "w", **sparse).close()
    assert "more pixels than a scene" in _refusal(catalog, item, delivered[1])


def test_rotated(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """A rotated raster is refused, not read as if it were north-up."""
    item = spoil()
    _rewrite(item.parent / "B04.tif", transform=Affine(10, 1, 546000, 1, -10, 5160000))
    assert "rotated" in _refusal(catalog, item, delivered[1])


def test_place_that_contradicts_the_item(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """An item whose geometry lies elsewhere than its files is refused."""

    def elsewhere(document: Document) -> None:
        document["geometry"] = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}

    assert "not where its files are" in _refusal(catalog, spoil(elsewhere), delivered[1])


def test_unknown_offset(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """Without baseline and offset the numbers cannot become reflectance, and no offset is guessed."""

    def silent(document: Document) -> None:
        for key in ("s2:processing_baseline", "earthsearch:boa_offset_applied"):
            document["properties"].pop(key, None)
        for asset in document["assets"].values():
            for band in asset.get("raster:bands", ()):
                band.pop("offset", None)

    assert "offset" in _refusal(catalog, spoil(silent), delivered[1])


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"type": "Feature"}', "[" * 100_000, '{"type": "Feature", "stac_version": "1.0.0"}']
)
def test_broken_json(text: str, spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """What is no item is refused, also when it is nested to exhaust the reader."""
    item = spoil()
    item.write_text(text)
    assert _refusal(catalog, item, delivered[1])


@pytest.mark.parametrize(
    "edit",
    [
        _set("assets", "red", "proj:shape", value=5),
        _set("properties", "datetime", value="0001-01-01T00:00:00+14:00"),
        _set("properties", "eo:cloud_cover", value=float("nan")),
        _set("properties", "title", value="\ud800"),
        _set("links", value=None),
        _set("links", value=[{"rel": ["a"], "href": "https://a.org"}, 7]),
        _set("properties", "terracube:left_out", value=[{"id": "\x1b]0;own\x07", "reason": "x"}]),
    ],
    ids=["shape", "year 1", "NaN", "surrogate", "no links", "odd links", "our own properties"],
)
def test_odd_items_never_stop_the_others(edit: Any, spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """Whatever an item holds, it comes in or is refused; the good one beside it comes in, and nothing is believed."""
    bad = spoil(edit)
    report = ingest("sentinel-2-l2a", [bad.parent, delivered[1]], catalog)
    assert delivered[1].stem in report.taken
    assert len(report.taken) + len(report.refused) == 2
    for item in catalog.search(Query()):
        assert "terracube:left_out" not in item.properties


def test_damaged_copy_is_replaced_by_ingesting_again(delivered: list[Path], catalog: Catalog) -> None:
    """A scene whose file was damaged in the catalogue is not "there already"; --replace mends it."""
    ingest("sentinel-2-l2a", [delivered[0]], catalog)
    item = catalog.get(delivered[0].stem)
    band = Path(item.get_self_href() or "").parent / "B04.tif"
    band.write_bytes(band.read_bytes()[:-5])
    refused = ingest("sentinel-2-l2a", [delivered[0]], catalog).refused
    assert "damaged copy" in refused[0].reason
    assert ingest("sentinel-2-l2a", [delivered[0]], catalog, replacing=True).replaced == [delivered[0].stem]
    assert catalog.verify(catalog.get(delivered[0].stem)) == []


def test_other_collection(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """A scene of another sensor is not taken for Sentinel-2."""
    assert "another collection" in _refusal(catalog, spoil(_set("collection", value="landsat-c2-l2")), delivered[1])


def test_missing_assets_do_not_matter(spoil: Any, delivered: list[Path], catalog: Catalog) -> None:
    """Assets that are listed and not there are noted; those that are there come in."""
    item = spoil()
    (item.parent / "B05.tif").unlink()
    report = ingest("sentinel-2-l2a", [item], catalog)
    assert report.taken == [item.stem]
    assert any("B05.tif is not there" in note for note in report.notes[item.stem])
    assert "rededge1" not in catalog.get(item.stem).assets


def test_two_of_one_id_in_one_delivery(spoil: Any, delivered: list[Path], catalog: Catalog, tmp_path: Path) -> None:
    """Two scenes of one id and different content are both refused, whichever comes first; equal ones are one."""
    other = spoil(_set("properties", "eo:cloud_cover", value=1.0))
    for order in ([delivered[0], other], [other, delivered[0]]):
        report = ingest("sentinel-2-l2a", [*order, delivered[1]], catalog)
        assert [gone.id for gone in report.refused] == [delivered[0].stem] * 2
        assert all("different content" in gone.reason for gone in report.refused)
    same = spoil(name="same")
    assert ingest("sentinel-2-l2a", [same, delivered[0]], catalog).taken == [delivered[0].stem]
    assert ingest("sentinel-2-l2a", [same, delivered[0]], catalog).already == [delivered[0].stem]


def test_wrong_calls(catalog: Catalog, tmp_path: Path) -> None:
    """The call itself is checked: unknown source, missing path, no jobs."""
    with pytest.raises(NotFoundError, match="unknown source"):
        ingest("sentinel-9", [tmp_path], catalog)
    with pytest.raises(InputError, match="no such file"):
        ingest("sentinel-2-l2a", [tmp_path / "nowhere"], catalog)
    with pytest.raises(InputError, match="job"):
        ingest("sentinel-2-l2a", [tmp_path], catalog, jobs=0)
    (tmp_path / "empty").mkdir()
    empty = ingest("sentinel-2-l2a", [tmp_path / "empty"], catalog)
    assert (empty.taken, len(empty.refused)) == ([], 1)
    assert "nothing of sentinel-2-l2a is here" in empty.refused[0].reason
    assert [one.id for one in catalog.collections()] == []


@pytest.mark.parametrize(
    "call",
    [
        "os.replace",
        pytest.param("os.fsync", marks=pytest.mark.slow),
        pytest.param("shutil.copyfile", marks=pytest.mark.slow),
    ],
)
def test_kill_while_writing(call: str, delivered: list[Path], tmp_path: Path) -> None:
    """Killed at any moment, no item is without its assets; the next run completes; gc sweeps what is left."""
    root = tmp_path / "catalog"
    Catalog.create(root)
    killed: list[int] = []
    for after in (1, 3, 6):
        script = f"""
import os, shutil, signal
from pathlib import Path
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, write_scenes
from terracube.stac import Catalog
module, name = {call!r}.split(".")
module = {{"os": os, "shutil": shutil}}[module]
original, calls = getattr(module, name), [0]
def deadly(*args, **kwargs):
    calls[0] += 1
    if calls[0] >= {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)
setattr(module, name, deadly)
ingest("sentinel-2-l2a", [Path({str(delivered[0])!r})], Catalog.open(Path({str(root)!r})))
"""
        done = subprocess.run([sys.executable, "-c", script], check=False, env={**os.environ, "NUMBA_DISABLE_JIT": "1"})
        killed.append(done.returncode)
        catalog = Catalog.open(root)
        for item in catalog.search(Query()):
            assert catalog.verify(item) == []
    assert killed[0] == -9
    assert set(killed) <= {-9, 0}
    catalog = Catalog.open(root)
    catalog.gc()
    report = ingest("sentinel-2-l2a", [delivered[0]], catalog)
    assert delivered[0].stem in (*report.taken, *report.already)
    assert catalog.verify(catalog.get(delivered[0].stem)) == []
    catalog.gc()
    assert not list((root / ".staging").glob("*")) if (root / ".staging").exists() else True


def test_full_disk(tmp_path: Path) -> None:
    """When the disk refuses, the scene is refused with that reason, and nothing of it is left."""
    delivered = write_scenes(Region(seed=3, size=300), tmp_path / "delivered", dates=["2023-06-24"])
    root = tmp_path / "catalog"
    Catalog.create(root)
    script = f"""
import resource, signal, json
from pathlib import Path
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, write_scenes
from terracube.stac import Catalog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
catalog = Catalog.open(Path({str(root)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES_ALLOWED, resource.RLIM_INFINITY))
report = ingest("sentinel-2-l2a", [Path({str(delivered[0])!r})], catalog)
print(json.dumps(report.as_dict()))
"""
    largest = max(path.stat().st_size for path in delivered[0].parent.glob("*.tif"))
    script = script.replace("BYTES_ALLOWED", str(largest - 1))
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["taken"] == []
    assert len(report["refused"]) == 1
    catalog = Catalog.open(root)
    assert catalog.count(Query()) == 0
    assert not list(root.rglob("*.tif"))
    assert ingest("sentinel-2-l2a", [delivered[0]], catalog).taken == [delivered[0].stem]


def test_real_rule_of_radiometry() -> None:
    """The sensor's own numbers: scale 1e-4, offset -0.1 from baseline 04.00 on, nodata 0."""
    rule = load_sensor("sentinel-2-l2a").reflectance
    assert (rule["scale"], rule["offset"], rule["nodata"], rule["offset_from_baseline"]) == (1e-4, -0.1, 0, "04.00")
