"""What another loader is asked for: the plan of a cube, whose scenes, steps, types and rules are settled already."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from terracube.core.errors import InputError
from terracube.core.sensors import MaskRule
from terracube.cubes.plan import BandPlan, CubePlan
from terracube.cubes.sources import Scene, Source

MASK = "(mask)"
"""Name of the classified layer among the layers that are read."""


@dataclass(frozen=True)
class PeerRequest:
    """A resolved load call: every loader gets the same plan, and gives the same dataset layout."""

    plan: CubePlan
    chunks: Mapping[str, int] | None = None
    """Rows (``y``) and columns (``x``) of a block; ``None`` reads at once."""
    left_out: tuple[Mapping[str, str], ...] = ()
    """Items that could not be used, with the reason, for the attributes of the dataset."""

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All scenes, step by step."""
        return tuple(scene for group in self.plan.groups for scene in group)

    @property
    def layers(self) -> tuple[str, ...]:
        """What has to be read: the bands, then the mask if there is one."""
        return (*(band.name for band in self.plan.bands), *([MASK] if self.plan.rules else []))

    def sources(self, name: str) -> list[Source]:
        """Give the sources of a band, or of the mask layer, one per scene."""
        if name != MASK:
            return [scene.bands[name] for scene in self.scenes]
        found = [scene.mask for scene in self.scenes if scene.mask is not None]
        if len(found) < len(self.scenes):
            raise InputError("a scene was read without the mask that the call asks for", where="mask")
        return found


@dataclass(frozen=True)
class Batch:
    """Layers that can be asked for in one call: same type, same fill value, same method."""

    names: tuple[str, ...]
    dtype: str
    fill: float
    method: str

    @property
    def number(self) -> np.generic:
        """The fill value in the layers' own type."""
        value: np.generic = np.dtype(self.dtype).type(self.fill)
        return value


def batches(request: PeerRequest) -> list[Batch]:
    """Put layers into calls, since these loaders take one type, nodata or method per call."""
    single = [_band_batch(request, band) for band in request.plan.bands]
    kinds: dict[tuple[str, str, str], list[Batch]] = {}
    for batch in [*single, *([_mask_batch(request)] if request.plan.rules else [])]:
        kinds.setdefault((batch.dtype, repr(batch.fill), batch.method), []).append(batch)
    return [replace(alike[0], names=tuple(one.names[0] for one in alike)) for alike in kinds.values()]


def _band_batch(request: PeerRequest, band: BandPlan) -> Batch:
    """Ask for a band in its own type, or in a wider float where that would not hold all numbers of the files."""
    held = all(np.can_cast(source.dtype, band.dtype) for source in request.sources(band.name))
    return Batch((band.name,), band.dtype if held or not math.isnan(band.fill) else "float64", band.fill, band.method)


def _mask_batch(request: PeerRequest) -> Batch:
    """Ask for classes in a wider type, so that a number beyond all of them can stand for nothing seen."""
    dtype = np.result_type(*(source.dtype for source in request.sources(MASK)))
    if dtype.kind == "f":
        return Batch((MASK,), dtype.name, math.nan, "nearest")
    wide = np.dtype("int16" if dtype == np.uint8 else "int32")
    return Batch((MASK,), wide.name, float(np.iinfo(wide).min), "nearest")


def refuse(request: PeerRequest, engine: str, methods: Collection[str]) -> None:
    """Refuse what a loader cannot honour, rather than give other pixels than were asked for.

    Raises
    ------
    InputError
        Saying what that engine lacks.
    """
    for band in request.plan.bands:
        if band.method not in methods:
            raise lack(engine, f"knows the methods {', '.join(methods)}", f"resampling of {band.name}", band.method)
    for rule in request.plan.rules.values():
        if isinstance(rule, MaskRule) and rule.dilate_m:
            raise lack(engine, "cannot grow masks by metres on the pixels of the files", "mask", f"{rule.dilate_m:g} m")
    if request.plan.spec.on_error != "raise":
        raise lack(engine, "does not tell what it could not read", "on_error", request.plan.spec.on_error)
    for name in request.layers:
        for source in request.sources(name):
            _refuse_source(source, engine, name)


def _refuse_source(source: Source, engine: str, name: str) -> None:
    """Refuse what is no plain raster, what needs a signature when it is read, and a nodata number of the caller."""
    if source.nodata_given:
        # They take the file's own for missing as well, or instead.
        raise lack(engine, "reads the nodata numbers of the files", f"nodata of {name}", f"{source.nodata}")
    if source.location.signer is not None:
        raise lack(engine, "cannot sign addresses when pixels are read", f"signer of {name}", "a signer")
    if source.location.member:
        raise lack(engine, "reads raster files alone", name, str(source.location)[:200])


def lack(engine: str, lacks: str, where: str, got: str) -> InputError:
    """Make the error that says what an engine lacks."""
    return InputError(
        f"{engine} {lacks}", where=where, got=got, todo="take engine='terracube', or leave that option out"
    )


def missing_extra(package: str) -> InputError:
    """Make the error of a loader that is not installed."""
    return InputError(
        f"{package} is not installed", where="engine", todo="pip install 'terracube[peers]', or take engine='terracube'"
    )
