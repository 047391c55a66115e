"""A kept series: a versioned cube, and what its newest state tells of itself."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import (
    ConflictError,
    InputError,
    IntegrityError,
    NotFoundError,
)
from terracube.cubes.gridlike import grid_like
from terracube.processing.deformation.inversion import STATIC
from terracube.processing.deformation.network.network import Network, network_of, network_of_stack
from terracube.processing.deformation.outputs import facts_of, with_words
from terracube.processing.deformation.reference import (
    Statistic,
    known_statistic,
)
from terracube.processing.deformation.reference.search import area_around

if TYPE_CHECKING:
    from terracube.cubes.storage.versioned import Snapshot, VersionedCube

_DATED = ("displacement", "std_network", "std_atmosphere")
_STATES = ("temporal_coherence", "residual_rms", "chi2", "n_pairs", "n_components")
_RECORD = "deformation"
_CHUNK = 256
# What the record of a commit may hold, with room for quotes.
_MOST_RECORD = 14 << 10
_MOST_TEXT = 1 << 20


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
    place, statistic = place_of(stack), str(stack.attrs.get("reference_statistic", "mean"))
    dated = states_at_end(with_words(series))
    grid = grid_like(series)
    cube = VersionedCube.create(where, variables=dated, grid=grid, chunks=chunks, **options)
    made = {"how": "resolve", "pairs_added": len(network.pairs), "dates_added": len(network.times)}
    commit(cube, dated, record_of(facts, network, place, statistic, made), "series kept")
    return KeptSeries.of(cube)


def states_at_end(series: xr.Dataset) -> xr.Dataset:
    """Put maps at the last date, so that one commit takes them with the dates."""
    last = series["time"].values[-1:]
    found = {name: series[name].astype("float32") for name in _DATED if name in series}
    for name in (*_STATES, *STATIC):
        if name in series and set(series[name].dims) == {"y", "x"}:
            values = series[name].astype("float32").expand_dims(time=last)
            found[name] = values.reindex(time=series["time"].values).transpose("time", "y", "x")
    placed = {name: series.coords[name] for name in ("y", "x", "spatial_ref") if name in series.coords}
    return xr.Dataset(found).assign_coords(placed)


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


def place_of(stack: xr.Dataset) -> tuple[float, ...]:
    """Give the reference of a stack as numbers, to be applied again."""
    given = stack.attrs.get("reference_place")
    if given is not None:
        return tuple(float(value) for value in np.atleast_1d(given))
    if "reference_y" not in stack:
        return ()
    place = stack[["reference_y", "reference_x"]].compute()
    return area_around(grid_like(stack), float(place["reference_y"]), float(place["reference_x"]))


def record_of(
    facts: Mapping[str, Any], network: Network, reference: tuple[float, ...], statistic: str, made: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the record of a state, bounded.

    Raises
    ------
    InputError
        If there are too many pairs to tell.
    """
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


def commit(cube: VersionedCube, dated: xr.Dataset, record: Mapping[str, Any], message: str) -> Snapshot:
    """Make one state of a cube, with its record."""
    return cube.append(dated.assign_attrs(record), message=message)
