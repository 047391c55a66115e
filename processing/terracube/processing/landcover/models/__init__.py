"""Trained classifiers: taken over from fitted estimators, stored without code, fast on pixels."""

from terracube.processing.landcover.models.card import Card, describe, make_card, overall_accuracy
from terracube.processing.landcover.models.mlm import mlm_properties
from terracube.processing.landcover.models.model import Model
from terracube.processing.landcover.models.protocol import Classifier
from terracube.processing.landcover.models.reference import ModelFile, to_model

__all__ = [
    "Card",
    "Classifier",
    "Model",
    "ModelFile",
    "describe",
    "make_card",
    "mlm_properties",
    "overall_accuracy",
    "to_model",
]
