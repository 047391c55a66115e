"""What a cube will be, settled before a pixel is read: its bands, its steps of time, and the scenes of each step.

All that decides a value is in the plan, and nothing else: a block that is read from it anywhere, in any order, cut in
any way, has the same values.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import Any

import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from terracube.core.digest import sha256_of
from terracube.core.errors import EmptyResultError, InputError, LeftOut, MetadataError
from terracube.core.sensors import MaskRule, sensor_of
from terracube.cubes.grid import Grid
from terracube.cubes.ledger import Channel
from terracube.cubes.manifest import Manifest, freeze, thaw
from terracube.cubes.sources import Scene, SceneSet
from terracube.cubes.warp import METHODS

RADIOMETRIES = ("physical", "dn")
MOSAICS = ("first", "nearest-in-view", "min_cloud", "max_cloud")
OVERVIEWS = ("none", "auto")
_BLENDING = ("bilinear", "cubic", "average")
_EVERY = "*"

Clear = Callable[[NDArray[Any]], NDArray[np.bool_]]
"""From the numbers of a sensor's mask layer to where they are clear."""
Order = Callable[[Sequence[Scene]], Sequence[Scene]]
"""From the scenes of one step, by time and id, to the order in which a pixel asks them."""
MaskChoice = str | tuple[int, ...] | MaskRule | Clear | None


@dataclass(frozen=True)
class CubeSpec:
    """What to read, and how observations are chosen."""

    bands: tuple[str, ...]
    """Role names, in the order of the band axis."""
    masked: MaskChoice
    """Name of a mask rule of the sensor, numbers of the classes that are left out, a function, or ``None``."""
    groupby: str | None = "solar_day"
    """``solar_day``: scenes of one day are one step. ``time``: scenes of one moment. ``scene`` or ``None``: each
    scene. Else the name of an item property."""
    radiometry: str = "physical"
    """``physical`` values, or ``dn``: the numbers of the file."""
    mosaic: str | Order = "first"
    """Which scene of a step a pixel asks first: by time and id, view angle, cloud cover, or as a function says."""
    resampling: tuple[tuple[str, str], ...] = ()
    """Band and method; ``*`` stands for the others. Nearest neighbour where nothing is said."""
    overviews: str = "none"
    """``auto`` reads overviews where the target is coarser; another answer than ``none``, so it is asked for."""
    on_error: str = "raise"
    """``skip``: what cannot be read is missing, and told in the ledger."""


@dataclass(frozen=True, slots=True)
class BandPlan:
    """One variable of the cube."""

    name: str
    dtype: str
    nodata: float | None
    """What a pixel without a value holds; ``None`` = NaN."""
    method: str
    """How it is resampled."""
    scaled: bool
    """Whether scale and offset are applied."""

    @property
    def fill(self) -> float:
        """What a pixel without a value holds, as a number."""
        return math.nan if self.nodata is None else self.nodata

    @property
    def missing(self) -> Any:
        """The fill value in the band's own type."""
        return np.dtype(self.dtype).type(self.fill)


@dataclass(frozen=True)
class CubePlan:
    """Everything a block needs to read itself: frozen, sent once to each worker."""

    spec: CubeSpec
    grid: Grid
    dates: tuple[date, ...]
    """One per step of the time axis: solar days, or moments (UTC)."""
    groups: tuple[tuple[Scene, ...], ...]
    """The scenes of each step, in the order in which a pixel asks them."""
    bands: tuple[BandPlan, ...] = ()
    rules: Mapping[str, MaskRule | Clear] = field(default_factory=dict)
    """How the mask layer of each collection is judged; empty where no mask is read."""
    left_out: tuple[LeftOut, ...] = ()
    """Scenes that could not be used, and why."""
    channel: Channel = field(default_factory=lambda: Channel(""), compare=False)
    manifest: Manifest | None = field(default=None, compare=False, repr=False)
    """The scenes as a table, which is what travels to workers."""

    @property
    def digest(self) -> str:
        """Digest of all that decides the values."""
        return self.channel.key

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("groups", "manifest", "dates")}
        moments = [moment.isoformat() for moment in self.dates]
        return _thawed, (facts, moments, self.manifest or freeze(self.groups))


def _thawed(facts: dict[str, Any], moments: list[str], manifest: Manifest) -> CubePlan:
    days = all(len(moment) == len("2023-08-15") for moment in moments)
    dates = tuple(date.fromisoformat(told) if days else datetime.fromisoformat(told) for told in moments)
    return CubePlan(groups=thaw(manifest), dates=dates, manifest=manifest, **facts)


def plan_cube(scenes: SceneSet, spec: CubeSpec, grid: Grid) -> CubePlan:
    """Put scenes into steps of time, in canonical order, and settle what each band will hold.

    Raises
    ------
    EmptyResultError
        If there is no scene.
    InputError
        If the spec asks for something unknown, or for what the scenes were not read with.
    MetadataError
        If scenes lack the property that they are to be grouped or ordered by.
    """
    _check_spec(spec)
    if not scenes.scenes:
        raise EmptyResultError(
            "there is no scene to load", got="; ".join(f"{s.id}: {s.reason}" for s in scenes.left_out)
        )
    _check_scenes(scenes, spec)
    scenes = _usable(scenes, spec)
    ordered = sorted(scenes.scenes, key=lambda scene: (*scene.order, scene.collection))
    groups = [tuple(group) for group in _grouped(ordered, spec.groupby)]
    bands = tuple(_band_plan(name, scenes.scenes, spec) for name in spec.bands)
    rules = _rules(scenes, spec.masked)
    plan = CubePlan(
        spec,
        grid,
        tuple(_label(group[0], spec) for group in groups),
        tuple(_in_order(group, spec.mosaic) for group in groups),
        bands,
        rules,
        scenes.left_out,
    )
    manifest = freeze(plan.groups)
    return replace(plan, manifest=manifest, channel=Channel(_digest(plan, manifest)))


def _check_spec(spec: CubeSpec) -> None:
    _check_kinds(spec)
    _one_of("radiometry", spec.radiometry, RADIOMETRIES)
    _one_of("overviews", spec.overviews, OVERVIEWS)
    _one_of("on_error", spec.on_error, ("raise", "skip"))
    if not callable(spec.mosaic):
        _one_of("mosaic", spec.mosaic, MOSAICS)
    for band, method in spec.resampling:
        _one_of(f"resampling of {band!r}", method, METHODS)
        if band != _EVERY and band not in spec.bands:
            raise InputError(
                "resampling is told for a band that is not loaded", expected=", ".join(spec.bands), got=repr(band)
            )
    if not spec.bands or len(set(spec.bands)) < len(spec.bands):
        raise InputError("a cube needs different bands", where="bands", expected="one or more", got=str(spec.bands))


def _check_kinds(spec: CubeSpec) -> None:
    """Refuse what is of another kind than the option takes, before it fails somewhere inside."""
    if not (spec.groupby is None or isinstance(spec.groupby, str)):
        raise InputError("groupby is a name", where="groupby", expected="text or None", got=repr(spec.groupby)[:80])
    if spec.groupby in ("x", "y", "spatial_ref", *spec.bands):
        raise InputError("steps cannot be named like an axis or a band", where="groupby", got=repr(spec.groupby))
    numbers = spec.masked if isinstance(spec.masked, tuple) else ()
    if not all(isinstance(value, int | np.integer) and not isinstance(value, bool) for value in numbers):
        raise InputError(
            "mask classes are whole numbers", where="mask", expected="like (3, 8, 9)", got=repr(spec.masked)[:80]
        )


def _one_of(what: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"unknown {what}", where=what, expected=" or ".join(known), got=repr(value))


def _check_scenes(scenes: SceneSet, spec: CubeSpec) -> None:
    for scene in scenes.scenes:
        lacking = [name for name in spec.bands if name not in scene.bands]
        if lacking or (spec.masked is not None and scene.mask is None):
            raise InputError(
                "a scene was read without what the cube asks for",
                where=scene.id,
                expected=", ".join(spec.bands) + ("" if spec.masked is None else " and the mask"),
                got=", ".join(scene.bands) + (" and the mask" if scene.mask else " without mask"),
            )


def _grouped(ordered: Sequence[Scene], groupby: str | None) -> list[list[Scene]]:
    if groupby in (None, "scene"):
        return [[scene] for scene in ordered]
    keys = [_key(scene, groupby or "") for scene in ordered]
    steps: dict[Any, list[Scene]] = {}
    for key, scene in zip(keys, ordered, strict=True):
        steps.setdefault(key, []).append(scene)
    # Solar days of neighbouring longitudes may begin in another order than their scenes were taken.
    by_day = groupby == "solar_day"
    return [steps[key] for key in (sorted(steps) if by_day else steps)]


def _usable(scenes: SceneSet, spec: CubeSpec) -> SceneSet:
    """Leave out scenes that lack what they are to be grouped or ordered by, if such scenes are to be skipped."""
    if spec.on_error != "skip":
        return scenes
    good, gone = [], list(scenes.left_out)
    for scene in scenes.scenes:
        try:
            _key(scene, spec.groupby or "scene")
            _in_order((scene, scene), "first" if callable(spec.mosaic) else spec.mosaic)
        except MetadataError as error:
            gone.append(LeftOut(scene.id, str(error)))
        else:
            good.append(scene)
    if not good:
        raise EmptyResultError("there is no scene to load", got="; ".join(f"{s.id}: {s.reason}" for s in gone))
    return SceneSet(tuple(good), tuple(gone))


def _key(scene: Scene, groupby: str) -> Any:
    """Give what a scene shares with the others of its step."""
    known = {"solar_day": scene.solar_day, "time": scene.acquired, "scene": (scene.collection, scene.id)}
    return known[groupby] if groupby in known else _property(scene, groupby)


def _property(scene: Scene, name: str) -> str | float:
    value = scene.properties.get(name)
    if not isinstance(value, str | int | float):
        raise MetadataError(
            f"the item has no usable property {name!r}", where=scene.id, expected="text or a number", got=repr(value)
        )
    return value


def _number(scene: Scene, name: str) -> float:
    value = _property(scene, name)
    if isinstance(value, str) or not math.isfinite(value):
        raise MetadataError(f"the property {name!r} is no number", where=scene.id, got=repr(value))
    return float(value)


def _in_order(group: tuple[Scene, ...], mosaic: str | Order) -> tuple[Scene, ...]:
    """Put the scenes of a step into the order in which a pixel asks them."""
    if callable(mosaic):
        chosen = mosaic(group)
        if not isinstance(chosen, Sequence) or any(scene not in group for scene in chosen):
            raise InputError("the mosaic rule gives something else than scenes it was given", where="mosaic")
        return tuple(chosen)
    if mosaic == "first" or len(group) == 1:
        return group
    if mosaic == "nearest-in-view":
        return tuple(sorted(group, key=lambda scene: (abs(_number(scene, "view:off_nadir")), *scene.order)))
    sign = -1.0 if mosaic == "max_cloud" else 1.0
    return tuple(sorted(group, key=lambda scene: (sign * _number(scene, "eo:cloud_cover"), *scene.order)))


def _label(scene: Scene, spec: CubeSpec) -> date:
    """Give the time of a step: the solar day of its scenes, or the moment (UTC) of its first scene."""
    if spec.groupby == "solar_day":
        return scene.solar_day
    moment: datetime = scene.acquired.replace(tzinfo=None)
    return moment


def _band_plan(name: str, scenes: Sequence[Scene], spec: CubeSpec) -> BandPlan:
    """Settle type, fill value and resampling of a band over all its scenes."""
    sources = [scene.bands[name] for scene in scenes]
    classes = any(source.classes for source in sources)
    method = _method(name, spec, classes=classes)
    if spec.radiometry == "physical" and not classes:
        # Whole numbers of four bytes have more digits than float32.
        wide = any(np.result_type(source.dtype, "float32") == np.float64 for source in sources)
        return BandPlan(name, "float64" if wide else "float32", None, method, scaled=True)
    dtype = np.result_type(*(source.dtype for source in sources))
    nodata = {source.nodata for source in sources}
    whole = dtype.kind in "iu" and dtype.itemsize < 8
    if whole and len(nodata) == 1 and (number := nodata.pop()) is not None and _fits(number, dtype):
        return BandPlan(name, dtype.name, float(number), method, scaled=False)
    # Without one number that means missing, only NaN can: what is missing is never guessed.
    floating = dtype if dtype.kind == "f" else np.result_type(dtype, "float32")
    return BandPlan(name, floating.name, None, method, scaled=False)


def _fits(number: float, dtype: np.dtype[Any]) -> bool:
    return math.isfinite(number) and np.can_cast(np.min_scalar_type(int(number)), dtype) and number == int(number)


def _method(name: str, spec: CubeSpec, *, classes: bool) -> str:
    """Give a band's method; between classes there is nothing, so a general wish to blend does not reach them."""
    told = dict(spec.resampling)
    method = told.get(name, told.get(_EVERY, "nearest"))
    if classes and method in _BLENDING:
        if name in told:
            raise InputError(
                "classes and flags cannot be blended",
                where=f"resampling of {name!r}",
                expected="nearest or mode",
                got=method,
            )
        return "nearest"
    return method


def _rules(scenes: SceneSet, masked: MaskChoice) -> dict[str, MaskRule | Clear]:
    if masked is None:
        return {}
    collections = sorted({scene.collection for scene in scenes.scenes})
    return {name: _rule(name, masked) for name in collections}


def _rule(collection: str, masked: str | tuple[int, ...] | MaskRule | Clear) -> MaskRule | Clear:
    if isinstance(masked, MaskRule) or callable(masked):
        return masked
    mask = sensor_of(collection).mask
    if isinstance(masked, str):
        return mask.rule(masked)
    return mask.without(masked)


def mask_classes(scenes: SceneSet, mask: str | Sequence[int] | None) -> str | tuple[int, ...] | None:
    """Settle which classes are left out: the sensor's own choice for ``"clear"``, else the given ones.

    The class that means nothing was seen is always left out. A rule of bits or probabilities stays a name.

    Raises
    ------
    InputError
        If the rule is unknown, or a number is no class.
    """
    if mask is None:
        return None
    masks = [sensor_of(name).mask for name in sorted({scene.collection for scene in scenes.scenes})]
    if isinstance(mask, str):
        rules = [told.rule(mask) for told in masks]
        if any(rule.masked is None for rule in rules):
            return mask
        return tuple(sorted({value for rule in rules for value in rule.masked or ()}))
    if not all(0 <= value < 256 for value in mask):
        raise InputError("mask classes are numbers of a byte", expected="0..255", got=str(list(mask)))
    return tuple(sorted({*mask, *(told.nodata for told in masks)}))


def _stamps(plan: CubePlan) -> list[list[int]]:
    """Give size and time of change of the local files: one that was replaced makes another cube."""
    paths = {s.path for group in plan.groups for scene in group for s in (*scene.bands.values(), scene.mask) if s}
    found = []
    for path in sorted(path for path in paths if "://" not in path):
        try:
            told = os.stat(path)
        except OSError:  # gone since its header was read: told when it is read
            continue
        found.append([told.st_size, told.st_mtime_ns])
    return found


def _digest(plan: CubePlan, manifest: Manifest) -> str:
    """Give a digest of all that decides the cube's values, for deterministic task names."""
    spec = plan.spec
    bands = [[band.name, band.dtype, repr(band.nodata), band.method, band.scaled] for band in plan.bands]
    rules = {name: repr(rule) if isinstance(rule, MaskRule) else tokenize(rule) for name, rule in plan.rules.items()}
    told = [bands, rules, spec.groupby, spec.radiometry, spec.overviews, spec.on_error, _stamps(plan)]
    return sha256_of([told, plan.grid.as_dict(), [str(day) for day in plan.dates], manifest.table])
