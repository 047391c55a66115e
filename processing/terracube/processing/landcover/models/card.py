"""The model card: what a model was made of, how well it does, and what it may be used for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from terracube.core.validation import validated
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


class Card(BaseModel):
    """A model card; every entry is optional, and further entries are kept.

    Attributes
    ----------
    title, description, licence, citation : str
        For people.
    classes : list of ClassCount
        Samples per class, region and year.
    features : list of str
        Names of the features in order.
    dates : list of str
        Dates to which the series were filled, or the first and the last day of the season.
    accuracies : dict
        Figures by design: ``random`` and ``blocked`` (the headline) cross-validation, area-weighted validation.
    domain : dict
        What the samples cover, such as quantiles per feature.
    software : dict
        Versions of libraries.
    data : dict
        Sha256 of each file of samples.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    title: str = ""
    description: str = ""
    licence: str = ""
    citation: str = ""
    classes: tuple[ClassCount, ...] = ()
    features: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    accuracies: dict[str, JsonValue] = {}
    domain: dict[str, JsonValue] = {}
    software: dict[str, str] = {}
    data: dict[str, str] = {}


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
