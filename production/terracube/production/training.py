"""Train a model from samples and the scenes of a catalogue, and publish it there with its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pystac
from pydantic import BaseModel, ConfigDict, Field

from terracube.core.digest import file_sha256
from terracube.core.errors import EmptyResultError, LeftOut, TerraCubeError
from terracube.core.sensors import sensor_of
from terracube.core.validation import validated
from terracube.cubes import SceneSet, read_scenes
from terracube.cubes.plan import mask_classes
from terracube.cubes.sources import Given
from terracube.processing.landcover.accuracy import to_html
from terracube.processing.landcover.features import FeatureSpec, oso
from terracube.processing.landcover.learn import TrainParameters
from terracube.processing.landcover.models import Model
from terracube.processing.landcover.samples import Drawing, Samples, Series, read_samples
from terracube.processing.landcover.trainer import Training, training
from terracube.production.models import publish_model
from terracube.production.prepare import rejected, scene_checksum, settle_grid, verified
from terracube.production.records import write_record
from terracube.production.request import RunRequest
from terracube.production.run import Clock
from terracube.stac import Catalog, to_query

# Bands of 20 m and finer that sensors of the land share.
_USUAL = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")


class TrainRequest(BaseModel):
    """What to train from, and how: one JSON document."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    samples: str = Field(max_length=4096, description="file of polygons, points or labelled series")
    label: str = Field(default="label", max_length=100, description="column of the class")
    columns: dict[str, str] = Field(default_factory=dict, description="columns of group, region, weight, start, end")
    nomenclature: str | None = Field(default=None, max_length=4096, description="name or file; left out: the labels")
    collection: str | None = Field(default=None, max_length=100, description="collection of the scenes")
    datetime: str | None = Field(default=None, max_length=100, description="period of the scenes")
    filters: tuple[str, ...] = Field(default=(), max_length=50, description="like eo:cloud_cover<60")
    crs: str | None = Field(default=None, max_length=10_000)
    resolution: float | None = None
    align: str | None = Field(default=None, max_length=128)
    bands: tuple[str, ...] = Field(default=(), max_length=64, description="role names; left out: the usual ones")
    features: FeatureSpec | None = Field(default=None, description="left out: bands, NDVI, NDWI, brightness by 10 days")
    year: int | None = Field(default=None, ge=1970, le=2200, description="in which the season begins")
    mask: tuple[int, ...] | None = Field(default=None, description="classes of the mask layer that are left out")
    learn: TrainParameters = Field(default_factory=TrainParameters)
    pixels: int | None = Field(default=50, ge=1, description="of one polygon at most")
    block: float | None = Field(default=None, gt=0, le=90, description="degrees; of the headline cross-validation")
    title: str = Field(default="", max_length=200)
    licence: str = Field(default="", max_length=100, description="of the model, as the samples allow")


@dataclass(frozen=True)
class TrainResult:
    """What became of a training."""

    item: pystac.Item
    model: Model
    training: Training
    scenes_left_out: tuple[LeftOut, ...]
    seconds: dict[str, float]
    record: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "status": "partly" if self.scenes_left_out or self.training.left_out else "done",
            "item": self.item.id,
            "href": self.item.get_self_href(),
            "sha256": self.model.digest,
            "classes": self.model.card["classes"],
            "features": len(self.model.features),
            "accuracies": self.model.card.get("accuracies"),
            "left_out": [{"id": one.id, "reason": one.reason} for one in self.scenes_left_out],
            "samples_left_out": [{"id": one.id, "reason": one.reason} for one in self.training.left_out],
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
        }


def to_train_request(value: TrainRequest | dict[str, Any]) -> TrainRequest:
    """Accept a request as a model or as JSON values.

    Raises
    ------
    InputError
        Naming each field that is wrong.
    """
    return value if isinstance(value, TrainRequest) else validated(TrainRequest, value, what="the request is wrong")


def train_model(catalog: Catalog, request: TrainRequest | dict[str, Any]) -> TrainResult:
    """Train a model and publish it, with report and record; the same request on the same data gives the same model.

    Raises
    ------
    TerraCubeError
        If the samples or scenes cannot be used; a record is written all the same.
    """
    asked = to_train_request(request)
    clock = Clock()
    try:
        result = _train(catalog, asked, clock)
    except TerraCubeError as error:
        facts = {"status": "failed", "request": asked.model_dump(mode="json"), "error": type(error).__name__}
        write_record(catalog.root, "train", {**facts, "message": str(error)})
        raise
    record = write_record(catalog.root, "train", {"request": asked.model_dump(mode="json"), **result.as_dict()})
    return TrainResult(result.item, result.model, result.training, result.scenes_left_out, result.seconds, record)


def _train(catalog: Catalog, asked: TrainRequest, clock: Clock) -> TrainResult:
    path = Path(asked.samples)
    with clock.stage("samples"):
        samples = read_samples(path, label=asked.label, nomenclature=asked.nomenclature, columns=asked.columns)
        inputs: dict[str, Any] = {"samples": {"name": path.name, "sha256": file_sha256(path)}}
    card: dict[str, Any] = {"title": asked.title or None, "licence": asked.licence or None}
    left_out: tuple[LeftOut, ...] = ()
    if isinstance(samples, Series):
        card["inputs"] = inputs
        with clock.stage("train"):
            found = training(samples, None, asked.learn, features=asked.features, block=asked.block, card=card)
    else:
        scenes = _scenes(catalog, asked, samples, clock)
        left_out = scenes.left_out
        inputs["scenes"] = [{"id": name, "checksum": checksum} for name, checksum in scenes.inputs]
        card |= {"inputs": inputs, "collection": asked.collection, "sensor": sensor_of(asked.collection or "").name}
        with clock.stage("train"):
            found = training(
                samples, scenes.items, asked.learn, features=scenes.features, year=asked.year,
                drawing=Drawing(asked.pixels, seed=asked.learn.seed), block=asked.block, card=card,
                grid=scenes.grid, mask=scenes.mask,
            )  # fmt: skip
    pages = {}
    if found.report is not None:
        told = json.dumps(found.report.as_dict(), indent=2, allow_nan=False)
        pages = {"report.html": to_html(found.report), "report.json": told}
    with clock.stage("publish"):
        item = publish_model(catalog, found.model, pages=pages)
    return TrainResult(item, found.model, found, left_out, clock.seconds)


@dataclass(frozen=True)
class _Scenes:
    """The scenes of a training, checked."""

    items: list[pystac.Item]
    inputs: list[tuple[str, str]]
    left_out: tuple[LeftOut, ...]
    grid: Any
    features: FeatureSpec
    mask: str | tuple[int, ...] | None


def _scenes(catalog: Catalog, asked: TrainRequest, samples: Samples, clock: Clock) -> _Scenes:
    """Search the scenes over the samples; those whose files are no longer what was ingested are left out."""
    place = RunRequest(
        chain="landcover", collection=asked.collection or "", datetime=asked.datetime or "", bbox=_around(samples),
        filters=asked.filters, crs=asked.crs, resolution=asked.resolution, align=asked.align,
    )  # fmt: skip
    with clock.stage("search"):
        query = to_query(
            collections=place.collection, bbox=place.bbox, datetime=place.datetime or None, filters=place.filters
        )
        items = catalog.search(query)
    features = asked.features or oso(asked.bands or _usual(place.collection))
    without = rejected(items)
    gone = {one.id for one in without}
    known = {item.id: item for item in items if item.id not in gone}
    with clock.stage("prepare"):
        scenes = read_scenes(known.values(), features.bands, on_error="skip", given=Given(local=True))
        good, broken = verified(catalog, scenes, known)
        left_out = tuple(sorted({*without, *scenes.left_out, *broken}, key=lambda one: one.id))
        if not good:
            told = "; ".join(f"{one.id}: {one.reason}" for one in left_out[:5])
            raise EmptyResultError(
                "no scene over the samples is usable",
                where=f"{place.collection}, {place.datetime}",
                got=told or "no scene was found",
                todo="ingest scenes, or widen --datetime",
            )
        mask = mask_classes(SceneSet(good), asked.mask if asked.mask is not None else "clear")
        inputs = [(scene.id, scene_checksum(scene, known[scene.id])) for scene in good]
        grid = settle_grid(place, good)
    return _Scenes([known[scene.id] for scene in good], inputs, left_out, grid, features, mask)


def _usual(collection: str) -> tuple[str, ...]:
    known = sensor_of(collection).bands
    return tuple(name for name in _USUAL if name in known)


def _around(samples: Samples) -> tuple[float, float, float, float]:
    """Give the box of the samples in degrees, a little wider."""
    west, south, east, north = (float(edge) for edge in samples.frame.to_crs("EPSG:4326").total_bounds)
    margin = 0.001
    return max(-180.0, west - margin), max(-90.0, south - margin), min(180.0, east + margin), min(90.0, north + margin)
