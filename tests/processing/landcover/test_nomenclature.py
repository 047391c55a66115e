"""Nomenclatures: those shipped, files of users, labels and codes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError
from terracube.processing.landcover.nomenclature import Nomenclature, load_nomenclature, nomenclature_names

ONE = {"code": 1, "name": "water", "title": {"en": "Water"}, "colour": "#0000ff"}
SMALL: dict[str, Any] = {"name": "small", "version": "1", "title": {"en": "Small"}, "classes": [ONE]}


@pytest.mark.parametrize("name", ["oso-23", "oso-17", "corine-1"])
def test_shipped_nomenclatures_are_whole(name: str) -> None:
    """Each shipped one loads, with titles in two languages, different colours, an origin and a licence."""
    found = load_nomenclature(name)
    assert found.name == name
    assert found.origin
    assert found.licence
    assert all(one.title.en and one.title.fr for one in found.classes)
    assert len({one.colour for one in found.classes}) == len(found.classes)


def test_shipped_mappings_lead_to_classes() -> None:
    """Every mapping of a shipped nomenclature ends at codes of the other."""
    for name in nomenclature_names():
        found = load_nomenclature(name)
        for other in found.mappings:
            assert set(found.mapping(other).values()) <= set(load_nomenclature(other).codes)


def test_oso_has_the_classes_of_theia() -> None:
    """Codes 1 to 23 in the producer's order; the two crop classes of 2016 hold crops 5 to 12; nine groups and two."""
    oso = load_nomenclature("oso-23")
    assert oso.codes == tuple(range(1, 24))
    assert [oso.title_of(code, "fr") for code in (1, 5, 13, 23)] == ["Bâtis denses", "Colza", "Prairies", "Eau"]
    to_17 = oso.mapping("oso-17")
    assert [code for code, other in to_17.items() if other in (11, 12)] == list(range(5, 13))
    assert len(set(to_17.values())) == 17
    assert oso.groups["built-up"] == (1, 2, 3)
    assert oso.groups["open-natural"] == (13, 18, 19)


def test_mappings_agree_along_two_ways() -> None:
    """From 23 classes to level 1 directly, or by way of the 17, is the same."""
    oso, old = load_nomenclature("oso-23"), load_nomenclature("oso-17")
    codes = np.array(oso.codes, "uint16")
    direct = oso.translate(codes, "corine-1")
    assert np.array_equal(direct, old.translate(oso.translate(codes, "oso-17"), "corine-1"))


def test_hierarchy_goes_up() -> None:
    """The nodes above a class come nearest first."""
    assert [one.name for one in load_nomenclature("oso-23").ancestors(10)] == ["summer-crops", "agricultural"]
    assert load_nomenclature("corine-1").ancestors(1) == ()


def test_labels_are_found_by_name_title_or_code() -> None:
    """A label may be a name, a title in either language, or a code, in any case and with blanks around."""
    oso = load_nomenclature("oso-23")
    labels = ["maize", " Maïs ", "MAIZE", 10, 10.0, "10", np.int16(10)]
    assert oso.encode(labels).tolist() == [10] * 7
    assert oso.encode([]).shape == (0,)


def test_unknown_labels_are_named_together() -> None:
    """All unknown labels are told at once, with their rows and what may be meant."""
    with pytest.raises(InputError, match=re.escape("'Waterr' (row 1), 'nothing' (row 2)")) as caught:
        load_nomenclature("oso-23").encode(["water", "Waterr", None])
    assert "did you mean water" in caught.value.todo
    with pytest.raises(InputError, match="no class of that code"):
        load_nomenclature("oso-23").of(24)
    with pytest.raises(InputError, match="no mapping"):
        load_nomenclature("oso-23").mapping("corine-9")


def test_translate_refuses_strange_and_wide_codes() -> None:
    """A code that is no class, or does not fit the type, is an error; 0 stays 0 and the shape stays."""
    oso = load_nomenclature("oso-23")
    assert oso.translate(np.array([[0, 13]], "uint16"), "oso-17").tolist() == [[0, 211]]
    with pytest.raises(InputError, match="no classes"):
        oso.translate(np.array([99], "uint8"), "oso-17")
    with pytest.raises(InputError, match="do not fit the type"):
        oso.translate(np.array([13], "int8"), "oso-17")


def test_attributes_and_stac_classes() -> None:
    """CF flags and STAC classes have one entry per class; names and colours have the form of the extension."""
    oso = load_nomenclature("oso-23")
    flags = oso.flags()
    assert len(flags["flag_meanings"].split()) == len(flags["flag_values"]) == 23
    for one in oso.stac_classes():
        assert re.fullmatch(r"[0-9A-Za-z_-]+", one["name"])
        assert re.fullmatch(r"[0-9A-F]{6}", one["color_hint"])


def test_stac_classes_pass_the_schema(schema_dir: Path) -> None:
    """The classes fit the schema of the classification extension."""
    schema = json.loads((schema_dir / "stac-extensions.github.io/classification/v1.1.0/schema.json").read_text())
    rule = schema["definitions"]["fields"]["properties"]["classification:classes"]
    check = jsonschema.Draft7Validator({**rule, "definitions": schema["definitions"]})
    for name in nomenclature_names():
        check.validate(load_nomenclature(name).stac_classes())


def test_plain_values_give_the_same_again() -> None:
    """JSON values of a nomenclature make an equal one."""
    for name in nomenclature_names():
        found = load_nomenclature(name)
        assert Nomenclature.from_dict(json.loads(json.dumps(found.as_dict()))) == found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), min_size=1, max_size=20))
def test_labels_make_a_nomenclature_that_knows_them(labels: list[str]) -> None:
    """Whatever the labels are, each gets one code, in any order; only labels that differ by case are refused."""
    if any(not label.strip() or label in ("<NA>", "NaT") for label in labels):
        with pytest.raises(InputError, match="make no nomenclature"):
            Nomenclature.from_labels(labels)
        return
    words = {label.strip() for label in labels}
    if len({word.casefold() for word in words}) < len(words):
        with pytest.raises(InputError, match="two classes"):
            Nomenclature.from_labels(labels)
        return
    found = Nomenclature.from_labels(labels)
    assert found == Nomenclature.from_labels(labels[::-1])
    assert len(set(found.encode(labels).tolist())) == len(words) == len(found.classes)


def test_whole_numbers_are_their_own_codes() -> None:
    """Labels 3, 12 keep their codes; with a 0 among them, which no code can be, they are numbered."""
    assert Nomenclature.from_labels([12, 3.0, "3"]).codes == (3, 12)
    binary = Nomenclature.from_labels([0, 1])
    assert binary.encode([0, 1, 1]).tolist() == [1, 2, 2]
    with pytest.raises(InputError, match="make no nomenclature"):
        Nomenclature.from_labels([])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes": []}, "classes"),
        ({"classes": [ONE, {**ONE, "name": "sea"}]}, "codes must differ"),
        ({"classes": [ONE, {**ONE, "code": 2}]}, "one name"),
        ({"classes": [ONE, {**ONE, "code": 2, "name": "sea"}]}, "names two classes"),
        ({"classes": [{**ONE, "code": 0}]}, "greater than or equal to 1"),
        ({"classes": [{**ONE, "colour": "blue"}]}, "colour"),
        ({"classes": [{**ONE, "parent": "wet"}]}, "hierarchy"),
        ({"mappings": {"other": {2: 1}}}, "exactly the codes"),
        ({"color": "x"}, "Extra inputs"),
        ({"name": "a b"}, "name"),
    ],
)
def test_wrong_nomenclatures_are_refused(change: dict[str, Any], told: str) -> None:
    """Each rule of a nomenclature is held, and the fault told."""
    with pytest.raises(InputError, match=told):
        Nomenclature.from_dict(SMALL | change)


def test_circles_in_the_hierarchy_are_refused() -> None:
    """A node above itself has no top."""
    wet = {"name": "wet", "title": {"en": "Wet"}, "colour": "#0000ff", "parent": "wet"}
    with pytest.raises(InputError, match="broken at wet"):
        Nomenclature.from_dict(SMALL | {"parents": [wet]})


def test_files_in_both_formats(tmp_path: Path) -> None:
    """YAML and JSON give the same; a nomenclature is its own source."""
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(SMALL))
    (tmp_path / "a.json").write_text(json.dumps(SMALL))
    found = load_nomenclature(tmp_path / "a.yaml")
    assert found == load_nomenclature(str(tmp_path / "a.json")) == load_nomenclature(found)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.yaml", b"a: &x [1]\nb: *x", HostileInputError),
        ("a.yaml", b"a: " + b"[" * 20 + b"]" * 20, HostileInputError),
        ("a.yaml", b"#" * (1 << 20) + b"##", HostileInputError),
        ("a.yaml", b"a: !!python/object:os.system {}", MetadataError),
        ("a.yaml", b"- a", MetadataError),
        ("a.yaml", b"\xff\xfe\x00", MetadataError),
        ("a.json", b"[" * 100_000, MetadataError),
        ("a.json", b"{", MetadataError),
        ("a.yaml", b"name: x", InputError),
        ("a.txt", b"name: x", InputError),
    ],
)
def test_hostile_files(tmp_path: Path, name: str, content: bytes, error: type[Exception]) -> None:
    """Aliases, depth, size, tags and broken files end in an error of ours, at once."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error):
        load_nomenclature(tmp_path / name)


def test_absent_files(tmp_path: Path) -> None:
    """What is not there is said so; an unknown name lists those that are."""
    with pytest.raises(AssetError, match="cannot read"):
        load_nomenclature(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="corine-1, oso-17, oso-23"):
        load_nomenclature("oso-99")
