"""The jobs as TerraCube does them, through its public functions."""

from __future__ import annotations

from typing import Any

import dask
from affine import Affine
from contestant import Answer, Request, contest
from graphs import Stacked, graph_notes, read_items

from terracube import cubes


def grid(request: Request) -> Any:
    """Return the target's pixels."""
    target = request.target
    return cubes.Grid.from_affine(target.crs, Affine(*target.affine), (target.height, target.width))


def call(request: Request) -> dict[str, Any]:
    """Return what is asked for, beside the items."""
    return {
        "bands": list(request.case.bands),
        "grid": grid(request),
        "groupby": None,
        "mask": None,
        "radiometry": "dn",
        "resampling": request.case.method,
    }


def checked(request: Request, items: list[Any]) -> dict[str, float]:
    """Check, when the clock has stopped, that our own decoder read the files and no fall-back."""
    used = set(cubes.explain(items, **call(request))["decoders"])
    if used != {"own"}:
        raise SystemExit(f"the files were to be decoded by our own decoder, and not by: {', '.join(sorted(used))}")
    return {}


def load(request: Request, items: list[Any]) -> Answer:
    """Load everything: at once, or lazily and computed by dask."""
    if request.mode == "eager":
        cube = cubes.load(items, **call(request), chunks=None)
        return Answer(Stacked(cube, request.case.bands), notes=lambda: checked(request, items))
    cube = cubes.load(items, **call(request), chunks=request.case.block or "auto")
    with dask.config.set(scheduler="threads", num_workers=request.threads):
        values = Stacked(cube.compute(), request.case.bands)
    return Answer(values, notes=lambda: checked(request, items) | graph_notes(cube))


def median(request: Request, items: list[Any]) -> Answer:
    """Mask clouds, take the median of all dates, write reflectance to Zarr."""
    asked = call(request) | {"mask": "clear", "radiometry": "physical"}
    product = cubes.reduce_time(items, "median", **asked)
    store = request.out / "median.zarr"
    with dask.config.set(scheduler="threads", num_workers=request.threads):
        cubes.write_zarr(product, store, multiscales=False)  # the peer makes no levels either
    return Answer(zarr=store, notes=lambda: checked(request, items) | graph_notes(product))


def open_lazily(request: Request, items: list[Any]) -> Answer:
    """Open many items lazily; the items are in memory already."""
    cube = cubes.load(items, **call(request), chunks=request.case.block)
    return Answer(notes=lambda: checked(request, items[:10]) | graph_notes(cube))


if __name__ == "__main__":
    contest(
        "terracube",
        read_items,
        {"load": load, "median": median, "open": open_lazily},
        ("terracube", "numba", "numpy", "dask", "xarray", "rasterio", "zarr"),
    )
