"""Draw the maps: a farmed valley with forests, a small town, and a river that feeds a lake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terracube.ingest.simulate.fields import FloatArray, block_mean, generator, smooth_field
from terracube.ingest.simulate.surface import FARMED, Cover, LandMaps

FINE = 4
"""Sub-pixels per pixel side on which the map is drawn, so that shares at edges are multiples of 1/16."""
_FARMED_SHARES = (0.38, 0.28, 0.28, 0.06)
_STRIPS = 15
_MAX_PARCELS = 4096


@dataclass(frozen=True, eq=False)
class LakeMaps:
    """What the water holds on an average day, on the 10 m grid; defined everywhere, meaningful where there is water."""

    chlorophyll: NDArray[np.float32]
    """mg m-3, ``(y, x)``."""
    suspended: NDArray[np.float32]
    """g m-3, ``(y, x)``."""


def _axes(count: int) -> tuple[FloatArray, FloatArray]:
    """Give y (down) and x of pixel centres, as shares of the region's side."""
    line = (np.arange(count) + 0.5) / count
    return line[:, None], line[None, :]


def _river_x(seed: int, y: FloatArray) -> FloatArray:
    phase = generator(seed, "river").uniform(0, 2 * np.pi)
    return 0.60 + 0.06 * np.sin(2 * np.pi * 1.7 * y + phase) * (0.5 - y) / 0.5


def _water(seed: int, count: int) -> NDArray[np.bool_]:
    """Draw a lake with a wavy shore, and a river that enters it from the north."""
    y, x = _axes(count)
    rng = generator(seed, "lake")
    angle = np.arctan2(y - 0.52, x - 0.60)
    shore = 0.19 + sum(rng.normal(0, 0.045 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(1, 7))
    lake = np.hypot(1.15 * (y - 0.52), 0.9 * (x - 0.60)) < shore
    river = (np.abs(x - _river_x(seed, y)) < 0.007) & (y < 0.5)
    return np.asarray(lake | river)


def _parcels(seed: int, count: int) -> NDArray[np.intp]:
    """Cut the land into strips of fields, slightly turned and bent; gives a number per field."""
    y, x = _axes(count)
    rng = generator(seed, "parcels")
    turn = rng.uniform(0.2, 0.7)
    along = x * np.cos(turn) + y * np.sin(turn) + 0.012 * np.sin(9 * y)
    across = y * np.cos(turn) - x * np.sin(turn) + 1.0 + 0.012 * np.sin(7 * x)
    strip = np.searchsorted(np.sort(rng.uniform(0, 1.6, 2 * _STRIPS)), along)
    per_unit, start = rng.uniform(7, 22, 2 * _STRIPS + 1), rng.uniform(0, 1, 2 * _STRIPS + 1)
    return np.asarray(strip * 64 + np.floor(across * per_unit[strip] + start[strip]).astype(np.intp))


def _cover(seed: int, count: int, parcel: NDArray[np.intp]) -> NDArray[np.uint8]:
    y, x = _axes(count)
    rng = generator(seed, "covers")
    cover = rng.choice(np.array(FARMED, dtype=np.uint8), size=_MAX_PARCELS, p=_FARMED_SHARES)[parcel]
    gardens = (rng.uniform(size=_MAX_PARCELS) < 0.25)[parcel]
    town = np.hypot(y - 0.60, x - 0.22) + 0.03 * smooth_field(
        generator(seed, "town"), (count, count), length=count / 30
    )
    woods = smooth_field(generator(seed, "woods"), (count, count), length=count / 18)
    kind = smooth_field(generator(seed, "kind of wood"), (count, count), length=count / 12)
    cover[woods > 0.5] = Cover.BROADLEAF
    cover[(woods > 0.5) & (kind > 0.2)] = Cover.CONIFER
    cover[(town < 0.11) & ~gardens] = Cover.BUILT_UP
    cover[_water(seed, count)] = Cover.WATER
    return cover


def draw_land(seed: int, size: int) -> LandMaps:
    """Draw the land of a region of ``size`` x ``size`` pixels; a pure function of its arguments.

    Seasons and brightness differ from field to field; in woods and towns they vary smoothly.
    """
    parcel = _parcels(seed, size * FINE)
    cover = _cover(seed, size * FINE, parcel)
    fractions = np.stack([block_mean((cover == c).astype(np.float32), FINE) for c in Cover])
    farmed = fractions[[c - 1 for c in FARMED]].sum(axis=0)
    centre = parcel[FINE // 2 :: FINE, FINE // 2 :: FINE]
    rng = generator(seed, "fields")
    late, vigour, bright = rng.normal(size=(3, _MAX_PARCELS))[:, centre]
    slow, patch = (
        smooth_field(generator(seed, n), (size, size), length=w) for n, w in (("slow", size / 7), ("patch", 4))
    )
    grain = rng.standard_normal((size, size))
    return LandMaps(
        fractions=fractions,
        delay=(3.0 * slow + 6.0 * late * farmed).astype(np.float32),
        vigour=np.clip(0.95 + 0.03 * patch + 0.06 * vigour * farmed, 0.5, 1.0).astype(np.float32),
        brightness=np.exp(0.04 * patch + 0.02 * grain + 0.06 * bright * farmed).astype(np.float32),
    )


def draw_lake(seed: int, size: int) -> LakeMaps:
    """Draw the lake's content: turbid where the river enters, rich in algae in the bay at the far side.

    Chlorophyll from about 3 to 40 mg m-3, suspended matter from about 1.5 to 30 g m-3.
    """
    y, x = _axes(size)
    # Upstream of the mouth the river is as turbid as at the mouth.
    mouth = np.hypot(np.maximum(y - 0.37, 0.0), x - _river_x(seed, np.minimum(y, 0.37)))
    swirl = smooth_field(generator(seed, "swirl"), (size, size), length=size / 20)
    bloom = smooth_field(generator(seed, "bloom"), (size, size), length=size / 16)
    bay = 1 / (1 + np.exp(-(y - 0.57) / 0.03))
    chlorophyll = np.exp(np.log(3.5) + (np.log(22) - np.log(3.5)) * bay + 0.25 * bloom)
    suspended = (1.8 + 24.0 * np.exp(-mouth / 0.08) + 3.0 * bay) * np.exp(0.2 * swirl)
    return LakeMaps(chlorophyll.astype(np.float32), suspended.astype(np.float32))
