"""The door from a load call to the loader it names."""

from __future__ import annotations

import xarray as xr

from terracube.cubes.cut import cut
from terracube.cubes.engines.odc import load_odc
from terracube.cubes.engines.request import PeerRequest
from terracube.cubes.engines.stackstac import load_stackstac
from terracube.cubes.layout import attributes_of
from terracube.cubes.load import Call

_LOADERS = {"odc": load_odc, "stackstac": load_stackstac}


def load_peer(call: Call) -> xr.Dataset:
    """Load a settled call with the engine that it names.

    Parameters
    ----------
    call : Call
        With ``engine`` ``"odc"`` or ``"stackstac"``. Its chunks are cut as for our own engine, except that these
        loaders make each step of time a block of its own.

    Returns
    -------
    xarray.Dataset
        The layout of :func:`terracube.cubes.load`.

    Raises
    ------
    InputError
        If the engine is not installed, or lacks what the call asks for.
    """
    sides = None
    if call.chunks is not None:
        blocks = cut(call.plan, call.chunks)
        sides = {"y": max(blocks.y), "x": max(blocks.x)}
    cube = _LOADERS[call.engine](PeerRequest(call.plan, sides, tuple(call.left_out)))
    return cube.assign_attrs(attributes_of(call.plan, call.left_out, engine=call.engine))
