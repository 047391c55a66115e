"""The one door for stacks of interferograms: any dataset of pairs is looked at from all sides, and made canonical."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.gridlike import grid_like
from terracube.cubes.pairs import SIGN, load_pairs
from terracube.processing.deformation.network.network import network_of_stack
from terracube.processing.deformation.stack.canonical import COHERENCE, COMPONENTS, PHASE, canonical_layers, factor_of

__all__ = [
    "COHERENCE",
    "COMPONENTS",
    "LINE_OF_SIGHT",
    "PHASE",
    "StackWarning",
    "has_place",
    "join_stacks",
    "open_stack",
    "to_stack",
]

LINE_OF_SIGHT = ("los_east", "los_north", "los_up")
"""Unit vector from the ground to the satellite."""
_LAYERS = (PHASE, COHERENCE, COMPONENTS)
_STILL = (*LINE_OF_SIGHT, "dem", "incidence_angle")
_DIMS = ("pair", "y", "x")
# Of imaging radars: from Ka band, 8 mm, to P band, 70 cm. Centimetres taken for metres lie outside.
_WAVELENGTHS = (0.005, 1.2)
_MOST_LOOKS = 1e6
_SAME = 1e-6
_TRACK = ("relative_orbit", "orbit_state")
_BLOCK_BYTES = 64 << 20
_SIDES = (512, 256, 128, 64)


class StackWarning(UserWarning):
    """A stack that can be used, but tells less than one may expect."""


def open_stack(items: Iterable[Any], bands: Sequence[str] | None = None, **options: Any) -> xr.Dataset:
    """Open a collection of ingested interferograms as a stack, lazily.

    Parameters
    ----------
    items : iterable
        Items of pairs of one wavelength, one track and one grid (unless ``grid`` or ``resolution`` names the pixels);
        items of its geometry may be among them, and are then loaded too.
    bands : sequence of str, optional
        Layers of the pairs; by default the phase, and coherence and connected components where all pairs have them.
    **options
        As :func:`terracube.cubes.load_pairs`; ``static`` names layers (y, x), by default the line of sight, heights and
        incidence angle where the items have them.

    Returns
    -------
    xarray.Dataset
        As :func:`to_stack`.

    Raises
    ------
    TerraCubeError
        As :func:`terracube.cubes.load_pairs` and :func:`to_stack`.
    """
    from terracube.cubes.items.view import to_items

    views = list(to_items(items))
    pairs = [view for view in views if view.properties.get("terracube:insar") != "geometry"]
    if bands is None:
        bands = [name for name in _LAYERS if name == PHASE or (pairs and all(name in view.assets for view in pairs))]
    if "static" not in options:
        known = {name for view in (*(view for view in views if view not in pairs), *pairs[:1]) for name in view.assets}
        options["static"] = [name for name in _STILL if name in known]
    side = next((side for side in _SIDES if len(pairs) * side**2 * 8 <= _BLOCK_BYTES), _SIDES[-1])
    options.setdefault("chunks", {"y": side, "x": side})
    return to_stack(load_pairs(views, bands=bands, **options))


def to_stack(
    dataset: xr.Dataset | Iterable[xr.Dataset],
    *,
    units: str | None = None,
    sign: str | None = None,
    wavelength: float | None = None,
    looks: float | None = None,
    nodata: float | None = None,
) -> xr.Dataset:
    """Make any dataset of pairs a stack, or say what it lacks; nothing is guessed.

    Parameters
    ----------
    dataset : Dataset, or several
        ``unwrapped_phase`` (pair, y, x), and where there are any ``coherence`` (0 to 1), ``connected_components``
        (0 = none), ``los_east``, ``los_north``, ``los_up``, ``dem``, ``incidence_angle`` (y, x); coordinates
        ``reference_time``, ``secondary_time`` and, where known, ``perpendicular_baseline`` (m) along ``pair``. In
        memory or lazy, and so is what comes out. Several are joined as :func:`join_stacks` does.
    units : str, optional
        Of the phase, if its attribute ``units`` does not tell: ``rad``, ``cycle``, ``m`` or ``mm``. A dataset whose
        ``phase_sign`` is the sentence of :data:`terracube.cubes.pairs.SIGN` is in radians if nothing else is said.
    sign : "range_increase" or "range_decrease", optional
        What a growing number means, if the attribute ``phase_sign`` does not tell. Metres need one of these words.
    wavelength : float, optional
        m, if the attribute (or the coordinate along pair) does not tell.
    looks : float, optional
        Equivalent number of looks, if the attribute does not tell and it is known.
    nodata : float, optional
        A number that stands for missing phase, 0 with some producers; so do ``nodata``, ``_FillValue`` and
        ``missing_value`` in the attributes of a variable. Otherwise zero is a phase. Infinite numbers are missing.
        Numbers of layers whose attributes have ``scale_factor`` or ``add_offset`` are unpacked; nodata is told of the
        stored ones.

    Returns
    -------
    xarray.Dataset
        Pairs ordered by reference and secondary date, whole in each block; rows from north to south; phases in float32
        radians that grow with the distance; NaN is missing.

    Raises
    ------
    InputError
        If the dates of a pair are equal or reversed, a pair comes twice, or a layer has other dimensions. If a
        coherence is not in 0 to 1: when it is computed, of lazy stacks.
    MetadataError
        If unit, sign, wavelength or a date is missing or contradictory, the pairs are of several wavelengths or
        tracks, or an attribute that tells how a layer is stored is no number.

    Warns
    -----
    StackWarning
        If there is only one pair: a series of two dates without any redundancy.
    """
    if not isinstance(dataset, xr.Dataset):
        door = partial(to_stack, units=units, sign=sign, wavelength=wavelength, looks=looks, nodata=nodata)
        return join_stacks([door(part) for part in dataset])
    _check_dimensions(dataset)
    dataset = dataset.unify_chunks()
    _, order = network_of_stack(dataset)
    if len(order) == 1:
        warnings.warn("the stack has one pair: nothing checks it, and no error is known", StackWarning, stacklevel=2)
    turned = order.tolist() != list(range(len(order)))
    sorted_ = _southward(dataset.isel(pair=order) if turned else dataset)
    length = _wavelength(sorted_, wavelength)
    factor = factor_of(sorted_, units, sign, length)
    found = sorted_.assign(canonical_layers(sorted_, factor, nodata))
    if found.chunks:
        found = found.chunk({"pair": -1})
    attributes = {"wavelength": length, "phase_sign": SIGN, **_looks(sorted_, looks)}
    return found.assign_coords(_coordinates(found)).assign_attrs(attributes)


def join_stacks(stacks: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join stacks of the same pixels into one, such as a kept one and its new pairs.

    Parameters
    ----------
    stacks : sequence of Dataset
        Each as :func:`to_stack` gives it. Layers (y, x) are those of the first; layers of pairs that not all have are
        left out.

    Raises
    ------
    InputError
        If there is none, or a pair comes twice.
    MetadataError
        If wavelengths, tracks, looks or grids differ.
    """
    if not stacks:
        raise InputError("there is no stack to join", expected="one or more", got="none")
    first = stacks[0]
    for other in stacks[1:]:
        _check_joins(first, other)
    names = [name for name in _LAYERS if all(name in stack for stack in stacks)]
    parts = [
        stack[names].drop_vars(["y", "x", "spatial_ref"], errors="ignore").reset_coords(
            [str(name) for name, values in stack.coords.items() if not values.dims and name != "spatial_ref"], drop=True
        )
        for stack in stacks
    ]  # fmt: skip
    joined = xr.concat(parts, dim="pair", data_vars="minimal", coords="minimal", compat="override", join="exact")
    still = {str(name): values for name, values in first.data_vars.items() if "pair" not in values.dims}
    placed = {name: first.coords[name] for name in ("y", "x", "spatial_ref") if name in first.coords}
    return to_stack(joined.assign(still).assign_coords(placed).assign_attrs(first.attrs))


def _check_dimensions(dataset: xr.Dataset) -> None:
    if PHASE not in dataset:
        raise InputError("the stack has no phase", expected=PHASE, got=", ".join(map(str, dataset.data_vars)) or "none")
    for name, values in dataset.data_vars.items():
        expected = _DIMS if name in _LAYERS else _DIMS[1:] if name in _STILL else None
        if expected is not None and values.dims != expected:
            raise InputError(
                "a layer has other dimensions", where=str(name), expected=str(expected), got=str(values.dims)
            )
        if expected is not None and values.dtype.kind not in "iufb":
            raise InputError("a layer holds no numbers", where=str(name), expected="float32", got=str(values.dtype))
    if not min(dataset.sizes[name] for name in _DIMS):
        raise InputError("the stack is empty", expected="a pair and a pixel or more", got=str(dict(dataset.sizes)))


def _southward(dataset: xr.Dataset) -> xr.Dataset:
    if "y" not in dataset.coords or dataset.sizes["y"] < 2 or dataset["y"].values[0] > dataset["y"].values[-1]:
        return dataset
    # Rows of a stack without a CRS are counted downwards.
    return dataset.isel(y=slice(None, None, -1)) if has_place(dataset) else dataset


def has_place(dataset: xr.Dataset) -> bool:
    """Tell whether a dataset has a CRS and coordinates; without, its pixels are counted from its corner."""
    if not {"y", "x"} <= set(dataset.coords):
        return False
    try:
        grid_like(dataset)
    except MetadataError:
        return False
    return True


def _shared(dataset: xr.Dataset, name: str) -> Any:
    """Give what an attribute or a coordinate along pair tells of the whole stack; ``None`` if nothing does."""
    told = dataset.attrs.get(name)
    if name not in dataset.coords:
        return told
    known = np.unique(np.atleast_1d(dataset.coords[name].values))
    numbers = known.dtype.kind == "f"
    if len(known) > 1 and not (numbers and np.ptp(known) <= _SAME * abs(known[0])):
        raise MetadataError(
            f"the pairs are of several values of {name}",
            where=name,
            expected="one for all pairs",
            got=", ".join(map(str, known[:5])),
            todo="make each stack by itself",
        )
    found = known[0].item()
    if told is not None and not (_alike(told, found) if numbers else told == found):
        raise MetadataError("coordinate and attribute differ", where=name, expected=str(told), got=str(found))
    return found


def _alike(told: Any, found: float) -> bool:
    return isinstance(told, int | float | np.number) and math.isclose(float(told), found, rel_tol=_SAME)


def _wavelength(dataset: xr.Dataset, given: float | None) -> float:
    for name in _TRACK:
        _shared(dataset, name)
    told = _shared(dataset, "wavelength")
    if told is None and given is None:
        raise MetadataError("the wavelength is not told", expected="attrs['wavelength'], m", todo="wavelength=0.0555")
    try:
        one, other = (None if value is None else float(value) for value in (told, given))
    except (TypeError, ValueError) as error:
        raise MetadataError("the wavelength is no number", where="wavelength", got=repr(told)[:60]) from error
    if one is not None and other is not None and not math.isclose(one, other, rel_tol=_SAME):
        raise MetadataError(
            "the dataset tells another wavelength", where="wavelength", expected=f"{one}", got=f"{other}"
        )
    found = float(one if one is not None else other if other is not None else math.nan)
    if not _WAVELENGTHS[0] <= found <= _WAVELENGTHS[1]:
        raise MetadataError(
            "the wavelength is not that of an imaging radar",
            where="wavelength",
            expected=f"{_WAVELENGTHS[0]} to {_WAVELENGTHS[1]} m",
            got=str(found),
        )
    return found


def _looks(dataset: xr.Dataset, given: float | None) -> dict[str, float]:
    told = [value for value in (dataset.attrs.get("looks"), given) if value is not None]
    for value in told:
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not number or not 1 <= value <= _MOST_LOOKS:
            raise MetadataError("unusable number of looks", where="looks", expected="1 or more", got=repr(value)[:60])
    if len(told) > 1 and not _alike(told[0], float(told[1])):
        raise MetadataError(
            "the dataset tells another number of looks", where="looks", expected=str(told[0]), got=str(told[1])
        )
    return {"looks": float(told[0])} if told else {}


def _coordinates(dataset: xr.Dataset) -> dict[str, Any]:
    names = [
        f"{_day(one)}_{_day(other)}"
        for one, other in zip(dataset["reference_time"].values, dataset["secondary_time"].values, strict=True)
    ]
    found: dict[str, Any] = {
        name: ("pair", dataset[name].values.astype("datetime64[ns]"))
        for name in ("reference_time", "secondary_time")
    }  # fmt: skip
    if len(set(names)) == len(names):
        found["pair"] = names
    if "perpendicular_baseline" in dataset.coords:
        baselines = np.asarray(dataset["perpendicular_baseline"].values, "float64")
        found["perpendicular_baseline"] = ("pair", baselines, {"units": "m"})
    return found


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[D]")).replace("-", "")


def _check_joins(first: xr.Dataset, other: xr.Dataset) -> None:
    for name in ("wavelength", "looks", *_TRACK):
        one, two = first.attrs.get(name), other.attrs.get(name)
        same = (
            math.isclose(one, two, rel_tol=_SAME) if isinstance(one, float) and isinstance(two, float) else one == two
        )
        if not same:
            raise MetadataError(
                f"the stacks differ in {name}", where=name, expected=str(one), got=str(two), todo="keep them apart"
            )
    shapes = [tuple(stack.sizes[axis] for axis in ("y", "x")) for stack in (first, other)]
    places = [grid_like(stack).as_dict() if has_place(stack) else {} for stack in (first, other)]
    if shapes[0] != shapes[1] or places[0] != places[1]:
        raise MetadataError(
            "the stacks lie on different pixels",
            where="y, x",
            expected=f"{shapes[0]} {places[0]}"[:300],
            got=f"{shapes[1]} {places[1]}"[:300],
            todo="load both on one grid",
        )
