"""What a product says of its making can be read back, and its key depends on nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import LeftOut, MetadataError, NotFoundError
from terracube.stac import (
    ChainRef,
    InputRef,
    Provenance,
    derived_from,
    input_checksum,
    product_key,
    read_provenance,
    relative_link,
    software,
)

Build = Callable[..., pystac.Item]
HEX = st.text("0123456789abcdef", min_size=1, max_size=8)
INPUTS = st.lists(st.tuples(HEX, HEX), max_size=6)


def made(**changes: Any) -> Provenance:
    """Tell a making."""
    facts: dict[str, Any] = {
        "key": "k",
        "chain": ChainRef("composite", "2", "d"),
        "parameters": {"classes": [3, 8], "method": "geometric median"},
        "request": {"datetime": "2023-08", "bbox": [14, 46, 15, 47]},
        "inputs": (InputRef("A", "scenes", "1"), InputRef("B", "scenes", "2")),
        "left_out": (LeftOut("C", "no date"),),
        "lineage": "Told in prose.",
    }
    return Provenance(**{**facts, **changes})


def test_provenance_is_read_back(make_item: Build) -> None:
    """Through JSON and an item; inputs sorted whatever the order."""
    item = make_item("P", **json.loads(json.dumps(made().properties())))
    assert read_provenance(item) == made()
    assert made(inputs=made().inputs[::-1]).properties() == made().properties()
    assert "processing:lineage" not in made(lineage="").properties()


@pytest.mark.parametrize("field", ["terracube:key", "terracube:chain", "terracube:inputs", "processing:software"])
def test_provenance_that_is_missing_or_malformed_is_refused(make_item: Build, field: str) -> None:
    """A product that does not say how it was made cannot be made again."""
    item = make_item("P", **made().properties())
    item.properties[field] = None
    if field != "terracube:key":
        with pytest.raises(MetadataError, match="how it was made"):
            read_provenance(item)
    del item.properties[field]
    with pytest.raises(MetadataError, match="how it was made"):
        read_provenance(item)


def test_software_names_what_computes() -> None:
    """Versions, as installed."""
    found = software()
    assert {"terracube", "numpy", "numba", "rasterio", "GDAL", "pyproj", "PROJ", "dask", "xarray", "Python"} <= set(
        found
    )
    assert all(value and value[0].isdigit() for value in found.values())


def with_assets(item: pystac.Item, **checksums: str) -> pystac.Item:
    """Give an item assets of these checksums."""
    for key, checksum in checksums.items():
        item.add_asset(key, pystac.Asset(f"./{key}", extra_fields={"file:checksum": checksum} if checksum else {}))
    return item


def test_input_checksum_depends_on_the_used_assets_alone(make_item: Build) -> None:
    """Not on their order, not on others; on each of them, and on which is which."""
    item = with_assets(make_item("A"), red="1", nir="2", scl="3")
    same = with_assets(make_item("A", title="other"), nir="2", red="1", scl="9")
    swapped = with_assets(make_item("A"), red="2", nir="1")
    assert input_checksum(item, ["red", "nir"]) == input_checksum(same, ["nir", "red"])
    assert input_checksum(item, ["red", "nir"]) != input_checksum(swapped, ["red", "nir"])
    assert input_checksum(item, ["red"]) != input_checksum(item, ["red", "nir"])
    assert len(input_checksum(item, ["red"])) == 64


def test_input_checksum_needs_asset_and_checksum(make_item: Build) -> None:
    """Nothing is fingerprinted that is not there."""
    item = with_assets(make_item("A"), red="")
    with pytest.raises(MetadataError, match="no checksum"):
        input_checksum(item, ["red"])
    with pytest.raises(NotFoundError, match="no such asset"):
        input_checksum(item, ["nir"])


@given(HEX, INPUTS, st.randoms())
def test_the_key_does_not_depend_on_the_order_of_inputs(chain: str, inputs: list[tuple[str, str]], random: Any) -> None:
    """Any permutation gives the same key."""
    shuffled = list(inputs)
    random.shuffle(shuffled)
    assert product_key(chain, {"a": 1}, inputs) == product_key(chain, {"a": 1}, shuffled)


@given(HEX, HEX, INPUTS, INPUTS)
def test_the_key_depends_on_each_part(
    chain: str, other: str, inputs: list[tuple[str, str]], more: list[tuple[str, str]]
) -> None:
    """Another chain, grid or input is another product; the same is the same."""
    key = product_key(chain, {"a": 1}, inputs)
    assert (key == product_key(other, {"a": 1}, inputs)) == (chain == other)
    assert (key == product_key(chain, {"a": 1}, more)) == (sorted(inputs) == sorted(more))
    assert key != product_key(chain, {"a": 2}, inputs)
    assert key == product_key(chain, {"a": 1}, tuple(inputs))


def test_derived_from_links_are_relative_and_sorted(make_item: Build) -> None:
    """They can be written before it is known where the product will lie; an item of no collection has no place."""
    links = derived_from([make_item("B"), make_item("A"), make_item("Z", collection="first")])
    assert [link.get_href() for link in links] == [
        "../../first/Z/Z.json",
        "../../scenes/A/A.json",
        "../../scenes/B/B.json",
    ]
    lost = make_item("A")
    lost.collection_id = None
    with pytest.raises(MetadataError, match="no collection"):
        derived_from([lost])


def test_a_link_follows_the_folder_an_item_lies_in(make_item: Build) -> None:
    """In the catalogue; an item that lies elsewhere is linked to where it will lie."""
    item = make_item("A")
    item.set_self_href("/catalogue/scenes/A.12345678/A.json")
    assert relative_link("derived_from", item).get_href() == "../../scenes/A.12345678/A.json"
    item.set_self_href("/downloads/2023/A/A.json")
    assert relative_link("derived_from", item).get_href() == "../../scenes/A/A.json"
