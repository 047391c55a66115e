"""Fingerprints: one form, one hash, manifests that `sha256sum` checks."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core import digest

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyzäß", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_canonical_json_is_json_and_stable(value):
    """Reading canonical JSON gives the value back, and writing that again gives the same bytes."""
    written = digest.canonical_json(value)
    assert json.loads(written) == value
    assert digest.canonical_json(json.loads(written)) == written


@given(st.dictionaries(st.text("abcdef", max_size=3), st.integers(), max_size=6), st.randoms())
def test_order_of_keys_does_not_matter(value, random):
    """The digest of a mapping does not depend on the order in which it was filled."""
    keys = list(value)
    random.shuffle(keys)
    assert digest.sha256_of({key: value[key] for key in keys}) == digest.sha256_of(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_number_that_json_lacks(number):
    """NaN and infinities have no canonical form: two writers would differ."""
    with pytest.raises(ValueError, match="JSON compliant"):
        digest.canonical_json([number])


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_file_digest_does_not_depend_on_pieces(tmp_path, size):
    """A file read in pieces has the digest of its whole content, also when empty or just one piece."""
    content = bytes(i % 251 for i in range(size))
    path = tmp_path / "file"
    path.write_bytes(content)
    assert digest.file_sha256(path) == hashlib.sha256(content).hexdigest()
    assert digest.path_sha256(path) == digest.file_sha256(path)
    assert digest.path_size(path) == size


def test_multihash_says_sha256_and_its_length():
    """The prefix is that of sha2-256 with 32 bytes, as STAC's file extension shows it."""
    hexadecimal = hashlib.sha256(b"").hexdigest()
    assert digest.multihash(hexadecimal) == "1220" + hexadecimal
    assert len(bytes.fromhex(digest.multihash(hexadecimal))) == 2 + 32


@pytest.fixture
def tree(tmp_path):
    """A folder with nested files, and names that a careless manifest would let forge its lines."""
    folder = tmp_path / "tree"
    for name in ("a.txt", "b/c.txt", "b/d e.txt", "b.txt", "back\\slash", "new\nline", "ä.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_manifest_is_what_sha256sum_checks(tree, tmp_path):
    """`sha256sum -c` accepts the manifest, whatever the names, and refuses it when a file was changed."""
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    manifest = tmp_path / "manifest"
    manifest.write_text(digest.tree_manifest(tree), encoding="utf-8")
    check = ["sha256sum", "--check", "--strict", "--quiet", str(manifest)]
    assert subprocess.run(check, cwd=tree, check=False, capture_output=True).returncode == 0
    (tree / "a.txt").write_text("changed")
    assert subprocess.run(check, cwd=tree, check=False, capture_output=True).returncode != 0


def test_manifest_is_sorted_by_path_and_has_a_line_per_file(tree):
    """Seven files give seven lines in the order of their paths."""
    lines = digest.tree_manifest(tree).splitlines()
    names = [line.removeprefix("\\")[66:] for line in lines]
    assert names == sorted(names)
    assert len(lines) == 7


def test_tree_digest_sees_every_change(tree):
    """Changing, adding, removing or renaming a file changes the digest of the folder; undoing it brings it back."""
    before = digest.tree_sha256(tree)
    assert digest.path_sha256(tree) == before
    (tree / "new").write_text("")
    added = digest.tree_sha256(tree)
    (tree / "new").rename(tree / "newer")
    renamed = digest.tree_sha256(tree)
    (tree / "newer").write_text("x")
    changed = digest.tree_sha256(tree)
    (tree / "newer").unlink()
    assert len({before, added, renamed, changed}) == 4
    assert digest.tree_sha256(tree) == before


def test_a_file_name_cannot_forge_a_line(tmp_path):
    """One file whose name holds a line break has another manifest than the two files it tries to look like."""
    one, two = tmp_path / "one", tmp_path / "two"
    empty = hashlib.sha256(b"").hexdigest()
    two.mkdir()
    (two / "a").touch()
    (two / "b").touch()
    one.mkdir()
    (one / f"a\n{empty}  b").touch()
    assert digest.tree_manifest(one) != digest.tree_manifest(two)


def test_size_of_a_folder_counts_all_files(tree):
    """The size of a folder is the sum of its files; an empty one has none."""
    assert digest.path_size(tree) == sum(p.stat().st_size for p in tree.rglob("*") if p.is_file())
    (tree / "empty").mkdir()
    assert digest.path_size(tree / "empty") == 0
    assert digest.tree_manifest(tree / "empty") == ""
