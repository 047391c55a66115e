"""The catalogue from outside: what goes in comes out, found by search, walkable without us."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest

from terracube.core.digest import file_sha256, multihash
from terracube.core.errors import (
    AssetError,
    ConflictError,
    HostileInputError,
    InputError,
    IntegrityError,
    MetadataError,
    NotFoundError,
    StorageError,
    TerraCubeError,
    VersionError,
)
from terracube.core.files import is_remote
from terracube.stac import Catalog, Query, describe_collection, relative_link, to_query
from terracube.stac.records import Record, dump, index, to_document
from terracube.stac.stores import SqliteStore

Publish = Callable[..., pystac.Item]
Build = Callable[..., pystac.Item]


def ids(items: list[pystac.Item]) -> list[str]:
    """Give the ids in order."""
    return [item.id for item in items]


def test_an_item_comes_back_as_it_went_in(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """Properties, geometry, assets, foreign links; hrefs resolve to files."""
    item = make_item("A", title="Änderung <script>alert(1)</script>", nested={"a": [1, None, True]})
    item.add_link(pystac.Link("license", "https://example.org/l?a=1&b=2", extra_fields={"x": 1}))
    back = publish(item, b"12345")
    for found in (
        back,
        catalog.get("A"),
        catalog.get("A", "scenes"),
        catalog.find("A", "scenes"),
        *catalog.search(Query()),
    ):
        assert found is not None
        assert found.geometry == item.geometry
        assert found.bbox == item.bbox
        assert found.datetime == item.datetime
        assert found.properties["title"] == "Änderung <script>alert(1)</script>"
        assert found.properties["nested"] == {"a": [1, None, True]}
        assert found.get_self_href() == str(catalog.root / "scenes/A/A.json")
        assert found.get_links("license")[0].extra_fields == {"x": 1}
        path = Path(str(found.assets["data"].get_absolute_href()))
        assert path.read_bytes() == b"12345"
        assert found.assets["data"].extra_fields["file:checksum"] == multihash(file_sha256(path))
    assert "<script>" in (catalog.root / "scenes/A/A.json").read_text()
    assert catalog.verify(back) == []


def test_publishing_does_not_change_the_item_given(catalog: Catalog, make_item: Build) -> None:
    """What the caller holds stays the caller's."""
    item = make_item("A")
    with catalog.stage("A") as folder:
        (folder / "x").write_bytes(b"1")
        item.add_asset("x", pystac.Asset("./x"))
        before = copy.deepcopy(item.to_dict())
        catalog.publish(item, folder)
    assert item.to_dict() == before


def test_missing_sizes_and_checksums_are_filled_in(catalog: Catalog, make_item: Build) -> None:
    """So that every registered item can be verified; for folders too."""
    item = make_item("A")
    with catalog.stage("A") as folder:
        (folder / "cube.zarr").mkdir()
        (folder / "cube.zarr" / "c").write_bytes(b"123")
        item.add_asset("cube", pystac.Asset("./cube.zarr"))
        item.add_asset("far", pystac.Asset("https://example.org/a.tif"))
        done = catalog.publish(item, folder)
    assert done.assets["cube"].extra_fields["file:size"] == 3
    assert "file:size" not in done.assets["far"].extra_fields
    assert catalog.verify(done) == []


def test_pystac_alone_walks_the_catalogue(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """From catalog.json to every asset, with nothing of ours; extents follow the items."""
    for name, day in (("A", 3), ("B", 5)):
        publish(make_item(name, day=day))
    root = pystac.Catalog.from_file(str(catalog.root / "catalog.json"))
    assert root.title == "Test catalogue"
    assert sorted(child.id for child in root.get_children()) == ["products", "scenes"]
    items = list(root.get_items(recursive=True))
    assert ids(items) == ["A", "B"]
    for item in items:
        assert Path(str(item.assets["data"].get_absolute_href())).read_bytes() == b"pixels"
        assert item.get_root() is root
        collection = item.get_collection()
        assert collection is not None
        assert collection.extent.temporal.intervals == [[datetime(2023, 8, day, 10, tzinfo=UTC) for day in (3, 5)]]
        assert collection.extent.spatial.bboxes == [item.bbox]


def test_links_to_other_items_resolve(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """A product finds its scenes, whether linked by value, by object or by path, also after a move of the whole."""
    scene = publish(make_item("A"))
    product = make_item("P", collection="products")
    product.add_link(relative_link("derived_from", make_item("A")))
    product.add_derived_from(scene)
    product.add_derived_from(str(scene.get_self_href()))
    links = publish(product).get_links("derived_from")
    assert [link.get_href() for link in links] == ["../../scenes/A/A.json"] * 3
    moved = catalog.root.rename(catalog.root.with_name("moved"))
    again = Catalog.open(moved).get("P")
    assert [item.id for item in again.get_derived_from()] == ["A"] * 3


def test_search_by_time_place_id_collection_and_property(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """Each alone, and all together; sorted by time, then id; counted exactly."""
    for name, day, cover in (("C", 1, 10), ("B", 2, 60), ("A", 2, 90.5)):
        publish(make_item(name, day=day, **{"eo:cloud_cover": cover, "platform": f"p{day}", "flag": day == 1}))
    publish(make_item("A", collection="products", day=9))

    def found(**options: Any) -> str:
        query = to_query(**options)
        items = catalog.search(query)
        assert catalog.count(query) == len(items) or query.limit is not None
        return "".join(ids(items))

    assert found() == "CABA"
    assert found(limit=2) == "CA"
    assert catalog.count(to_query(limit=2)) == 4
    assert found(collections="scenes") == "CAB"
    assert found(collections=["scenes", "products"], ids="A") == "AA"
    assert found(collections="none") == ""
    assert found(datetime="2023-08-01") == "C"
    assert found(datetime="2023-08-02/..") == "ABA"
    assert found(datetime="2023-08-02T10:00:00Z") == "AB"
    assert found(datetime="../2023-08-02T09:59:59Z") == "C"
    assert found(filters="eo:cloud_cover<60") == "C"
    assert found(filters="eo:cloud_cover<=60") == "CB"
    assert found(filters="eo:cloud_cover!=60") == "CA"
    assert found(filters=["eo:cloud_cover>=60", "platform=p2"]) == "AB"
    assert found(filters="platform>p1") == "AB"
    assert found(filters="flag=true") == "C"
    assert found(filters="flag!=true") == "AB"
    assert found(filters="platform>1") == ""
    assert found(filters='eo:cloud_cover="60"') == ""
    assert found(filters="no_such<1") == ""
    assert found(bbox="15.5,47,15.6,47.1") == "CABA"
    assert found(bbox="14,47,14.9997,47.1") == ""
    assert (
        found(bbox="15.5,47,15.6,47.1", datetime="2023-08-02", collections="scenes", filters="eo:cloud_cover<80") == "B"
    )


def test_search_is_exact_to_the_last_digit(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """The index of boxes is 32-bit, the answer is not: a box that ends a nanodegree before the item does not match."""
    item = make_item("A")
    west = 15.123456789
    item.bbox = [west, 46.0, 16.0, 47.0]
    publish(item)
    assert catalog.count(to_query(bbox=(10, 46, west, 47))) == 1
    assert catalog.count(to_query(bbox=(10, 46, west - 1e-9, 47))) == 0


def test_search_across_the_antimeridian(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """Items on either side and across, asked for from either side and across."""

    def add(name: str, bbox: list[float]) -> None:
        item = make_item(name)
        item.bbox = bbox
        publish(item)

    add("east", [178.0, -20.0, 179.0, -19.0])
    add("west", [-179.0, -20.0, -178.0, -19.0])
    add("across", [179.5, -20.0, -179.5, -19.0])
    add("far", [0.0, -20.0, 1.0, -19.0])

    def found(*bbox: float) -> list[str]:
        return ids(catalog.search(to_query(bbox=bbox)))

    assert found(177, -30, -177, 0) == ["across", "east", "west"]
    assert found(177, -30, 180, 0) == ["across", "east"]
    assert found(-180, -30, -177, 0) == ["across", "west"]
    assert found(-170, -30, 170, 0) == ["far"]
    assert found(-180, -30, 180, 0) == ["across", "east", "far", "west"]
    document = json.loads((catalog.root / "scenes/collection.json").read_text())
    assert document["extent"]["spatial"]["bbox"] == [[-180.0, -20.0, 180.0, -19.0]]


def test_periods_match_when_they_touch(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """A product of a month is found by any day of it."""
    item = make_item("P")
    item.datetime = None
    item.properties.update(start_datetime="2023-08-01T00:00:00Z", end_datetime="2023-08-31T23:59:59Z")
    publish(item)
    assert catalog.count(to_query(datetime="2023-08-10")) == 1
    assert catalog.count(to_query(datetime="2023-08-31T23:59:59Z/..")) == 1
    assert catalog.count(to_query(datetime="2023-07/2023-08-01")) == 1
    assert catalog.count(to_query(datetime="2023-09/..")) == 0


def test_items_without_geometry_are_found_by_time_only(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """STAC allows it; no place is invented."""
    item = make_item("A")
    item.geometry = item.bbox = None
    publish(item)
    assert catalog.count(to_query(datetime="2023")) == 1
    assert catalog.count(to_query(bbox=(-180, -90, 180, 90))) == 0


def test_get_and_find(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """Absent, unique, ambiguous."""
    publish(make_item("A"))
    publish(make_item("A", collection="products"))
    with pytest.raises(ConflictError, match="products, scenes"):
        catalog.get("A")
    assert catalog.get("A", "products").collection_id == "products"
    for absent in ("B", "", "a\0b", "\ud800", "'; DROP TABLE items; --"):
        with pytest.raises(NotFoundError):
            catalog.get(absent)
        assert catalog.find(absent, "scenes") is None
    assert catalog.find("A", "none") is None


def test_an_id_is_published_once(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """A second item of the same id, same content or not, is refused, and leaves nothing."""
    publish(make_item("A"), b"first")
    with pytest.raises(ConflictError, match="already"):
        publish(make_item("A"), b"second")
    assert Path(str(catalog.get("A").assets["data"].get_absolute_href())).read_bytes() == b"first"
    assert sorted(path.name for path in (catalog.root / "scenes").iterdir()) == ["A", "collection.json"]
    assert list((catalog.root / ".staging").iterdir()) == []


def test_replacing_moves_links_and_removes_the_old(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """New content in a folder of another name; products still find their scene; back and forth."""
    publish(make_item("A"), b"first")
    product = make_item("P", collection="products")
    product.add_link(relative_link("derived_from", make_item("A")))
    publish(product)
    for content in (b"second", b"third", b"third"):
        new = publish(make_item("A"), content, replace=True)
        path = Path(str(new.assets["data"].get_absolute_href()))
        assert path.read_bytes() == content
        folders = [entry.name for entry in (catalog.root / "scenes").iterdir() if entry.is_dir()]
        assert folders == [path.parent.name]
        on_disk = pystac.Item.from_file(str(catalog.root / "products/P/P.json"))
        for holder in (catalog.get("P"), on_disk):
            assert holder.get_links("derived_from")[0].get_absolute_href() == new.get_self_href()
        walked = pystac.Catalog.from_file(str(catalog.root / "catalog.json")).get_items(recursive=True)
        assert {item.get_self_href() for item in walked} == {new.get_self_href(), on_disk.get_self_href()}
    assert catalog.count(Query()) == 2
    assert catalog.gc() == []


def test_folders_of_other_items_are_never_taken(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """An item whose id looks like another's second folder gets a folder of its own."""
    publish(make_item("A"), b"first")
    folder = Path(str(publish(make_item("A"), b"second", replace=True).get_self_href())).parent.name
    other = publish(make_item(folder), b"other")
    assert {path.read_bytes() for path in (catalog.root / "scenes").glob("*/data.bin")} == {b"second", b"other"}
    assert other.id == folder
    assert catalog.verify(other) == catalog.verify(catalog.get("A")) == []


def test_removing(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """An item with descendants stays unless forced; a removed one is gone from index, files and links."""
    publish(make_item("A"))
    product = make_item("P", collection="products")
    product.add_link(relative_link("derived_from", make_item("A")))
    publish(product)
    with pytest.raises(ConflictError, match="products/P"):
        catalog.remove("A")
    assert catalog.count(Query()) == 2
    catalog.remove("A", force=True)
    assert not (catalog.root / "scenes/A").exists()
    assert ids(list(pystac.Catalog.from_file(str(catalog.root / "catalog.json")).get_items(recursive=True))) == ["P"]
    catalog.remove("P", "products")
    assert catalog.count(Query()) == 0
    with pytest.raises(NotFoundError):
        catalog.remove("P")
    publish(make_item("A"))
    assert catalog.count(Query()) == 1


@pytest.mark.parametrize(
    "name", ["", "/", "a/b", "..", ".", "a\0", "x" * 300, "-a", "a b", "collection.json", "Catalog.SQLite", "é"]
)
def test_hostile_names_are_refused(catalog: Catalog, make_item: Build, publish: Publish, name: str) -> None:
    """As the id of an item or a collection, as the key of an asset, as the name of a stage: nothing is written."""
    before = sorted(catalog.root.rglob("*"))
    wrong = (HostileInputError, ConflictError, MetadataError)
    with catalog.stage("ok") as folder:
        with pytest.raises(wrong):
            catalog.publish(make_item(name), folder)
        with pytest.raises(wrong):
            catalog.publish(make_item("A", collection=name), folder)
        with pytest.raises(wrong):
            catalog.add_collection(describe_collection(name, title="t", description="d"))
    if name.lower() not in ("collection.json", "catalog.sqlite"):
        item = make_item("A")
        item.add_asset(name, pystac.Asset("https://example.org/a"))
        with catalog.stage("ok") as folder, pytest.raises(HostileInputError):
            catalog.publish(item, folder)
        with pytest.raises(HostileInputError), catalog.stage(name):
            pass
    (catalog.root / ".staging").rmdir()
    assert sorted(catalog.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("href", "error"),
    [
        ("./absent.tif", AssetError),
        ("../../catalog.sqlite", HostileInputError),
        ("/etc/hostname", HostileInputError),
        ("a\0b", HostileInputError),
        (".", AssetError),
        ("x" * 5000, HostileInputError),
        ("./A.json", ConflictError),
        ("./link", HostileInputError),
    ],
)
def test_hostile_assets_are_refused(catalog: Catalog, make_item: Build, href: str, error: type[Exception]) -> None:
    """Files that are missing, elsewhere, the item itself, or links out of the folder."""
    item = make_item("A")
    with catalog.stage("A") as folder:
        (folder / "A.json").write_text("{}")
        if href == "./link":
            (folder / "link").symlink_to("/etc/hostname")
        item.add_asset("a", pystac.Asset(href))
        with pytest.raises(error):
            catalog.publish(item, folder)
    assert catalog.count(Query()) == 0


def spoil(item: pystac.Item, **changes: Any) -> pystac.Item:
    """Change fields of an item."""
    for name, value in changes.items():
        setattr(item, name, value)
    return item


@pytest.mark.parametrize(
    "changes",
    [
        {"collection_id": None},
        {"bbox": [1.0, 2.0]},
        {"bbox": [1.0, 3.0, 2.0, 2.0]},
        {"bbox": [1.0, float("nan"), 2.0, 2.0]},
        {"bbox": [1.0, 0.0, 200.0, 2.0]},
        {"bbox": ["a", 0.0, 2.0, 2.0]},
        {"geometry": {"type": "MultiPolygon", "coordinates": [1, 2]}},
        {"properties": {"a": float("inf")}},
        {"properties": {"a": object()}},
        {"properties": {"a": "\ud800"}},
        {"properties": {"start_datetime": "2023-08-20T00:00:00", "end_datetime": "2023-08-21T00:00:00Z"}},
        {"properties": {"start_datetime": "2023-08-20T00:00:00Z", "end_datetime": "2023-08-01T00:00:00Z"}},
        {"properties": {"start_datetime": 3, "end_datetime": 4}},
        {"datetime": None},
    ],
)
def test_unusable_metadata_is_refused(catalog: Catalog, make_item: Build, changes: dict[str, Any]) -> None:
    """No time, no zone, no place, no JSON: nothing is guessed."""
    with catalog.stage("A") as folder, pytest.raises(MetadataError):
        catalog.publish(spoil(make_item("A"), **changes), folder)


def test_an_asset_of_another_size_than_stated_is_refused(catalog: Catalog, make_item: Build) -> None:
    """What is published is what was described."""
    item = make_item("A")
    with catalog.stage("A") as folder:
        (folder / "x").write_bytes(b"12")
        item.add_asset("x", pystac.Asset("./x", extra_fields={"file:size": 3, "file:checksum": "1220"}))
        with pytest.raises(IntegrityError, match="size"):
            catalog.publish(item, folder)


def test_only_staged_folders_are_published(catalog: Catalog, make_item: Build, tmp_path: Path) -> None:
    """A user's own folder is never moved into the catalogue."""
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(InputError, match="staging"):
        catalog.publish(make_item("A"), own)
    with pytest.raises(InputError, match="staging"):
        catalog.publish(make_item("A"), catalog.root)
    assert own.is_dir()


def test_unknown_collections_are_refused(catalog: Catalog, make_item: Build) -> None:
    """An item needs its collection first; the message names those that are there."""
    with catalog.stage("A") as folder, pytest.raises(NotFoundError, match="products, scenes"):
        catalog.publish(make_item("A", collection="other"), folder)
    with pytest.raises(NotFoundError):
        catalog.get_collection("other")


def test_collections(catalog: Catalog) -> None:
    """Sorted, added once, changed by adding again, with their own links kept."""
    assert [collection.id for collection in catalog.collections()] == ["products", "scenes"]
    file = catalog.root / "scenes/collection.json"
    before = file.stat().st_mtime_ns
    catalog.add_collection(catalog.get_collection("scenes"))
    collection = describe_collection("scenes", title="Scenes", description="Better told")
    collection.add_link(pystac.Link("license", "https://example.org/licence"))
    catalog.add_collection(collection)
    assert file.stat().st_mtime_ns != before
    assert catalog.get_collection("scenes").description == "Better told"
    assert pystac.Collection.from_file(str(file)).get_links("license")[0].href == "https://example.org/licence"


def test_a_batch_writes_the_static_files_once(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """At its end, also after an error in it; nested batches count as one."""
    file = catalog.root / "scenes/collection.json"
    before = file.read_text()

    def fail_late() -> None:
        with catalog.batch():
            publish(make_item("A"))
            with catalog.batch():
                publish(make_item("B"))
            assert file.read_text() == before
            assert ids(catalog.search(Query())) == ["A", "B"]
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_late()
    assert ids(list(pystac.Collection.from_file(str(file)).get_items())) == ["A", "B"]


def test_in_a_batch_an_item_may_be_replaced_and_removed(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """Folders that were given up and taken again meanwhile are not swept away at its end."""
    with catalog.batch():
        for content in (b"1", b"2", b"3"):
            publish(make_item("A"), content, replace=True)
        publish(make_item("B"))
        catalog.remove("B")
        publish(make_item("B"), b"again")
    assert catalog.verify(catalog.get("A")) == catalog.verify(catalog.get("B")) == []
    assert sum(path.is_dir() for path in (catalog.root / "scenes").iterdir()) == 2


def test_stages_are_empty_apart_and_removed(catalog: Catalog) -> None:
    """Two of one name do not meet; an error leaves nothing."""
    with catalog.stage("a") as one, catalog.stage("a") as two:
        assert one != two
        assert list(one.iterdir()) == []
        assert one.parent == catalog.root / ".staging"
    assert not one.exists()

    def fail() -> None:
        with catalog.stage("a") as folder:
            (folder / "x").write_bytes(b"")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list((catalog.root / ".staging").iterdir()) == []


def test_a_catalogue_is_created_once_and_opened(tmp_path: Path, make_item: Build) -> None:
    """In a new, an empty, or its own folder; never in another."""
    first = Catalog.create(tmp_path / "deep" / "c", title="One")
    first.add_collection(describe_collection("scenes", title="t", description="d"))
    second = Catalog.create(tmp_path / "deep" / "c", title="Two")
    assert [collection.id for collection in second.collections()] == ["scenes"]
    assert pystac.Catalog.from_file(str(first.root / "catalog.json")).title == "One"
    (tmp_path / "empty").mkdir()
    assert Catalog.create(tmp_path / "empty").root == tmp_path / "empty"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "photo.jpg").write_bytes(b"")
    with pytest.raises(ConflictError, match="not empty"):
        Catalog.create(tmp_path / "own")
    assert sorted((tmp_path / "own").iterdir()) == [tmp_path / "own" / "photo.jpg"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        Catalog.create(tmp_path / "file")


def test_a_catalogue_may_lie_at_an_odd_place(tmp_path: Path) -> None:
    """Characters that mean something in an address are nothing special in a path."""
    root = tmp_path / "a b?c#d%20e&mode=memory"
    Catalog.create(root)
    assert Catalog.open(root).count(Query()) == 0
    assert (root / "catalog.sqlite").is_file()


def test_opening_what_is_no_catalogue(tmp_path: Path) -> None:
    """The message says how to make one."""
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NotFoundError, match="terracube init"):
            Catalog.open(folder)
        assert not (folder / "catalog.sqlite").exists()


def test_a_newer_catalogue_is_refused(catalog: Catalog) -> None:
    """Not read, not written, by an older program."""
    with sqlite3.connect(catalog.root / "catalog.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '2' WHERE key = 'format_version'")
    connection.close()
    for use in (Catalog.open, Catalog.create):
        with pytest.raises(VersionError, match="newer"):
            use(catalog.root)


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA application_id = 7",
        "UPDATE meta SET value = 'x' WHERE key = 'format_version'",
        "DELETE FROM meta",
        "DROP TABLE meta",
    ],
)
def test_a_foreign_or_incomplete_database_is_refused(catalog: Catalog, statement: str) -> None:
    """And the message says how to make a new one."""
    connection = sqlite3.connect(catalog.root / "catalog.sqlite", isolation_level=None)
    connection.execute(statement)
    connection.close()
    with pytest.raises(IntegrityError, match="recover"):
        Catalog.open(catalog.root)


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "middle", "lost"])
def test_a_damaged_database_is_refused_and_recovered(
    catalog: Catalog, make_item: Build, publish: Publish, damage: str
) -> None:
    """The files are enough to make a new one, which finds the same."""
    with catalog.batch():
        for number in range(8):
            publish(make_item(f"item{number}", day=1 + number, title="x" * 8000))
    queries = [Query(), to_query(datetime="2023-08-03/2023-08-09", bbox="15,46,16,48"), to_query(ids="item7")]
    before = [[item.to_dict(transform_hrefs=False) for item in catalog.search(query)] for query in queries]
    file = catalog.root / "catalog.sqlite"
    content = file.read_bytes()
    if damage == "garbage":
        file.write_bytes(b"no database" * 1000)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "middle":
        file.write_bytes(content[:4096] + bytes(len(content) - 4096))
    else:
        file.unlink()
    with pytest.raises((IntegrityError, NotFoundError), match="recover"):
        Catalog.open(catalog.root).search(Query())
    if damage == "lost":
        with pytest.raises(ConflictError, match="recover"):
            Catalog.create(catalog.root)
    again, report = Catalog.recover(catalog.root)
    assert (report.items, report.left_out) == (8, ())
    assert [[item.to_dict(transform_hrefs=False) for item in again.search(query)] for query in queries] == before
    assert pystac.Catalog.from_file(str(again.root / "catalog.json")).title == "Test catalogue"
    assert (catalog.root / "catalog.sqlite.damaged-1").exists() == (damage != "lost")


def test_rebuild_takes_what_is_complete_and_tells_the_rest(
    catalog: Catalog, make_item: Build, publish: Publish
) -> None:
    """Incomplete folders are left out with the reason; of two of one item the listed one is taken."""
    for name in ("A", "B", "C", "D", "E"):
        publish(make_item(name))
    publish(make_item("A"), b"new", replace=True)
    scenes = catalog.root / "scenes"
    listed = Path(str(catalog.get("A").get_self_href())).parent
    shutil.copytree(listed, scenes / "A")
    (scenes / "B" / "data.bin").unlink()
    (scenes / "C" / "C.json").write_text("[1")
    (scenes / "D" / "D.json").write_text('{"type": "Feature", "id": "D", "collection": "scenes", "assets": 3}')
    (scenes / "notes").mkdir()
    (catalog.root / "broken").mkdir()
    (catalog.root / "broken" / "collection.json").write_text("{}")
    report = catalog.rebuild()
    assert report.items == 2
    assert {path.name for path, _ in report.left_out} == {"A", "B", "C", "D", "broken"}
    assert ids(catalog.search(Query())) == ["A", "E"]
    assert Path(str(catalog.get("A").get_self_href())).parent == listed
    with pytest.raises(NotFoundError):
        Catalog.recover(catalog.root / "scenes" / "notes")


def test_verify_names_every_problem(catalog: Catalog, make_item: Build) -> None:
    """Missing, shortened, changed, unrecorded, foreign hash, changed JSON; remote assets and good ones are silent."""
    item = make_item("A")
    with catalog.stage("A") as folder:
        for name in ("good", "missing", "short", "changed", "unrecorded", "foreign"):
            (folder / name).write_bytes(b"123456")
            item.add_asset(name, pystac.Asset(f"./{name}"))
        (folder / "cube").mkdir()
        (folder / "cube" / "c0").write_bytes(b"1")
        item.add_asset("cube", pystac.Asset("./cube"))
        item.add_asset("remote", pystac.Asset("https://example.org/x"))
        done = catalog.publish(item, folder)
    assert catalog.verify(done) == []
    place = catalog.root / "scenes/A"
    (place / "missing").unlink()
    (place / "short").write_bytes(b"123")
    (place / "changed").write_bytes(b"123457")
    (place / "cube" / "c0").rename(place / "cube" / "c1")
    assert [line.split(" ")[1] for line in catalog.verify(done)] == ["missing", "short", "changed", "cube"]
    assert len(catalog.verify(done, assets=["good", "short"])) == 1
    done.assets["unrecorded"].extra_fields.clear()
    done.assets["foreign"].extra_fields["file:checksum"] = "d50110"
    done.assets["good"].href = "../../../etc/passwd"
    told = catalog.verify(done)
    assert told[0] == "A.json says something else than the catalogue"
    assert len(told) == 8
    (place / "A.json").write_text("[]")
    assert catalog.verify(catalog.get("A"))[0] == "A.json is no JSON object"
    (place / "A.json").unlink()
    assert "cannot be read" in catalog.verify(catalog.get("A"))[0]
    assert "self link" in catalog.verify(make_item("Z"))[0]


def test_a_catalogue_crosses_process_borders(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """Pickled, it is the same catalogue."""
    publish(make_item("A"))
    again = pickle.loads(pickle.dumps(catalog))
    assert ids(again.search(Query())) == ["A"]


def test_every_error_is_ours(catalog: Catalog) -> None:
    """Also when the database refuses: no error of SQLite leaves the catalogue."""
    (catalog.root / "catalog.sqlite").unlink()
    with pytest.raises(TerraCubeError):
        catalog.search(Query())


def test_thousands_of_items_are_found_as_by_hand(catalog: Catalog, make_item: Build) -> None:
    """A search over 2000 items gives what a loop over them gives."""
    boxes = {}
    template = to_document(make_item("x"))
    store = SqliteStore(catalog.root / "catalog.sqlite")
    with store.write() as transaction:
        for number in range(2000):
            west, south = (number * 37) % 360 - 180, (number * 53) % 170 - 85
            boxes[f"i{number:04}"] = (west, south, number % 28 + 1)
            document = {**template, "id": f"i{number:04}", "bbox": [west, south, min(west + 2, 180), south + 2]}
            document["properties"] = {"datetime": f"2023-08-{number % 28 + 1:02}T00:00:00Z", "n": number}
            record = Record("scenes", document["id"], document["id"], dump(document, where=""))
            transaction.put(record, index(document, folder=record.folder))
    query = to_query(bbox=(-20, -20, 40, 30), datetime="2023-08-05/2023-08-20", filters="n>=100")
    by_hand = [
        name
        for name, (west, south, day) in boxes.items()
        if -22 <= west <= 40 and -22 <= south <= 30 and 5 <= day <= 20 and int(name[1:]) >= 100
    ]
    found = catalog.search(query)
    assert sorted(ids(found)) == by_hand
    assert [(item.datetime, item.id) for item in found] == sorted((item.datetime, item.id) for item in found)
    assert catalog.count(query) == len(by_hand) > 50
    assert ids(catalog.search(to_query(ids=sorted(boxes)[::2]))) != []
    assert catalog.count(to_query(ids=boxes)) == 2000


@pytest.mark.filterwarnings("ignore::pystac.errors.DeprecatedWarning")
def test_items_of_many_providers_are_kept_and_found(catalog: Catalog, data_dir: Path) -> None:
    """Real items, antimeridian ones among them, of several versions of STAC; each is found where it says it lies."""
    kept = 0
    with catalog.batch():
        for file in sorted((data_dir / "stac-items").rglob("*.json")):
            document = json.loads(file.read_text())
            if document.get("type") != "Feature":
                continue
            item = pystac.Item.from_dict(document)
            item.collection_id = f"c{kept}"
            catalog.add_collection(describe_collection(f"c{kept}", title="t", description="d"))
            item.assets = {key: asset for key, asset in item.assets.items() if is_remote(asset.href) and ":" not in key}
            with catalog.stage("item") as folder:
                done = catalog.publish(item, folder)
            box = item.bbox or []
            west, south, east, north = box if len(box) == 4 else (box[0], box[1], box[3], box[4])
            assert catalog.count(to_query(bbox=(west, south, east, north), collections=f"c{kept}")) == 1
            assert catalog.verify(done) == []
            kept += 1
    assert kept > 15
