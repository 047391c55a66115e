"""The measured quality of a scene, gathered in the pass that writes it: no pixel is read a second time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from terracube.core.errors import InputError
from terracube.core.sensors import Mask, MaskRule, clear_of
from terracube.cubes.grid import Grid
from terracube.ingest.quality.bands import BandQuality, Layer, LayerFacts, seen_in
from terracube.ingest.quality.geolocation import check_place, footprint_overlap
from terracube.ingest.quality.judge import SUSPECT, Measure, Rules, Verdict, judge, read_rules
from terracube.ingest.quality.registration import Lattice, Shift, Windows, coarser, find_shift

if TYPE_CHECKING:
    from terracube.ingest.scene import Delivered, Raster

_DIGITS = 6
_CLOUD, _SATURATED = "cloud", "saturated"
# Clouds move between the moments at which two bands look, and have the sharpest edges of all.
_MOST_CLOUD = 0.05
_CLOUD_SHARE = 100.0
_WIDEST_RATIO = 8


@dataclass(frozen=True)
class Quality:
    """What was measured of a scene, and what follows."""

    verdict: str
    """``accepted``, ``suspect`` or ``rejected``."""
    reasons: tuple[str, ...]
    """Why it is not accepted."""
    not_measured: tuple[str, ...]
    """Names of the measures that have a threshold, but could not be taken."""
    measures: Mapping[str, Measure]
    """By name; a measure is of the band that is worst."""
    layers: Mapping[str, LayerFacts] = field(default_factory=dict)
    """What was counted of each layer."""
    shift: Shift | None = None
    """Where the second of the two compared bands lies, in pixels of the finer one."""

    def as_properties(self) -> dict[str, Any]:
        """Give the properties of a STAC item; what was not measured is not among them, but named."""
        names = {name: f"terracube:{name}" for name in self.measures} | {"cloud_cover": "eo:cloud_cover"}
        numbers = {
            names[name]: round(measure.value, _DIGITS)
            for name, measure in self.measures.items()
            if measure.value is not None
        }
        told = {"terracube:quality": self.verdict, "terracube:quality_reasons": list(self.reasons)}
        missing = {"terracube:quality_not_measured": list(self.not_measured)} if self.not_measured else {}
        return {**numbers, **told, **missing}


class SceneQuality:
    """Measures a scene while its layers are written, by several threads if so wished.

    Parameters
    ----------
    thresholds : dict
        What the source expects; see :func:`~terracube.ingest.quality.judge.read_rules`.
    mask : Mask, optional
        The layer that tells clouds, by its rule ``cloud``.
    geometry : dict, optional
        Footprint as delivered.
    where : str
        Name of the source, for messages.

    Raises
    ------
    InputError
        If the thresholds cannot be used.

    Examples
    --------
    >>> from terracube.cubes import Pair, YX
    >>> grid = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0, 0), YX(-500000, 50000), YX(2, 2))
    >>> scene = SceneQuality({"valid_fraction": {"suspect_below": 0.9}})
    >>> scene.layer("red", grid, "uint16", nodata=0).add(0, np.array([[1, 2], [0, 4]], "uint16"))
    >>> found = scene.finish()
    >>> found.verdict, found.reasons
    ('suspect', ('pixels with a value: 75 % (red), less than 90 %',))
    """

    def __init__(
        self,
        thresholds: Mapping[str, Any],
        *,
        mask: Mask | None = None,
        geometry: Mapping[str, Any] | None = None,
        where: str = "quality",
    ) -> None:
        self.rules: Rules = read_rules(thresholds, where=where)
        self._mask = mask
        self._geometry = geometry
        self._bands: dict[str, BandQuality] = {}
        self._grids: dict[str, Grid] = {}
        self._measured: set[str] = set()
        self._finest: Grid | None = None
        self._lattice: Lattice | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, scene: Delivered) -> SceneQuality:
        """Prepare to measure a delivery.

        Raises
        ------
        InputError
            If the thresholds of its source cannot be used.
        """
        source = scene.source
        measuring = cls(source.thresholds, mask=source.mask, geometry=scene.geometry, where=f"{source.name}, quality")
        pair = measuring.rules.registration or ()
        grids = [raster.grid for raster in scene.rasters if raster.key in pair]
        measuring.compare(*grids)
        return measuring

    def compare(self, *grids: Grid) -> None:
        """Tell the grids of the two bands whose shift is measured, before their pixels come."""
        if len(grids) == 2:
            self._finest, other = sorted(grids, key=lambda grid: abs(grid.resolution.x))
            ratio = _ratio(self._finest, other)
            self._lattice = Lattice.over(*self._finest.shape, ratio) if ratio else None

    def band(self, raster: Raster) -> BandQuality:
        """Give what counts the pixels of a raster of the delivery."""
        rule = raster.radiometry
        return self.layer(
            raster.key,
            raster.grid,
            raster.dtype,
            kind=raster.band.kind,
            nodata=raster.nodata,
            scale=(
                rule.scale if rule else raster.band.scale or 1.0,
                rule.offset if rule else raster.band.offset or 0.0,
            ),
            unit=raster.unit or raster.band.unit or "1",
        )

    def layer(
        self,
        key: str,
        grid: Grid,
        dtype: str,
        *,
        kind: str = "measured",
        nodata: float | None = None,
        scale: tuple[float, float] = (1.0, 0.0),
        unit: str = "1",
    ) -> BandQuality:
        """Give what counts the pixels of a layer.

        Parameters
        ----------
        key : str
            Role name, once per scene.
        grid : Grid
        dtype : str
            Of the numbers that will come.
        kind : str
            As in :class:`~terracube.core.sensors.Band`; only measured bands count for the scene.
        nodata : float, optional
        scale : (float, float)
            Scale and offset: value = number * scale + offset.
        unit : str
            Of the values; ``1`` for reflectance.

        Raises
        ------
        InputError
            If there is a layer of that name.
        """
        measured = kind == "measured"
        known = Layer(
            key,
            (grid.shape.y, grid.shape.x),
            dtype,
            self._mask.nodata if nodata is None and self._mask is not None and key == self._mask.asset else nodata,
            *scale,
            plausible=self._plausible(key, unit) if measured else None,
            saturated=self._saturated(dtype, nodata) if measured else None,
            rules=self._flags(key),
        )
        band = BandQuality(known, self._windows(key, grid, dtype))
        with self._lock:
            if key in self._bands:
                raise InputError("a scene has each layer once", where="quality", got=key)
            self._bands[key], self._grids[key] = band, grid
            if measured:
                self._measured.add(key)
        return band

    def _plausible(self, key: str, unit: str) -> tuple[float, float] | None:
        general = self.rules.plausible.get("*") if unit == "1" else None
        return self.rules.plausible.get(key, general)

    def _saturated(self, dtype: str, nodata: float | None) -> float | None:
        """Give the number from which on pixels are saturated, if numbers tell it."""
        told = self.rules.saturation
        if told is not None:
            return told.value
        kind = np.dtype(dtype)
        largest = float(np.iinfo(kind).max) if kind.kind in "ui" else None
        return None if largest == nodata else largest

    def _flags(self, key: str) -> dict[str, MaskRule]:
        rules = {}
        if self._mask is not None and key == self._mask.asset and _CLOUD in self._mask.rules:
            rules[_CLOUD] = self._mask.rules[_CLOUD]
        told = self.rules.saturation
        if told is not None and told.layer == key:
            rules[_SATURATED] = (
                MaskRule(key, bits=0, any_bits=told.bits) if told.bits else MaskRule(key, masked=(), known=told.classes)
            )
        return rules

    def _windows(self, key: str, grid: Grid, dtype: str) -> Windows | None:
        """Choose which windows are kept of a layer, if it has a part in the comparison of bands."""
        if self._finest is None or self._lattice is None or key not in self._compared():
            return None
        ratio = _ratio(self._finest, grid)
        return Windows(self._lattice, ratio, dtype) if ratio else None

    def _compared(self) -> tuple[str, ...]:
        mask = (self._mask.asset,) if self._mask is not None else ()
        return (*(self.rules.registration or ()), *mask)

    def finish(self) -> Quality:
        """Give what was measured, once every row of every layer was added."""
        layers = {key: band.facts() for key, band in sorted(self._bands.items())}
        shift = self._shift()
        measures = {
            "valid_fraction": _worst(layers, self._measured or set(layers), "valid_fraction", lowest=True),
            "cloud_cover": self._cloud_cover(layers),
            "saturated_fraction": self._saturated_fraction(layers),
            "out_of_range_fraction": _worst(layers, self._measured, "out_of_range_fraction"),
            "registration_shift": Measure(None if shift is None else shift.length),
            "footprint_overlap": Measure(footprint_overlap(list(self._grids.values()), self._geometry)),
        }
        part = [key for key, band in sorted(self._bands.items()) if not band.whole]
        found = [(SUSPECT, f"not every row was measured: {', '.join(part)}")] if part else []
        found += check_place(self._grids, self._geometry, self.rules)
        judged: Verdict = judge(measures, self.rules, found)
        return Quality(judged.verdict, judged.reasons, judged.not_measured, measures, layers, shift)

    def _cloud_cover(self, layers: Mapping[str, LayerFacts]) -> Measure:
        facts = layers.get(self._mask.asset) if self._mask is not None else None
        share = facts.shares.get(_CLOUD) if facts is not None else None
        return Measure(None if share is None else _CLOUD_SHARE * share)

    def _saturated_fraction(self, layers: Mapping[str, LayerFacts]) -> Measure:
        told = self.rules.saturation
        if told is None or not told.layer:
            return _worst(layers, self._measured, "saturated_fraction")
        facts = layers.get(told.layer)
        return Measure(None if facts is None else facts.shares.get(_SATURATED))

    def _shift(self) -> Shift | None:
        pair = [self._bands[key] for key in self.rules.registration or () if key in self._bands]
        if len(pair) != 2 or self._finest is None or not all(band.whole and band.windows for band in pair):
            return None
        ratios = [_ratio(self._finest, self._grids[band.layer.key]) for band in pair]
        coarsest = max(ratios)
        first, second = (
            [coarser(picture, coarsest // ratio) for picture in _pictures(band)]
            for band, ratio in zip(pair, ratios, strict=True)
        )
        clear = self._clear(len(first))
        shift = find_shift([both for both, good in zip(zip(first, second, strict=True), clear, strict=True) if good])
        return shift and Shift(shift.y * coarsest, shift.x * coarsest, shift.windows)

    def _clear(self, count: int) -> list[bool]:
        """Tell which windows hold hardly any cloud; all of them where no mask tells."""
        band = self._bands.get(self._mask.asset) if self._mask is not None else None
        if band is None or band.windows is None or not band.whole or _CLOUD not in band.layer.rules:
            return [True] * count
        rule = band.layer.rules[_CLOUD]
        return [bool(clear_of(rule, window).mean() <= _MOST_CLOUD) for window in band.windows.each()]


def _ratio(finest: Grid, grid: Grid) -> int:
    """Tell how many pixels of the finest grid one of another is long; 0 where they do not nest."""
    ratio = round(abs(grid.resolution.x / finest.resolution.x))
    nests = 1 <= ratio <= _WIDEST_RATIO and _WIDEST_RATIO % ratio == 0 and grid.crs == finest.crs
    sides = zip(grid.resolution, finest.resolution, strict=True)
    corners = (grid.bounds.left - finest.bounds.left, grid.bounds.top - finest.bounds.top)
    step = abs(finest.resolution.x)
    near = all(abs(one - ratio * other) < 1e-6 * step for one, other in sides) and max(map(abs, corners)) < 0.01 * step
    covers = all(ratio * (one + 1) > other for one, other in zip(grid.shape, finest.shape, strict=True))
    return ratio if nests and near and covers else 0


def _pictures(band: BandQuality) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """Give the windows of a band, NaN where nothing was seen."""
    windows = band.windows.each() if band.windows is not None else ()
    return [np.where(seen_in(band.layer, one), one, np.nan).astype("float64") for one in windows]


def _worst(layers: Mapping[str, LayerFacts], keys: set[str], name: str, *, lowest: bool = False) -> Measure:
    """Give the worst number of several layers, with the first that has it; none if one of no layer was measured."""
    found = [(getattr(layers[key], name), key) for key in sorted(keys)]
    there = [(value if lowest else -value, key) for value, key in found if value is not None]
    if not there:
        return Measure(None)
    value, key = min(there)
    return Measure(abs(value), key)
