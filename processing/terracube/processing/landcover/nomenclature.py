"""Nomenclatures: which classes there are, how they are called and drawn, and how they go together.

A file (YAML or JSON) tells the classes; those shipped are found by their name. A class has a code (1 to 65535: 0 is
what maps write where there is none), a name, titles, a colour, a parent in a hierarchy, and a group: classes whose
borders a regularisation may move together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from terracube.core.errors import InputError
from terracube.core.validation import validated
from terracube.processing.landcover import _nomenclature_text as text

_MOST_CLASSES = 1000

type Code = Annotated[int, Field(ge=1, le=65535)]
type Name = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
type Told = Annotated[str, Field(max_length=400)]
type Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


class Title(BaseModel):
    """What a class is called by people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    en: Told
    """In English."""
    fr: Told = ""
    """In French; may be empty."""


class LandClass(BaseModel):
    """One class of a nomenclature."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Code
    """Number on maps."""
    name: Name
    """Short name: letters, digits, ``-`` and ``_``."""
    title: Title
    """What people call it."""
    colour: Colour
    """``#rrggbb``."""
    parent: str = ""
    """Name of the node of the hierarchy above it; empty if there is none."""
    group: str = ""
    """Name of the group it is regularised with; empty: it is alone."""


class Parent(BaseModel):
    """A node of the hierarchy above the classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    """Short name."""
    title: Title
    """What people call it."""
    colour: Colour
    """``#rrggbb``."""
    parent: str = ""
    """Name of the node above; empty at the top."""


class Nomenclature(BaseModel):
    """Classes, in the order of their codes.

    Examples
    --------
    >>> oso = load_nomenclature("oso-23")
    >>> oso.code_of("Maize"), oso.title_of(10), oso.mapping("oso-17")[10]
    (10, 'Maize', 11)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    """Name of the nomenclature."""
    version: Told
    """Version of it."""
    title: Title
    """What people call it."""
    origin: Told = ""
    """Who made it, and where the names and colours come from."""
    licence: Told = ""
    """What may be done with it."""
    classes: tuple[LandClass, ...] = Field(min_length=1, max_length=_MOST_CLASSES)
    """All classes."""
    parents: tuple[Parent, ...] = Field(default=(), max_length=_MOST_CLASSES)
    """Nodes of the hierarchy above them."""
    mappings: Mapping[str, Mapping[int, Code]] = Field(default_factory=dict)
    """For other nomenclatures, by name: the code there of each code here."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        codes = [one.code for one in self.classes]
        if codes != sorted(set(codes)):
            raise ValueError("codes must differ and rise")
        for kind in (self.classes, self.parents):
            names = [one.name.casefold() for one in kind]
            if len(set(names)) < len(names):
                raise ValueError("two classes, or two parents, have one name")
        _words(self)
        self._check_parents()
        for other, mapping in self.mappings.items():
            if set(mapping) != set(codes):
                raise ValueError(f"the mapping to {other} does not have exactly the codes of the classes")
        return self

    def _check_parents(self) -> None:
        above = {one.name: one.parent for one in self.parents}
        starts: list[LandClass | Parent] = [*self.classes, *self.parents]
        for start in starts:
            at, seen = start.parent, set[str]()
            while at:
                if at not in above or at in seen:
                    raise ValueError(f"the hierarchy above {start.name} is broken at {at}")
                seen.add(at)
                at = above[at]

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes of all classes, rising."""
        return tuple(one.code for one in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all classes, in the order of their codes."""
        return tuple(one.name for one in self.classes)

    @property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """Codes of each group; a class without a group is one alone, by its name."""
        found: dict[str, tuple[int, ...]] = {}
        for one in self.classes:
            key = one.group or one.name
            found[key] = (*found.get(key, ()), one.code)
        return found

    def of(self, code: int) -> LandClass:
        """Give the class of a code.

        Raises
        ------
        InputError
            If there is none.
        """
        for one in self.classes:
            if one.code == code:
                return one
        raise InputError("there is no class of that code", where=self.name, expected=str(self.codes), got=str(code))

    def title_of(self, code: int, language: str = "en") -> str:
        """Give the title of a class in a language (``en`` or ``fr``), in English if it has none there."""
        told = self.of(code).title
        return (told.fr if language == "fr" else "") or told.en

    def ancestors(self, code: int) -> tuple[Parent, ...]:
        """Give the nodes above a class, the nearest first."""
        nodes = {one.name: one for one in self.parents}
        found: list[Parent] = []
        at = self.of(code).parent
        while at:
            found.append(nodes[at])
            at = nodes[at].parent
        return tuple(found)

    def code_of(self, label: Any) -> int:
        """Give the code of a label: a name, a title in either language (in any case), or a code.

        Raises
        ------
        InputError
            If it is none of these, naming the nearest.
        """
        return int(self.encode([label])[0])

    def encode(self, labels: Iterable[Any]) -> NDArray[np.int32]:
        """Give the codes of many labels; see :meth:`code_of`.

        Raises
        ------
        InputError
            Naming all that are unknown, with the number of the first row of each.

        Examples
        --------
        >>> load_nomenclature("oso-23").encode(["water", "PRAIRIES", 6, "7"])
        array([23, 13,  6,  7], dtype=int32)
        """
        words = _words(self)
        known: dict[Any, int | None] = {}
        unknown: dict[str, int] = {}
        codes = []
        for row, label in enumerate(labels):
            key = text.word(label)
            if key not in known:
                known[key] = words.get(key)
            code = known[key]
            if code is None:
                unknown.setdefault(text.short(label), row)
            codes.append(code or 0)
        if unknown:
            self._refuse(unknown, words)
        return np.asarray(codes, dtype=np.int32)

    def _refuse(self, unknown: Mapping[str, int], words: Mapping[str, int]) -> None:
        told = ", ".join(f"{label!r} (row {row})" for label, row in list(unknown.items())[:10])
        near = [word for label in unknown for word in difflib.get_close_matches(label.casefold(), words, n=1)]
        hint = f"did you mean {', '.join(dict.fromkeys(near))}? " if near else ""
        raise InputError(
            "the nomenclature does not know a label",
            where=self.name,
            expected=", ".join(f"{one.code} {one.name}" for one in self.classes),
            got=told + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""),
            todo=f"{hint}rename the labels, leave them out with ignore=, or give another nomenclature",
        )

    def mapping(self, other: str) -> dict[int, int]:
        """Give the code in another nomenclature of every code.

        Raises
        ------
        InputError
            If nothing is known about it.
        """
        if other not in self.mappings:
            known = ", ".join(sorted(self.mappings)) or "none"
            raise InputError("there is no mapping to that nomenclature", where=self.name, expected=known, got=other)
        return dict(self.mappings[other])

    def translate(self, codes: NDArray[Any], other: str) -> NDArray[Any]:
        """Give an array of codes in another nomenclature, of the same type; 0 (no class) stays 0.

        Raises
        ------
        InputError
            If nothing is known about the other, or a code is none of these classes.

        Examples
        --------
        >>> load_nomenclature("oso-23").translate(np.array([0, 5, 10, 23], "uint8"), "oso-17")
        array([ 0, 12, 11, 51], dtype=uint8)
        """
        table = {0: 0} | self.mapping(other)
        found, place = np.unique(codes, return_inverse=True)
        strange = [value for value in found.tolist() if value not in table]
        if strange:
            raise InputError("these codes are no classes", where=self.name, expected=str(self.codes), got=str(strange))
        told = [table[value] for value in found.tolist()]
        if found.size and found.dtype.kind in "iu" and max(told) > np.iinfo(found.dtype).max:
            raise InputError(
                "the codes do not fit the type", where=other, expected="a wider type", got=str(codes.dtype)
            )
        return np.asarray(told, dtype=codes.dtype)[place].reshape(codes.shape)

    def flags(self) -> dict[str, Any]:
        """Attributes of a map after CF (conventions 1.11, section 3.5): values, meanings and colours."""
        return {
            "flag_values": list(self.codes),
            "flag_meanings": " ".join(self.names),
            "flag_colors": " ".join(one.colour for one in self.classes),
        }

    def stac_classes(self) -> list[dict[str, Any]]:
        """Give the classes as the STAC extension classification has them (1.1 and 2.0): ``classification:classes``."""
        return [
            {
                "value": one.code,
                "name": one.name,
                "description": " / ".join(filter(None, (one.title.en, one.title.fr))),
                "color_hint": one.colour[1:].upper(),
            }
            for one in self.classes
        ]

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values; :meth:`from_dict` makes the same of them again."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: str = "nomenclature") -> Nomenclature:
        """Check plain JSON values and make a nomenclature of them.

        Raises
        ------
        InputError
            Naming each field that is wrong.
        """
        return validated(cls, values, what=f"the nomenclature is wrong: {where}")

    @classmethod
    def from_labels(cls, labels: Iterable[Any], *, name: str = "samples") -> Nomenclature:
        """Make a nomenclature of the labels that occur.

        Whole numbers from 1 to 65535 are the codes themselves; other labels are numbered from 1 in their sorted order.
        Colours are spread over the hues: they are chosen, and mean nothing.

        Raises
        ------
        InputError
            If there is no label, one is missing, or there are more than 1000.

        Examples
        --------
        >>> found = Nomenclature.from_labels(["Soy", "Forest", "Soy"])
        >>> [(one.code, one.name) for one in found.classes]
        [(1, 'Forest'), (2, 'Soy')]
        """
        words = {text.label_text(label) for label in labels}
        if not words or "" in words or len(words) > _MOST_CLASSES:
            got = "a missing label" if "" in words else f"{len(words)} different labels"
            raise InputError("these labels make no nomenclature", expected=f"1 to {_MOST_CLASSES}", got=got)
        numbers = all(word.isdecimal() and word.isascii() and 1 <= int(word) <= 65535 for word in words)
        ordered = sorted(words, key=int) if numbers else sorted(words)
        names = ordered if numbers else text.slugs(ordered)
        codes = [int(word) for word in ordered] if numbers else list(range(1, len(ordered) + 1))
        classes = [
            {"code": code, "name": slug, "title": {"en": word}, "colour": text.hue(at, len(ordered))}
            for at, (code, slug, word) in enumerate(zip(codes, names, ordered, strict=True))
        ]
        told = {"name": name, "version": "1", "title": {"en": f"Classes of {name}"}, "origin": "made of the labels"}
        return cls.from_dict({**told, "classes": classes}, where=name)


def nomenclature_names() -> tuple[str, ...]:
    """List the nomenclatures that are shipped."""
    return tuple(sorted(_shipped()))


def load_nomenclature(source: str | Path | Nomenclature) -> Nomenclature:
    """Read a nomenclature: one that is shipped, by its name, or a file (YAML, or JSON with suffix ``.json``).

    Raises
    ------
    InputError
        If there is none of that name, or the classes in a file are wrong.
    AssetError
        If the file cannot be read.
    HostileInputError
        If the file is larger than 1 MiB, too deep, or refers to itself.
    MetadataError
        If the file is no mapping.

    Examples
    --------
    >>> nomenclature_names()
    ('corine-1', 'oso-17', 'oso-23')
    """
    if isinstance(source, Nomenclature):
        return source
    if str(source) in _shipped():
        return _own(str(source))
    path = Path(source)
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise InputError(
            "there is no such nomenclature",
            where="nomenclature",
            expected=f"{', '.join(nomenclature_names())}, or a file .yaml or .json",
            got=str(source)[:200],
        )
    return Nomenclature.from_dict(text.read_mapping(path), where=str(path))


@cache
def _shipped() -> dict[str, Any]:
    folder = resources.files("terracube.processing.landcover").joinpath("nomenclatures")
    return {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}


@cache
def _own(name: str) -> Nomenclature:
    return Nomenclature.from_dict(text.parsed(_shipped()[name].read_bytes(), name), where=name)


def _words(nomenclature: Nomenclature) -> dict[str, int]:
    """Give the code of every word that names a class; names before titles, and these before codes."""
    found: dict[str, int] = {}
    for one in nomenclature.classes:
        found[text.word(one.name)] = one.code
    for one in nomenclature.classes:
        for told in (one.title.en, one.title.fr):
            if told and found.setdefault(text.word(told), one.code) != one.code:
                raise ValueError(f"{told} names two classes")
    for one in nomenclature.classes:
        found.setdefault(str(one.code), one.code)
    return found
