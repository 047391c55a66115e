"""A model as the machine-learning model extension of STAC tells it (version 1.5), as plain dicts."""

from __future__ import annotations

import re
from typing import Any

from terracube.processing.landcover.models.card import describe
from terracube.processing.landcover.models.model import Model

SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.0/schema.json"
ARTIFACT = "terracube.tcmodel"
_ARCHITECTURES = {
    "forest": "Random Forest",
    "boosted": "Gradient Boosted Trees",
    "svm": "Support Vector Machine",
    "radial": "Kernel Ridge Classifier",
    "linear": "Linear Classifier",
    "mean": "Ensemble",
}
_NO_NAME = re.compile(r"[^a-zA-Z0-9_.\-\s]+")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def mlm_properties(model: Model) -> dict[str, Any]:
    """Give the properties of a STAC item that describes a model.

    Fields and their meaning: STAC Machine Learning Model extension, version 1.5.0, "Item Properties and Collection
    Fields" and "Model Input/Output Object".

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> tree = DecisionTreeClassifier().fit([[0.0], [1.0]], [1, 2])
    >>> mlm_properties(Model.from_sklearn(tree, features=["red"]))["mlm:architecture"]
    'Random Forest'
    """
    told = describe(model)
    version = _VERSION.match(str(told["card"].get("software", {}).get("terracube", "")))
    return {
        "mlm:name": _name(model),
        "mlm:architecture": _architecture(model),
        "mlm:tasks": ["classification"],
        "mlm:framework": "TerraCube",
        **({"mlm:framework_version": version.group()} if version else {}),
        "mlm:memory_size": told["bytes"],
        "mlm:total_parameters": sum(int(values.size) for values in model.classifier.arrays().values()),
        "mlm:pretrained": True,
        "mlm:accelerator": None,
        "mlm:input": [_input(model)],
        "mlm:output": [_output(model, told["classes"])],
    }


def _name(model: Model) -> str:
    """Make a name of the letters that the extension allows."""
    title = _NO_NAME.sub(" ", str(model.card.get("title") or "")).strip(" .-_")
    return title if title[:1].isalpha() and len(title) > 2 else f"Land cover model {model.digest[:12]}"


def _architecture(model: Model) -> str:
    """Name the kind of classifier as the literature does."""
    inner = getattr(model.classifier, "inner", model.classifier)
    return _ARCHITECTURES.get(inner.kind, inner.kind)


def _input(model: Model) -> dict[str, Any]:
    """Describe X: features of pixels, made of bands by the model's own specification."""
    return {
        "name": "features",
        "description": "Features of each pixel, in the order of the model: " + ", ".join(model.features),
        "bands": [],
        "input": {"shape": [-1, len(model.features)], "dim_order": ["batch", "channel"], "data_type": "float32"},
    }


def _output(model: Model, classes: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe the probabilities."""
    return {
        "name": "probabilities",
        "tasks": ["classification"],
        "result": {"shape": [-1, len(model.classes)], "dim_order": ["batch", "class"], "data_type": "float32"},
        "classification:classes": [
            {"value": one["code"], "name": _class_name(one), "description": one["name"] or _class_name(one)}
            for one in classes
        ],
    }


def _class_name(told: dict[str, Any]) -> str:
    """Make a class name of letters, digits, '-' and '_' only."""
    return re.sub(r"[^0-9A-Za-z_-]+", "_", told["name"]).strip("_") or f"class-{told['code']}"
