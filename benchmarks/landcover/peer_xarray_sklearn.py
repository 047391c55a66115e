"""The script that a good user of xarray and scikit-learn would write: one function over blocks, vectorised numpy.

Opens the year lazily, fills the gaps of each block at regular dates, adds three indices, and asks the forest.
"""

from __future__ import annotations

import pickle

import dask
import numpy as np
import xarray as xr
from contestant import Request, contest
from numpy.typing import NDArray

BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
TARGETS = np.arange(0, 370, 10)
LAYERS = ("class", "probability", "margin", "entropy", "validity")


def fill(cube: NDArray[np.float32], clear: NDArray[np.bool_], days: NDArray[np.int64]) -> NDArray[np.float32]:
    """Fill a block (date, band, pixel) at the regular dates; the same weights for all bands."""
    dates = len(days)
    number = np.arange(dates)[:, None]
    before = np.maximum.accumulate(np.where(clear, number, -1))
    after = np.minimum.accumulate(np.where(clear, number, dates)[::-1])[::-1]
    at = np.searchsorted(days, TARGETS, side="right")
    padded = (
        np.vstack([np.full((1, clear.shape[1]), -1), before]),
        np.vstack([after, np.full((1, clear.shape[1]), dates)]),
    )
    first, last = padded[0][at], padded[1][at]
    first = np.where(first < 0, last, first)
    last = np.where(last >= dates, first, last)
    none = (first >= dates) | (last < 0)
    first, last = np.clip(first, 0, dates - 1), np.clip(last, 0, dates - 1)
    span = days[last] - days[first]
    weight = np.where(span > 0, (TARGETS[:, None] - days[first]) / np.maximum(span, 1), 0).astype(np.float32)
    low = np.take_along_axis(cube, first[:, None, :], axis=0)
    filled = low + weight[:, None, :] * (np.take_along_axis(cube, last[:, None, :], axis=0) - low)
    filled[np.broadcast_to(none[:, None, :], filled.shape)] = np.nan
    return filled


def features(
    cube: NDArray[np.float32], clear: NDArray[np.bool_], days: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the features (pixel, feature) of a block, and the number of clear dates."""
    filled = fill(cube, clear, days)
    red, nir, swir = (filled[:, BANDS.index(name)] for name in ("red", "nir", "swir16"))
    with np.errstate(invalid="ignore", divide="ignore"):
        ndvi, ndmi = (nir - red) / (nir + red), (nir - swir) / (nir + swir)
    brightness = np.sqrt((filled**2).sum(axis=1))
    indices = np.stack([ndvi, ndmi, brightness], axis=1)
    pixels = cube.shape[2]
    table = np.concatenate([filled.reshape(-1, pixels), indices.reshape(-1, pixels)])
    return np.ascontiguousarray(table.T), clear.sum(axis=0)


def classify(*blocks: NDArray[np.uint16], forest: object, days: NDArray[np.int64]) -> NDArray[np.float32]:
    """Classify a block: (y, x, date) for each band, the last one is the mask; (y, x, layer)."""
    *bands, mask = blocks
    shape = mask.shape[:2]
    cube = np.stack([band.reshape(-1, len(days)).T for band in bands], axis=1).astype(np.float32) / 10_000
    clear = mask.reshape(-1, len(days)).T == 1
    table, count = features(cube, clear, days)
    good = np.isfinite(table).all(axis=1)
    out = np.full((len(table), len(LAYERS)), np.nan, np.float32)
    out[:, 4] = count
    if good.any():
        likely = forest.predict_proba(table[good])
        ranked = np.sort(likely, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.nansum(np.where(likely > 0, likely * np.log(likely), 0), axis=1)
        best = forest.classes_[likely.argmax(axis=1)]
        out[good, :4] = np.stack([best, ranked[:, -1], ranked[:, -1] - ranked[:, -2], entropy], axis=1)
    return out.reshape(*shape, -1)


def job(request: Request) -> None:
    """Make the map of the whole cube, into a Zarr group."""
    with (request.folder / "forest.pickle").open("rb") as file:
        forest = pickle.load(file)
    forest.n_jobs = 1
    cube = xr.open_zarr(request.folder / "cube.zarr", chunks={"time": -1, "y": 256, "x": 256}, consolidated=False)
    days = np.array(cube.attrs["days"])
    layers = xr.apply_ufunc(
        classify, *(cube[name] for name in (*BANDS, "clear")),
        input_core_dims=[["time"]] * (len(BANDS) + 1), output_core_dims=[["layer"]],
        kwargs={"forest": forest, "days": days}, dask="parallelized", output_dtypes=["float32"],
        dask_gufunc_kwargs={"output_sizes": {"layer": len(LAYERS)}},
    )  # fmt: skip
    maps = layers.assign_coords(layer=list(LAYERS)).to_dataset("layer")
    with dask.config.set(scheduler="threads", num_workers=request.threads):
        maps.to_zarr(request.out / "maps.zarr", zarr_format=3, consolidated=False)


if __name__ == "__main__":
    contest("xarray + scikit-learn", job)
