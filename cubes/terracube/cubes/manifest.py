"""Plans as bytes: what travels to workers is a compressed table, not a tree of objects.

A thousand items with four bands make five thousand sources that differ in little more than their address; as a table of
columns they take some tens of kilobytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from terracube.cubes.access.location import Location
from terracube.cubes.grid import Grid
from terracube.cubes.items.source import Source
from terracube.cubes.sources import Scene

_PLAIN = tuple(f.name for f in fields(Source) if f.name not in ("location", "grid", "nodata", "scale", "offset"))
_NUMBERS = ("nodata", "scale", "offset")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The scenes of a plan as a table; what is no JSON (signers) stands beside, each once."""

    table: str
    signers: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpack, (zlib.compress(self.table.encode(), 6), self.signers)


def _unpack(packed: bytes, signers: tuple[Any, ...]) -> Manifest:
    return Manifest(zlib.decompress(packed).decode(), signers)


def freeze(groups: Sequence[Sequence[Scene]]) -> Manifest:
    """Turn the scenes of a plan into a table: what blocks need, and no more."""
    grids: dict[Grid, int] = {}
    signers: dict[Any, int] = {None: 0}
    sources: dict[Source, int] = {}
    rows: list[list[Any]] = []

    def number(source: Source | None) -> int:
        if source is None:
            return -1
        if source not in sources:
            sources[source] = len(rows)
            place = source.location
            rows.append(
                [
                    place.href,
                    place.member,
                    signers.setdefault(place.signer, len(signers)),
                    grids.setdefault(source.grid, len(grids)),
                    [None if (value := getattr(source, name)) is None else float(value).hex() for name in _NUMBERS],
                    [getattr(source, name) for name in _PLAIN],
                ]
            )
        return sources[source]

    steps = [[_scene_row(scene, number) for scene in group] for group in groups]
    table = {"grids": [grid.as_dict() for grid in grids], "sources": rows, "steps": steps}
    return Manifest(json.dumps(table, separators=(",", ":")), tuple(signers))


def _scene_row(scene: Scene, number: Callable[[Source | None], int]) -> list[Any]:
    return [
        scene.id,
        scene.collection,
        scene.acquired.isoformat(),
        scene.solar_day.isoformat(),
        [[name, number(source)] for name, source in scene.bands.items()],
        number(scene.mask),
        list(scene.asset_keys),
    ]


def thaw(manifest: Manifest) -> tuple[tuple[Scene, ...], ...]:
    """Make the scenes again, without the properties of their items."""
    told = json.loads(manifest.table)
    signers = manifest.signers
    grids = [Grid.from_dict(values) for values in told["grids"]]
    sources = [_source(row, grids, signers) for row in told["sources"]]
    return tuple(tuple(_scene(row, sources) for row in step) for step in told["steps"])


def _source(row: list[Any], grids: list[Grid], signers: tuple[Any, ...]) -> Source:
    href, member, signer, grid, numbers, plain = row
    values: dict[str, Any] = {name: _tuples(value) for name, value in zip(_PLAIN, plain, strict=True)}
    for name, text in zip(_NUMBERS, numbers, strict=True):
        values[name] = None if text is None else float.fromhex(text)
    return Source(location=Location(href, member, signers[signer]), grid=grids[grid], **values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _scene(row: list[Any], sources: list[Source]) -> Scene:
    name, collection, acquired, day, bands, mask, keys = row
    return Scene(
        id=name,
        collection=collection,
        acquired=datetime.fromisoformat(acquired),
        solar_day=date.fromisoformat(day),
        bands={band: sources[at] for band, at in bands},
        mask=None if mask < 0 else sources[mask],
        asset_keys=tuple(keys),
    )
