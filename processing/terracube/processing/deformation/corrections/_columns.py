"""The temporal model of a correction as columns over the dates."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.corrections._record import times_of
from terracube.processing.deformation.model import Model, design_of, parse_model

type ModelLike = str | Model | ArrayLike


def columns_of(series: xr.Dataset, model: ModelLike) -> NDArray[np.float64]:
    """Give the columns (time, column), of the order of one, a constant first.

    Parameters
    ----------
    model : str, Model or array (time, column)
        In words, as :func:`terracube.processing.deformation.model.parse_model` reads them; or the columns themselves,
        without the constant.

    Raises
    ------
    InputError
        If the words are unknown, the dates do not hold the model, or the columns are unusable.
    """
    if isinstance(model, str | Model):
        read = parse_model(model) if isinstance(model, str) else model
        return np.asarray(design_of(read, times_of(series)).matrix, "float64")
    own, dates = np.asarray(model, "float64"), series.sizes["time"]
    if own.ndim != 2 or len(own) != dates or not np.isfinite(own).all():
        raise InputError(
            "unusable columns", where="model", expected=f"finite, ({dates}, columns)", got=f"shape {own.shape}"
        )
    size = np.sqrt((own**2).mean(axis=0))
    return np.concatenate([np.ones((dates, 1)), own / np.where(size > 0, size, 1.0)], axis=1)


def told_of(model: ModelLike | None) -> str:
    """Say in words which model it is, for the record."""
    if model is None:
        return "none: motion that looks like what is removed is not protected"
    if isinstance(model, Model):
        return model.text
    return model if isinstance(model, str) else f"{np.shape(model)[1]} columns of the caller"
