"""Validating a class map against reference points: what the map is worth, with the areas of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.cubes import sample
from terracube.cubes.plot import classes_of
from terracube.processing.landcover.accuracy.calibration import Calibration, calibration
from terracube.processing.landcover.accuracy.crossval import CrossValidation
from terracube.processing.landcover.accuracy.mapped import ClassStyle, MapAreas, map_areas, styles_of, to_layer
from terracube.processing.landcover.accuracy.olofsson import AreaEstimate, olofsson, stehman
from terracube.processing.landcover.accuracy.scores import Confusion, Scores, as_codes, confusion, scores
from terracube.processing.landcover.nomenclature import Nomenclature

if TYPE_CHECKING:
    import geopandas

_DESIGNS = {
    "stratified": "points drawn at random within each class of the map",
    "simple": "points drawn at random over the whole map",
    "poststratified": "points drawn at random over the whole map, weighed by the classes of the map",
}
_LEFT_OUT = ("outside the map", "where the map says nothing", "without a label")


@dataclass(frozen=True, eq=False, slots=True)
class Strata:
    """A sample drawn within strata that are not the classes of the map: an older map's, regions."""

    column: str
    """Column of the reference that names the stratum of each point."""
    sizes: Mapping[Any, float]
    """Area of each stratum, in hectares."""


@dataclass(frozen=True, eq=False, slots=True)
class Report:
    """What is known about the accuracy of a map or a model; parts that are not known are ``None``."""

    title: str
    styles: Mapping[int, ClassStyle]
    """Name and colour of each class."""
    design: str = ""
    """How the reference points were drawn, in a sentence."""
    estimate: AreaEstimate | None = None
    """Area-weighted accuracy and areas."""
    matrix: Confusion | None = None
    """Reference points by class of the map and of the reference."""
    scores: Scores | None = None
    """What the points alone say, each weighing alike."""
    left_out: Mapping[str, int] | None = None
    """Number of reference points that could not be used, by reason."""
    cross: CrossValidation | None = None
    """Cross-validation of the model."""
    calibration: Calibration | None = None
    """Calibration of its probabilities."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know."""

    def with_model(self, cross: CrossValidation) -> Report:
        """Give the same with the cross-validation of the model, and the calibration of its probabilities."""
        return replace(self, cross=cross, calibration=_calibration_of(cross))

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        parts = {
            "area_weighted": self.estimate,
            "points": self.matrix,
            "points_scores": self.scores,
            "cross_validation": self.cross,
            "calibration": self.calibration,
        }
        return {
            "title": self.title,
            "design": self.design,
            "classes": [{"code": c, "name": s.name, "colour": s.colour} for c, s in self.styles.items()],
            "left_out": dict(self.left_out or {}),
            "notes": list(self.notes),
        } | {name: part.as_dict() for name, part in parts.items() if part is not None}


def training_report(
    cross: CrossValidation, *, title: str = "Accuracy of the model", nomenclature: Nomenclature | None = None
) -> Report:
    """Make a report of a model that was cross-validated, before there is a map."""
    styles = styles_of(cross.headline.codes, nomenclature)
    design = "before there is a map: what the samples say of the model"
    return Report(title, styles, design=design, cross=cross, calibration=_calibration_of(cross))


def validate(
    class_map: xr.DataArray,
    reference: geopandas.GeoDataFrame,
    *,
    design: str | Strata = "stratified",
    label: str = "label",
    nomenclature: Nomenclature | None = None,
    few: str = "refuse",
    level: float = 0.95,
) -> Report:
    """Estimate accuracy and areas of a map from reference points that were drawn at random.

    Parameters
    ----------
    class_map : xarray.DataArray (y, x)
        Class codes, lazy or not, with CRS and coordinates; missing is what its attributes name. Chunks are read once
        to measure the areas, and those that hold points once more.
    reference : geopandas.GeoDataFrame
        Points in any CRS.
    design : str or Strata
        How they were drawn. ``"stratified"``: at random within each class of this map, as :func:`design_sample` does.
        ``"simple"``: at random over all of it; ``"poststratified"``: the same, weighed by the areas of the map, which
        makes intervals narrower and needs two points or more in each class. ``Strata``: within other strata.
    label : str
        Column with the true class: codes, or names and titles of the nomenclature (without one: names that the
        attributes of the map tell). Points without one are left out, and counted.
    nomenclature : Nomenclature, optional
        For names and colours; a class that it does not know is refused.
    few : str
        What to do with a class of the map that has fewer than two points, so that nothing can be said of it:
        ``"refuse"``, or ``"leave_out"``: estimate the rest of the map, and say so.
    level : float
        Confidence level of the intervals.

    Returns
    -------
    Report
        The same however the map is cut into chunks, and for any order of the points.

    Raises
    ------
    InputError
        If labels are unknown, the column is missing, or the design does not fit the points.
    EmptyResultError
        If no point can be used.
    MetadataError
        If the CRS of either is missing, the map holds a class that the nomenclature does not know, or its projection
        does not keep areas.
    """
    if few not in ("refuse", "leave_out") or not (isinstance(design, Strata) or design in _DESIGNS):
        told = f"{', '.join(_DESIGNS)} or Strata; refuse or leave_out"
        raise InputError("unknown option", where="design, few", expected=told, got=f"{design!r}, {few!r}")
    areas = map_areas(class_map)
    _refuse_unknown(areas, nomenclature)
    points, left_out, notes = _matched(class_map, reference, label, nomenclature)
    if design == "stratified":
        _refuse_other_strata(points)
    if few == "leave_out" and design in ("stratified", "poststratified"):
        areas, points, thin = _without_thin(areas, points)
        notes += thin
    codes = sorted({*areas.codes, *points["mapped"].tolist(), *points["label"].tolist()})
    estimate = _estimated(points, areas, design, codes, level)
    matrix = confusion(points["mapped"], points["label"], codes=codes)
    return Report(
        title=f"Accuracy of {class_map.attrs.get('long_name') or class_map.name or 'the map'}",
        styles=styles_of(codes, nomenclature, class_map),
        design=f"points drawn at random within strata ({design.column})"
        if isinstance(design, Strata)
        else _DESIGNS[design],
        estimate=estimate,
        matrix=matrix,
        scores=scores(matrix),
        left_out=left_out,
        notes=tuple(notes),
    )


def _estimated(
    points: pd.DataFrame, areas: MapAreas, design: str | Strata, codes: list[int], level: float
) -> AreaEstimate:
    mapped, truth = points["mapped"].to_numpy(), points["label"].to_numpy()
    if isinstance(design, Strata):
        return stehman(mapped, truth, points[design.column].tolist(), design.sizes, areas.by_code, level=level)
    if design == "simple":
        everywhere = ["the map"] * mapped.size
        return stehman(mapped, truth, everywhere, {"the map": areas.total}, areas.by_code, level=level)
    sizes = [areas.by_code.get(code, 0.0) for code in codes]
    return olofsson(confusion(mapped, truth, codes=codes), sizes, level=level, unit=areas.unit)


def _matched(
    class_map: xr.DataArray, reference: geopandas.GeoDataFrame, label: str, nomenclature: Nomenclature | None
) -> tuple[pd.DataFrame, dict[str, int], list[str]]:
    """Give the points that can be used with their class on the map and by the reference, and what was left out."""
    if label not in getattr(reference, "columns", ()):
        raise InputError(
            "the reference has no such column", where="label", expected=label, got=str(list(reference.columns))[:200]
        )
    layer = to_layer(class_map)
    table = reference.reset_index(drop=True)
    found = sample(layer, table.geometry)
    if not isinstance(found, pd.DataFrame):  # what `sample` gives without as_="xvec"
        raise InputError("the reference makes no table", where="reference")
    points = pd.DataFrame(table.drop(columns=table.geometry.name))
    seen, inside = found[next(iter(layer.data_vars))].to_numpy(), found["inside"].to_numpy()
    told = points[label].notna().to_numpy()
    reasons = (~inside, inside & np.isnan(seen), inside & ~np.isnan(seen) & ~told)
    left_out = {text: int(wrong.sum()) for text, wrong in zip(_LEFT_OUT, reasons, strict=True) if wrong.any()}
    used = inside & ~np.isnan(seen) & told
    if not used.any():
        raise EmptyResultError("no reference point can be used", where="reference", got=str(left_out))
    truth = _codes_of(points.loc[used, label], class_map, nomenclature)
    kept = points[used].assign(mapped=seen[used].astype(np.int64), label=truth)
    twice = int(pd.DataFrame({"x": found["x"][used], "y": found["y"][used]}).duplicated().sum())
    notes = [f"{twice} points lie in a pixel that another point lies in"] if twice else []
    return kept.reset_index(drop=True), left_out, notes


def _codes_of(labels: pd.Series[Any], class_map: xr.DataArray, nomenclature: Nomenclature | None) -> NDArray[np.int64]:
    if nomenclature is not None:
        return nomenclature.encode(labels.tolist()).astype(np.int64)
    if pd.api.types.is_numeric_dtype(labels):
        return as_codes(labels.to_numpy(), "label")
    named = {name.casefold(): code for code, (name, _) in (classes_of(class_map.attrs) or {}).items()}
    unknown = sorted({str(value) for value in labels if str(value).casefold() not in named})
    if unknown:
        raise InputError(
            "the map does not know these classes",
            where="label",
            expected=", ".join(named) or "codes",
            got=", ".join(unknown)[:200],
            todo="give a nomenclature",
        )
    return np.array([named[str(value).casefold()] for value in labels], np.int64)


def _refuse_unknown(areas: MapAreas, nomenclature: Nomenclature | None) -> None:
    unknown = sorted(set(areas.codes) - set(areas.codes if nomenclature is None else nomenclature.codes))
    if unknown:
        raise MetadataError(
            "the map holds classes that the nomenclature does not know",
            where="class_map",
            got=", ".join(map(str, unknown))[:200],
            todo="give the right nomenclature; if one of them means missing, say so: class_map.attrs['nodata'] = ...",
        )


def _refuse_other_strata(points: pd.DataFrame) -> None:
    """Refuse points that say themselves that they were drawn from other strata than the classes of this map."""
    if "stratum" not in points.columns or not pd.api.types.is_numeric_dtype(points["stratum"]):
        return
    other = int((points["stratum"].to_numpy() != points["mapped"].to_numpy()).sum())
    if other:
        raise InputError(
            "the points were drawn from another map",
            where="column stratum",
            expected="the class of this map at each point",
            got=f"another one at {other} of {len(points)} points",
            todo="design=Strata('stratum', sizes), or drop the column if it means something else",
        )


def _without_thin(areas: MapAreas, points: pd.DataFrame) -> tuple[MapAreas, pd.DataFrame, list[str]]:
    """Leave out the classes of the map that have fewer than two points."""
    counts = points["mapped"].value_counts()
    thin = {code for code in areas.codes if counts.get(code, 0) < 2}
    if not thin:
        return areas, points, []
    left = areas.without(thin)
    if not left.codes:
        raise EmptyResultError("no class of the map has two reference points", where="reference")
    share = 1 - left.total / areas.total
    told = ", ".join(str(code) for code in sorted(thin))
    note = f"the figures are of the map without class {told} ({share:.2%} of its area): fewer than two points there"
    return left, points[~points["mapped"].isin(thin)].reset_index(drop=True), [note]


def _calibration_of(cross: CrossValidation) -> Calibration | None:
    best = cross.headline
    if best.probabilities is None:
        return None
    known = best.probabilities.sum(axis=1) > 0
    return calibration(best.probabilities[known], cross.labels[known], best.codes)
