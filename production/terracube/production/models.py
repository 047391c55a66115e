"""Trained models in a catalogue: published like any product, found by the digest of their content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac

from terracube.core.errors import InputError, IntegrityError, NotFoundError
from terracube.core.files import write_text
from terracube.core.sensors import sensor_of
from terracube.cubes.sources import local_path
from terracube.processing.landcover.classification import spec_of
from terracube.processing.landcover.models import Model, ModelFile, mlm_properties
from terracube.stac import Catalog, describe_collection, file_asset, set_extensions, software, to_query

MODELS = "landcover-models"
"""The collection."""
ASSET = "model"
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredModel:
    """A model of a catalogue."""

    item: pystac.Item
    file: ModelFile


def publish_model(catalog: Catalog, model: Model, *, pages: Mapping[str, str] | None = None) -> pystac.Item:
    """Put a model into a catalogue, unless it is there.

    Parameters
    ----------
    catalog : Catalog
    model : Model
    pages : mapping
        Texts to publish beside it, by file name: a report as HTML and as JSON.

    Returns
    -------
    pystac.Item
        In the collection ``landcover-models``, with the fields of the machine learning model extension.
    """
    there = _search(catalog, model.digest)
    if there is not None:
        return there
    item_id = f"landcover-model_{model.digest[:12]}"
    with catalog.stage(item_id) as folder:
        model.save(folder / "model.tcmodel")
        for name, text in (pages or {}).items():
            write_text(folder / name, text)
        item = _item(item_id, model, folder, pages or {})
        title = "Land-cover models"
        catalog.add_collection(describe_collection(MODELS, title=title, description="Trained models of land cover"))
        return catalog.publish(item, folder)


def _item(item_id: str, model: Model, folder: Path, pages: Mapping[str, str]) -> pystac.Item:
    card = model.card
    now = datetime.now(UTC).replace(microsecond=0)
    start, end = (_moment(card.get("period", {}).get(name)) for name in ("start", "end"))
    properties = {
        "title": str(card.get("title") or f"Land cover, {len(model.classes)} classes"),
        "created": now.isoformat().replace("+00:00", "Z"),
        **mlm_properties(model),
        "terracube:model_digest": model.digest,
        "terracube:model_card": dict(card),
        "processing:software": software(),
    }
    bbox = card.get("bbox")
    geometry = None if bbox is None else _box(bbox)
    item = pystac.Item(
        item_id, geometry, bbox, None if start and end else now, properties,
        start_datetime=start if end else None, end_datetime=end if start else None, collection=MODELS,
    )  # fmt: skip
    told = file_asset(
        folder / "model.tcmodel", href="./model.tcmodel", title="The model", roles=["mlm:model"],
        media_type="application/zip",
    )  # fmt: skip
    told.extra_fields["mlm:artifact_type"] = "terracube.tcmodel"
    item.add_asset(ASSET, told)
    for name in pages:
        item.add_asset(Path(name).stem if name.endswith(".html") else name, file_asset(
            folder / name, href=f"./{name}", title="How it was trained, and how good it is", roles=["metadata"]
        ))  # fmt: skip
    return set_extensions(item)


def _box(bbox: list[float]) -> dict[str, Any]:
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _moment(text: Any) -> datetime | None:
    return None if text is None else datetime.fromisoformat(str(text)).replace(tzinfo=UTC)


def _search(catalog: Catalog, digest: str) -> pystac.Item | None:
    found = catalog.search(to_query(collections=MODELS, filters=f'terracube:model_digest="{digest}"'))
    return found[0] if found else None


def find_model(catalog: Catalog, digest: str, collection: str) -> StoredModel:
    """Find a model by its digest, check that its file is the one that was published, and that it fits the scenes.

    Raises
    ------
    NotFoundError
        If the catalogue has no such model.
    IntegrityError
        If its file was changed.
    InputError
        If it was trained on another sensor than the one of the scenes.
    """
    item = _search(catalog, digest)
    if item is None:
        raise NotFoundError(
            "the catalogue has no such model",
            where=str(catalog.root),
            got=digest,
            todo="terracube train landcover, or give --model FILE",
        )
    problems = catalog.verify(item, assets=[ASSET])
    if problems:
        raise IntegrityError("the file of the model was changed", where=item.id, got="; ".join(problems))
    stored = StoredModel(item, ModelFile(str(local_path(item, ASSET)), digest))
    _check_use(stored.file.load(), collection)
    return stored


def _check_use(model: Model, collection: str) -> None:
    if terrain := spec_of(model).terrain:
        raise InputError(
            "the model asks for terrain, which runs do not read yet",
            where="model",
            got=", ".join(terrain),
            todo="landcover.classify(cube, model, static=...) in Python, or train without terrain",
        )
    trained = model.card.get("sensor")
    if trained is not None and trained != sensor_of(collection).name:
        raise InputError(
            "the model was trained on another sensor",
            where=collection,
            expected=str(trained),
            got=sensor_of(collection).name,
            todo="train a model on this sensor",
        )


def to_model(catalog: Catalog, text: str) -> pystac.Item:
    """Accept what a user calls a model: an item id, a digest, or a file, which is published if it is not there yet.

    Raises
    ------
    NotFoundError
        If it is none of them.
    TerraCubeError
        If the file is no model, or damaged.
    """
    path = Path(text)
    if path.is_file():
        return publish_model(catalog, Model.load(path))
    found = _search(catalog, text) if _DIGEST.fullmatch(text) else catalog.find(text, MODELS)
    if found is None:
        raise NotFoundError(
            "there is no such model",
            got=repr(text)[:200],
            expected="the id of a model in the catalogue, its sha256, or a file",
            todo=f"terracube search --collection {MODELS}",
        )
    return found
