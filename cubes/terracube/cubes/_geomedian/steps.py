"""Steps towards the geometric median of 64 pixels at once: load, pull, move."""

from __future__ import annotations

from typing import Any

import numpy as np

from terracube.cubes._geomedian.lanes import (
    ABSENT,
    BANDS,
    CLEAR,
    COUNT,
    DATES,
    FAR,
    GAIN,
    INF,
    LANES,
    LEAST,
    LENGTH,
    LIMIT,
    MOVING,
    NEAR,
    NEAREST,
    ONE,
    PLACES,
    SMOOTH,
    TOLERANCE,
    TWO,
    WEIGHT,
    ZERO,
    Work,
    inlined,
    stage,
    state_size,
)

type Sums = tuple[np.float32, np.float32, np.float32, np.float32, np.float32]

# The first step is 1.3 Weiszfeld steps; no later step trusts an extrapolation beyond 1e4.
_FIRST, _BOLDEST = np.float32(-0.3), np.float32(1e4)
_VANISHING = np.float32(2.0**-10)
# A step cannot be finer than float32 resolves at the length of the spectrum: 2**-22 of it.
_RESOLUTION = np.float32(2.0**-44)


def loader(bands: int) -> Any:
    """Make the stage that copies a tile, dropping dates without any clear lane, and sums the clear samples."""
    samples, span = state_size(bands), bands * LANES

    @stage
    def load(cube: Work, step: int, first: int, work: Work) -> int:
        kept = 0
        for place in range(samples):
            work[place] = ZERO
        for date in range(cube.size // (bands * step)):
            source, sample = date * bands * step + first, samples + (kept & DATES) * span
            for lane in range(LANES):
                clear = True
                for band in range(bands):
                    value = cube[((source + band * step) & PLACES) + lane]
                    clear &= (value < LIMIT) & (value > -LIMIT)
                for band in range(bands):
                    value = cube[((source + band * step) & PLACES) + lane]
                    work[sample + band * LANES + lane] = value if clear else ABSENT
                for band in range(bands):
                    value = work[sample + band * LANES + lane]
                    work[BANDS + band * LANES + lane] += value if clear else ZERO
                work[CLEAR + lane] = ONE if clear else ZERO
                work[COUNT + lane] += work[CLEAR + lane]
            for lane in range(LANES):
                if work[CLEAR + lane] > ZERO:
                    kept += 1
                    break
        return kept

    return load


@stage
def start(work: Work, bands: int, finest: np.float32) -> None:
    """Turn the sums into means and set the tolerance of every lane."""
    for lane in range(LANES):
        count = work[COUNT + lane]
        work[WEIGHT + lane] = ONE / count if count > ZERO else ZERO
        work[MOVING + lane] = ONE if count > ZERO else ZERO
        work[LEAST + lane] = INF
    for band in range(bands):
        for lane in range(LANES):
            mean = work[BANDS + band * LANES + lane] * work[WEIGHT + lane]
            work[BANDS + band * LANES + lane] = mean
            work[LENGTH + lane] += mean * mean
    for lane in range(LANES):
        coarse = _RESOLUTION * work[LENGTH + lane]
        work[TOLERANCE + lane] = coarse if coarse > finest else finest


def puller(bands: int) -> Any:
    """Make the stage that sums the unit vectors from the iterate to the samples, and their weights 1 / distance."""
    samples, span = state_size(bands), bands * LANES

    @stage
    def pull(work: Work, kept: int) -> None:
        for place in range(BANDS + span, BANDS + 2 * span):
            work[place] = ZERO
        for lane in range(LANES):
            work[WEIGHT + lane] = ZERO
            work[NEAR + lane] = INF
        for date in range(kept):
            sample = samples + (date & DATES) * span
            for lane in range(LANES):
                square = ZERO
                for band in range(bands):
                    apart = work[sample + band * LANES + lane] - work[BANDS + band * LANES + lane]
                    square += apart * apart
                weight = ONE / np.sqrt(square)
                weight = weight if (square > work[TOLERANCE + lane]) & (square < FAR) else ZERO
                near = work[NEAR + lane]
                work[NEAR + lane] = square if square < near else near
                work[WEIGHT + lane] += weight
                for band in range(bands):
                    apart = work[sample + band * LANES + lane] - work[BANDS + band * LANES + lane]
                    work[BANDS + span + band * LANES + lane] += weight * apart

    return pull


@inlined
def _damping(work: Work, kept: int, lane: int, bands: int) -> np.float32:
    """Vardi and Zhang's share of the step when the iterate meets samples: 1 - (samples met) / |pull of the others|."""
    met, pull = ZERO, ZERO
    for date in range(kept):
        square = ZERO
        for band in range(bands):
            apart = work[BANDS + ((4 + date) * bands + band) * LANES + lane] - work[BANDS + band * LANES + lane]
            square += apart * apart
        met += ONE if square <= work[TOLERANCE + lane] else ZERO
    for band in range(bands):
        pull += work[BANDS + (bands + band) * LANES + lane] ** 2
    pull = np.sqrt(pull)
    return ONE - met / pull if pull > met else ZERO


@stage
def scale_pull(work: Work, kept: int, bands: int) -> None:
    """Set the share of the pull that makes a Weiszfeld step: 1 / (sum of weights), damped where samples are met."""
    for lane in range(LANES):
        weight = work[WEIGHT + lane]
        work[LENGTH + lane] = ONE / weight if weight > ZERO else ZERO
    for lane in range(LANES):
        if (work[NEAR + lane] <= work[TOLERANCE + lane]) & (work[MOVING + lane] > ZERO):
            work[LENGTH + lane] *= _damping(work, kept, lane, bands)


@inlined
def _secant(work: Work, lane: int, moving: np.float32, sums: Sums) -> np.float32:
    """Decide the share of the secant through the last two steps, and whether the lane has arrived."""
    pull, change, along, slope, bend = sums
    smooth = work[NEAR + lane] > work[TOLERANCE + lane]
    share = along / change
    # A step that does not go with the pull may climb: then take Weiszfeld's, which never does.
    good = smooth & (work[SMOOTH + lane] > ZERO) & (change > ZERO) & (pull - share * slope > ZERO)
    good &= (share < _BOLDEST) & (share > -_BOLDEST)
    share = share if good else (_FIRST if smooth & (work[GAIN + lane] == ZERO) else ZERO)
    step = pull - share * (TWO * slope - share * bend)
    gain, least, weight = work[GAIN + lane], work[LEAST + lane], work[WEIGHT + lane]
    near, nearest = work[NEAR + lane], work[NEAREST + lane]
    gain = gain if gain > ONE else ONE
    gain = step / pull if good & (step > gain * pull) else gain
    least = weight if (weight < least) & (weight > ZERO) else least
    # Near a sample its weight dwarfs the others and steps shrink though the way is long: measure by the least weight.
    rest = TWO * pull * (weight / least) * (weight / least)
    left = gain * (step if step > rest else rest)
    arrived = left < work[TOLERANCE + lane]
    # A secant says nothing of a valley that runs across it: be sure after two good ones in turn, or no pull at all.
    sure = (good & (work[SMOOTH + lane] > ONE)) | (pull < _VANISHING * work[TOLERANCE + lane])
    work[GAIN + lane], work[LEAST + lane] = gain, least
    work[SMOOTH + lane] = (TWO if arrived else ONE) if smooth else ZERO
    work[NEAREST + lane] = near if moving > ZERO else nearest
    work[MOVING + lane] = ZERO if arrived & sure else moving
    return share


def stepper(bands: int) -> Any:
    """Make the stage that moves every lane that still moves; gives the number that do."""
    span = bands * LANES
    median, pulls, last, move = (BANDS + part * span for part in range(4))

    @stage
    def step(work: Work) -> np.float32:
        left = ZERO
        for lane in range(LANES):
            scale, moving = work[LENGTH + lane], work[MOVING + lane]
            pull, change, along, slope, bend = ZERO, ZERO, ZERO, ZERO, ZERO
            for band in range(bands):
                to = work[pulls + band * LANES + lane] * scale
                by = to - work[last + band * LANES + lane]
                turn = work[move + band * LANES + lane] + by
                pull += to * to
                change += by * by
                along += to * by
                slope += to * turn
                bend += turn * turn
            share = _secant(work, lane, moving, (pull, change, along, slope, bend))
            for band in range(bands):
                to = work[pulls + band * LANES + lane] * scale
                turn = work[move + band * LANES + lane] + (to - work[last + band * LANES + lane])
                taken = to - share * turn if moving > ZERO else ZERO
                work[median + band * LANES + lane] += taken
                work[move + band * LANES + lane] = taken
                work[last + band * LANES + lane] = to
        for lane in range(LANES):
            left += work[MOVING + lane]
        return left

    return step
