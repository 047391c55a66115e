"""Observations out of a catalogue: only what is asked for is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pystac

from terracube.core.errors import AssetError
from terracube.core.files import resolve_below
from terracube.ingest.insitu.dataset import COLLECTION, OBSERVATIONS
from terracube.ingest.insitu.parquet import read_partitions
from terracube.ingest.insitu.table import join
from terracube.stac import Catalog, to_query


def open_table(
    catalog: Catalog | Path | str,
    variables: str | Sequence[str] | None = None,
    stations: str | Sequence[str] | None = None,
    bbox: str | Sequence[float] | None = None,
    datetime: str | None = None,
    *,
    datasets: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read observations from a catalogue; only the files that may hold what is asked for are opened.

    Parameters
    ----------
    catalog : Catalog or path
    variables, stations, datasets : str or sequence of str
        Names of the vocabulary, ids of stations, ids of data sets; all unless given.
    bbox : str or sequence of 4 float
        ``west,south,east,north`` in degrees, edges included; rows without position are then left out.
    datetime : str
        A moment, a period or an interval, such as ``2019``, ``2019-06/2019-09``.

    Returns
    -------
    DataFrame
        Canonical; data sets by time, in each by variable, year, station and time. Without rows if nothing matches.

    Raises
    ------
    InputError
        If the box or the time is wrong.
    AssetError
        If a file that is needed is not there or damaged.
    """
    root = catalog if isinstance(catalog, Catalog) else Catalog.open(catalog)
    query = to_query(collections=COLLECTION, bbox=bbox, datetime=datetime, ids=_names(datasets) or ())
    wanted = _names(variables)
    found = [
        read_partitions(
            _folder(item),
            variables=wanted,
            stations=_names(stations),
            bbox=query.bbox,
            start=query.start,
            end=query.end,
        )
        for item in root.search(query)
        if wanted is None or set(wanted) & set(item.properties.get("terracube:variables", ()))
    ]
    return join(found)


def _names(given: str | Sequence[str] | None) -> list[str] | None:
    return [given] if isinstance(given, str) else None if given is None else list(given)


def _folder(item: pystac.Item) -> Path:
    asset = item.assets.get(OBSERVATIONS)
    if asset is None:
        raise AssetError("the item holds no observations", where=item.id, expected=f"an asset {OBSERVATIONS!r}")
    return resolve_below(Path(item.get_self_href() or "").parent, asset.href)
