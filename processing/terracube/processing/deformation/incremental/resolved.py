"""All pairs of a kept series, old and new, solved as the series was solved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from terracube.core.errors import (
    ConflictError,
    InputError,
    MetadataError,
)
from terracube.cubes.grid import YX, Grid
from terracube.cubes.gridlike import grid_like
from terracube.processing.deformation.cycles import REACH
from terracube.processing.deformation.inversion import invert_stack
from terracube.processing.deformation.network.network import network_of_stack
from terracube.processing.deformation.reference import (
    Reference,
    apply_reference,
    to_reference,
)
from terracube.processing.deformation.series import mended, noise_of, with_noise
from terracube.processing.deformation.stack import COHERENCE, COMPONENTS, PHASE, join_stacks

if TYPE_CHECKING:
    pass

from terracube.processing.deformation.incremental.kept import KeptSeries, place_of

_SHARED = ("wavelength", "looks")


def solved_anew(kept: KeptSeries, new: xr.Dataset, part: dict[str, slice], old: xr.Dataset | None) -> xr.Dataset:
    """Solve the blocks that new pairs touch from all pairs.

    Raises
    ------
    InputError, ConflictError
        If the old pairs are missing, others, or the series was solved with weights that were given.
    """
    if old is None:
        raise InputError("the old pairs are needed to solve anew", where="old", todo="give them, or how='frozen'")
    digest = network_of_stack(old)[0].digest
    if digest != kept.network.digest:
        raise ConflictError(
            "these are not the pairs of the series", where="old", expected=kept.network.digest, got=digest
        )
    check_same(kept, old)
    weights = kept.facts.get("weights")
    if weights == "given":
        raise InputError("the series was solved with given weights", where="weights", expected="weights by name")
    before = referenced(kept, old, new)
    margin = REACH if kept.facts.get("repair") == "neighbours" else 0
    wide, inner = _widened(part, new, margin)
    piece = new.isel(wide)
    series = _inverted(kept, _cut(before, grid_like(piece)), piece, inner)
    if not kept.facts.get("reference_noise"):
        return series
    place = to_reference(before, kept.reference)
    if not isinstance(place, Reference):
        return series
    area = {"y": slice(*place.rows), "x": slice(*place.cols)}
    return _with_noise(series, _inverted(kept, *_around(before, new, area, margin)))


def referenced(kept: KeptSeries, stack: xr.Dataset, other: xr.Dataset | None = None) -> xr.Dataset:
    """Apply the reference of the series, where that was not done."""
    told, ours = stack.attrs.get("reference"), kept.facts.get("reference")
    if told is None and kept.reference and str(ours).startswith("auto"):
        return _referenced_as_found(kept, stack, other)
    if told is None:
        return apply_reference(stack, kept.reference or None, statistic=kept.statistic)
    if told != ours or not np.array_equal(place_of(stack), kept.reference):
        raise ConflictError(
            "the pairs have another reference",
            where="reference",
            expected=f"{ours} {kept.reference}",
            got=f"{told} {place_of(stack)}",
            todo="give them as they were delivered",
        )
    return stack


def _referenced_as_found(kept: KeptSeries, stack: xr.Dataset, other: xr.Dataset | None) -> xr.Dataset:
    """Apply an area that was found: over pixels that the search would take, of old and new pairs alike."""
    usable = _usable(stack)
    if other is not None and all(np.array_equal(stack[axis].values, other[axis].values) for axis in ("y", "x")):
        usable = usable & _usable(other).assign_coords(usable.coords)
    seen = stack.assign({PHASE: stack[PHASE].where(usable)})
    found = apply_reference(seen, kept.reference, statistic=kept.statistic)
    taken = found["reference_phase"]
    phase = (stack[PHASE].astype("float64") - taken).astype("float32").transpose(*stack[PHASE].dims)
    return found.assign({PHASE: phase.assign_attrs(stack[PHASE].attrs)})


def _usable(stack: xr.Dataset) -> xr.DataArray:
    """Tell which pixels have a phase, a coherence and a component in every pair, as the search asks, (y, x)."""
    there = stack[PHASE].notnull()
    if COHERENCE in stack:
        there = there & stack[COHERENCE].notnull()
    if COMPONENTS in stack:
        there = there & (stack[COMPONENTS] > 0)
    return there.all("pair")


def _widened(part: Mapping[str, slice], of: xr.Dataset, margin: int) -> tuple[dict[str, slice], dict[str, slice]]:
    """Widen a part as far as there are pixels; and where it lies in what is wider."""
    wide = {
        name: slice(max(0, cut.start - margin), min(of.sizes[name], cut.stop + margin)) for name, cut in part.items()
    }
    inner = {name: slice(cut.start - wide[name].start, cut.stop - wide[name].start) for name, cut in part.items()}
    return wide, inner


def _around(
    before: xr.Dataset, new: xr.Dataset, area: Mapping[str, slice], margin: int
) -> tuple[xr.Dataset, xr.Dataset, dict[str, slice]]:
    """Take the pixels of the reference of old and new pairs; missing where the new ones do not reach."""
    wide, inner = _widened(area, before, margin)
    cut = before.isel(wide)
    apart = {axis: min(abs(size) for size in grid_like(before).resolution) / 2 for axis in ("y", "x")}
    found = {axis: new.get_index(axis).get_indexer(cut.get_index(axis), method="nearest", tolerance=apart[axis])
             for axis in apart}  # fmt: skip
    there = [xr.DataArray(found[axis] >= 0, dims=axis) for axis in ("y", "x")]
    piece = new.isel({axis: np.maximum(found[axis], 0) for axis in apart})
    piece = piece.assign({PHASE: piece[PHASE].where(there[0] & there[1])})
    return cut, piece.assign_coords({axis: cut[axis] for axis in apart}), inner


def _inverted(kept: KeptSeries, before: xr.Dataset, new: xr.Dataset, inner: Mapping[str, slice]) -> xr.Dataset:
    """Solve old and new pairs of the same pixels as the series was solved; only those inside are given."""
    weights = kept.facts.get("weights")
    both = join_stacks([_bare(before), _bare(new)]).assign_attrs(reference=kept.facts["reference"])
    return invert_stack(
        mended(both, kept.facts.get("repair", "none")).isel(inner),
        weights=None if weights == "none" else weights,
        robust=bool(kept.facts.get("robust", 0)),
        disconnected=kept.facts.get("disconnected", "nan"),
        reference_date=np.datetime64(str(kept.facts["reference_date"])),
    )


def _with_noise(series: xr.Dataset, area: xr.Dataset) -> xr.Dataset:
    """Add the noise of a reference that was named, as it was added to the kept series."""
    return series.assign(std_network=with_noise(series["std_network"], noise_of(area["std_network"])))


def _bare(stack: xr.Dataset) -> xr.Dataset:
    """Leave out what was found of the reference, which is of these pairs alone."""
    return stack.drop_vars([name for name in map(str, stack.data_vars) if name.startswith("reference_")])


def _cut(stack: xr.Dataset, window: Grid) -> xr.Dataset:
    """Take the pixels of a grid out of a stack that holds them."""
    whole = grid_like(stack)
    if window.crs != whole.crs or not same_pixels(window, whole):
        raise MetadataError(
            "the old pairs do not hold the pixels of the new ones",
            where="old",
            expected=str(window.as_dict())[:300],
            got=str(whole.as_dict())[:300],
        )
    y, x = (window.offset[k] - whole.offset[k] for k in (0, 1))
    return stack.isel(y=slice(y, y + window.shape.y), x=slice(x, x + window.shape.x))


def same_pixels(window: Grid, whole: Grid) -> bool:
    """Tell whether a grid is a part of another."""
    if (
        window.resolution != whole.resolution
        or max(abs(a - b) for a, b in zip(window.phase, whole.phase, strict=True)) > 1e-4
    ):
        return False
    start = YX(window.offset.y - whole.offset.y, window.offset.x - whole.offset.x)
    return min(start) >= 0 and all(start[k] + window.shape[k] <= whole.shape[k] for k in (0, 1))


def check_same(kept: KeptSeries, new: xr.Dataset) -> None:
    """Refuse pairs of another wavelength, or other looks, than the series.

    Raises
    ------
    MetadataError
    """
    for name in _SHARED:
        one, other = (
            math.nan if value is None else float(value) for value in (kept.facts.get(name), new.attrs.get(name))
        )
        if not (math.isclose(one, other, rel_tol=1e-6) or (math.isnan(one) and math.isnan(other))):
            raise MetadataError(f"the new pairs differ in {name}", where=name, expected=str(one), got=str(other))
