"""Elements of the XML of Sentinel-2 products, and numbers in them."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element  # only the type; the files are parsed by defusedxml

from terracube.core.errors import MetadataError
from terracube.ingest.readers.sentinel2.msi import BANDS
from terracube.ingest.text import xml_text


def first(root: Element, where: str, *paths: str) -> Element:
    """Give the first element that is there.

    Raises
    ------
    MetadataError
        If none is.
    """
    for path in paths:
        found = root.find(path)
        if found is not None:
            return found
    raise MetadataError("the metadata lack an element", where=where, expected=" or ".join(paths), got="nothing")


def text_of(root: Element, where: str, *paths: str) -> str:
    """Give the text of the first element that is there and has one.

    Raises
    ------
    MetadataError
        If none is.
    """
    for path in paths[:-1]:
        if text := maybe(root, path):
            return text
    return xml_text(root, paths[-1], where=where)


def maybe(root: Element, path: str) -> str:
    """Give the text of an element; empty if there is none."""
    return (root.findtext(path) or "").strip()


def number_of(text: str | None, where: str, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Give a finite number within bounds.

    Raises
    ------
    MetadataError
        If the text is none.
    """
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and low <= number <= high):
        raise MetadataError(
            "a number is unreadable", where=f"{where}, {what}", expected=f"{low:g} to {high:g}", got=repr(text)[:60]
        )
    return number


def band_of(element: Element, key: str, where: str) -> str:
    """Give the band whose number stands in an attribute.

    Raises
    ------
    MetadataError
        If it is none.
    """
    number = element.get(key, "")
    if not number.isdecimal() or not 0 <= int(number[:4]) < len(BANDS):
        raise MetadataError(
            "no band has this number", where=f"{where}, {element.tag}", expected="0 to 12", got=number[:20]
        )
    return BANDS[int(number)]
