"""Chains of versions: each knows its neighbours and the newest, also after one is taken out."""

from __future__ import annotations

from collections.abc import Callable

import pystac
import pytest

from terracube.core.errors import ConflictError, NotFoundError
from terracube.stac import Catalog, Query, link_versions
from terracube.stac.versions import copy_item

Publish = Callable[..., pystac.Item]
Build = Callable[..., pystac.Item]
RELS = ("predecessor-version", "successor-version", "latest-version")


def chain(catalog: Catalog) -> dict[str, tuple[object, ...]]:
    """Give for each item its version, whether it is deprecated, and the ids of its neighbours and of the newest."""
    told: dict[str, tuple[object, ...]] = {}
    for item in catalog.search(Query()):
        names = []
        for rel in RELS:
            links = item.get_links(rel)
            assert len(links) <= 1
            target = pystac.Item.from_file(links[0].absolute_href).id if links else "-"
            assert not links or links[0].title == target or links[0].rel == "latest-version"
            names.append(target)
        told[item.id] = (item.properties.get("version"), item.properties.get("deprecated"), " ".join(names))
    return told


@pytest.fixture
def three(catalog: Catalog, make_item: Build, publish: Publish) -> Catalog:
    """A catalogue with three versions of a product."""
    publish(make_item("v1"))
    for old, new in (("v1", "v2"), ("v2", "v3")):
        item = make_item(new)
        publish(item, updates=[link_versions(item, catalog.get(old))])
    return catalog


@pytest.mark.filterwarnings("ignore::pystac.errors.DeprecatedWarning")
def test_versions_know_each_other(three: Catalog) -> None:
    """Old ones are marked; all name the newest; files say the same as the index."""
    assert chain(three) == {
        "v1": ("1", True, "- v2 v3"),
        "v2": ("2", True, "v1 v3 v3"),
        "v3": ("3", None, "v2 - -"),
    }
    for item in three.search(Query()):
        assert three.verify(item) == []
        on_disk = pystac.Item.from_file(str(item.get_self_href()))
        assert [link.to_dict(False) for link in on_disk.links] == [link.to_dict(False) for link in item.links]


@pytest.mark.filterwarnings("ignore::pystac.errors.DeprecatedWarning")
@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ("v3", {"v1": ("1", True, "- v2 v2"), "v2": ("2", None, "v1 - -")}),
        ("v2", {"v1": ("1", True, "- v3 v3"), "v3": ("3", None, "v1 - -")}),
        ("v1", {"v2": ("2", True, "- v3 v3"), "v3": ("3", None, "v2 - -")}),
    ],
)
def test_a_version_taken_out_leaves_a_chain(three: Catalog, gone: str, left: dict[str, tuple[object, ...]]) -> None:
    """The newest, a middle one, the oldest."""
    three.remove(gone)
    assert chain(three) == left
    assert all(three.verify(item) == [] for item in three.search(Query()))


@pytest.mark.filterwarnings("ignore::pystac.errors.DeprecatedWarning")
def test_a_version_may_be_replaced(three: Catalog, make_item: Build, publish: Publish) -> None:
    """Its neighbours follow it to its new folder."""
    middle = copy_item(three.get("v2"))
    publish(middle, b"corrected", replace=True)
    assert chain(three)["v1"] == ("1", True, "- v2 v3")
    assert chain(three)["v3"] == ("3", None, "v2 - -")


@pytest.mark.filterwarnings("ignore::pystac.errors.DeprecatedWarning")
def test_a_new_version_in_a_folder_of_another_name_is_linked_to(
    catalog: Catalog, make_item: Build, publish: Publish
) -> None:
    """The link of the predecessor is written before it is known where the new one will lie."""
    publish(make_item("v1"))
    publish(make_item("v2"), b"to be replaced")
    item = make_item("v2")
    publish(item, b"better", replace=True, updates=[link_versions(item, catalog.get("v1"))])
    assert chain(catalog) == {"v1": ("1", True, "- v2 v2"), "v2": ("2", None, "v1 - -")}


def test_a_version_has_one_successor(three: Catalog, make_item: Build) -> None:
    """No forks, no loops."""
    with pytest.raises(ConflictError, match="successor already"):
        link_versions(make_item("v4"), three.get("v1"))
    with pytest.raises(ConflictError, match="itself"):
        link_versions(make_item("v3"), three.get("v3"))


def test_the_predecessor_given_is_not_changed(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """And a copy keeps the extra fields of links."""
    item = make_item("v1")
    item.add_link(pystac.Link("about", "https://example.org", extra_fields={"note": 1}))
    old = publish(item)
    before = old.to_dict(transform_hrefs=False)
    updated = link_versions(make_item("v2"), old)
    assert old.to_dict(transform_hrefs=False) == before
    assert updated.get_links("about")[0].extra_fields == {"note": 1}
    assert updated.get_self_href() == old.get_self_href()


@pytest.mark.parametrize(("version", "following"), [("7", "8"), ("2.1", "2.1.1"), ("beta", "beta.1")])
def test_versions_are_counted(make_item: Build, version: str, following: str) -> None:
    """Whole numbers go up, others are continued, a version that is given is kept."""
    old, new, own = make_item("a", version=version), make_item("b"), make_item("c", version="mine")
    link_versions(new, old)
    link_versions(own, old)
    assert new.properties["version"] == following
    assert own.properties["version"] == "mine"


def test_only_registered_items_are_updated(catalog: Catalog, make_item: Build, publish: Publish) -> None:
    """An update that cannot be made stops the publication as a whole."""
    item = make_item("v2")
    with pytest.raises(NotFoundError, match="update"):
        publish(item, updates=[link_versions(item, make_item("v1"))])
    old = publish(make_item("v1"))
    old.assets["data"].href = "./other.bin"
    with pytest.raises(ConflictError, match="files"):
        publish(make_item("v3"), updates=[old])
    assert [found.id for found in catalog.search(Query())] == ["v1"]
    assert not (catalog.root / "scenes/v3").exists()
