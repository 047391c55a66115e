"""Which files make up an image of a DIMAP product, and which bands they hold in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element  # only the type; what comes from outside is parsed by defusedxml

from terracube.core.errors import HostileInputError, MetadataError
from terracube.core.files import resolve_below

_CHANNELS = ("RED", "GREEN", "BLUE", "ALPHA")
_MOST_TILES = 10_000
_MOST_BANDS = 32


@dataclass(frozen=True)
class Group:
    """Files that hold the same bands: the tiles of an image."""

    tiles: Mapping[tuple[int, int], Path]
    """By row and column of tiles, from 0."""
    bands: tuple[str, ...]
    """Names that the metadata give them, in the order of the files."""


def text_of(element: Element, path: str) -> str:
    """Give the text of an element; empty where there is none."""
    return (element.findtext(path) or "").strip()


def whole(text: str | None, where: str, *, most: int, least: int = 1) -> int:
    """Read a whole number of a bounded size.

    Raises
    ------
    HostileInputError, MetadataError
    """
    value = (text or "").strip()
    found = int(value[:20]) if value.isascii() and value.isdigit() else -1
    if found > most:
        raise HostileInputError("the metadata claim an absurd size", where=where, expected=f"<= {most}", got=value[:20])
    if found < least:
        raise MetadataError("a size is no number", where=where, expected=f">= {least}", got=value[:40] or "nothing")
    return found


def groups_of(
    root: Element, path: Path, shape: tuple[int, int], tile: tuple[int, int]
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Give the groups of files, and what is to be told of their bands.

    Raises
    ------
    HostileInputError, MetadataError
    """
    where = str(path)
    count = whole(text_of(root, ".//Raster_Dimensions/NBANDS"), f"{where}, NBANDS", most=_MOST_BANDS)
    found = root.findall(".//Raster_Data/Data_Access/Data_Files")
    if not found:
        raise MetadataError("the metadata list no files", where=where, expected="Data_Files")
    groups, notes = [], []
    for one in found:
        bands = _index(one, where)
        if not bands and len(found) == 1:
            bands, note = _order(root, count, where)
            notes += [note] if note else []
        groups.append(Group(_tiles(one, path, shape, tile), bands))
    named = [band for group in groups for band in group.bands]
    if len(named) != count or len(set(named)) != count:
        raise MetadataError(
            "the order of the bands is not clear",
            where=where,
            expected=f"{count} bands, each once, in Raster_Index_List or Band_Display_Order",
            got=", ".join(named) or "none",
        )
    return tuple(groups), tuple(notes)


def _index(element: Element, where: str) -> tuple[str, ...]:
    """Give the names of bands by their number in the file, where they are listed."""
    listed = {}
    for one in element.iterfind(".//Raster_Index"):
        listed[whole(text_of(one, "BAND_INDEX"), f"{where}, BAND_INDEX", most=_MOST_BANDS)] = text_of(one, "BAND_ID")
    if sorted(listed) != list(range(1, len(listed) + 1)):
        raise MetadataError("the bands are not numbered from 1", where=where, got=str(sorted(listed)))
    return tuple(listed[number] for number in sorted(listed))


def _order(root: Element, count: int, where: str) -> tuple[tuple[str, ...], str]:
    """Give the names of bands, where no group of files lists its own."""
    display = root.find(".//Raster_Data/Raster_Display")
    listed = () if display is None else _index(display, where)
    if listed:
        return listed, ""
    channels = [] if display is None else [text_of(display, f"Band_Display_Order/{name}_CHANNEL") for name in _CHANNELS]
    shown = [name for number, name in enumerate(channels) if name and name not in channels[:number]]
    told = tuple(shown[:count])
    # The one band of a panchromatic image is shown in all three channels, if it is listed at all.
    alone = tuple(text_of(one, "BAND_ID") for one in root.iterfind(".//Band_Spectral_Range")) if count == 1 else ()
    if not told and len(alone) == 1:
        return alone, ""
    return told, f"the order of the bands is that in which they are displayed: {', '.join(told)}" if count > 1 else ""


def _tiles(element: Element, path: Path, shape: tuple[int, int], tile: tuple[int, int]) -> dict[tuple[int, int], Path]:
    """Give the files of all tiles, each once."""
    rows, cols = (-(-whole // part) for whole, part in zip(shape, tile, strict=True))
    if rows * cols > _MOST_TILES:
        raise HostileInputError("the image has too many tiles", where=str(path), expected=f"<= {_MOST_TILES}")
    found: dict[tuple[int, int], Path] = {}
    for one in element.iterfind("Data_File"):
        where = f"{path}, Data_File"
        row, col = (whole(one.get(name, "1"), f"{where} {name}", most=_MOST_TILES) - 1 for name in ("tile_R", "tile_C"))
        place = one.find("DATA_FILE_PATH")
        href = "" if place is None else place.get("href", "")
        if (row, col) in found:
            raise MetadataError("a tile is listed twice", where=where, got=f"row {row + 1}, column {col + 1}")
        found[row, col] = resolve_below(path.parent, href)
    missing = [(r + 1, c + 1) for r in range(rows) for c in range(cols) if (r, c) not in found]
    if missing or len(found) != rows * cols:
        raise MetadataError(
            "the tiles do not make up the image",
            where=str(path),
            expected=f"{rows} x {cols} tiles",
            got=f"{len(found)} tiles, without {missing[:5]}",
            todo="download the product again",
        )
    return found
