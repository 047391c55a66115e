"""Chunks of Zarr arrays, written as files by whoever computed them, each read back and compared.

Threads, processes and the workers of a cluster may write at once as long as they see the same folder: no two chunks
share a file. The bytes are those that zarr-python would write, at about half the time (measured at 512 x 512 uint16),
because no event loop stands between the array and its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from terracube.core.errors import IntegrityError

CHUNK = 512
_NAME, _LEVEL = "zstd", 1


@dataclass(frozen=True, slots=True)
class Variable:
    """One array of a group whose last two axes are y and x."""

    name: str
    """Name of the array and of its folder."""
    dims: tuple[str, ...]
    """Names of all axes, the last two ``y`` and ``x``."""
    leading: tuple[int, ...]
    """Lengths of the axes before y and x; a chunk holds one of each."""
    dtype: str
    """Type on disk."""
    fill: float
    """What stands where no chunk is; the number that means missing, where there is one."""
    missing: float | None
    """The number that means missing, NaN included; ``None`` where every pixel has a value."""
    method: str
    """How the levels of a pyramid are made: ``average``, ``nearest``, ``mode``."""
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """JSON values beside those that place the array."""

    @property
    def filler(self) -> Any:
        """The fill value in the array's type."""
        return np.dtype(self.dtype).type(self.fill)


def unused_value(dtype: str) -> float:
    """Give the value for absent chunks of a type whose every value may mean something.

    GDAL takes the fill value for nodata whether or not it is meant. Zero often means something; the end of the range
    seldom does.
    """
    kind = np.dtype(dtype).kind
    if kind == "f":
        return float("nan")
    if kind == "b":
        return 0.0
    limits = np.iinfo(dtype)
    return int(limits.max if kind == "u" else limits.min)


def create_array(
    group: zarr.Group, variable: Variable, shape: tuple[int, int], chunk: int, placed: Mapping[str, Any]
) -> None:
    """Describe an array in a group; its chunks are written by :func:`write_chunk`."""
    group.create_array(
        variable.name,
        shape=(*variable.leading, *shape),
        chunks=(*(1 for _ in variable.leading), min(chunk, shape[0]), min(chunk, shape[1])),
        dtype=variable.dtype,
        fill_value=variable.filler,
        dimension_names=variable.dims,
        compressors=BloscCodec(cname="zstd", clevel=_LEVEL, shuffle="shuffle"),
        attributes={**variable.attributes, **placed},
    )


def write_chunk(array: Path, index: Sequence[int], values: NDArray[Any], shape: tuple[int, int], fill: Any) -> int:
    """Write a chunk, read it back, and tell how many files that made.

    Parameters
    ----------
    array : Path
        Folder of the array.
    index : sequence of int
        Place of the chunk along each axis.
    values : array (y, x)
        Smaller than the chunk at the southern and eastern edges.
    shape : (rows, columns)
        Shape of every chunk.
    fill
        Value of what lies beyond the edge; a chunk of nothing else is left out, which readers see as the same.

    Raises
    ------
    IntegrityError
        If what was read back is not what was written.
    OSError
        If the disk refuses.
    """
    whole = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    if whole.shape != tuple(shape):
        whole = np.full(shape, fill, whole.dtype)
        whole[: values.shape[0], : values.shape[1]] = values
    if _only(whole, fill):
        return 0
    codec = Blosc(_NAME, _LEVEL, Blosc.SHUFFLE, 0, typesize=whole.itemsize)
    path = array.joinpath("c", *map(str, index))
    _put(path, codec.encode(whole))
    stored = np.frombuffer(codec.decode(path.read_bytes()), "uint8")
    if not np.array_equal(stored, whole.reshape(-1).view("uint8")):
        raise IntegrityError(
            "a Zarr chunk read back is not the one written",
            where=f"{array.name}, chunk {'/'.join(map(str, index))}",
            todo="check the disk, then run again",
        )
    return 1


def check_type(name: str, block: NDArray[Any], dtype: Any) -> None:
    """Refuse a computed block whose type is not that of its array.

    Raises
    ------
    IntegrityError
        Naming both types.
    """
    if block.dtype != dtype:
        raise IntegrityError(
            "a computed block has another type than its array",
            where=name,
            expected=str(dtype),
            got=str(block.dtype),
            todo="give the function that makes the blocks the type that it returns",
        )


def _put(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except FileNotFoundError:  # the first chunk of its row
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _only(values: NDArray[Any], fill: Any) -> bool:
    """Tell whether an array holds nothing but the fill value, a negative zero not being a zero."""
    first = values.flat[0]
    if values.dtype.kind != "f":
        return bool(first == fill and (values == fill).all())
    if np.isnan(fill):
        return bool(np.isnan(first) and np.isnan(values).all())
    return bool(first == fill and (values == fill).all() and not (fill == 0 and np.signbit(values).any()))
