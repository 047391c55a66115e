"""The three lists of what is installed agree, are exact where they must be, and hold nothing that may not be used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIN = re.compile(r"[a-z0-9][a-z0-9.-]*==[0-9][a-z0-9.!+]*( ; [^#@]+)?")

CONDA_NAMES = {"matplotlib-base": "matplotlib", "python-build": "build"}
"""Packages that conda-forge publishes under another name than the Python index."""

FORBIDDEN = re.compile(r"\bA?GPL|(?<!Lesser )General Public|Affero|Non-?Commercial|\bNC\b|CC-BY-NC|Proprietary", re.I)
KNOWN = re.compile(r"\b(MIT|BSD|Apache|ISC|MPL|Mozilla|PSF|PSFL|Python Software Foundation|0BSD|Zlib|LGPL)\b", re.I)

REVIEWED = {
    "icechunk": "its metadata name no licence; the licence file in its wheel is Apache-2.0",
    "odc-stac": "its metadata name no licence; the licence file in its wheel is Apache-2.0",
}
"""Packages whose metadata do not say a licence: read by hand, with what was found."""


APART = ("snaphu", "tides")
"""Extras whose licences keep them out of the lock, of images and of environment.yml."""


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    content = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(content["project"])


@pytest.fixture(scope="module")
def pins(repository: Path) -> list[str]:
    """The lines of the lock without comments."""
    lines = (repository / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def ranges(requirements: list[str]) -> dict[str, str]:
    """Map canonical names to version ranges."""
    parsed = map(Requirement, requirements)
    return {canonicalize_name(one.name): str(one.specifier) for one in parsed}


def wanted(project: dict[str, Any], *extras: str) -> dict[str, str]:
    """Ranges of the library's own needs and of the named extras; unless named, all that may be locked."""
    extras = extras or tuple(name for name in project["optional-dependencies"] if name not in APART)
    return ranges(
        [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    )


def applicable(pins: list[str]) -> list[Requirement]:
    """The pins that apply to the running interpreter."""
    parsed = map(Requirement, pins)
    return [pin for pin in parsed if pin.marker is None or pin.marker.evaluate()]


def test_lock_holds_exact_pins_only(pins: list[str]) -> None:
    """Each line is `name==version`, sorted, once: no address, no path, no option, no range."""
    assert [line for line in pins if not PIN.fullmatch(line)] == []
    names = [Requirement(line).name for line in pins]
    assert names == sorted(set(names)), "names are sorted and occur once"


def test_lock_covers_the_project(pins: list[str], project: dict[str, Any]) -> None:
    """Every need of the library and of its extras is pinned, at a version inside its range."""
    pinned = {pin.name: pin for pin in applicable(pins)}
    needs = wanted(project)
    assert sorted(set(needs) - set(pinned)) == []
    versions = {name: next(iter(pinned[name].specifier)).version for name in needs}
    outside = [
        name for name, allowed in needs.items() if not Requirement(name + allowed).specifier.contains(versions[name])
    ]
    assert outside == []


def test_what_stays_apart_is_not_locked(pins: list[str], project: dict[str, Any]) -> None:
    """Packages for non-commercial use or under the GPL are extras, and in no list of what is installed."""
    apart = set(ranges([line for name in APART for line in project["optional-dependencies"][name]]))
    assert apart == {"snaphu", "pysolid"}
    assert apart & {canonicalize_name(Requirement(line).name) for line in pins} == set()


def test_lock_is_closed(pins: list[str]) -> None:
    """What a pinned package itself needs is pinned too, so that nothing is fetched beside the lock."""
    names = {pin.name for pin in applicable(pins)}
    missing = {
        f"{name} needs {need.name}"
        for name in names
        for need in map(Requirement, metadata.requires(name) or [])
        if (need.marker is None or need.marker.evaluate({"extra": ""})) and canonicalize_name(need.name) not in names
    }
    assert missing == set()


def test_installed_equals_lock(pins: list[str], repository: Path) -> None:
    """The environment that `make` made holds the locked versions and nothing else."""
    if Path(sys.prefix).resolve() != (repository / ".venv").resolve():
        pytest.skip("not run in the environment that make makes (.venv): other versions may be installed here")
    locked = {pin.name: next(iter(pin.specifier)).version for pin in applicable(pins)}
    found: dict[str, str] = {canonicalize_name(one.metadata["Name"]): one.version for one in metadata.distributions()}
    assert {name: found.get(name, "absent") for name in locked} == locked
    assert set(found) - set(locked) <= {"terracube", "pip"}


def test_conda_file_equals_project(repository: Path, project: dict[str, Any]) -> None:
    """environment.yml names the same packages with the same ranges as pyproject.toml, and the same Python."""
    content = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))
    lines = [line for line in content["dependencies"] if isinstance(line, str)]
    by_pip = next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict))
    conda = ranges([*lines, *by_pip])
    assert conda.pop("python") == project["requires-python"]
    assert conda.pop("pip") == ""
    assert {CONDA_NAMES.get(name, name): allowed for name, allowed in conda.items()} == wanted(project)
    assert content["channels"] == ["conda-forge", "nodefaults"]


def stated_licence(name: str) -> str:
    """What the metadata of an installed package say of its licence, most formal field first."""
    found: Any = metadata.metadata(name).json
    if expression := found.get("license_expression"):
        return str(expression)
    first = str(found.get("license", "")).strip().partition("\n")[0]
    kinds = [kind for kind in found.get("classifier", []) if kind.startswith("License ::")]
    return " / ".join([first, *kinds]).replace("UNKNOWN", "").strip(" /")


def test_licences_allow_use(pins: list[str]) -> None:
    """No pinned package is under the GPL, the AGPL or for non-commercial use only; each one's licence is known."""
    stated = {pin.name: stated_licence(pin.name) for pin in applicable(pins)}
    assert {name: text for name, text in stated.items() if FORBIDDEN.search(text)} == {}
    unknown = {name for name, text in stated.items() if not KNOWN.search(text)}
    assert unknown == set(REVIEWED), "review the licence of the new package by hand, or drop a line no longer needed"


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("GPL-3.0-or-later", True),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0-only", True),
        ("GNU Affero General Public License v3", True),
        ("CC-BY-NC-4.0", True),
        ("Free for non-commercial use", True),
        ("LGPL-2.1-or-later", False),
        ("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", False),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", False),
    ],
)
def test_licence_words(text: str, *, forbidden: bool) -> None:
    """The pattern tells the GPL family from the LGPL and finds non-commercial terms."""
    assert bool(FORBIDDEN.search(text)) is forbidden


def imported(folder: Path) -> Iterator[tuple[str, Path]]:
    """Top-level names imported by the Python files below a folder, with the file."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name.partition(".")[0], path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.partition(".")[0], path


def undeclared(folders: list[Path], declared: set[str]) -> set[str]:
    """Imports that neither Python nor a declared package brings."""
    providers = metadata.packages_distributions()
    return {
        f"{path.name} imports {name}"
        for folder in folders
        for name, path in imported(folder)
        if name not in sys.stdlib_module_names
        and name not in ("terracube", "__future__")
        and not (path.parent / f"{name}.py").is_file()  # run as a program, a file finds those beside it
        and not declared & {canonicalize_name(one) for one in providers.get(name, [])}
    }


def test_library_declares_its_imports(repository: Path, project: dict[str, Any]) -> None:
    """What the library imports, pyproject.toml names: nothing works only because another package brings it."""
    extras = {"peers", "vector", "xgboost"}
    portions = sorted(marker.parent.parent for marker in repository.glob("*/terracube/*/py.typed"))
    assert undeclared(portions, set(wanted(project, *extras))) == set()


def test_tests_declare_their_imports(repository: Path, project: dict[str, Any]) -> None:
    """The same for tests and notebooks, which may use every extra."""
    assert undeclared([repository / "tests", repository / "notebooks"], set(wanted(project))) == set()
