"""The model card: what a model was made of, how well it does, and what it may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from terracube.core.validation import validated

if TYPE_CHECKING:
    from terracube.processing.landcover.models.model import Model

_LIBRARIES = ("terracube", "numpy", "numba", "scikit-learn", "lightgbm", "xgboost")


class ClassCount(BaseModel):
    """How many samples of a class there were."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: int
    name: str = ""
    samples: int
    regions: dict[str, int] = {}
    years: dict[str, int] = {}


class Period(BaseModel):
    """First and last day of the observations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: date
    end: date


class Card(BaseModel):
    """A model card; every entry is optional, and further entries are kept. A model refuses a card of another form."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    title: str | None = Field(default=None, max_length=1000)
    """For people, as are description, licence and citation."""
    description: str | None = None
    licence: str | None = Field(default=None, max_length=1000)
    citation: str | None = None
    samples: int | None = None
    """Number of samples."""
    classes: tuple[ClassCount, ...] = ()
    """Samples of each class."""
    regions: dict[str, int] = {}
    """Samples of each region."""
    groups: int | None = None
    """Number of groups (polygons, blocks) that validation kept whole."""
    features: tuple[str, ...] = ()
    """Names of the features, in order."""
    period: Period | None = None
    """Of the observations."""
    bbox: tuple[float, float, float, float] | None = None
    """Of the samples: west, south, east, north in degrees."""
    sensor: str | None = None
    """Of the scenes, as our descriptions of sensors name it."""
    collection: str | None = None
    """Of the scenes."""
    block_degrees: float | None = None
    """Side of the blocks of the headline cross-validation."""
    training: dict[str, JsonValue] = {}
    """Parameters of the training."""
    accuracies: dict[str, JsonValue] | None = None
    """Cross-validations: ``random`` and ``blocked``, of which ``headline`` names one."""
    calibration: dict[str, JsonValue] | None = None
    """Temperature of the probabilities, and their error."""
    domain: dict[str, JsonValue] = {}
    """What the samples cover: quantiles of each feature."""
    software: dict[str, str] = {}
    """Versions of libraries."""
    inputs: dict[str, JsonValue] = {}
    """What it was made of, with checksums."""


def make_card(**entries: Any) -> dict[str, Any]:
    """Make a card of its entries, as the plain JSON that a model carries.

    Raises
    ------
    InputError
        If an entry is of a wrong type.

    Examples
    --------
    >>> make_card(title="France", licence="CC-BY-4.0")["title"]
    'France'
    """
    entries.setdefault("software", software())
    return validated(Card, entries, what="the model card is wrong").model_dump(mode="json")


def check_card(card: Mapping[str, Any]) -> None:
    """Refuse a card whose entries are of a wrong form.

    Raises
    ------
    InputError
        Naming each entry that is wrong.
    """
    validated(Card, dict(card), what="the model card is wrong")


def overall_accuracy(card: Mapping[str, Any], scheme: str) -> float | None:
    """Give the mean overall accuracy of a scheme of cross-validation; ``None`` where the card does not tell.

    Examples
    --------
    >>> overall_accuracy({"accuracies": {"blocked": {"scores": {"overall": {"mean": 0.8}}}}}, "blocked")
    0.8
    """
    found: Any = card
    for name in ("accuracies", scheme, "scores", "overall", "mean"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def software() -> dict[str, str]:
    """Give the versions of the libraries that train and use models, of those that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(model: Model) -> dict[str, Any]:
    """Describe a model as plain JSON: what it is, then its card; what ``terracube model show`` prints."""
    names = _class_names(model)
    arrays = model.classifier.arrays()
    return {
        "digest": model.digest,
        "classifier": model.classifier.kind,
        "trees": len(arrays["start"]) - 1 if "start" in arrays else None,
        "bytes": sum(int(values.nbytes) for values in arrays.values()),
        "missing": model.missing,
        "temperature": model.temperature,
        "classes": [{"code": code, "name": names.get(code, "")} for code in model.classes],
        "features": list(model.features),
        "spec": model.spec,
        "card": model.card,
    }


def _class_names(model: Model) -> dict[int, str]:
    """Give the name of each class code as far as a nomenclature tells."""
    told = (model.nomenclature or {}).get("classes", [])
    listed = told if isinstance(told, list) else []
    return {one["code"]: str(one.get("name", "")) for one in listed if isinstance(one, dict) and "code" in one}
