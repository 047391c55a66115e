"""A model by its file: what blocks are handed instead of the model itself, so that it travels as a path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from terracube.core.errors import IntegrityError
from terracube.processing.landcover.models.model import Model

_KEPT = 4


@dataclass(frozen=True)
class ModelFile:
    """A file that all workers see, and the digest of the model in it."""

    path: str
    digest: str

    def load(self) -> Model:
        """Read the model, once in each process.

        Raises
        ------
        IntegrityError
            If the file holds another model.
        """
        return _load(self.path, self.digest)


def to_model(value: Model | ModelFile) -> Model:
    """Accept a model or where to find it."""
    return value.load() if isinstance(value, ModelFile) else value


@lru_cache(maxsize=_KEPT)
def _load(path: str, digest: str) -> Model:
    model = Model.load(path)
    if model.digest != digest:
        raise IntegrityError("the file holds another model", where=path, expected=digest, got=model.digest)
    return model
