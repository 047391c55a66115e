"""The door for measurements: whatever the file is, observations come out."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from terracube.core.errors import AssetError, NotFoundError
from terracube.ingest.insitu.formats import argo, donar, gnss, netcdf, nwis, tables, wqp
from terracube.ingest.insitu.mapping import Mapping, load_mapping
from terracube.ingest.insitu.table import Observations, check

#: Readers by the kind that a mapping names.
_READERS: dict[str, ModuleType] = {
    **dict.fromkeys(("csv", "xlsx", "ods", "gpkg"), tables),
    "argo": argo,
    "netcdf": netcdf,
    "wqp": wqp,
    "nwis": nwis,
    **dict.fromkeys(("donar", "noos"), donar),
    "gnss": gnss,
}
#: In the order in which they are asked: what is told by content stands before what is told by the ending.
_ASKED = (argo, netcdf, wqp, nwis, donar, gnss, tables)


def read_observations(path: Path | str, mapping: Mapping | Path | str | None = None) -> Observations:
    """Read a file of measurements.

    Parameters
    ----------
    path : path
        CSV and other delimited text, XLSX, ODS, GeoPackage, NetCDF (CF discrete sampling geometries, Argo), answers of
        the Water Quality Portal and NWIS, DONAR and NOOS text, GNSS series.
    mapping : Mapping or path of its YAML, optional
        What the file means; a table needs one, files that describe themselves need none.

    Returns
    -------
    Observations
        The table, as `table.COLUMNS` says, and what was left out or doubted.

    Raises
    ------
    NotFoundError
        If there is no such file.
    AssetError
        If it is of no known kind, or cannot be read.
    MetadataError
        If something is missing that must not be guessed.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError("no such file", where=str(path))
    told = mapping if isinstance(mapping, Mapping) or mapping is None else load_mapping(mapping)
    reader = _READERS[told.kind] if told is not None else _recognised(path)
    read: Observations = reader.read(path, told)
    check(read.table)
    return read


def kind_of(path: Path) -> str:
    """Tell the kind of a file, as a mapping names it.

    Raises
    ------
    AssetError
        If it is of none.
    """
    reader = _recognised(path)
    if reader is tables:
        return tables.KINDS[path.suffix.lower()]
    return next(kind for kind, one in _READERS.items() if one is reader)


def recognised(path: Path) -> ModuleType | None:
    """Find the reader that knows a file, by its content or by its ending."""
    return next((reader for reader in _ASKED if reader.recognise(path)), None)


def _recognised(path: Path) -> ModuleType:
    if (reader := recognised(path)) is not None:
        return reader
    raise AssetError(
        "a file of no known kind",
        where=str(path),
        expected="CSV, XLSX, ODS, GeoPackage, NetCDF, Water Quality Portal, NWIS, DONAR, NOOS or GNSS",
        todo="say its kind in a mapping",
    )
