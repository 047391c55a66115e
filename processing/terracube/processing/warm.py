"""Compile ahead: kernels are compiled when they are first called, which takes seconds that a worker can spend early."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from terracube.core.errors import InputError
from terracube.cubes.reduce import geomedian

if TYPE_CHECKING:
    from terracube.processing.landcover.models import Model, ModelFile


def warmup(
    band_counts: Iterable[int] = (4,),
    *,
    model: Model | ModelFile | None = None,
    water: bool = False,
    deformation: bool = False,
) -> None:
    """Compile the kernels of the chains for given numbers of bands, and those that a model of land cover needs.

    Each process compiles for itself, and nothing is kept on disk, because several processes can spoil numba's cache.
    On a cluster: ``client.run(warmup)``.

    Parameters
    ----------
    band_counts : iterable of int
        Numbers of bands that will be asked for; the geometric median is compiled for each (about 5 s for the first,
        3 s for each further one).
    model : Model or ModelFile, optional
        Of land cover: what fills, describes and classifies its series is compiled (some 10 s).
    water : bool
        Compile what the chain ``water`` needs (some 8 s).
    deformation : bool
        Compile what solves, closes and mends stacks of interferograms, fits models to their series, and matches images
        and inverts their offsets (some 40 s).

    Raises
    ------
    InputError
        If a number is not positive.

    Examples
    --------
    >>> warmup([1])
    """
    for count in band_counts:
        if count < 1:
            raise InputError("a cube has at least one band", where="band_counts", expected=">= 1", got=str(count))
        geomedian(np.ones((2, count, 1, 1), "float32"))
    if model is not None:
        from terracube.processing.landcover.classification import rehearse

        rehearse(model)
    if water:
        from terracube.processing.water.mapping import rehearse as rehearse_water

        rehearse_water()
    if deformation:
        _rehearse_deformation()


def _rehearse_deformation() -> None:
    """Run what the chains ``deformation`` and ``offsets`` spend their time in on a few made-up pixels."""
    import xarray as xr

    from terracube.processing import deformation

    pairs = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [1, 3]])
    times = np.datetime64("2020-01-01", "ns") + pairs * np.timedelta64(12, "D")
    ends = {"reference_time": ("pair", times[:, 0]), "secondary_time": ("pair", times[:, 1])}
    phase = np.broadcast_to((pairs[:, 1] - pairs[:, 0])[:, np.newaxis, np.newaxis], (5, 8, 8)).astype(np.float32)
    layers = {"unwrapped_phase": (("pair", "y", "x"), phase), "coherence": (("pair", "y", "x"), 0 * phase + 0.5)}
    stack = xr.Dataset(layers, ends, {"wavelength": 0.0554, "looks": 10.0})
    deformation.closure(stack)
    deformation.repair(stack)
    deformation.fit(deformation.invert_stack(stack))
    moved = xr.DataArray(phase, dims=("pair", "y", "x"))
    deformation.invert_offsets(xr.Dataset({"dx": moved, "dy": moved}, ends), weights=None)
    image = np.random.default_rng(0).normal(size=(96, 96))
    deformation.track(image, image)
