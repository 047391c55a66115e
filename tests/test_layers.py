"""The contracts between layers see the imports they are meant to see."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import resolve_name
from pathlib import Path

import pytest

VIOLATIONS = {
    "terracube.core": "terracube.cubes",
    "terracube.cubes": "terracube.stac",
    "terracube.stac": "terracube.processing",
    "terracube.ingest": "terracube.processing",
    "terracube.processing": "terracube.stac",
    "terracube.production": "terracube.api",
    "terracube.api": "terracube.cli",
}
"""One import per layer that must not be, always of something above it, beside it, or closed to it."""

KERNELS_MAY_IMPORT = {"__future__", "collections", "dataclasses", "heapq", "math", "numba", "numpy", "typing"}


def modules_named(config: dict[str, object]) -> set[str]:
    """Every module of ours that the contracts name."""
    return set(re.findall(r"terracube\.[a-z_.]+", repr(config)))


@pytest.fixture
def house(repository: Path, tmp_path: Path) -> Path:
    """A copy of the layout with empty modules and the real contracts."""
    shutil.copy(repository / "pyproject.toml", tmp_path)
    config = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    for name in modules_named(config) | set(config["root_packages"]):
        parts = name.split(".")
        for depth in range(2, len(parts) + 1):
            folder = tmp_path.joinpath(parts[1], *parts[:depth])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
    return tmp_path


def lint(house: Path) -> tuple[int, str]:
    """Check the contracts of a copy; its folders come before the real ones on the import path."""
    paths = os.pathsep.join(str(folder.parent) for folder in house.glob("*/terracube"))
    command = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache', '--no-logo'])"
    env = os.environ | {"PYTHONPATH": paths, "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-c", command], cwd=house, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_contracts_hold_for_an_innocent_house(house: Path) -> None:
    """Imports that go down the layers are allowed."""
    (house / "cli/terracube/cli/main.py").write_text("from terracube import api, core\nimport terracube.production\n")
    (house / "processing/terracube/processing/one.py").write_text("from terracube.cubes import *\n")
    code, report = lint(house)
    assert code == 0, report
    assert "0 broken" in report


def test_contracts_see_every_forbidden_import(house: Path) -> None:
    """An import against each rule is reported: inside a function, or at the top of a file, in either notation."""
    for importer, target in VIOLATIONS.items():
        folder = house.joinpath(importer.split(".")[1], *importer.split("."), "deeper")
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "one.py").write_text(f"def late() -> None:\n    from terracube import {target.split('.')[1]}\n")
        (folder / "two.py").write_text(f"import {target}\n")
    code, report = lint(house)
    assert code == 1, report
    missed = [
        f"{importer}.deeper.{module} -> {target}"
        for importer, target in VIOLATIONS.items()
        for module in ("one", "two")
        if f"{importer}.deeper.{module} -> {target}" not in report
    ]
    assert missed == [], report


def imports_of(path: Path, package: str) -> set[str]:
    """Absolute names of what a file imports; relative imports are resolved."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(resolve_name("." * node.level + (node.module or ""), package))
    return names


def test_kernels_import_numpy_and_numba_only(repository: Path) -> None:
    """A kernel is plain arrays: no xarray, dask or rasterio, and nothing of ours but other kernels beside it."""
    strange = set()
    for path in repository.glob("*/terracube/*/kernels/**/*.py"):
        parts = path.parent.relative_to(repository).parts[1:]
        kernels = ".".join(parts[:3])
        for name in imports_of(path, ".".join(parts)):
            if name.split(".")[0] not in KERNELS_MAY_IMPORT and not name.startswith(kernels):
                strange.add(f"{path.name} imports {name}")
    assert strange == set()
