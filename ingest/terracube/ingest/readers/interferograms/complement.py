"""What a user adds where a producer is silent: a small file ``terracube.yaml`` (or ``.json``) beside the delivery.

Nothing is guessed: a reader that misses a fact names it, and this file. What the delivery itself tells is not
overruled by it, apart from the sign, for which a producer's documentation is all there is.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from terracube.core.errors import MetadataError
from terracube.core.files import safe_name
from terracube.ingest.readers.interferograms.pair import Pair
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.text import read_mapping

_NAMES = ("terracube.yaml", "terracube.yml", "terracube.json")
MAX_BYTES = 4 << 20
"""Of a file that a user writes; stacks list up to some thousand pairs."""
_SAME = 1e-4

Sign = Literal["range_increase", "range_decrease"]


class Facts(BaseModel):
    """Facts that hold for all pairs of a stack."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    stack: str | None = None
    """Goes before the ids of the items, so that stacks of other tracks can lie in one catalogue."""
    crs: str | None = None
    sign: Sign | None = None
    """What a growing phase means, from the first to the second date of the pair as the producer names it."""
    wavelength: float | None = Field(default=None, gt=0)
    """m."""
    looks_range: int | None = Field(default=None, ge=1)
    looks_azimuth: int | None = Field(default=None, ge=1)
    looks_equivalent: float | None = Field(default=None, ge=1)
    """Independent looks, where they are not those in range times those in azimuth."""
    heading: float | None = None
    """Degrees clockwise from north."""
    incidence: float | None = Field(default=None, ge=0, le=90)
    """Degrees from the vertical, at the centre."""
    orbit: Literal["ascending", "descending"] | None = None
    relative_orbit: int | None = Field(default=None, ge=1)
    platform: str | None = None
    dates: tuple[str, str] | None = None
    """First and last date of the stack, for layers of geometry beside which there are no pairs."""

    @model_validator(mode="after")
    def _stack_is_a_name(self) -> Self:
        if self.stack is not None:
            safe_name(self.stack, what="stack")
        return self

    @property
    def factor(self) -> float:
        """What a phase is multiplied with to be in our sign, where nothing else is known of it."""
        return -1.0 if self.sign == "range_decrease" else 1.0

    def name(self, stem: str) -> str:
        """Give the id of an item."""
        return f"{self.stack}_{stem}" if self.stack else stem

    def settle(self, name: str, told: float | None, *, where: str) -> float | None:
        """Give a number that delivery and user may tell.

        Raises
        ------
        MetadataError
            If they contradict each other.
        """
        added = getattr(self, name)
        if told is None or added is None:
            return None if told is None and added is None else float(added if told is None else told)
        if not math.isclose(told, added, rel_tol=_SAME, abs_tol=_SAME):
            raise MetadataError(
                f"delivery and terracube.yaml disagree on {name}", where=where, expected=str(told), got=str(added)
            )
        return float(told)

    def complete(self, **told: Any) -> Pair:
        """Make a pair of what the delivery tells, and of this where it is silent.

        Raises
        ------
        MetadataError
            If the wavelength is told by neither, or the two contradict each other.
        """
        where = told["where"]
        for name in ("wavelength", "heading", "incidence"):
            told[name] = self.settle(name, told.get(name), where=where)
        if told["wavelength"] is None:
            raise MetadataError(
                "the wavelength is not told",
                where=where,
                expected="metres",
                todo="write wavelength: into a file terracube.yaml beside it",
            )
        looks = told.get("looks", (None, None))
        told["looks"] = (looks[0] or self.looks_range, looks[1] or self.looks_azimuth)
        told["orbit"] = told.get("orbit") or self.orbit
        told["relative_orbit"] = told.get("relative_orbit") or self.relative_orbit
        if self.platform and "platform" not in told.get("more", {}):
            told["more"] = {**told.get("more", {}), "platform": self.platform}
        if self.looks_equivalent and "sar:looks_equivalent_number" not in told.get("more", {}):
            told["more"] = {**told.get("more", {}), "sar:looks_equivalent_number": self.looks_equivalent}
        return Pair(**told)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be recorded of it with an item."""
        return () if self.sign is None else (f"sign as told by the user: a growing phase is a {self.sign}",)


def facts_beside(folder: Path) -> Facts:
    """Read what the user added in a folder; nothing where there is no such file.

    Raises
    ------
    TerraCubeError
        If there is one that cannot be used.
    """
    for name in _NAMES:
        path = folder / name
        if there(path):
            return model_of(Facts, read_mapping(path, limit=MAX_BYTES), where=str(path))
    return Facts()


def model_of[Model: BaseModel](model: type[Model], values: dict[str, Any], *, where: str) -> Model:
    """Make a model of plain values.

    Raises
    ------
    MetadataError
        Naming the file and each field that is wrong.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)[:10]
        told = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'all'}: {fault['msg']}" for fault in faults)
    raise MetadataError(
        "the file says something unusable", where=where, expected=", ".join(model.model_fields), got=told
    )
