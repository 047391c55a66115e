"""Samples as points or polygons: what is known to be where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError, LeftOut
from terracube.cubes.sampling.pixels import to_shapes
from terracube.processing.landcover.nomenclature import Nomenclature
from terracube.processing.landcover.samples.align import to_times

# Part of the smaller of two polygons that the other may cover before they count as overlapping.
_SLIVER = 1e-6
_POINT = 0


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Labelled points or polygons, all checked, in the order of their file."""

    frame: geopandas.GeoDataFrame
    """One row per sample, in any CRS: ``sample`` (name), ``label`` (code), ``group``, ``region``, ``weight``, ``start``
    and ``end`` (first and last day of the season; NaT where unknown), ``geometry``."""
    nomenclature: Nomenclature
    """What the codes mean."""
    left_out: tuple[LeftOut, ...] = ()
    """Rows of the file that are not here, and why."""

    def __len__(self) -> int:
        """Tell how many samples there are."""
        return len(self.frame)

    @property
    def labels(self) -> NDArray[np.int32]:
        """Codes, (n,)."""
        return np.asarray(self.frame["label"], np.int32)

    @property
    def sample(self) -> NDArray[np.str_]:
        """Names, (n,)."""
        return np.asarray(self.frame["sample"], object).astype(np.str_)

    @property
    def groups(self) -> NDArray[np.int64]:
        """Numbers of what belongs together, (n,)."""
        return np.asarray(self.frame["group"], np.int64)

    @property
    def region(self) -> NDArray[np.str_]:
        """Regions, (n,), empty where there is none."""
        return np.asarray(self.frame["region"], object).astype(np.str_)

    @property
    def weight(self) -> NDArray[np.float64]:
        """Weights, (n,)."""
        return np.asarray(self.frame["weight"], np.float64)

    @property
    def classes(self) -> dict[int, int]:
        """Number of samples of each code that there is."""
        codes, counts = np.unique(self.labels, return_counts=True)
        return dict(zip(codes.tolist(), counts.tolist(), strict=True))

    @property
    def points(self) -> bool:
        """True for points, False for polygons."""
        return bool((shapely.get_type_id(self.frame.geometry.values) == _POINT).all())

    def take(self, index: ArrayLike) -> Samples:
        """Give some samples, by number or by a boolean per sample, in that order."""
        chosen = np.asarray(index)
        if chosen.dtype.kind == "b":
            chosen = np.flatnonzero(chosen)
        return replace(self, frame=self.frame.iloc[chosen].reset_index(drop=True))

    def with_weight(self, weight: NDArray[np.float64]) -> Samples:
        """Give the same samples with other weights."""
        return replace(self, frame=self.frame.assign(weight=weight))


def make_samples(
    geometries: Any, labels: ArrayLike, nomenclature: Nomenclature, *, crs: Any = None, **known: Any
) -> Samples:
    """Make samples of geometries and codes.

    Parameters
    ----------
    geometries : geopandas.GeoSeries, geopandas.GeoDataFrame or shapely geometries
        Either points, or polygons and multipolygons.
    labels : array_like
        (n,) codes of the nomenclature.
    nomenclature : Nomenclature
        What they mean.
    crs : optional
        CRS of geometries that carry none.
    **known
        ``sample``, ``group``, ``region``, ``weight``, ``start``, ``end``, each (n,). Without ``sample`` they are
        numbered; without ``group`` each polygon is its own, and points at one place are one.

    Raises
    ------
    InputError
        Naming the row, if a geometry is empty, invalid or neither point nor polygon, or the two are mixed; if a code is
        none of the nomenclature, or a name occurs twice.
    MetadataError
        If the CRS is missing.

    Examples
    --------
    >>> from terracube.processing.landcover.nomenclature import load_nomenclature
    >>> oso = load_nomenclature("oso-23")
    >>> fields = [shapely.box(0, 0, 100, 100), shapely.box(200, 0, 300, 100)]
    >>> make_samples(fields, [10, 23], oso, crs="EPSG:32631", region=["north", "north"]).classes
    {10: 1, 23: 1}
    """
    shapes = to_shapes(geometries, crs=crs)
    n = len(shapes)
    codes = np.asarray(labels)
    if codes.shape != (n,) or not set(np.unique(codes).tolist()) <= set(nomenclature.codes):
        got = f"{codes.shape} {sorted(set(codes.ravel().tolist()) - set(nomenclature.codes))[:10]}"
        raise InputError("the labels do not fit", where="labels", expected=f"{n} codes of {nomenclature.name}", got=got)
    frame = geopandas.GeoDataFrame(
        {
            "sample": _texts(known.pop("sample", None), [str(at) for at in range(n)]),
            "label": codes.astype(np.int32),
            "group": _groups(known.pop("group", None), shapes),
            "region": _texts(known.pop("region", None), [""] * n),
            "weight": _weights(known.pop("weight", None), n),
            "start": _days(known.pop("start", None), n, "start"),
            "end": _days(known.pop("end", None), n, "end"),
        },
        geometry=geopandas.GeoSeries(shapes.values, crs=shapes.crs),
    )
    if known:
        raise InputError("samples have no such field", where="make_samples", got=", ".join(sorted(known)))
    _check_names(frame["sample"])
    late = frame["end"] < frame["start"]
    if late.any():
        row = int(np.flatnonzero(late)[0])
        raise InputError(
            "a season ends before it starts", where=f"sample {frame['sample'][row]}", expected="end >= start"
        )
    return Samples(frame, nomenclature)


def overlapping(samples: Samples) -> list[tuple[int, int]]:
    """List the pairs of polygons that overlap, in place and in season, and have different labels, as row numbers.

    Polygons that only touch do not overlap, nor do those of which one covers less than a millionth of the other.
    """
    if samples.points:
        return []
    shapes, labels = samples.frame.geometry.values, samples.labels
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    start, end = (samples.frame[name].to_numpy() for name in ("start", "end"))  # NaT is before and after nothing
    apart = (end[first] < start[second]) | (end[second] < start[first])
    pairs = (first < second) & (labels[first] != labels[second]) & ~apart
    first, second = first[pairs], second[pairs]
    covered = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    least = np.minimum(shapely.area(shapes[first]), shapely.area(shapes[second]))
    found = covered > _SLIVER * least
    order = np.lexsort((second[found], first[found]))
    return [(int(one), int(two)) for one, two in zip(first[found][order], second[found][order], strict=True)]


def _texts(given: Any, default: Sequence[str]) -> list[str]:
    if given is None:
        return list(default)
    return ["" if pd.isna(one) else str(one) for one in given]


def _groups(given: Any, shapes: Any) -> NDArray[np.int64]:
    """Number what belongs together: equal values, or equal places."""
    keys = [one.wkb for one in shapes] if given is None else ["" if pd.isna(one) else str(one) for one in given]
    if given is not None:  # a sample without a group is one alone
        keys = [key or f"\0{row}" for row, key in enumerate(keys)]
    return np.unique(np.asarray(keys, dtype=object), return_inverse=True)[1].astype(np.int64)


def _weights(given: Any, n: int) -> NDArray[np.float64]:
    weights = np.ones(n) if given is None else np.asarray(given, dtype=np.float64)
    if weights.shape != (n,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError("a weight is no positive number", where="weight", expected="> 0, one per sample")
    return weights


def _days(given: Any, n: int, where: str) -> NDArray[np.datetime64]:
    if given is None:
        return np.full(n, "NaT", "datetime64[s]")
    return to_times(given, where).astype("datetime64[D]").astype("datetime64[s]")


def _check_names(names: pd.Series) -> None:
    wrong = names[names.duplicated() | (names == "")]
    if len(wrong):
        got = f"{wrong.iloc[0]!r} in row {wrong.index[0]}"
        raise InputError("two samples have one name, or one has none", where="sample", expected="names", got=got)
