"""Change between two class maps: where, how much on the maps, and how much in truth.

Both maps err, and each error of either shows as a change that is none. What the maps show as changed is therefore no
estimate of change; reference points, drawn within the classes of the change map, give one, with its error (Olofsson et
al. 2014, doi:10.1016/j.rse.2014.02.015).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.gridlike import to_grid
from terracube.processing.landcover._transitions import (
    FACTOR,
    NODATA,
    ChangeClasses,
    Transitions,
    change_classes,
    regroup,
)
from terracube.processing.landcover.accuracy.mapped import map_areas, seen_codes, to_layer
from terracube.processing.landcover.accuracy.olofsson import AreaEstimate, Estimate, olofsson
from terracube.processing.landcover.accuracy.scores import Confusion
from terracube.processing.landcover.accuracy.validation import Report, validate
from terracube.processing.landcover.nomenclature import Nomenclature

if TYPE_CHECKING:
    import geopandas

__all__ = [
    "FACTOR",
    "NODATA",
    "ChangeClasses",
    "ChangeReport",
    "Transitions",
    "change",
    "change_classes",
    "regroup",
    "transitions",
    "validate_change",
]

_STABLE, _CHANGED = 0, 1


@dataclass(frozen=True, eq=False, slots=True)
class ChangeReport:
    """Change between two maps, measured and estimated."""

    report: Report
    """Accuracy and areas of the classes of change."""
    changed: Estimate
    """Area that changed in truth, in hectares."""
    mapped: float
    """Area that the maps show as changed, in hectares."""
    transitions: Transitions

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "changed": self.changed.as_dict(),
            "mapped": self.mapped,
            "transitions": self.transitions.as_dict(),
            "report": self.report.as_dict(),
        }


def change(before: xr.DataArray, after: xr.DataArray) -> xr.DataArray:
    """Compare two class maps pixel by pixel, lazily if either is lazy.

    Parameters
    ----------
    before, after : xarray.DataArray (y, x)
        Class codes from 0 to 999 on the same pixels; missing is NaN and what the attributes name.

    Returns
    -------
    xarray.DataArray (y, x), int32
        ``from * 1000 + to``, also where nothing changed; -1 where either map is missing.

    Raises
    ------
    InputError
        If the maps have different pixels; when computed, if a code is above 999.

    Examples
    --------
    >>> import rioxarray
    >>> place = {"dims": ("y", "x"), "coords": {"y": [15.0, 5.0], "x": [5.0, 15.0]}}
    >>> first, second = (xr.DataArray(values, **place).rio.write_crs("EPSG:32633") for values in (
    ...     np.array([[1, 1], [2, 2]]), np.array([[1, 2], [2, 1]])))
    >>> change(first, second).values.tolist()
    [[1001, 1002], [2002, 2001]]
    """
    layers = [to_layer(one, "class")["class"] for one in (before, after)]
    grids = [to_grid(layer.to_dataset()) for layer in layers]
    if grids[0] != grids[1]:
        raise InputError(
            "the two maps have different pixels",
            where="before, after",
            expected=f"{grids[0].crs[:40]} {tuple(grids[0].bounds)}, {tuple(grids[0].shape)} pixels",
            got=f"{grids[1].crs[:40]} {tuple(grids[1].bounds)}, {tuple(grids[1].shape)} pixels",
            todo="load one on the grid of the other",
        )
    first, second = layers
    if first.chunks or second.chunks:
        chunks = (first if first.chunks else second).chunksizes
        first, second = first.chunk(chunks), second.chunk(chunks)
    coded = xr.apply_ufunc(
        _coded,
        first,
        second,
        kwargs={"nodata": (first.attrs.get("nodata"), second.attrs.get("nodata"))},
        dask="parallelized",
        join="override",
        output_dtypes=["int32"],
    )
    result: xr.DataArray = coded.assign_attrs(nodata=NODATA, long_name="change, from * 1000 + to").rename("change")
    return result


def transitions(before: xr.DataArray, after: xr.DataArray) -> Transitions:
    """Measure how much of each class became each class, on the maps.

    Raises
    ------
    InputError
        If the maps have different pixels, or nothing in common.
    MetadataError
        If the projection does not keep areas.
    """
    found = map_areas(change(before, after))
    pairs = np.array([divmod(code, FACTOR) for code in found.codes])
    codes = np.unique(pairs)
    rows, columns = np.searchsorted(codes, pairs).T
    pixels, areas = np.zeros((codes.size, codes.size), np.int64), np.zeros((codes.size, codes.size))
    pixels[rows, columns], areas[rows, columns] = found.pixels, found.areas
    return Transitions(tuple(codes.tolist()), pixels, areas)


def validate_change(
    before: xr.DataArray,
    after: xr.DataArray,
    reference: geopandas.GeoDataFrame,
    classes: ChangeClasses,
    *,
    labels: tuple[str, str] = ("before", "after"),
    nomenclature: Nomenclature | None = None,
    few: str = "refuse",
) -> ChangeReport:
    """Estimate the area that changed, and the accuracy of the change map, from reference points.

    Parameters
    ----------
    before, after : xarray.DataArray (y, x)
        The two maps.
    reference : geopandas.GeoDataFrame
        Points drawn at random within each of ``classes``: ``design_sample(regroup(change(before, after), classes))``.
    classes : ChangeClasses
    labels : (str, str)
        Columns with the true class at both dates: codes, or names of the nomenclature. Points that lack either are
        left out, and counted.
    nomenclature : Nomenclature, optional
    few : str
        As for :func:`terracube.processing.landcover.accuracy.validate`.

    Returns
    -------
    ChangeReport
        With 95 % intervals.
    """
    found = transitions(before, after)
    grouped = regroup(change(before, after), classes)
    labelled = reference.assign(label=_true_changes(reference, labels, classes, nomenclature))
    report = validate(grouped, labelled, label="label", few=few)
    if report.estimate is None:  # a map always has one
        raise InputError("there is no estimate", where="reference")
    changed = _all_change(report.estimate, classes)
    mapped = sum(
        area
        for code, area in zip(report.estimate.codes, report.estimate.mapped, strict=True)
        if classes.is_change(code)
    )
    half = report.estimate.factor * changed.error
    note = f"changed in truth: {changed.value:,.4g} ± {half:,.3g} ha; the two maps show {mapped:,.4g} ha"
    styles = {code: classes.styles.get(code, style) for code, style in report.styles.items()}
    told = replace(report, styles=styles, title="Change between two maps", notes=(note, *report.notes))
    return ChangeReport(told, changed, float(mapped), found)


def _all_change(estimate: AreaEstimate, classes: ChangeClasses) -> Estimate:
    """Estimate the area of all change together."""
    groups = {code: _CHANGED if classes.is_change(code) else _STABLE for code in estimate.codes}
    counts = Confusion(estimate.codes, estimate.counts)
    both = olofsson(counts, np.array(estimate.mapped), groups=groups, level=estimate.level)
    if _CHANGED in both.codes:
        return both.areas[both.codes.index(_CHANGED)]
    return Estimate(0.0, 0.0, 0.0, 0.0)


def _true_changes(
    reference: geopandas.GeoDataFrame,
    labels: tuple[str, str],
    classes: ChangeClasses,
    nomenclature: Nomenclature | None,
) -> NDArray[np.float64]:
    """Give the class of change of each point; NaN where a label is missing."""
    absent = [name for name in labels if name not in reference.columns]
    if absent:
        raise InputError(
            "the reference has no such column", where="labels", expected=", ".join(absent), got=str(labels)
        )
    told = reference[labels[0]].notna() & reference[labels[1]].notna()
    result = np.full(len(reference), np.nan)
    pairs = []
    for name in labels:
        values = reference.loc[told, name]
        if nomenclature is not None:
            pairs.append(nomenclature.encode(values.tolist()).astype(np.int64))
        elif pd.api.types.is_numeric_dtype(values):
            pairs.append(values.to_numpy().astype(np.int64))
        else:
            raise InputError("labels are names", where=f"column {name}", todo="give a nomenclature")
    result[told.to_numpy()] = [classes.of(*pair) for pair in zip(*(one.tolist() for one in pairs), strict=True)]
    return result


def _coded(before: NDArray[Any], after: NDArray[Any], nodata: tuple[float | None, float | None]) -> NDArray[np.int32]:
    (first, seen), (second, also) = seen_codes(before, nodata[0]), seen_codes(after, nodata[1])
    both = seen & also
    for codes in (first[both], second[both]):
        if codes.size and (codes.min() < 0 or codes.max() >= FACTOR):
            raise InputError(
                "a class code does not fit",
                where="before, after",
                expected=f"0 to {FACTOR - 1}",
                got=f"{codes.min()} to {codes.max()}",
            )
    return np.where(both, first * FACTOR + second, NODATA).astype(np.int32)
