"""Pauses in series of observations: told as issues, not flagged, for no row is wrong because others are not there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from terracube.ingest.insitu.qc_config import QcConfig, default_config
from terracube.ingest.insitu.table import MISSING, Issue

_SERIES = ["variable", "station", "method", "replicate"]
_MOST_GAPS = 1000


def gaps(table: pd.DataFrame, config: QcConfig | None = None) -> tuple[Issue, ...]:
    """Tell where series pause: steps in time much longer than the series' median step. No row is flagged for it.

    Parameters
    ----------
    table : DataFrame
        Canonical.
    config : QcConfig
        ``series.gap_steps`` and ``series.gap_fewest``; the default unless given.

    Returns
    -------
    tuple of Issue
        One per gap, by variable, station and time; at most 1000, and then one that counts the rest.
    """
    limits = (config or default_config()).series
    times = table.loc[table["qc"] != MISSING, [*_SERIES, "time", "source"]]
    times = times.sort_values([*_SERIES, "time", "source"]).drop_duplicates([*_SERIES, "time"])
    groups = times.groupby(_SERIES, sort=False)
    before = groups["time"].shift()
    step = times["time"] - before
    typical, count = step.groupby([times[key] for key in _SERIES]).transform("median"), groups["time"].transform("size")
    found = np.flatnonzero((step > typical * limits.gap_steps) & (count >= limits.gap_fewest))
    told = [_gap(times.iloc[row], before.iloc[row]) for row in found[:_MOST_GAPS]]
    if len(found) > _MOST_GAPS:
        told.append(Issue("", None, "time", "further gaps", f"{len(found) - _MOST_GAPS}", "flagged"))
    return tuple(told)


def _gap(row: pd.Series, before: pd.Timestamp) -> Issue:
    file, _, place = str(row["source"]).rpartition(":")
    hours = (row["time"] - before).total_seconds() / 3600
    told = f"{before:%Y-%m-%dT%H:%M:%SZ} to {row['time']:%Y-%m-%dT%H:%M:%SZ}"
    what = f"no {row['variable']} of station {row['station']} for {hours:.4g} hours"
    return Issue(file, int(place) if place.isdecimal() else None, "time", what, told, "flagged")
