"""Errors tell their facts, and survive the way between processes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from terracube.core import errors
from terracube.core.errors import AssetError, InputError, TerraCubeError

FACTS = {"where": "S2A/red", "expected": "a raster", "got": "a text", "todo": "fetch it again"}
CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, TerraCubeError)]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_every_error_survives_a_copy(cls, copied):
    """A pickled or copied error has the same class, facts and text: it crosses process borders."""
    error = cls("the file is no raster", **FACTS)
    again = copied(error)
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.as_dict() == error.as_dict() == FACTS
    assert again.what == "the file is no raster"


def test_text_holds_all_facts_and_no_empty_ones():
    """The message names what, where, expected, got and to do, and leaves out what nobody said."""
    assert str(AssetError("broken", **FACTS)) == (
        "broken (where: S2A/red; expected: a raster; got: a text; to do: fetch it again)"
    )
    assert str(InputError("empty", got="0")) == "empty (got: 0)"
    assert str(InputError("empty")) == "empty"


def test_one_base_and_distinct_classes():
    """One base catches everything; the two ways in which a server fails to give a file are asset errors, and no other
    error of ours is an instance of another one of ours."""
    assert len(CLASSES) >= 14
    for cls in CLASSES:
        assert issubclass(cls, TerraCubeError)
        base = AssetError if cls in (errors.AccessError, errors.UnreachableError) else TerraCubeError
        assert cls is TerraCubeError or cls.__bases__ == (base,)


def test_facts_from_outside_are_bounded_and_plain():
    """A message forges no line and moves no cursor, however long and odd what it tells is."""
    told = str(TerraCubeError("bad", where="a\x1b[31m\nb\udc80", got="x" * 10_000))
    assert told.isprintable()
    assert len(told) < 2_200
