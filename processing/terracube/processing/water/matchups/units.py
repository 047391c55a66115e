"""Units of products and of measurements, held against each other; nothing is converted unless it is asked for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import pint

from terracube.core.errors import MetadataError

_LONGEST = 60
_SAME = 1e-12
_TOKEN = re.compile(r"([A-Za-z%]+)(?:\^|\*\*)?(-?\d{1,2})?")
_WORDS = {"ug": "microgram", "mg": "milligram", "g": "gram", "kg": "kilogram", "ng": "nanogram", "t": "tonne",
          "m": "metre", "cm": "centimetre", "mm": "millimetre", "km": "kilometre", "nm": "nanometre",
          "l": "litre", "L": "litre", "ml": "millilitre", "mL": "millilitre", "dl": "decilitre", "s": "second",
          "sr": "steradian", "degC": "celsius", "K": "kelvin", "degree": "degree", "deg": "degree", "degrees": "degree",
          "FNU": "FNU", "NTU": "NTU", "FTU": "FTU", "JTU": "JTU", "%": "percent", "RFU": "RFU",
          "cells": "cells"}  # fmt: skip
# Turbidities by different methods are quantities of their own, as are counts of different things.
_DEFINITIONS = (
    "metre = [length]", "gram = [mass]", "second = [time]", "kelvin = [temperature]", "celsius = [celsius]",
    "steradian = [solid_angle]", "degree = [angle]", "FNU = [fnu]", "NTU = [ntu]", "FTU = [ftu]", "JTU = [jtu]",
    "RFU = [rfu]", "cells = [cells]", "percent = 0.01", "kilogram = 1e3 * gram", "milligram = 1e-3 * gram",
    "microgram = 1e-6 * gram", "nanogram = 1e-9 * gram", "tonne = 1e6 * gram", "centimetre = 1e-2 * metre",
    "millimetre = 1e-3 * metre", "kilometre = 1e3 * metre", "nanometre = 1e-9 * metre", "litre = 1e-3 * metre ** 3",
    "millilitre = 1e-3 * litre", "decilitre = 1e-1 * litre",
)  # fmt: skip


def conversion_factor(source: str, target: str, *, todo: str = "name a quantity of the same kind") -> float:
    """Give the number that values of one unit are multiplied by to become those of another.

    Parameters
    ----------
    source, target : str
        Like ``mg m-3``, ``ug/L``, ``FNU``, ``1``.
    todo : str
        What the error says is to be done where one cannot become the other.

    Raises
    ------
    MetadataError
        If a unit is missing or not known, or one cannot become the other: a turbidity in NTU (white light) is another
        quantity than one in FNU (infrared light).

    Examples
    --------
    >>> conversion_factor("ug L-1", "mg m-3"), conversion_factor("g m-3", "mg/L")
    (1.0, 1.0)
    """
    try:
        factor = float((1.0 * unit_of(source)).to(unit_of(target)).magnitude)
    except pint.DimensionalityError as error:
        raise MetadataError("one unit cannot become the other", where="unit", expected=target, got=source,
                            todo=todo) from error  # fmt: skip
    return 1.0 if abs(factor - 1.0) < _SAME else factor


@lru_cache(maxsize=256)
def unit_of(text: str) -> Any:
    """Take the text of a unit apart, word by word; it comes from outside and is never evaluated.

    Raises
    ------
    MetadataError
        If it is empty, too long, or holds a word that is not known.
    """
    plain = text.strip().replace("µ", "u").replace("μ", "u").replace("·", " ")
    if not plain or len(plain) > _LONGEST:
        raise _unknown(text)
    unit = _registry().Unit("")
    if plain == "1":
        return unit
    for number, part in enumerate(plain.split("/")):
        for word in part.split():
            found = _TOKEN.fullmatch(word)
            if found is None and word != "1":
                raise _unknown(text)
            if found is not None:
                if found[1] not in _WORDS:
                    raise _unknown(text)
                power = int(found[2] or 1)
                unit = unit * _registry().Unit(_WORDS[found[1]]) ** (-power if number else power)
    return unit


@lru_cache(maxsize=1)
def _registry() -> Any:
    registry = pint.UnitRegistry(None, cache_folder=None)
    for line in _DEFINITIONS:
        registry.define(line)
    return registry


def _unknown(text: str) -> MetadataError:
    expected, todo = "like 'mg m-3', 'FNU', '1'", "write it with the words of SI, or convert it first"
    return MetadataError(
        "a unit is missing or not known", where="unit", expected=expected, got=repr(text[:_LONGEST]), todo=todo
    )
