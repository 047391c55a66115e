"""From the numbers of a mask layer to which pixels are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.core.sensors._types import MaskRule


def mask_table(rule: MaskRule) -> NDArray[np.bool_]:
    """Give what a rule says of every number of a byte.

    Parameters
    ----------
    rule : MaskRule
        Its dilation is left to who holds the pixels' neighbours.

    Returns
    -------
    bool array (256,)
        True where a pixel of that number is kept.

    Examples
    --------
    >>> int(mask_table(MaskRule("scl", masked=(0, 8, 9), known=tuple(range(12)))).sum())
    9
    """
    return clear_of(rule, np.arange(256, dtype="int16"))


def clear_of(rule: MaskRule, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which pixels of a mask layer a rule keeps.

    Parameters
    ----------
    rule : MaskRule
        Its dilation is not applied here.
    values : array of any shape
        Numbers of the layer: whole for classes and bits; for a threshold also floats, NaN = nothing was seen.

    Returns
    -------
    bool array of that shape
        True where the pixel is kept. Never where the number means that nothing was seen, or has no meaning.

    Raises
    ------
    InputError
        If classes or bits are asked of numbers that are not whole.

    Examples
    --------
    >>> clear_of(MaskRule("qa_pixel", bits=0b11111), np.array([21824, 22280, 1], "uint16"))
    array([ True, False, False])
    """
    if rule.threshold is not None:
        kept = values < rule.threshold
    elif values.dtype.kind not in "iu":
        raise InputError(
            "classes and bits are whole numbers", where=rule.asset, expected="an integer type", got=str(values.dtype)
        )
    elif rule.bits is not None:
        # int64 holds every type of QA layers there is, also the sign of int16, whose bit 15 is a flag as others.
        wide = values.astype("int64")
        kept = (wide & rule.bits) == 0
        if rule.any_bits:
            kept &= (wide & rule.any_bits) != 0
    else:
        table = _classes(rule)
        inside = (values >= 0) & (values < table.size)
        kept = inside & table[np.where(inside, values, 0).astype("intp")]
    return kept if rule.nodata is None else kept & (values != rule.nodata)


def _classes(rule: MaskRule) -> NDArray[np.bool_]:
    table = np.zeros(256, "bool")
    table[list(rule.known) or slice(None)] = True
    table[list(rule.masked or ())] = False
    return table
