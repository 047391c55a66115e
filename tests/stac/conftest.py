"""A small catalogue, and items to put into it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest

from terracube.stac import Catalog, describe_collection, file_fields, footprint

Publish = Callable[..., pystac.Item]

BOUNDS = (499980.0, 5190240.0, 609780.0, 5300040.0)


def build(item_id: str, *, collection: str = "scenes", day: int = 15, **properties: Any) -> pystac.Item:
    """Build an item with a real footprint and no assets."""
    geometry, bbox = footprint(BOUNDS, "EPSG:32633")
    moment = datetime(2023, 8, day, 10, tzinfo=UTC)
    return pystac.Item(item_id, geometry, bbox, moment, properties, collection=collection)


@pytest.fixture
def make_item() -> Callable[..., pystac.Item]:
    """Build an item with a real footprint and no assets."""
    return build


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalogue with two empty collections."""
    made = Catalog.create(tmp_path / "catalogue", title="Test catalogue")
    for name in ("scenes", "products"):
        made.add_collection(describe_collection(name, title=name.title(), description=f"The {name}"))
    return made


@pytest.fixture
def publish(catalog: Catalog) -> Publish:
    """Publish an item with one file as its asset ``data``."""

    def done(item: pystac.Item, content: bytes = b"pixels", **options: Any) -> pystac.Item:
        with catalog.stage(item.id) as folder:
            (folder / "data.bin").write_bytes(content)
            item.add_asset("data", pystac.Asset("./data.bin", extra_fields=file_fields(folder / "data.bin")))
            return catalog.publish(item, folder, **options)

    return done
