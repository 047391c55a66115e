"""Model files give back the model, and nothing in a file that somebody made can hurt."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from terracube.core.digest import canonical_json
from terracube.core.errors import (
    HostileInputError,
    InputError,
    IntegrityError,
    NotFoundError,
    TerraCubeError,
    VersionError,
)
from terracube.processing.landcover.models import Model, file

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(80, 3)).astype(np.float32), RANDOM.integers(1, 5, 80)
NAMES = ("red", "nir", "slope")


@pytest.fixture(scope="module")
def model():
    """A small forest with a card and an extra array."""
    forest = RandomForestClassifier(4, random_state=0).fit(X, Y)
    card = {"title": "A small one", "samples": 80}
    return Model.from_sklearn(forest, features=NAMES, card=card, extras={"domain": np.arange(6.0).reshape(2, 3)})


@pytest.fixture
def path(model, tmp_path):
    """A good file."""
    return model.save(tmp_path / "good.tcmodel")


def taken_apart(path):
    """Give the JSON and the members of a file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(members.pop("model.json")), members


def put_together(path, told, members, **how):
    """Write a file of any JSON and members."""
    with zipfile.ZipFile(path, "w", **how) as archive:
        archive.writestr(zipfile.ZipInfo("model.json"), told if isinstance(told, bytes) else canonical_json(told))
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=how.get("compression"))
    return path


def forged(path, name, change):
    """Change one array of a file and its checksum with it, as somebody who knows the format would."""
    told, members = taken_apart(path)
    member = f"array-{sorted(told['arrays']).index(name):03d}.npy"
    array = change(np.load(io.BytesIO(members[member])).copy())
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    members[member] = out.getvalue()
    told["arrays"][name] = {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
    }
    return put_together(path, told, members)


def test_round_trip(model, path):
    """All that the model is comes back, to the bit."""
    again = Model.load(path)
    assert (again.features, again.classes, again.card, again.digest) == (
        model.features,
        model.classes,
        model.card,
        model.digest,
    )
    np.testing.assert_array_equal(again.extras["domain"], model.extras["domain"])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_same_model_same_bytes(model, path, tmp_path):
    """A file does not depend on when it was written."""
    assert Model.load(path).save(tmp_path / "again.tcmodel").read_bytes() == path.read_bytes()


def test_the_digest_tells_models_apart(model):
    """Another card, another order, another array: another digest."""
    from dataclasses import replace

    others = [replace(model, card={}), replace(model, features=NAMES[::-1]), replace(model, extras={})]
    assert len({model.digest, *(one.digest for one in others)}) == 4


def test_names_of_files(model, tmp_path):
    """Another ending is refused; a file that is not there is named."""
    with pytest.raises(InputError, match="ending"):
        model.save(tmp_path / "model.pkl")
    with pytest.raises(NotFoundError):
        Model.load(tmp_path / "none.tcmodel")
    with pytest.raises(NotFoundError):
        Model.load(tmp_path)


def test_cards_must_be_plain(model, tmp_path):
    """What JSON cannot hold is refused when it is saved, and no file is left."""
    from dataclasses import replace

    for card in ({"mean": float("nan")}, {"what": object()}):
        with pytest.raises(InputError, match="plain JSON"):
            replace(model, card=card).save(tmp_path / "m.tcmodel")
    assert not list(tmp_path.iterdir())


def test_arrays_of_objects_are_not_stored(model, tmp_path):
    """Nothing that would need pickle gets into a file."""
    from dataclasses import replace

    with pytest.raises(InputError, match="cannot be stored"):
        replace(model, extras={"bad": np.array([{}], object)}).save(tmp_path / "m.tcmodel")


def test_a_newer_format(path):
    """A file of a later version says so."""
    told, members = taken_apart(path)
    put_together(path, {**told, "version": 2}, members)
    with pytest.raises(VersionError, match="newer"):
        Model.load(path)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_truncated(path, share):
    """A file that was cut is broken."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(IntegrityError):
        Model.load(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_noticed(model, tmp_path_factory, data):
    """Whatever byte is changed, the file is refused, or the model is the same one."""
    path = model.save(tmp_path_factory.mktemp("flip") / "m.tcmodel")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    try:
        assert Model.load(path).digest == model.digest
    except (IntegrityError, HostileInputError, VersionError):
        return


@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=400))
def test_any_bytes(tmp_path_factory, content):
    """No file of any bytes raises anything but our own errors."""
    path = tmp_path_factory.mktemp("any") / "m.tcmodel"
    path.write_bytes(content)
    with pytest.raises((IntegrityError, HostileInputError)):
        Model.load(path)


def test_another_array_without_its_checksum(path):
    """An array that is not the one announced."""
    told, members = taken_apart(path)
    name = max(members, key=lambda one: len(members[one]))
    put_together(path, told, {**members, name: members[name][:-1] + bytes([members[name][-1] ^ 1])})
    with pytest.raises(IntegrityError, match="not the one announced"):
        Model.load(path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("feature", lambda a: np.where(a == 65535, a, 999).astype(a.dtype)),
        ("feature", lambda a: np.full_like(a, 65535)),
        ("feature", lambda a: np.zeros_like(a)),
        ("feature", lambda a: a[::-1]),
        ("feature", lambda a: a.astype(np.int32)),
        ("feature", lambda a: a[:0]),
        ("start", lambda a: a + 1),
        ("start", lambda a: a * 1000),
        ("start", lambda a: -a),
        ("start", lambda a: a[::-1]),
        ("start", lambda a: a[:1]),
        ("start", lambda a: np.full_like(a, np.iinfo(np.int64).max)),
        ("threshold", lambda a: np.full_like(a, np.nan)),
        ("threshold", lambda a: a[:-1]),
        ("leaf_row", lambda a: np.full_like(a, 2**31)),
        ("leaf_row", lambda a: a[:-1]),
        ("row_first", lambda a: a + 5),
        ("row_first", lambda a: a[:-1]),
        ("row_start", lambda a: np.zeros_like(a)),
        ("row_start", lambda a: np.full_like(a, 2**62)),
        ("row_class", lambda a: np.full_like(a, 65535)),
        ("row_class", lambda a: a[:-1]),
        ("row_value", lambda a: np.full_like(a, np.nan)),
        ("row_value", lambda a: np.full_like(a, np.inf)),
        ("row_value", lambda a: -a),
        ("row_value", lambda a: a * 2),
        ("row_value", lambda a: a * 0.5),
        ("missing_left", lambda a: np.zeros(3, a.dtype)),
    ],
)
def test_forged_forests_never_reach_the_kernel(path, name, change):
    """Arrays that would send a walk out of its tree, in circles or nowhere, with all checksums right."""
    with pytest.raises(IntegrityError):
        Model.load(forged(path, name, change))


def test_a_tree_that_is_too_deep(path):
    """A chain of nodes deeper than any real tree is refused before it is walked."""
    inner = 3000
    feature = np.tile(np.array([65535, 0], np.uint16), inner)
    feature = np.concatenate([np.zeros(1, np.uint16), feature[: 2 * (inner - 1)], np.full(2, 65535, np.uint16)])
    nodes = len(feature)
    arrays = {
        "start": np.array([0, nodes]),
        "feature": feature,
        "threshold": np.zeros(nodes, np.float32),
        "leaf_row": np.zeros(inner + 1, np.uint32),
        "row_first": np.array([0, 1]),
        "row_start": np.array([0, 1]),
        "row_class": np.zeros(1, np.uint16),
        "row_value": np.ones(1),
    }
    for name, array in arrays.items():
        forged(path, name, lambda _, array=array: array)
    with pytest.raises(IntegrityError, match="levels"):
        Model.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": [1, 1, 2, 3]},
        {"classes": [1, 2]},
        {"classes": [True, 2, 3, 4]},
        {"classes": "1234"},
        {"features": ["red", "red", "nir"]},
        {"features": ["red"]},
        {"features": [1, 2, 3]},
        {"features": ["a\u202e", "b", "c"]},
        {"features": None},
        {"kind": "pickle"},
        {"kind": ["forest"]},
        {"kind": "mean"},
        {"kind": "scaled"},
        {"kind": "svm"},
        {"kind": "boosted"},
        {"classifier": {"n_features": -1, "n_classes": 4}},
        {"classifier": {"n_features": 10**9, "n_classes": 4}},
        {"classifier": {"n_features": 3, "n_classes": True}},
        {"classifier": []},
        {"missing": 1},
        {"missing": True},
        {"card": []},
        {"spec": 3},
        {"more": 1},
    ],
)
def test_forged_facts(path, change):
    """Facts of a wrong type or that do not fit the arrays."""
    told, members = taken_apart(path)
    put_together(path, {**told, "facts": {**told["facts"], **change}}, members)
    with pytest.raises(IntegrityError):
        Model.load(path)


def test_classifiers_in_classifiers(path):
    """Classifiers nested without end are refused."""
    told, members = taken_apart(path)
    inner = {"kind": "forest", "facts": {}}
    for _ in range(50):
        inner = {"kind": "scaled", "facts": {"inner": inner}}
    told["facts"].update(kind="scaled", classifier={"inner": inner})
    put_together(path, told, members)
    with pytest.raises(IntegrityError):
        Model.load(path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'{"format":"terracube-model","version":1}',
        b'{"format":"terracube-model","version":0,"facts":{},"arrays":{}}',
        b'{"format":"terracube-model","version":1,"facts":{},"arrays":[]}',
        b'{"format":"terracube-model","version":1,"facts":{},"arrays":{"a":{"dtype":"|O","shape":[1]}}}',
        b'{"format":"terracube-model","version":1,"facts":{},"arrays":{"a":{"dtype":"<f8","shape":[-1]}}}',
        b'{"format":"terracube-model","version":1,"facts":{},"arrays":{"a":{"dtype":"<f8","shape":[1.5]}}}',
        b'{"format":"terracube-model","version":1,"facts":{"card":NaN},"arrays":{}}',
        b'{"version":' + b"9" * 5000 + b"}",
        b"\xff\xfe",
    ],
)
def test_any_json(path, text):
    """JSON that tells of no model."""
    put_together(path, text, {})
    with pytest.raises(IntegrityError):
        Model.load(path)


def test_deep_json(path):
    """JSON that is nested a hundred thousand times."""
    put_together(path, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {})
    with pytest.raises((HostileInputError, IntegrityError)):
        Model.load(path)


def test_shapes_larger_than_the_file(path):
    """An array announced larger than what is there is refused before memory is taken for it."""
    told, members = taken_apart(path)
    told["arrays"]["feature"]["shape"] = [2**31 - 1, 2**31 - 1]
    put_together(path, told, members)
    with pytest.raises(IntegrityError, match="size"):
        Model.load(path)


def test_packed_members(path):
    """A compressed archive, which could unfold to anything, is refused."""
    told, members = taken_apart(path)
    put_together(path, told, {**members, "bomb": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(HostileInputError, match="packed"):
        Model.load(path)


def test_too_many_members(path):
    """An archive that lists thousands of members is refused before they are listed."""
    told, members = taken_apart(path)
    put_together(path, told, {**members, **{f"m{k}": b"" for k in range(2000)}})
    with pytest.raises(HostileInputError, match="lists too much"):
        Model.load(path)


def test_members_nobody_announced(path):
    """Something else in the archive, whatever its name, is not passed over in silence."""
    told, members = taken_apart(path)
    put_together(path, told, {**members, "../../evil.py": b"x"})
    with pytest.raises(IntegrityError, match="not those announced"):
        Model.load(path)


def test_wide_directory_record(path):
    """The 64-bit form of the directory, which could tell other sizes, is refused."""
    content = path.read_bytes()
    path.write_bytes(content[:-22] + struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1) + content[-22:])
    with pytest.raises(IntegrityError):
        Model.load(path)


def test_more_than_a_model_file(path, monkeypatch):
    """A file beyond the limit is refused by its size alone."""
    monkeypatch.setattr(file, "MAX_BYTES", 100)
    with pytest.raises(HostileInputError, match="too large"):
        Model.load(path)


def test_pickles_are_never_read(path, tmp_path):
    """An array file that holds a pickle runs nothing."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    told, members = taken_apart(path)
    out = io.BytesIO()
    np.save(out, np.array([Evil()], object), allow_pickle=True)
    put_together(path, told, {**members, "array-000.npy": out.getvalue()})
    with pytest.raises(TerraCubeError):
        Model.load(path)
    assert not (tmp_path / "ran").exists()
