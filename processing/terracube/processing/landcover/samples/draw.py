"""Random numbers that belong to things, not to their order: the same thing always draws the same."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from terracube.processing.landcover._mixing import mix

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def seed_of(seed: int, *words: str) -> int:
    """Give 64 bits that depend on a seed and on words, and on nothing else.

    Examples
    --------
    >>> seed_of(0, "field 7") == seed_of(0, "field 7"), seed_of(0, "field 7") == seed_of(1, "field 7")
    (True, False)
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (str(int(seed)), *words):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return int.from_bytes(digest.digest(), "little")


def draws(seed: int, names: NDArray[np.str_]) -> NDArray[np.uint64]:
    """Give 64 random bits for each name, whatever the other names are."""
    return np.array([seed_of(seed, str(name)) for name in names.tolist()], dtype=np.uint64)


def pixel_draws(seed: int, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Give 64 random bits for each pixel, by its row and column counted from the origin of the CRS.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014, 10.1145/2660193.2660195), once for the row and once for
    the column.
    """
    start = np.uint64(seed_of(seed, "pixels"))
    with np.errstate(over="ignore"):
        mixed = mix(start ^ rows.astype(np.uint64) * _GOLDEN)
        return mix(mixed ^ cols.astype(np.uint64) * _GOLDEN)
