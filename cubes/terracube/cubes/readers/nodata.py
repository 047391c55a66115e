"""What the header of a TIFF says of its numbers: which one means nothing, and how they become values."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from terracube.core.errors import MetadataError
from terracube.cubes.readers.tiff import UnusualError

_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LARGE = 3.4028e38


@lru_cache(maxsize=256)
def parse_nodata(text: bytes, dtype: str) -> float | None:
    """Give the number of a ``GDAL_NODATA`` tag; ``None`` if the tag is empty.

    Raises
    ------
    UnusualError
        If it is no number that the type of the raster can hold: GDAL has rules for that.

    Examples
    --------
    >>> parse_nodata(b"-9999", "int16"), parse_nodata(b"nan", "float32"), parse_nodata(b"", "uint8")
    (-9999.0, nan, None)
    """
    word = text.strip(b" \n\t")
    if not text:
        return None
    if word.lower() == b"nan" and dtype.startswith("float"):
        return float("nan")
    if len(word) > 64 or not _NUMBER.fullmatch(word):
        raise UnusualError(f"nodata {text[:40]!r}")
    value = float(word)
    if not _holds(dtype, value):
        raise UnusualError(f"nodata {value} in {dtype}")
    # As a pixel of the raster would hold it.
    return float(np.float32(value)) if dtype == "float32" else value


def _holds(dtype: str, value: float) -> bool:
    if dtype == "float64":
        return math.isfinite(value)
    if dtype == "float32":
        return abs(value) < _LARGE or abs(value) == float(np.finfo(dtype).max)
    kind = np.iinfo(dtype)
    # Beyond 2^53 a float cannot tell neighbours apart.
    return value.is_integer() and kind.min <= value <= kind.max and abs(value) < 2**53


def same_nodata(full: float | None, reduced: float | None, where: str) -> None:
    """Refuse an overview of which another number means nothing than of its raster.

    Raises
    ------
    MetadataError
        If both declare one and they differ.
    """
    if full is None or reduced is None or full == reduced or (math.isnan(full) and math.isnan(reduced)):
        return
    raise MetadataError(
        "an overview has another nodata value than its raster",
        where=where,
        expected=str(full),
        got=str(reduced),
        todo="make the overviews again, or read the full resolution",
    )


@lru_cache(maxsize=256)
def parse_roles(xml: bytes, count: int) -> dict[str, tuple[str | None, ...]]:
    """Take what ``GDAL_METADATA`` says of the bands: texts of the roles scale, offset and description.

    Raises
    ------
    UnusualError
        If it is no XML, or refers to anything outside itself.
    """
    found: dict[str, list[str | None]] = {role: [None] * count for role in ("scale", "offset", "description")}
    try:
        root = fromstring(xml, forbid_dtd=True) if b"role=" in xml else None
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise UnusualError(f"metadata that are no plain XML: {error}") from None
    for item in () if root is None else root.findall("Item"):
        role, sample = item.get("role", ""), item.get("sample", "")
        if role in found and sample.isdecimal() and len(sample) < 6 and int(sample) < count:
            found[role][int(sample)] = _plain(item.text)
    return {role: tuple(texts) for role, texts in found.items()}


def _plain(text: str | None) -> str | None:
    """Undo the second escaping with which GDAL writes texts into its XML."""
    for escaped, plain in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text and text.replace(escaped, plain)
    return text


@lru_cache(maxsize=256)
def parse_float(text: str | None) -> float | None:
    """Give a number that metadata hold as text; ``None`` if there is none.

    Raises
    ------
    UnusualError
        If it is no finite number.
    """
    if text is None:
        return None
    word = text.strip().encode()
    if len(word) > 64 or not _NUMBER.fullmatch(word) or not np.isfinite(float(word)):
        raise UnusualError(f"scale or offset {text[:40]!r}")
    return float(word)
