"""Which files of a MUSCATE product are there, against which its metadata list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from terracube.core.errors import AssetError, MetadataError
from terracube.core.files import resolve_below
from terracube.ingest.readers.theia.metadata import Muscate

_SUFFIX = "_MTD_ALL.xml"
_MASKS = "MASKS"
_TOKEN = re.compile(r"(?:FRE|SRE)_B\d{1,2}A?|(?:ATB|CLM|MG2|EDG|SAT|DFP|IAB|IAO)_(?:R[12]|XS|ALL)")
_BAND_IMAGES = ("Flat_Reflectance", "Surface_Reflectance")
_MAX_FILES = 10_000


@dataclass(frozen=True)
class Files:
    """The raster files of a product by the last parts of their names: ``FRE_B2``, ``CLM_R1``."""

    rasters: Mapping[str, Path]
    quicklook: Path | None
    notes: tuple[str, ...]


def files_of(told: Muscate) -> Files:
    """List the files of a product by their names, in its folder and in that of its masks.

    What else lies there (detector footprints, private data of the processor) is not taken.

    Raises
    ------
    AssetError
        If a folder cannot be read.
    HostileInputError
        If a file is a link that leads out of the folder of the product.
    MetadataError
        If the metadata give a band the file of another one.
    """
    folder = told.path.parent
    start = told.path.name[: -len(_SUFFIX)]
    found: dict[str, Path] = {}
    for inside in ("", _MASKS):
        for name in _names(folder / inside):
            stem, dot, suffix = name.rpartition(".")
            token = stem[len(start) + 1 :]
            if stem.startswith(f"{start}_") and dot and suffix.lower() in ("tif", "tiff") and _TOKEN.fullmatch(token):
                found[token] = resolve_below(folder, f"{inside}/{name}" if inside else name)
    quicklook = resolve_below(folder, f"{start}_QKL_ALL.jpg")
    return Files(found, quicklook if quicklook.is_file() else None, _compare(told, found))


def _names(folder: Path) -> list[str]:
    try:
        if folder.name == _MASKS and not folder.is_dir():
            return []
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise AssetError("cannot read the folder", where=str(folder), got=str(error.strerror)) from error
    if len(names) > _MAX_FILES:
        raise AssetError(
            "the folder holds too many files", where=str(folder), expected=f"<= {_MAX_FILES}", got=str(len(names))
        )
    return names


def _compare(told: Muscate, found: Mapping[str, Path]) -> tuple[str, ...]:
    """Note what is listed and not there; refuse a list that gives a band the file of another."""
    absent: list[str] = []
    for file in told.listed():
        band = file.token.partition("_")[2]
        if file.nature in _BAND_IMAGES and _TOKEN.fullmatch(file.token) and file.owner not in ("", band):
            raise MetadataError(
                "the metadata name the file of another band",
                where=told.where(f"{file.nature}, band {file.owner}"),
                expected=f"..._{file.owner}.tif",
                got=f"..._{file.token}.tif",
            )
        if _TOKEN.fullmatch(file.token) and file.token not in found and file.token not in absent:
            absent.append(file.token)
    return (f"listed, but not there: {', '.join(absent)}",) if absent else ()
