"""The same year with `landcover.classify`: one lazy chain, strips of 16 384 pixels, nothing between kept."""

from __future__ import annotations

import pickle

import dask
import numpy as np
import xarray as xr
from contestant import Request, contest
from peer_xarray_sklearn import BANDS, LAYERS

from terracube.processing.landcover.classification import classify
from terracube.processing.landcover.features import FeatureSpec
from terracube.processing.landcover.models import Model

SPEC = FeatureSpec(bands=BANDS, series=(*BANDS, "NDVI", "NDMI", "brightness"))


def prepare(request: Request) -> None:
    """Take the forest over, once, from the file of scikit-learn."""
    path = request.folder / "forest.tcmodel"
    if not path.exists():
        with (request.folder / "forest.pickle").open("rb") as file:
            forest = pickle.load(file)
        Model.from_sklearn(forest, features=SPEC.names(), spec=SPEC.to_json()).save(path)


def job(request: Request) -> None:
    """Make the map of the whole cube, into a Zarr group."""
    model = Model.load(request.folder / "forest.tcmodel")
    cube = xr.open_zarr(request.folder / "cube.zarr", chunks={}, consolidated=False)
    times = np.datetime64("2018-01-01") + np.array(cube.attrs["days"]).astype("timedelta64[D]")
    strips = cube.assign_coords(time=times.astype("datetime64[ns]")).chunk(time=-1, y=64, x=256)
    values = strips[list(BANDS)].astype("float32") / np.float32(10_000)
    maps = classify(values.where(strips.clear == 1), model, probabilities=False)
    with dask.config.set(scheduler="threads", num_workers=request.threads):
        maps[list(LAYERS)].chunk(y=256, x=256).to_zarr(request.out / "maps.zarr", zarr_format=3, consolidated=False)


if __name__ == "__main__":
    contest("terracube", job, prepare)
