"""From samples to a model: series of the samples, their features, a classifier, and how good it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError, LeftOut
from terracube.cubes import load
from terracube.processing.landcover.accuracy import Report, training_report
from terracube.processing.landcover.classification import season_year
from terracube.processing.landcover.features import FeatureSpec, FeatureTable, feature_table, oso
from terracube.processing.landcover.learn import TrainParameters, to_parameters, train_table, validate_fit
from terracube.processing.landcover.models import Model
from terracube.processing.landcover.samples import Drawing, Samples, Series, blocks, extract
from terracube.processing.landcover.tempering import calibrated

# Blocks of the headline cross-validation: so many along the longer side of the region, unless told.
_BLOCKS = 10
_FEWEST = 1e-6


@dataclass(frozen=True, eq=False)
class Training:
    """A model, and what it came from."""

    model: Model
    series: Series
    """Of all samples that could be read."""
    report: Report | None
    """Cross-validation by random and by blocked folds; ``None`` without repeats."""
    left_out: tuple[LeftOut, ...]
    """Samples that could not be used, and why; and classes of which none could."""


def train(
    samples: Samples | Series,
    source: Iterable[pystac.Item] | xr.Dataset | None = None,
    params: TrainParameters | None = None,
    **told: Any,
) -> Model:
    """Train a model of land cover; see :func:`training`, which also gives the report.

    Examples
    --------
    >>> from terracube.processing.landcover.samples import make_series
    >>> values = np.repeat(np.linspace(0.1, 0.8, 12), 4).reshape(12, 4, 1)
    >>> series = make_series(values, [0, 90, 180, 270], ["NIR"], [3] * 6 + [7] * 6)
    >>> model = train(series, features=FeatureSpec(bands=("NIR",), series=("NIR",), season={"step": 90, "count": 4}))
    >>> model.classes, model.predict([[0.1] * 4, [0.8] * 4]).tolist()
    ((3, 7), [3, 7])
    """
    return training(samples, source, params, **told).model


def training(
    samples: Samples | Series,
    source: Iterable[pystac.Item] | xr.Dataset | None = None,
    params: TrainParameters | None = None,
    *,
    features: FeatureSpec | None = None,
    year: int | None = None,
    drawing: Drawing | None = None,
    block: float | None = None,
    card: Mapping[str, Any] | None = None,
    **load_options: Any,
) -> Training:
    """Train a model of land cover, and tell how good it is.

    Parameters
    ----------
    samples : Samples or Series
        Polygons or points with labels; or series that carry their observations.
    source : items or Dataset
        The observations of the samples' season: items (loaded with ``load_options``) or a cube (time, y, x) per band,
        clouds masked to NaN. Left out with series.
    params : TrainParameters
        The algorithm and how it is judged; a random forest unless told.
    features : FeatureSpec
        What the classifier is fed with; :func:`~terracube.processing.landcover.features.oso` of the bands unless told.
    year : int
        In which the season begins; that of most dates unless told.
    drawing : Drawing
        How many pixels of each polygon are taken.
    block : float
        Side in degrees of the blocks that the headline cross-validation never splits; a tenth of the region's longer
        side unless told. Without positions, polygons take the place of blocks.
    card : mapping
        Further entries of the model's card: title, licence, checksums.

    Returns
    -------
    Training

    Raises
    ------
    InputError
        If bands are missing, there is one class only, or a class with one sample.
    EmptyResultError
        If no sample has features.
    """
    if len(np.unique(samples.weight)) > 1:
        raise InputError(
            "learners do not take weights of samples yet",
            where="weight",
            expected="the same for all",
            got=f"{samples.weight.min():g} to {samples.weight.max():g}",
            todo='balance(samples) without weigh=True, or TrainParameters(class_weight="balanced")',
        )
    series, spec = _series(samples, source, features, year, drawing, load_options)
    table = feature_table(series, spec)
    used = np.isfinite(table.values).all(axis=1) & (table.count > 0)
    unseen = tuple(
        LeftOut(str(name), "no clear date" if not count else "a feature cannot be known")
        for name, count in zip(series.sample[~used], table.count[~used], strict=True)
    )
    if not used.any():
        raise EmptyResultError("no sample has features", got="; ".join(f"{one.id}: {one.reason}" for one in unseen[:3]))
    kept = series.take(used)
    lost = tuple(
        LeftOut(f"class {code}", "none of its samples could be used, so the model does not know it")
        for code in np.setdiff1d(samples.labels, kept.labels).tolist()
    )
    members, side = _members(kept, block)
    nomenclature = None if series.nomenclature is None else series.nomenclature.model_dump(mode="json")
    how = to_parameters(params)
    values, names = table.values[used], spec.names()
    cross = validate_fit(values, kept.labels, members, params=how) if how.repeats else None
    facts = {**_facts(kept, table, used, side), "training": how.model_dump(mode="json")}
    told: dict[str, Any] = {"spec": spec.to_json(), "nomenclature": nomenclature}
    quick = how.model_copy(update={"repeats": 0, "calibrate": how.calibrate and cross is None})
    if cross is not None and how.calibrate and (better := calibrated(cross, members)) is not None:
        cross, told["temperature"], facts["calibration"] = better.cross, better.temperature, better.as_dict()
    facts |= {"accuracies": None if cross is None else cross.as_dict(), **(card or {})}
    model = train_table(values, kept.labels, names, groups=members, params=quick, told=told, card=facts)
    report = None if cross is None else training_report(cross, nomenclature=series.nomenclature)
    return Training(model, series, report, (*lost, *series.left_out, *unseen))


def _series(
    samples: Samples | Series,
    source: Any,
    features: FeatureSpec | None,
    year: int | None,
    drawing: Drawing | None,
    load_options: dict[str, Any],
) -> tuple[Series, FeatureSpec]:
    if isinstance(samples, Series):
        if source is not None or load_options:
            raise InputError("series carry their observations", where="source", todo="leave it out")
        return samples, features or _usual(samples.bands)
    if source is None:
        raise InputError("samples without series need observations", where="source", expected="items or a cube")
    if not isinstance(source, xr.Dataset):
        options: dict[str, Any] = {"mask": "clear", **({"bands": features.bands} if features else {}), **load_options}
        source = load(source, **options)
    elif load_options:
        raise InputError("options of loading are for items only", got=", ".join(load_options))
    dated = tuple(str(name) for name, values in source.data_vars.items() if "time" in values.dims)
    spec = features or _usual(dated)
    first = season_year(spec.season, source["time"].values.astype("datetime64[D]"), year=year)
    wanted = [*spec.bands, *spec.terrain]
    lacking = [name for name in wanted if name not in source]
    if lacking:
        raise InputError("the cube lacks what the features are made of", where=", ".join(lacking), got=", ".join(dated))
    return extract(samples, source[wanted], start=spec.season.first(first), drawing=drawing), spec


def _usual(bands: tuple[str, ...]) -> FeatureSpec:
    """Describe the usual features of bands that tell vegetation."""
    if not {"red", "nir"} <= set(bands):
        raise InputError(
            "the usual features need red and near infrared",
            where="features",
            expected="bands red and nir",
            got=", ".join(bands)[:200],
            todo="give features=FeatureSpec(...), or features.modis(bands)",
        )
    return oso(bands)


def _members(series: Series, block: float | None) -> tuple[NDArray[np.int64] | None, float | None]:
    """Tell which samples may not be split: those of one block, in which a polygon lies by the middle of its pixels."""
    if not (np.isfinite(series.lon).all() and np.isfinite(series.lat).all()):
        return (series.groups if len(np.unique(series.groups)) < len(series) else None), None
    group = np.unique(series.groups, return_inverse=True)[1]
    count = np.bincount(group)
    lon, lat = (np.bincount(group, values)[group] / count[group] for values in (series.lon, series.lat))
    side = block
    if side is None:
        side = max(float(np.ptp(lon)), float(np.ptp(lat)), _FEWEST) / _BLOCKS
        side = float(f"{side:.1g}")
    return blocks(lon, lat, side), side


def _facts(series: Series, table: FeatureTable, used: NDArray[np.bool_], side: float | None) -> dict[str, Any]:
    """Tell on the card where and when the samples were, and how they were judged."""
    facts: dict[str, Any] = {"block_degrees": side, "clear_dates_median": float(np.median(table.count[used]))}
    if np.isfinite(series.lon).all() and np.isfinite(series.lat).all():
        edges = (series.lon.min(), series.lat.min(), series.lon.max(), series.lat.max())
        facts["bbox"] = [round(float(edge), 6) for edge in edges]
    known = series.start[~np.isnat(series.start)]
    if len(known):
        last = known.max() + np.timedelta64(math.ceil(float(series.days[-1])), "D")
        facts["period"] = {"start": str(known.min()), "end": str(last)}
    if series.nomenclature is not None:
        facts["classes_without_samples"] = [
            code for code in series.nomenclature.codes if code not in set(series.labels.tolist())
        ]
    regions = {str(name): int(count) for name, count in zip(*np.unique(series.region, return_counts=True), strict=True)}
    return facts | ({"regions": regions} if set(regions) != {""} else {})
