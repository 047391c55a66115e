"""Series that grow: new pairs and dates enter a kept series, by solving anew or with the past as it was.

A kept series is a versioned cube: each append is one commit, all of it or nothing; a process that is killed leaves the
series as it was, and every former state can be opened. The record of a commit tells how it was made. Of a kept series
one process at a time makes the next state.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import (
    ConflictError,
    EmptyResultError,
    InputError,
    IntegrityError,
    MetadataError,
    NotFoundError,
)
from terracube.cubes.grid import YX, Grid
from terracube.cubes.gridlike import grid_like
from terracube.processing.deformation.cycles import REACH
from terracube.processing.deformation.incremental.frozen import solve_frozen
from terracube.processing.deformation.inversion import STATIC, invert_stack
from terracube.processing.deformation.network.network import Network, network_of, network_of_stack
from terracube.processing.deformation.outputs import facts_of, with_words
from terracube.processing.deformation.reference import (
    Reference,
    Statistic,
    apply_reference,
    known_statistic,
    to_reference,
)
from terracube.processing.deformation.reference_search import area_around
from terracube.processing.deformation.series import mended, noise_of, with_noise
from terracube.processing.deformation.stack import COHERENCE, COMPONENTS, PHASE, join_stacks

if TYPE_CHECKING:
    from terracube.cubes.storage.versioned import Snapshot, VersionedCube

_DATED = ("displacement", "std_network", "std_atmosphere")
_STATES = ("temporal_coherence", "residual_rms", "chi2", "n_pairs", "n_components")
_RECORD = "deformation"
_CHUNK = 256
# What the record of a commit may hold, with room for quotes.
_MOST_RECORD = 14 << 10
_MOST_TEXT = 1 << 20
_SHARED = ("wavelength", "looks")


@dataclass(frozen=True, slots=True)
class KeptSeries:
    """A series in a versioned cube, and what its newest state tells of itself."""

    cube: VersionedCube
    facts: Mapping[str, Any]
    """Attributes of the series: wavelength (m), looks, sign, reference, weights, ..."""
    network: Network
    """Of all pairs that entered it, without baselines."""
    reference: tuple[float, ...]
    """``(y, x)`` or ``(left, bottom, right, top)``, in the CRS of the cube; empty if none was applied."""
    statistic: Statistic = "mean"
    """Of the phases of the reference area."""

    @classmethod
    def open(cls, where: str | os.PathLike[str], **options: Any) -> KeptSeries:
        """Open a kept series.

        Parameters
        ----------
        where, **options
            As :meth:`terracube.cubes.VersionedCube.open`.

        Raises
        ------
        NotFoundError
            If there is no cube, or it holds no series.
        IntegrityError
            If its record cannot be read.
        """
        from terracube.cubes.storage.versioned import VersionedCube

        return cls.of(VersionedCube.open(where, **options))

    @classmethod
    def of(cls, cube: VersionedCube) -> KeptSeries:
        """Read what the newest state of a cube tells.

        Raises
        ------
        NotFoundError, IntegrityError
            As :meth:`open`.
        """
        states = cube.history(limit=1)
        told = states[0].attributes.get(_RECORD) if states else None
        if not isinstance(told, str):
            raise NotFoundError("the cube holds no series", where=repr(cube), expected="one that keep_series made")
        try:
            record = json.loads(told)
            network = _unpacked(record["pairs"])
            reference = tuple(float(value) for value in record["reference"])
            return cls(cube, dict(record["facts"]), network, reference, known_statistic(record["statistic"]))
        except (IndexError, KeyError, TypeError, ValueError, zlib.error) as error:
            raise IntegrityError(
                "the record of the series is damaged", where=repr(cube), got=repr(error)[:120]
            ) from error

    def dataset(self) -> xr.Dataset:
        """Give the newest state, lazily, as an inversion gives it.

        Maps such as the temporal coherence are of the last full solution of each pixel. The atmosphere's share of the
        deviation is that of the dates for which it was known.
        """
        found = self.cube.dataset()
        maps = [name for name in (*_STATES, *STATIC) if name in found]
        flat = {name: _newest(found[name]) for name in maps}
        return with_words(found.drop_vars(maps).assign(flat)).assign_attrs(self.facts)

    def history(self) -> list[Mapping[str, Any]]:
        """Tell how each state was made, newest first: ``how``, ``pairs_added``, ``dates_added``, ``network``..."""
        found: list[Mapping[str, Any]] = []
        for state in self.cube.history():
            told = state.attributes.get(_RECORD)
            if isinstance(told, str):
                found.append({"id": state.id, "time": state.time, **json.loads(told)["made"]})
        return found


def keep_series(
    series: xr.Dataset, stack: xr.Dataset, where: str | os.PathLike[str], *, chunks: int = _CHUNK, **options: Any
) -> KeptSeries:
    """Keep a series such that pairs can be added later.

    Parameters
    ----------
    series : Dataset
        As the inversion gives it, with a CRS; lazy or not.
    stack : Dataset
        The pairs that it was made of, with the reference that was applied to them.
    where : path or str
        A folder that does not exist yet or is empty, or ``s3://bucket/prefix``.
    chunks : int
        Pixels along each side of a block: what an append touches is counted in these.
    **options
        As :meth:`terracube.cubes.VersionedCube.create`.

    Raises
    ------
    ConflictError
        If the series is not of this stack, or something is kept there already.
    MetadataError
        If the series does not tell how to read it.
    """
    from terracube.cubes.storage.versioned import VersionedCube

    network, _ = network_of_stack(stack)
    facts = facts_of(series)
    if facts["network"] != network.digest:
        raise ConflictError(
            "the series is not of this stack", where="network", expected=str(facts["network"]), got=network.digest
        )
    if stack.attrs.get("reference", facts["reference"]) != facts["reference"]:
        raise ConflictError(
            "the stack has another reference than the series",
            where="reference",
            expected=str(facts["reference"]),
            got=str(stack.attrs.get("reference")),
        )
    place, statistic = _place_of(stack), str(stack.attrs.get("reference_statistic", "mean"))
    dated = _states_at_end(with_words(series))
    grid = grid_like(series)
    cube = VersionedCube.create(where, variables=dated, grid=grid, chunks=chunks, **options)
    made = {"how": "resolve", "pairs_added": len(network.pairs), "dates_added": len(network.times)}
    _commit(cube, dated, _record(facts, network, place, statistic, made), "series kept")
    return KeptSeries.of(cube)


def append(
    kept: KeptSeries,
    new: xr.Dataset,
    *,
    how: Literal["resolve", "frozen"] = "resolve",
    old: xr.Dataset | None = None,
    message: str = "",
) -> KeptSeries:
    """Add pairs to a kept series.

    Parameters
    ----------
    kept : KeptSeries
    new : Dataset
        Pairs that the series does not have yet, as :func:`~terracube.processing.deformation.stack.to_stack` gives them,
        on the pixels of the series or a part of them. The reference of the series is applied, unless the attribute
        ``reference`` says that this was done.
    how : "resolve" or "frozen"
        ``resolve``: all pairs, old and new, are solved anew, mended and with the noise of a named reference as the
        series was. ``frozen``: what is kept stays as it is to the bit; dates
        that are new follow from the pairs that join them with kept dates and with each other. Pairs between two kept
        dates are then not used, and maps such as the temporal coherence stay those of the last full solution.
    old : Dataset, optional
        The pairs that the series was made of, for ``resolve``; lazily, for then only the blocks in which a new pair has
        a phase are read, and the reference.
    message : str
        What a person reads in the history.

    Returns
    -------
    KeptSeries
        The new state.

    Raises
    ------
    InputError
        If a pair is in the series already, ``old`` is missing, or frozen finds no new date.
    MetadataError
        If wavelength or looks are others, or the new pairs lie on other pixels.
    ConflictError
        If ``old`` are not the pairs of the series, the reference is another one, or another process appended meanwhile.
    EmptyResultError
        If no new pair has a phase anywhere.

    Notes
    -----
    ``std_atmosphere`` of new dates is missing: ``atmosphere_std`` of the whole new series tells it.

    In ``frozen`` mode a new date is ``x = sum w (y + x_i) / sum w`` over its pairs with kept dates, or the least
    squares solution where new dates are joined too; kept dates are taken to err together.
    """
    if how not in ("resolve", "frozen"):
        raise InputError("unknown way to add pairs", where="how", expected="resolve, frozen", got=repr(how)[:60])
    network, fresh = _joined_network(kept, new)
    _check_same(kept, new)
    referenced = _referenced(kept, new, old if how == "resolve" else None)
    part = _touched(kept, referenced)
    if how == "frozen":
        series, used = solve_frozen(kept.cube.dataset(), referenced.isel(part), kept.facts)
    else:
        series, used = _solved_anew(kept, referenced, part, old), len(fresh.pairs)
    facts = {**kept.facts, "network": network.digest}
    dates = len(network.times) - len(kept.network.times)
    made = {"how": how, "pairs_added": len(fresh.pairs), "pairs_used": used, "dates_added": dates}
    dated = _states_at_end(series)
    begun = kept.cube.history(limit=1)[0].id
    record = _record(facts, network, kept.reference, kept.statistic, made)
    state = _commit(kept.cube, _with_all(dated, kept.cube), record, message or f"{len(fresh.pairs)} pairs, {how}")
    _check_alone(kept.cube, begun, state)
    return KeptSeries.of(kept.cube)


def _joined_network(kept: KeptSeries, new: xr.Dataset) -> tuple[Network, Network]:
    """Give the network of old and new pairs, and that of the new ones; pairs that come twice are refused."""
    fresh, _ = network_of_stack(new)
    ends = np.concatenate([net.times[net.pairs] for net in (kept.network, fresh)])
    return network_of(ends)[0], fresh


def _check_same(kept: KeptSeries, new: xr.Dataset) -> None:
    for name in _SHARED:
        one, other = (
            math.nan if value is None else float(value) for value in (kept.facts.get(name), new.attrs.get(name))
        )
        if not (math.isclose(one, other, rel_tol=1e-6) or (math.isnan(one) and math.isnan(other))):
            raise MetadataError(f"the new pairs differ in {name}", where=name, expected=str(one), got=str(other))


def _usable(stack: xr.Dataset) -> xr.DataArray:
    """Tell which pixels have a phase, a coherence and a component in every pair, as the search asks, (y, x)."""
    there = stack[PHASE].notnull()
    if COHERENCE in stack:
        there = there & stack[COHERENCE].notnull()
    if COMPONENTS in stack:
        there = there & (stack[COMPONENTS] > 0)
    return there.all("pair")


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


def _referenced(kept: KeptSeries, stack: xr.Dataset, other: xr.Dataset | None = None) -> xr.Dataset:
    """Apply the reference of the series, where that was not done."""
    told, ours = stack.attrs.get("reference"), kept.facts.get("reference")
    if told is None and kept.reference and str(ours).startswith("auto"):
        return _referenced_as_found(kept, stack, other)
    if told is None:
        return apply_reference(stack, kept.reference or None, statistic=kept.statistic)
    if told != ours or not np.array_equal(_place_of(stack), kept.reference):
        raise ConflictError(
            "the pairs have another reference",
            where="reference",
            expected=f"{ours} {kept.reference}",
            got=f"{told} {_place_of(stack)}",
            todo="give them as they were delivered",
        )
    return stack


def _touched(kept: KeptSeries, new: xr.Dataset) -> dict[str, slice]:
    """Find the rows and columns of new pairs that lie in blocks of the cube where one of them has a phase."""
    window, whole = grid_like(new), kept.cube.grid
    if window.crs != whole.crs or not _same_pixels(window, whole):
        raise MetadataError(
            "the new pairs lie on other pixels than the series",
            where="y, x",
            expected=str(whole.as_dict())[:300],
            got=str(window.as_dict())[:300],
            todo="load them on the grid of the series: grid=kept.cube.grid",
        )
    seen = new[PHASE].notnull().any("pair")
    axes = xr.Dataset({"y": seen.any("x"), "x": seen.any("y")}).compute()
    found = {}
    for axis, name in enumerate(("y", "x")):
        where = np.flatnonzero(axes[name].values)
        if not where.size:
            raise EmptyResultError("no new pair has a phase anywhere", where="append")
        start = window.offset[axis] - whole.offset[axis]
        first, last = (start + int(where[0])) // kept.cube.chunk, (start + int(where[-1])) // kept.cube.chunk
        low, high = first * kept.cube.chunk - start, (last + 1) * kept.cube.chunk - start
        found[name] = slice(max(0, low), min(window.shape[axis], high))
    return found


def _same_pixels(window: Grid, whole: Grid) -> bool:
    if (
        window.resolution != whole.resolution
        or max(abs(a - b) for a, b in zip(window.phase, whole.phase, strict=True)) > 1e-4
    ):
        return False
    start = YX(window.offset.y - whole.offset.y, window.offset.x - whole.offset.x)
    return min(start) >= 0 and all(start[k] + window.shape[k] <= whole.shape[k] for k in (0, 1))


def _solved_anew(kept: KeptSeries, new: xr.Dataset, part: dict[str, slice], old: xr.Dataset | None) -> xr.Dataset:
    if old is None:
        raise InputError("the old pairs are needed to solve anew", where="old", todo="give them, or how='frozen'")
    digest = network_of_stack(old)[0].digest
    if digest != kept.network.digest:
        raise ConflictError(
            "these are not the pairs of the series", where="old", expected=kept.network.digest, got=digest
        )
    _check_same(kept, old)
    weights = kept.facts.get("weights")
    if weights == "given":
        raise InputError("the series was solved with given weights", where="weights", expected="weights by name")
    before = _referenced(kept, old, new)
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
    if window.crs != whole.crs or not _same_pixels(window, whole):
        raise MetadataError(
            "the old pairs do not hold the pixels of the new ones",
            where="old",
            expected=str(window.as_dict())[:300],
            got=str(whole.as_dict())[:300],
        )
    y, x = (window.offset[k] - whole.offset[k] for k in (0, 1))
    return stack.isel(y=slice(y, y + window.shape.y), x=slice(x, x + window.shape.x))


def _states_at_end(series: xr.Dataset) -> xr.Dataset:
    """Put maps at the last date, so that one commit takes them with the dates."""
    last = series["time"].values[-1:]
    found = {name: series[name].astype("float32") for name in _DATED if name in series}
    for name in (*_STATES, *STATIC):
        if name in series and set(series[name].dims) == {"y", "x"}:
            values = series[name].astype("float32").expand_dims(time=last)
            found[name] = values.reindex(time=series["time"].values).transpose("time", "y", "x")
    placed = {name: series.coords[name] for name in ("y", "x", "spatial_ref") if name in series.coords}
    return xr.Dataset(found).assign_coords(placed)


def _with_all(dated: xr.Dataset, cube: VersionedCube) -> xr.Dataset:
    """Add the variables that the cube has beside, without values."""
    lacking = [name for name in cube.variables if name not in dated]
    empty = xr.full_like(dated["displacement"], np.nan)
    units = {name: {"units": cube.variables[name].units} for name in lacking}
    found = dated.assign({name: empty.copy(deep=False) for name in lacking})[list(cube.variables)]
    for name, told in units.items():
        found[name].attrs = told
    return found


def _newest(values: xr.DataArray) -> xr.DataArray:
    """Give the last value of each pixel that there is."""
    lazy = values.chunk(time=-1) if values.chunks is not None else values
    found: xr.DataArray = xr.apply_ufunc(
        _last, lazy, input_core_dims=[["time"]], dask="parallelized", output_dtypes=[values.dtype], keep_attrs=True
    )
    return found


def _last(values: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.full(values.shape[:-1], np.nan, values.dtype)
    for time in range(values.shape[-1]):
        layer = values[..., time]
        np.copyto(found, layer, where=~np.isnan(layer))
    return found


def _place_of(stack: xr.Dataset) -> tuple[float, ...]:
    """Give the reference of a stack as numbers, to be applied again."""
    given = stack.attrs.get("reference_place")
    if given is not None:
        return tuple(float(value) for value in np.atleast_1d(given))
    if "reference_y" not in stack:
        return ()
    place = stack[["reference_y", "reference_x"]].compute()
    return area_around(grid_like(stack), float(place["reference_y"]), float(place["reference_x"]))


def _record(
    facts: Mapping[str, Any], network: Network, reference: tuple[float, ...], statistic: str, made: Mapping[str, Any]
) -> dict[str, Any]:
    told = {**made, "network": network.digest}
    place = {"reference": list(reference), "statistic": statistic}
    whole = {"facts": dict(facts), "pairs": _packed(network), "made": told, **place}
    text = json.dumps(whole, sort_keys=True)
    if len(text) > _MOST_RECORD:
        raise InputError(
            "too many pairs for the record of a state",
            expected=f"<= {_MOST_RECORD} characters",
            got=f"{len(text)}, {len(network.pairs)} pairs",
            todo="leave out pairs, or write the series with write_series",
        )
    return {_RECORD: text}


def _packed(network: Network) -> list[str]:
    """Write dates and pairs as text in which nothing looks like an address: records of commits are cleared of those.

    Differences of neighbours are small and often alike, so that thousands of pairs become a few hundred characters.
    """
    steps = np.diff(network.times.astype("int64"), prepend=0)
    turns = np.diff(network.pairs[:, 0], prepend=0)
    lengths = network.pairs[:, 1] - network.pairs[:, 0]
    return [zlib.compress(each.astype("<i8").tobytes(), 9).hex() for each in (steps, turns, lengths)]


def _unpacked(packed: list[str]) -> Network:
    steps, turns, lengths = (np.frombuffer(_inflated(text), "<i8") for text in packed)
    first = np.cumsum(turns)
    times = np.cumsum(steps).astype("datetime64[ns]")
    return network_of(times[np.stack([first, first + lengths], axis=1)])[0]


def _inflated(text: str) -> bytes:
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(bytes.fromhex(text), _MOST_TEXT)
    if unpacker.unconsumed_tail:
        raise ValueError("the list of pairs is too long")
    return found


def _commit(cube: VersionedCube, dated: xr.Dataset, record: Mapping[str, Any], message: str) -> Snapshot:
    return cube.append(dated.assign_attrs(record), message=message)


def _check_alone(cube: VersionedCube, begun: str, state: Snapshot) -> None:
    before = [one.id for one in cube.history(limit=2)]
    if before[0] != state.id or (state.id != begun and before[1] != begun):
        raise ConflictError(
            "another process appended to the series meanwhile",
            where=repr(cube),
            expected=f"the state after {begun}",
            got=", ".join(before),
            todo="open the state that was before both, and append one after the other",
        )
