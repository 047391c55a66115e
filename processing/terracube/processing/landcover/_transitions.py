"""Transitions between classes, and the few classes of change they are put together into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy.mapped import ClassStyle, styles_of
from terracube.processing.landcover.nomenclature import Nomenclature

FACTOR = 1000
"""A change is coded ``from * FACTOR + to``; codes of classes are below it."""
NODATA = -1
"""Code of a pixel that either map says nothing of."""
_OTHER = "other change"
_OTHER_COLOUR = "#7a1f5c"


@dataclass(frozen=True, eq=False, slots=True)
class Transitions:
    """How much of each class of the first map is each class of the second."""

    codes: tuple[int, ...]
    """Classes of either map, of rows (before) and columns (after)."""
    pixels: NDArray[np.int64]
    """(class, class): pixels."""
    areas: NDArray[np.float64]
    """(class, class): area in hectares."""

    @property
    def changed(self) -> float:
        """Area whose class differs, in hectares: on the maps, not in truth."""
        return float(self.areas.sum() - np.trace(self.areas))

    @property
    def losses(self) -> NDArray[np.float64]:
        """(class,): area that left each class."""
        left: NDArray[np.float64] = self.areas.sum(axis=1) - np.diag(self.areas)
        return left

    @property
    def gains(self) -> NDArray[np.float64]:
        """(class,): area that came to each class."""
        came: NDArray[np.float64] = self.areas.sum(axis=0) - np.diag(self.areas)
        return came

    def table(self, nomenclature: Nomenclature | None = None) -> pd.DataFrame:
        """Give one row per transition that occurs: from, to, pixels, hectares, share; the largest first."""
        styles = styles_of(self.codes, nomenclature)
        rows, columns = np.nonzero(self.pixels)
        codes = np.array(self.codes)
        frame = pd.DataFrame(
            {
                "before": codes[rows],
                "after": codes[columns],
                "before_name": [styles[code].name for code in codes[rows].tolist()],
                "after_name": [styles[code].name for code in codes[columns].tolist()],
                "pixels": self.pixels[rows, columns],
                "hectares": self.areas[rows, columns],
                "share": self.areas[rows, columns] / self.areas.sum(),
            }
        )
        return frame.sort_values(["pixels", "before", "after"], ascending=[False, True, True], ignore_index=True)

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "codes": list(self.codes),
            "rows": "before",
            "columns": "after",
            "pixels": self.pixels.tolist(),
            "hectares": self.areas.tolist(),
            "changed": self.changed,
        }


@dataclass(frozen=True, eq=False, slots=True)
class ChangeClasses:
    """Transitions put together into few classes, each large enough to be sampled."""

    table: Mapping[tuple[int, int], int]
    """Code of each pair (before, after) that has one of its own."""
    styles: Mapping[int, ClassStyle]
    """Name and colour of each code."""
    other: int
    """Code of all pairs that are not in the table and do change."""
    unknown_stable: int
    """Code of pairs without change that are not in the table."""

    def of(self, before: int, after: int) -> int:
        """Give the code of a pair."""
        return self.table.get((before, after), self.unknown_stable if before == after else self.other)

    def is_change(self, code: int) -> bool:
        """Tell whether a code stands for a change."""
        return code == self.other or any(pair[0] != pair[1] for pair, one in self.table.items() if one == code)


def change_classes(
    found: Transitions,
    *,
    nomenclature: Nomenclature | None = None,
    least: float = 0.005,
    groups: Mapping[str, Iterable[tuple[int, int]]] | None = None,
) -> ChangeClasses:
    """Put transitions together into classes that a campaign can sample.

    Parameters
    ----------
    found : Transitions
    nomenclature : Nomenclature, optional
        For names and colours.
    least : float
        A transition with a smaller share of the area goes to ``other change``.
    groups : mapping from names to pairs (before, after), optional
        Instead: the pairs of each class of change; all others that change go to ``other change``.

    Returns
    -------
    ChangeClasses
        Codes from 1: each class that stays, then the changes, then the other ones.

    Raises
    ------
    InputError
        If a pair is in two groups, or is no change.
    """
    styles = styles_of(found.codes, nomenclature)
    table: dict[tuple[int, int], int] = {}
    named: dict[int, ClassStyle] = {}
    for code, pixels in zip(found.codes, np.diag(found.pixels), strict=True):
        if pixels:
            table[code, code] = len(named) + 1
            named[len(named) + 1] = ClassStyle(f"stable {styles[code].name}", styles[code].colour)
    for name, pairs, colour in _changes(found, styles, least, groups):
        named[len(named) + 1] = ClassStyle(name, colour)
        for pair in pairs:
            if pair in table or pair[0] == pair[1]:
                raise InputError("a pair is in two groups, or is no change", where=f"group {name}", got=str(pair))
            table[pair] = len(named)
    other = len(named) + 1
    named[other] = ClassStyle(_OTHER, _OTHER_COLOUR)
    named[other + 1] = ClassStyle("stable, other classes", "#9a9a9a")
    return ChangeClasses(table, named, other, other + 1)


def regroup(change_map: xr.DataArray, classes: ChangeClasses) -> xr.DataArray:
    """Give a change map in the codes of few classes: what is sampled and validated; lazy if the map is.

    Returns
    -------
    xarray.DataArray (y, x), uint16
        0 where there is nothing.
    """
    pairs = sorted((before * FACTOR + after, code) for (before, after), code in classes.table.items())
    known, codes = np.array(pairs, np.int64).reshape(-1, 2).T
    done: xr.DataArray = xr.apply_ufunc(
        _regrouped,
        change_map,
        kwargs={"known": known, "codes": codes, "others": (classes.other, classes.unknown_stable)},
        dask="parallelized",
        output_dtypes=["uint16"],
    )
    return done.assign_attrs(nodata=0, long_name="change").rename("change")


def _changes(
    found: Transitions,
    styles: Mapping[int, ClassStyle],
    least: float,
    groups: Mapping[str, Iterable[tuple[int, int]]] | None,
) -> list[tuple[str, list[tuple[int, int]], str]]:
    """Give name, pairs and colour of each class of change."""
    if groups is not None:
        listed = [(name, [(int(a), int(b)) for a, b in pairs]) for name, pairs in groups.items()]
        shades = {code: style.colour for code, style in styles.items()}
        return [(name, pairs, shades.get(pairs[0][1], _OTHER_COLOUR)) for name, pairs in listed if pairs]
    shares = found.areas / found.areas.sum()
    large = np.argwhere((shares >= least) & ~np.eye(len(found.codes), dtype=bool)).tolist()
    pairs = [(found.codes[row], found.codes[column]) for row, column in large]
    return [(f"{styles[a].name} to {styles[b].name}", [(a, b)], styles[b].colour) for a, b in pairs]


def _regrouped(
    values: NDArray[np.int32], known: NDArray[np.int64], codes: NDArray[np.int64], others: tuple[int, int]
) -> NDArray[np.uint16]:
    before, after = np.divmod(values, FACTOR)
    place = np.minimum(np.searchsorted(known, values), known.size - 1)
    rest = np.where(before == after, others[1], others[0])
    found = np.where(known[place] == values, codes[place], rest)
    return np.where(values == NODATA, 0, found).astype(np.uint16)
