"""From coarse to fine: matches of a lattice of points in one window of two images.

Coarse images are means of 2 x 2 pixels, counted from the first pixel of the whole image; coarse points lie at fixed
places of it. So a point's result is a function of the pixels at most ``Plan.halo`` away, wherever the window is cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terracube.processing.deformation.offsets.rules import Rules
from terracube.processing.kernels import matching
from terracube.processing.kernels.matching import DX, DY, EMPTY, LAYERS, NCC, SNR, STATE, halve, match
from terracube.processing.kernels.sides import settle

type Floats = NDArray[np.float32]
type Whole = NDArray[np.int32]

_TOP, _REACH, _SLACK = 4, 2, 3
_LEAST_COARSE, _DOUBTFUL, _SHARE = 0.25, 0.5, 0.25
_MARGIN = 3
WEAK, ASTRAY = 16, 128


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of a search, all in pixels of the image: the chip, from one point to the next, motion at most."""

    chip: int
    step: int
    search: int
    rules: Rules
    both_ways: bool

    @property
    def levels(self) -> int:
        """How often the images are halved."""
        return max(0, math.ceil(math.log2(self.search / _TOP)))

    @property
    def coarse_chip(self) -> int:
        """Size of the chips in coarse images, in their pixels."""
        return max(16, self.chip // 2 // 4 * 4)

    @property
    def apart(self) -> int:
        """How many points away a neighbour's chip begins where the point is."""
        return max(1, round(self.chip / 2 / self.step))

    def reach(self, level: int) -> int:
        """How far is searched at the coarsest level, or again where a finer one found nothing."""
        return -(-self.search // (1 << level))

    @property
    def halo(self) -> int:
        """How far away pixels may matter: a multiple of the coarsest pixel."""
        spread = sum(5 * (self.coarse_chip // 2 << level) // 2 for level in range(1, self.levels + 1))
        needed = [
            (1 << level)
            * ((self.coarse_chip if level else self.chip) // 2 + 2 * self.reach(level) + 2 * _SLACK + _MARGIN)
            for level in range(self.levels + 1)
        ]
        twice = self.search + _SLACK if self.both_ways else 0
        total = spread + max(needed) + twice + self.apart * self.step + 8
        return -((-total >> self.levels) << self.levels)


def match_window(
    before: Floats, after: Floats, corner: tuple[int, int], points: tuple[slice, slice], plan: Plan
) -> Floats:
    """Match the points of a window.

    Parameters
    ----------
    before, after : float32 (y, x)
        The window: the points' pixels with ``plan.halo`` around, or as far as the images go.
    corner : tuple of int
        Where its first pixel lies in the images; multiples of the coarsest pixel.
    points : tuple of slice
        Rows and columns of the lattice; point (i, j) has its chip at pixel (i step, j step) of the images.
    plan : Plan

    Returns
    -------
    float32 (LAYERS + 1, row, column)
        As of :func:`~terracube.processing.kernels.matching.match`, then the miss of the way there and back.
    """
    images = [(np.ascontiguousarray(before, np.float32), np.ascontiguousarray(after, np.float32))]
    for _ in range(plan.levels):
        images.append((_halved(images[-1][0]), _halved(images[-1][1])))
    coarse: _Coarse | None = None
    for level in range(plan.levels, 0, -1):
        coarse = _coarse(images[level], corner, level, coarse, plan)
    wide = [slice(max(0, part.start - plan.apart), part.stop + plan.apart) for part in points]
    rows, columns = (np.arange(part.start, part.stop, dtype=np.int32) * plan.step for part in wide)
    field = _fine(images[0], corner, (rows, columns), coarse, plan)
    if plan.rules.breaks:
        field = _settled(images[0], corner, (rows, columns), field, plan)
    inner = tuple(
        slice(part.start - more.start, part.stop - more.start) for part, more in zip(points, wide, strict=True)
    )
    field = field[inner]
    misses = np.full(field.shape[:2], np.nan, np.float32)
    if plan.both_ways:
        misses = _round_trip(images[0], corner, (rows[inner[0]], columns[inner[1]]), field, plan)
    return np.concatenate([np.moveaxis(field, -1, 0), misses[np.newaxis]])


@dataclass(frozen=True, slots=True)
class _Coarse:
    """Motion at the points of a level, in its pixels, NaN where unknown; point (i, j) lies at ``spacing`` (i, j)."""

    motion: Floats
    snr: Floats
    first: tuple[int, int]
    spacing: int
    level: int

    def at(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Give the points nearest to places in pixels of the images."""
        found = []
        for axis, places in enumerate((rows, columns)):
            number = np.floor(places / (self.spacing * 2**self.level) + 0.5).astype(np.intp) - self.first[axis]
            found.append(np.clip(number, 0, self.motion.shape[axis] - 1))
        return found[0], found[1]


def _halved(image: Floats) -> Floats:
    out = np.empty((image.shape[0] // 2, image.shape[1] // 2), np.float32)
    halve(image, out)
    return out


def _coarse(
    images: tuple[Floats, Floats], corner: tuple[int, int], level: int, above: _Coarse | None, plan: Plan
) -> _Coarse:
    """Match the points of a coarse level, the next coarser one telling where to search."""
    chip = plan.coarse_chip
    spacing, size = chip // 2, 2**level
    start = [place // size for place in corner]
    first = [-(-place // spacing) for place in start]
    number = [
        max(1, (begin + side) // spacing + 1 - one)
        for begin, side, one in zip(start, images[0].shape, first, strict=True)
    ]
    rows, columns = (spacing * (one + np.arange(many)) for one, many in zip(first, number, strict=True))
    places = _places(rows - start[0] - chip // 2, columns - start[1] - chip // 2)
    guesses, reach = np.zeros_like(places), plan.reach(level)
    limit = reach + _SLACK
    if above is not None:
        i, j = above.at(rows * float(size), columns * float(size))
        guesses = _rounded(2 * above.motion[i[:, np.newaxis], j], limit)
    out = np.empty((len(places), LAYERS), np.float32)
    match(*images, places, guesses, ((chip, reach if above is None else _REACH, limit, 0), _SHARE), out)
    if level == 1 and above is not None:
        _again(images, places, (chip, reach, limit), out)
    bad = (out[:, STATE] != 0) | (out[:, NCC] < _LEAST_COARSE)
    motion = np.where(bad[:, np.newaxis], np.nan, out[:, :2]).reshape(number[0], number[1], 2)
    snr = out[:, SNR].reshape(number[0], number[1])
    if above is not None:
        snr = above.snr[i[:, np.newaxis], j]
    return _Coarse(_smooth(motion), snr, (first[0], first[1]), spacing, level)


def _again(images: tuple[Floats, Floats], places: Whole, facts: tuple[int, int, int], out: Floats) -> None:
    """Search all around the points whose match is doubtful; keep what correlates better."""
    chip, reach, limit = facts
    doubtful = np.flatnonzero((out[:, STATE] != 0) & (out[:, STATE] != EMPTY) | (out[:, NCC] < _DOUBTFUL))
    if not doubtful.size:
        return
    found = np.empty((doubtful.size, LAYERS), np.float32)
    match(*images, places[doubtful], np.zeros((doubtful.size, 2), np.int32), ((chip, reach, limit, 0), _SHARE), found)
    better = (found[:, STATE] == 0) & ~(out[doubtful, NCC] >= found[:, NCC])
    out[doubtful[better]] = found[better]


def _fine(
    images: tuple[Floats, Floats],
    corner: tuple[int, int],
    lattice: tuple[Whole, Whole],
    coarse: _Coarse | None,
    plan: Plan,
) -> Floats:
    """Match the points themselves: (row, column, LAYERS)."""
    rows, columns = lattice
    places = _places(rows - corner[0], columns - corner[1])
    guesses, reach = np.zeros_like(places), plan.reach(0)
    if coarse is not None:
        middle = plan.chip / 2
        i, j = coarse.at((rows + middle).astype("float64"), (columns + middle).astype("float64"))
        guesses = _rounded(2 * coarse.motion[i[:, np.newaxis], j], plan.search + _SLACK)
        reach = _REACH
    out = np.empty((len(places), LAYERS), np.float32)
    facts = (plan.chip, reach, plan.search + _SLACK, plan.rules.steps)
    match(*images, places, guesses, (facts, plan.rules.valid), out)
    field = out.reshape(len(rows), len(columns), LAYERS)
    if coarse is not None:
        field[..., SNR] = coarse.snr[i[:, np.newaxis], j]
    far = np.abs(field[..., :2]).max(axis=-1) > plan.search + 1
    field[far, STATE] = matching.EDGE
    return field


def _settled(
    images: tuple[Floats, Floats], corner: tuple[int, int], lattice: tuple[Whole, Whole], field: Floats, plan: Plan
) -> Floats:
    """Let points beside a break choose."""
    middle = plan.chip // 2
    rows, columns = lattice[0] - corner[0] + middle, lattice[1] - corner[1] + middle
    centres = np.stack(np.broadcast_arrays(rows[:, np.newaxis], columns), axis=-1).astype(np.int32)
    rules, out = plan.rules, np.empty_like(field)
    facts = (plan.apart, plan.step), (rules.differ, rules.correlation, plan.chip, float(plan.search + 1))
    settle(images, field, centres, facts, out)
    return out


def _round_trip(
    images: tuple[Floats, Floats], corner: tuple[int, int], lattice: tuple[Whole, Whole], field: Floats, plan: Plan
) -> Floats:
    """Match back from where the points went; give by how many pixels that misses."""
    there = field[..., :2].reshape(-1, 2)
    hops = _rounded(there, plan.search + _SLACK)
    places = _places(lattice[0] - corner[0], lattice[1] - corner[1]) + hops
    out = np.empty((len(places), LAYERS), np.float32)
    facts = (plan.chip, _REACH, plan.search + _SLACK, plan.rules.steps)
    match(images[1], images[0], places, -hops, (facts, plan.rules.valid), out)
    rest = hops - there
    slope = field[..., matching.A_YY : matching.A_XX + 1].reshape(-1, 2, 2)
    miss = out[:, DY : DX + 1] + there + np.einsum("pij,pj->pi", np.nan_to_num(slope), rest)
    return np.asarray(np.hypot(miss[:, 0], miss[:, 1]), np.float32).reshape(field.shape[:2])


def _places(rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Whole:
    grid = np.stack(np.broadcast_arrays(rows[:, np.newaxis], columns), axis=-1)
    return np.ascontiguousarray(grid.reshape(-1, 2), np.int32)


def _rounded(motion: NDArray[np.floating], most: int) -> Whole:
    """Give the nearest whole pixels, zero where nothing is known, ``most`` to each side."""
    return np.clip(np.nan_to_num(np.rint(motion.reshape(-1, 2))), -most, most).astype(np.int32)


def _smooth(motion: Floats) -> Floats:
    """Take the median of 3 x 3 points, where all of these are unknown that of 5 x 5."""
    found = _median(motion, 1)
    unknown = np.isnan(found)
    if unknown.any():
        found = np.where(unknown, _median(motion, 2), found)
    return found


def _median(motion: Floats, radius: int) -> Floats:
    side = 2 * radius + 1
    wide = np.pad(motion, ((radius, radius), (radius, radius), (0, 0)), constant_values=np.nan)
    views = np.lib.stride_tricks.sliding_window_view(wide, (side, side), (0, 1))
    ordered = np.sort(views.reshape(*motion.shape, side * side), axis=-1)
    count = side * side - np.isnan(ordered).sum(axis=-1)
    middle = np.maximum(count - 1, 0) // 2
    return np.asarray(np.take_along_axis(ordered, middle[..., np.newaxis], axis=-1)[..., 0], np.float32)
