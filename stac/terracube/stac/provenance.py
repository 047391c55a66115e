"""How a product was made: from what, by which chain, with which software. Enough to make it again."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyproj
import pystac
import rasterio

from terracube.core.digest import sha256_of
from terracube.core.errors import LeftOut, MetadataError, NotFoundError
from terracube.stac.layout import relative_link

DERIVED_FROM = "derived_from"
# What computes, or decides how files look; the rest of the installation does not change a product.
_SOFTWARE = ("terracube", "dask", "numba", "numpy", "pyproj", "rasterio", "xarray", "zarr")


@dataclass(frozen=True)
class ChainRef:
    """The chain that made a product."""

    name: str
    """Registered name."""
    version: str
    """Its version."""
    digest: str
    """sha256 (hex) of name, version and parameters."""


@dataclass(frozen=True)
class InputRef:
    """An item that a product was made from."""

    id: str
    """Id of the item."""
    collection: str
    """Id of its collection."""
    checksum: str
    """Fingerprint of the assets that were used; see :func:`input_checksum`."""


@dataclass(frozen=True)
class Provenance:
    """All that a product says of its making."""

    key: str
    """The product's key; see :func:`product_key`."""
    chain: ChainRef
    """What computed it."""
    parameters: Mapping[str, Any]
    """Parameters of the chain, JSON only."""
    request: Mapping[str, Any]
    """The run as it was asked for, JSON only."""
    inputs: tuple[InputRef, ...]
    """What it was made from, sorted by collection and id when written."""
    left_out: tuple[LeftOut, ...] = ()
    """What was asked for and not used."""
    lineage: str = ""
    """The making, told in prose."""
    software: Mapping[str, str] = field(default_factory=lambda: software())
    """Versions of what computed; by default, of what is installed."""

    def properties(self) -> dict[str, Any]:
        """Write it as properties of an item.

        ``processing:software`` and ``processing:lineage`` (processing extension), and ``terracube:key``,
        ``terracube:chain``, ``terracube:parameters``, ``terracube:request``, ``terracube:inputs``,
        ``terracube:left_out``.
        """
        inputs = sorted(self.inputs, key=lambda one: (one.collection, one.id))
        told = {"processing:lineage": self.lineage} if self.lineage else {}
        return {
            **told,
            "processing:software": dict(self.software),
            "terracube:key": self.key,
            "terracube:chain": asdict(self.chain),
            "terracube:parameters": dict(self.parameters),
            "terracube:request": dict(self.request),
            "terracube:inputs": [asdict(one) for one in inputs],
            "terracube:left_out": [asdict(one) for one in sorted(self.left_out, key=lambda one: one.id)],
        }


def read_provenance(item: pystac.Item) -> Provenance:
    """Read from a product how it was made.

    Raises
    ------
    MetadataError
        If it does not say so, or not in full.
    """
    told = item.properties
    try:
        return Provenance(
            key=told["terracube:key"],
            chain=ChainRef(**told["terracube:chain"]),
            parameters=dict(told["terracube:parameters"]),
            request=dict(told["terracube:request"]),
            inputs=tuple(InputRef(**one) for one in told["terracube:inputs"]),
            left_out=tuple(LeftOut(**one) for one in told["terracube:left_out"]),
            lineage=told.get("processing:lineage", ""),
            software=dict(told["processing:software"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MetadataError(
            "the item does not say how it was made",
            where=item.id,
            expected="properties terracube:key, :chain, :parameters, :request, :inputs, :left_out, processing:software",
            got=f"{type(error).__name__}: {error}",
        ) from error


def software() -> dict[str, str]:
    """Give the versions of what computes, by name: our own, the libraries', GDAL's, PROJ's and Python's.

    Examples
    --------
    >>> {"terracube", "numpy", "GDAL", "PROJ", "Python"} <= set(software())
    True
    """
    found = {name: importlib.metadata.version(name) for name in _SOFTWARE}
    return {
        **found,
        "GDAL": rasterio.__gdal_version__,
        "PROJ": pyproj.proj_version_str,
        "Python": platform.python_version(),
    }


def derived_from(items: Iterable[pystac.Item]) -> list[pystac.Link]:
    """Link a product to the items of the same catalogue that it was made from, sorted by collection and id.

    Raises
    ------
    MetadataError
        If an item belongs to no collection.
    """
    ordered = sorted(items, key=lambda item: (item.collection_id or "", item.id))
    return [relative_link(DERIVED_FROM, item) for item in ordered]


def input_checksum(item: pystac.Item, asset_keys: Iterable[str]) -> str:
    """Give one fingerprint (sha256, hex) of those assets of an item that are used.

    It does not depend on the order of the keys, nor on assets that are not used.

    Raises
    ------
    NotFoundError
        If the item has no such asset.
    MetadataError
        If an asset has no checksum.
    """
    checksums = {}
    for key in asset_keys:
        if key not in item.assets:
            raise NotFoundError(
                "the item has no such asset",
                where=item.id,
                expected=", ".join(sorted(item.assets))[:200],
                got=key[:100],
            )
        checksum = item.assets[key].extra_fields.get("file:checksum")
        if not checksum:
            raise MetadataError(
                "an asset has no checksum", where=f"{item.id}: {key}", expected="file:checksum", todo="ingest the item"
            )
        checksums[key] = checksum
    return sha256_of(checksums)


def product_key(chain_digest: str, grid: Mapping[str, Any], inputs: Sequence[tuple[str, str]]) -> str:
    """Give the key of a product: what it is made of, by what, on which grid; nothing else.

    Parameters
    ----------
    chain_digest : str
        sha256 (hex) of the chain's name, version and parameters.
    grid : mapping
        The grid, JSON only.
    inputs : sequence of (id, checksum)
        In any order.

    Returns
    -------
    str
        sha256 (hex). Equal keys mean equal products.

    Examples
    --------
    >>> one = product_key("ab", {"code": "EPSG:3035"}, [("A", "1"), ("B", "2")])
    >>> one == product_key("ab", {"code": "EPSG:3035"}, [("B", "2"), ("A", "1")])
    True
    """
    ordered = sorted([item_id, checksum] for item_id, checksum in inputs)
    return sha256_of({"chain": chain_digest, "grid": dict(grid), "inputs": ordered})
