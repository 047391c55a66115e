"""From two radar images that lie on each other to an interferogram of several looks, and its coherence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.pairs import SIGN
from terracube.processing.deformation.slc._arrays import Plane, check_alike, cut_alike, each_pair, is_lazy, to_plane
from terracube.processing.deformation.slc.bias import unbiased_coherence

_LAYERS = ("reference_power", "secondary_power", "samples")
_TOLD = ("looks_azimuth", "looks_range", "independence")
_MOST_LOOKS = 4096
_MOST_WINDOW = 101


@dataclass(frozen=True, slots=True)
class _Forming:
    """How an interferogram is formed.

    Parameters
    ----------
    looks : pair of int
        Samples per cell along y and x.
    nodata : complex or None
        The sample that means missing, besides what is not finite.
    conjugate : bool
        Whether the secondary image comes first, for images whose phase grows with the distance.
    """

    looks: tuple[int, int]
    nodata: complex | None
    conjugate: bool

    def __call__(self, reference: Any, secondary: Any, flat: Any = None) -> NDArray[np.float32]:
        """Average the cells that are whole: (5, y, x), as the kernel gives them, missing below half of the samples."""
        from terracube.processing.kernels.multilook import cells

        one, two = (self._samples(image) for image in (reference, secondary))
        removed = np.zeros((0, 0)) if flat is None else np.ascontiguousarray(flat, np.float64)
        if self.conjugate:
            one, two = one.conj(), two.conj()
        out = np.empty((5, *(size // step for size, step in zip(one.shape, self.looks, strict=True))), np.float32)
        cells(one, two, removed, self.looks, out)
        out[:4, out[4] * 2 < self.looks[0] * self.looks[1]] = np.nan
        return out

    def _samples(self, image: Any) -> NDArray[np.complex64]:
        samples = np.ascontiguousarray(image, np.complex64)
        if self.nodata is None:
            return samples
        return np.where(samples == np.complex64(self.nodata), np.complex64(np.nan), samples)


def interferogram(
    reference: Plane,
    secondary: Plane,
    *,
    flat: Plane | None = None,
    looks: tuple[int, int] = (1, 1),
    independence: float = 1.0,
    nodata: complex | None = None,
    range_sign: int = -1,
) -> xr.Dataset:
    """Form the interferogram of two coregistered single-look complex images.

    ``reference * conj(secondary) * exp(-1j * flat)``, averaged over cells of samples. With images whose phase falls
    by 4 pi / wavelength per metre of distance, as focusing leaves it, the phase of the result grows with the distance
    from the reference to the secondary date: the convention of all phases here.

    Parameters
    ----------
    reference, secondary : complex arrays (y, x)
        The earlier and the later image, on the same pixels; y is azimuth and x range in the radar's geometry. Lazy in,
        lazy out. What is not finite is missing. Of ``DataArray`` the scalar coordinate ``time`` is kept as
        ``reference_time`` and ``secondary_time``, the attribute ``wavelength`` (m) as it is.
    flat : real array (y, x), optional
        Phase of orbits and terrain to take away, rad, with the sign of the interferogram; NaN = missing.
    looks : pair of int
        Samples to average along y and x. Samples beyond the last whole cell are left out.
    independence : float
        Independent samples per sample, above 0 and at most 1: the area of a pixel over that of the resolution. About
        0.5 for Sentinel-1 IW. The attribute ``looks`` is the number of samples of a cell times this.
    nodata : complex, optional
        The value that means missing, often 0; without it, zero is a value.
    range_sign : -1 or 1
        The sign with which the phase of the images goes with the distance.

    Returns
    -------
    Dataset
        ``interferogram`` complex64 (y, x), mean of the samples; NaN where fewer than half of them are there;
        ``reference_power`` and ``secondary_power`` float32, and ``samples`` float32, how many were averaged.

    Raises
    ------
    InputError
        If the images do not fit, the dates are equal or reversed, or an option is out of bounds.
    MetadataError
        If the images tell different wavelengths, or a time that is none.

    Examples
    --------
    >>> later = np.exp(-0.5j) * np.ones((4, 4), "complex64")
    >>> pair = interferogram(np.ones((4, 4), "complex64"), later, looks=(2, 4))
    >>> np.angle(pair.interferogram).round(3).tolist(), pair.attrs["looks"]
    ([[0.5], [0.5]], 8.0)
    """
    planes = {"reference": to_plane(reference, "c", where="reference")}
    planes["secondary"] = to_plane(secondary, "c", where="secondary")
    planes |= {} if flat is None else {"flat": to_plane(flat, "f", where="flat")}
    _check_images(planes)
    forming = _Forming(_to_looks(looks, planes["reference"]), nodata, _to_sign(range_sign) > 0)
    if not 0 < independence <= 1:
        raise InputError("not a share", where="independence", expected="above 0, at most 1", got=repr(independence))
    sums = _over_cells(forming, [plane.data for plane in planes.values()])
    layers = {"interferogram": sums[0] + np.complex64(1j) * sums[1]}
    layers |= {name: sums[2 + number] for number, name in enumerate(_LAYERS)}
    found = xr.Dataset({name: (("y", "x"), layer) for name, layer in layers.items()}, _coords(planes, forming.looks))
    found.attrs = _wavelength(planes) | {
        "looks": float(forming.looks[0] * forming.looks[1] * independence),
        "looks_azimuth": forming.looks[0],
        "looks_range": forming.looks[1],
        "independence": float(independence),
        "phase_sign": SIGN,
        "flat_phase": "kept" if flat is None else "removed",
    }
    # Also beside the numbers that are handed on alone, to a filter or an unwrapper.
    found["interferogram"].attrs = dict(found.attrs)
    return _placed(found, planes["reference"])


def coherence(pair: xr.Dataset, *, window: tuple[int, int] = (1, 1), unbiased: bool = True) -> xr.DataArray:
    """Estimate the coherence of an interferogram, in windows of cells.

    ``|sum s1 conj(s2)| / sqrt(sum |s1|^2 sum |s2|^2)`` over all samples of the cells of a window around each cell. It
    tends to be too high where samples are few; by default that is taken back (Touzi et al. 1999). Fringes within the
    window make it too low: remove the flat phase first.

    Parameters
    ----------
    pair : Dataset
        As :func:`interferogram` gives it, or several as :func:`terracube.processing.deformation.slc.join_pairs` does.
    window : pair of int
        Cells along y and x, odd. A window is cut at the edges of the image.
    unbiased : bool
        Give the coherence whose sample coherence is expected to be what was found, for the number of independent
        samples; 0 where it is below what no coherence at all gives.

    Returns
    -------
    DataArray (y, x), or (pair, y, x), float32
        0 to 1; NaN where the interferogram is missing, where an image has no power, and, unbiased, where a window has
        fewer than two independent samples. Attribute ``samples``: independent samples of a whole window.

    Raises
    ------
    InputError
        If a window is even or too large, or has one sample only, whose coherence is always one.
    MetadataError
        If the dataset does not tell its looks.

    References
    ----------
    Touzi, R., Lopes, A., Bruniquel, J., Vachon, P. W. (1999): Coherence estimation for SAR imagery. IEEE Transactions
    on Geoscience and Remote Sensing 37(1), 135-149, 10.1109/36.739146.

    Examples
    --------
    >>> image = np.exp(1j * np.arange(12).reshape(3, 4)).astype("complex64")
    >>> coherence(interferogram(image, image), window=(3, 3)).values.min().round(6).item()
    1.0
    """
    radii, most, independence = _to_window(window, pair)
    if "pair" in pair.dims:
        joined: xr.DataArray = each_pair(partial(coherence, window=window, unbiased=unbiased), pair)
        return joined
    arrays = [pair[name].data for name in ("interferogram", *_LAYERS)]
    shape = pair["interferogram"].shape
    if is_lazy(arrays):
        depth = max(radii)
        cut = cut_alike(arrays, least=max(depth, 1))
        halos = {axis: radii[axis] if cut[0].numblocks[axis] > 1 else 0 for axis in (0, 1)}
        found = da.map_overlap(
            _windows, *cut, depth=halos, boundary="none", dtype="float32", meta=np.empty((0, 0), "float32"),
            allow_rechunk=False, radii=radii, most=most, independence=independence if unbiased else None,
        )  # fmt: skip
        found = found.rechunk(arrays[0].chunks) if isinstance(arrays[0], da.Array) else found
    else:
        found = _windows(*arrays, radii=radii, most=most, independence=independence if unbiased else None)
    attrs = {"long_name": "coherence", "units": "1", "samples": float(most * independence)}
    attrs |= {"bias": "corrected (Touzi et al. 1999)" if unbiased else "as estimated", "window": list(window)}
    coords = pair["interferogram"].coords
    return xr.DataArray(found.reshape(shape), coords, ("y", "x"), "coherence", attrs)


def _windows(
    values: Any, first: Any, second: Any, samples: Any, *, radii: tuple[int, int], most: int, independence: float | None
) -> NDArray[np.float32]:
    from terracube.processing.kernels.multilook import likeness

    powers = np.stack([np.asarray(layer, np.float32) for layer in (first, second, samples)])
    out = np.empty((2, *values.shape), np.float32)
    likeness(np.ascontiguousarray(values, np.complex64), powers, radii, np.empty((5, values.shape[1])), out)
    if independence is None:
        return np.asarray(out[0])
    return unbiased_coherence(out[0], out[1], most=most, independence=independence)


def _over_cells(forming: _Forming, arrays: list[Any]) -> Any:
    if not is_lazy(arrays):
        return forming(*arrays)
    # Without the samples beyond the last whole cell, so that each block has whole cells alone.
    ends = [size - size % step for size, step in zip(arrays[0].shape, forming.looks, strict=True)]
    whole = [array[: ends[0], : ends[1]] for array in arrays]
    cut = cut_alike(whole, multiple=forming.looks)
    chunks = tuple(
        tuple(size // step for size in side) for side, step in zip(cut[0].chunks, forming.looks, strict=True)
    )
    return da.map_blocks(
        forming, *cut, dtype="float32", chunks=((5,), *chunks), new_axis=0, meta=np.empty((0, 0, 0), "float32")
    )


def _check_images(planes: dict[str, xr.DataArray]) -> None:
    for name, plane in planes.items():
        if plane.ndim != 2:
            raise InputError(
                "an interferogram is made of two images", where=name, expected="(y, x)", got=str(plane.dims)
            )
    check_alike(planes)
    first, last = (_time_of(planes[name]) for name in ("reference", "secondary"))
    if first is not None and last is not None and not first < last:
        raise InputError(
            "the reference is not the earlier image",
            where="reference, time",
            expected=f"before {last}",
            got=str(first),
            todo="swap the images",
        )


def _time_of(plane: xr.DataArray) -> Any:
    time = plane.coords.get("time")
    if time is None or time.ndim:
        return None
    if time.dtype.kind != "M":
        raise MetadataError("the time of an image is no date", where="time", expected="datetime64", got=str(time.dtype))
    return time.values


def _to_looks(looks: tuple[int, int], image: xr.DataArray) -> tuple[int, int]:
    right = len(looks) == 2 and all(isinstance(n, int | np.integer) and 1 <= n <= _MOST_LOOKS for n in looks)
    if not right or any(n > size for n, size in zip(looks, image.shape, strict=True)):
        raise InputError(
            "no such cells",
            where="looks",
            expected=f"two whole numbers from 1 to the image's size {image.shape}, along y and x",
            got=repr(looks),
        )
    return int(looks[0]), int(looks[1])


def _to_sign(range_sign: int) -> int:
    if range_sign not in (-1, 1):
        raise InputError("not a sign", where="range_sign", expected="-1 or 1", got=repr(range_sign))
    return range_sign


def _to_window(window: tuple[int, int], pair: xr.Dataset) -> tuple[tuple[int, int], int, float]:
    told = [pair.attrs[name] for name in _TOLD if name in pair.attrs]
    if len(told) < len(_TOLD) or any(name not in pair for name in ("interferogram", *_LAYERS)):
        raise MetadataError(
            "this dataset is no interferogram with powers and looks", where="pair", todo="interferogram"
        )
    if len(window) != 2 or any(n % 2 == 0 or not 1 <= n <= _MOST_WINDOW for n in window):
        raise InputError(
            "a window has a middle", where="window", expected=f"1, 3, ... {_MOST_WINDOW}", got=repr(window)
        )
    most = int(told[0]) * int(told[1]) * window[0] * window[1]
    if most < 2:
        raise InputError(
            "the coherence of one sample is always one",
            where="window",
            expected="at least two samples",
            todo="more looks",
        )
    return (window[0] // 2, window[1] // 2), most, float(told[2])


def _wavelength(planes: dict[str, xr.DataArray]) -> dict[str, Any]:
    told = [planes[name].attrs.get("wavelength") for name in ("reference", "secondary")]
    if told[0] is not None and told[1] is not None and abs(told[0] - told[1]) > 1e-6 * abs(told[0]):
        raise MetadataError("the images have different wavelengths", where="wavelength", got=f"{told[0]}, {told[1]} m")
    found = told[0] if told[0] is not None else told[1]
    return {} if found is None else {"wavelength": float(found)}


def _coords(planes: dict[str, xr.DataArray], looks: tuple[int, int]) -> dict[str, Any]:
    """Give the centres of the cells, where the images have coordinates, and the dates."""
    like = planes["reference"]
    found: dict[str, Any] = {}
    for axis, step in zip(("y", "x"), looks, strict=True):
        if axis in like.coords and like.coords[axis].dtype.kind in "fiu":
            values = np.asarray(like.coords[axis].values, "float64")
            whole = values[: values.size - values.size % step].reshape(-1, step)
            found[axis] = (axis, whole[:, 0] + (whole[:, -1] - whole[:, 0]) / 2, dict(like.coords[axis].attrs))
    for name in ("reference", "secondary"):
        if (time := _time_of(planes[name])) is not None:
            found[f"{name}_time"] = time
    return found


def _placed(found: xr.Dataset, like: xr.DataArray) -> xr.Dataset:
    """Give geocoded images their CRS again, with the transform of the cells."""
    if "spatial_ref" not in like.coords or min(found.sizes.values()) < 2:
        return found
    placed: xr.Dataset = found.rio.write_crs(like.rio.crs)
    located: xr.Dataset = placed.rio.write_transform(placed.rio.transform(recalc=True))
    return located
