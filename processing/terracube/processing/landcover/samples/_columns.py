"""Which column of a table holds what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from terracube.core.errors import InputError, LeftOut
from terracube.processing.landcover import _nomenclature_text as text
from terracube.processing.landcover.nomenclature import Nomenclature, load_nomenclature

# Names that are understood where nobody says otherwise; the first that the table has counts.
_USUAL = {
    "sample": ("sample", "sample_id", "id"),
    "group": ("group", "polygon", "polygon_id"),
    "region": ("region", "zone"),
    "weight": ("weight",),
    "start": ("start", "start_date"),
    "end": ("end", "end_date"),
    "lon": ("longitude", "lon"),
    "lat": ("latitude", "lat"),
    "date": ("date", "time"),
}


def usual_names(roles: Iterable[str]) -> set[str]:
    """Give all names that are understood for some roles."""
    return {name for role in roles for name in _USUAL[role]}


def find_columns(
    names: Collection[str], label: str, told: Mapping[str, str] | None, *, roles: Iterable[str], where: str
) -> dict[str, str]:
    """Give the column of each role that the table has; the label is a must.

    Raises
    ------
    InputError
        If there is no label, or no column of a name that was told, or a role is unknown.
    """
    wanted = list(roles)
    told = dict(told or {})
    strange = [role for role in told if role not in wanted]
    if strange:
        raise InputError("there is no such role", where="columns", expected=", ".join(wanted), got=", ".join(strange))
    for role, name in {"label": label, **told}.items():
        if name not in names:
            got = ", ".join(map(str, names))[:300]
            todo = f"say which column holds the {role}"
            raise InputError(f"there is no column for {role}", where=where, expected=repr(name), got=got, todo=todo)
    found = {"label": label}
    for role in wanted:
        usual = [name for name in _USUAL[role] if name in names and name != label]
        if role in told or usual:
            found[role] = told.get(role, usual[0] if usual else "")
    return found


def encode(
    labels: pd.Series, nomenclature: Any, ignore: Collection[Any], where: str
) -> tuple[Nomenclature, NDArray[np.int32], NDArray[np.bool_], tuple[LeftOut, ...]]:
    """Give the codes of labels, which rows are kept, and what is left out because its label is to be ignored.

    Codes are of the rows that are kept. Without a nomenclature one is made of the labels.

    Raises
    ------
    InputError
        If nothing is left, a label is missing, or the nomenclature does not know one.
    """
    words, place = np.unique(np.array([text.label_text(one) for one in labels], dtype=np.str_), return_inverse=True)
    dropped = np.isin(np.array([text.word(one) for one in words], dtype=np.str_), [text.word(one) for one in ignore])
    kept: NDArray[np.bool_] = ~dropped[place]
    counts = np.bincount(place, minlength=len(words))
    left_out = tuple(
        LeftOut(f"label {word!r}", f"{count} rows have a label that is to be ignored")
        for word, count in zip(words[dropped].tolist(), counts[dropped].tolist(), strict=True)
    )
    if not kept.any():
        raise InputError("there are no samples left", where=where, expected="labels that are not ignored", got="none")
    used = words[~dropped]
    if "" in used:
        row = int(np.flatnonzero(place == words.tolist().index(""))[0])
        todo = "give it a label, or leave such rows out with ignore=('',)"
        raise InputError("a label is missing", where=f"{where}, row {row}", expected="a label", todo=todo)
    chosen = Nomenclature.from_labels(used.tolist()) if nomenclature is None else load_nomenclature(nomenclature)
    codes = np.zeros(len(words), np.int32)
    try:
        codes[~dropped] = chosen.encode(used.tolist())
    except InputError:
        chosen.encode([one for one, stays in zip(labels, kept, strict=True) if stays])  # which names the rows
        raise
    return chosen, codes[place][kept], kept, left_out
