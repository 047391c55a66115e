"""The adaptive filter of interferograms, of images in memory or block by block."""

from __future__ import annotations

from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.gridlike import to_grid
from terracube.processing.deformation.slc._arrays import Plane, check_alike, cut_alike, each_pair, is_lazy, to_plane

_PATCHES = (8, 16, 32, 64, 128)
_MOST_SMOOTHING = 9


def goldstein(
    interferogram: Plane,
    alpha: float | Plane = 0.5,
    *,
    patch: int = 32,
    step: int | None = None,
    smoothing: int = 3,
) -> xr.DataArray:
    """Filter an interferogram: strong fringes are kept, and what is spread over all frequencies is taken back.

    The spectrum of each patch is multiplied by ``(S / max S) ** alpha``, where S is its magnitude, smoothed by a
    moving average; patches overlap and are added with triangular weights. A pure fringe passes unchanged, and
    alpha = 0 changes nothing. Patches lie at multiples of the step, counted in absolute pixels of the grid if the
    interferogram has a CRS, else from its first pixel: the result does not depend on chunks, and that of a part
    of the grid is the same, a patch away from its edges.

    Parameters
    ----------
    interferogram : complex array (y, x) or (pair, y, x)
        What is not finite is missing: it counts as zero in patches and stays missing. Lazy in, lazy out.
    alpha : float, or real array (y, x) or (pair, y, x)
        Strength, 0 to 1; or the coherence: the strength of a patch is then one minus its mean (Baran et al. 2003). A
        patch without any coherence is not filtered.
    patch : int
        Pixels along each side: 8, 16, 32, 64 or 128.
    step : int, optional
        Pixels from a patch to the next: a half of the patch (by default), a quarter or an eighth.
    smoothing : int
        Frequencies of the moving average, odd; 1: none, which filters more strongly and can make fringes from noise.

    Returns
    -------
    DataArray, complex64
        Its amplitude is that of the filter, no longer that of the images. Attribute ``filter`` tells the options.

    Raises
    ------
    InputError
        If an option is out of bounds, or the coherence does not fit.

    References
    ----------
    Goldstein, R. M., Werner, C. L. (1998): Radar interferogram filtering for geophysical applications. Geophysical
    Research Letters 25(21), 4035-4038, 10.1029/1998GL900033.
    Baran, I., Stewart, M. P., Kampes, B. M., Perski, Z., Lilly, P. (2003): A modification to the Goldstein radar
    interferogram filter. IEEE Transactions on Geoscience and Remote Sensing 41(9), 2114-2118,
    10.1109/TGRS.2003.817212.

    Examples
    --------
    >>> fringe = np.exp(0.25j * np.pi * np.arange(64))[None].repeat(64, 0)
    >>> found = goldstein(fringe, 0.7, smoothing=1)
    >>> bool(np.allclose(found[16:48, 16:48], fringe[16:48, 16:48], atol=1e-5))
    True
    """
    plane = to_plane(interferogram, "c", where="interferogram")
    stride = _to_step(patch, step, smoothing)
    known = None if isinstance(alpha, int | float) else to_plane(alpha, "f", where="alpha")
    if known is not None:
        check_alike({"interferogram": plane, "alpha": known})
    elif not 0 <= float(alpha) <= 1:
        raise InputError("no such strength", where="alpha", expected="0 to 1, or a coherence", got=repr(alpha))
    core = partial(
        _filter,
        alpha=0.0 if known is not None else float(alpha),
        patch=patch,
        step=stride,
        radius=smoothing // 2,
    )
    start = _start(plane, stride)
    found: xr.DataArray = each_pair(partial(_of_plane, core=core, start=start, patch=patch, step=stride), plane, known)
    strength = "1 - coherence (Baran et al. 2003)" if known is not None else f"{float(alpha):g}"
    told = f"Goldstein and Werner 1998, alpha {strength}, patch {patch}, step {stride}, smoothing {smoothing}"
    return found.assign_attrs(plane.attrs | {"filter": told})


def _to_step(patch: int, step: int | None, smoothing: int) -> int:
    if patch not in _PATCHES:
        raise InputError("no such patch", where="patch", expected=", ".join(map(str, _PATCHES)), got=repr(patch))
    stride = patch // 2 if step is None else step
    if stride not in (patch // 2, patch // 4, patch // 8):
        raise InputError(
            "patches would not add up",
            where="step",
            expected="a half, a quarter or an eighth of the patch",
            got=repr(step),
        )
    if smoothing % 2 == 0 or not 1 <= smoothing <= min(_MOST_SMOOTHING, patch - 1):
        raise InputError("no such moving average", where="smoothing", expected="1, 3, 5, 7 or 9", got=repr(smoothing))
    return stride


def _start(plane: xr.DataArray, step: int) -> tuple[int, int]:
    """Give the rows and columns by which the first pixel lies after the corner of a patch."""
    if "spatial_ref" not in plane.coords:
        return 0, 0
    offset = to_grid(plane).offset
    return offset.y % step, offset.x % step


def _of_plane(
    plane: xr.DataArray, known: xr.DataArray | None, *, core: Any, start: tuple[int, int], patch: int, step: int
) -> xr.DataArray:
    arrays = [plane.data] if known is None else [plane.data, known.data]
    lazy = is_lazy(arrays)
    wide = [_preceded(array, start, lazy=lazy) for array in arrays]
    found = _by_blocks(core, wide, patch=patch, step=step) if lazy else core(*map(np.asarray, wide))
    found = found[start[0] :, start[1] :]
    if isinstance(plane.data, da.Array):
        found = found.rechunk(plane.data.chunks)
    return plane.copy(data=found)


def _preceded(array: Any, start: tuple[int, int], *, lazy: bool) -> Any:
    """Put missing rows and columns before the first, so that a patch begins there."""
    if not any(start):
        return array
    pad = da.pad if lazy else np.pad
    return pad(array, ((start[0], 0), (start[1], 0)), constant_values=np.nan)


def _by_blocks(core: Any, arrays: list[Any], *, patch: int, step: int) -> Any:
    """Filter blocks whose borders are corners of patches, each with a patch around it."""
    cut = cut_alike(arrays, multiple=(step, step), least=patch)
    depth = {axis: patch if cut[0].numblocks[axis] > 1 else 0 for axis in (0, 1)}
    return da.map_overlap(
        core, *cut, depth=depth, boundary="none", dtype="complex64", meta=np.empty((0, 0), "complex64"),
        allow_rechunk=False,
    )  # fmt: skip


def _filter(
    values: Any, coherence: Any = None, *, alpha: float, patch: int, step: int, radius: int
) -> NDArray[np.complex64]:
    from terracube.processing.kernels.goldstein import filtered

    return filtered(values, coherence, alpha=alpha, patch=patch, step=step, radius=radius)
