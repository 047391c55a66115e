"""The eight folders make one namespace package, and the wheel carries all of it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

PORTIONS = ("api", "cli", "core", "cubes", "ingest", "processing", "production", "stac")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without the caller's Python settings and return its output; fail with its errors."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stderr or done.stdout}"
    return done.stdout


def sources(repository: Path) -> Iterator[str]:
    """Files of the package as they must lie in the wheel."""
    for portion in PORTIONS:
        root = repository / portion
        for path in (root / "terracube").rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix()


def module_name(path: str) -> str:
    """Import name of a Python file of the wheel."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, repository, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; other packages are seen where they already are, the checkout is not."""
    home = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(home, with_pip=False)
    install = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", *install, wheel, cwd=home)
    # A folder that a .pth file adds has its own .pth files ignored: the editable checkout stays out of sight.
    packages = home / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return home


def test_no_file_hides_the_namespace(repository: Path) -> None:
    """No folder has a terracube/__init__.py: one would hide the seven others."""
    assert list(repository.glob("*/terracube/__init__.py")) == []
    assert sorted(path.parent.name for path in repository.glob("*/terracube/*/py.typed")) == list(PORTIONS)


@pytest.mark.parametrize("portion", PORTIONS)
def test_portion_is_a_typed_package(portion: str, repository: Path) -> None:
    """A portion imports from its own folder, is marked as typed, and each of its folders with code is a package."""
    root = repository / portion / "terracube"
    module = importlib.import_module(f"terracube.{portion}")
    assert Path(str(module.__file__)) == root / portion / "__init__.py"
    assert [path.name for path in root.iterdir() if path.name != "__pycache__"] == [portion]
    assert (root / portion / "py.typed").is_file()
    folders = {path.parent for path in root.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == [], "unseen by the layer check"


def test_wheel_is_complete(wheel: Path, repository: Path) -> None:
    """The wheel holds each file of the eight portions, data and templates too, the licences, and no other package."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (record,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(archive.read(record).decode())
    info = record.removesuffix("METADATA")
    assert {name for name in names if not name.startswith(info)} == set(sources(repository))
    assert {f"terracube/{portion}/py.typed" for portion in PORTIONS} <= names
    assert {Path(name).suffix for name in names} >= {".css", ".py", ".typed", ".yaml"}
    assert {f"{info}licenses/LICENSE", f"{info}licenses/NOTICE", f"{info}entry_points.txt"} <= names
    assert (fields["License-Expression"], fields["Requires-Python"]) == ("Apache-2.0", ">=3.12")


def test_every_module_of_the_wheel_imports(wheel: Path, installed: Path, tmp_path: Path) -> None:
    """In a fresh environment each module imports, from the installed files and not from the checkout."""
    with ZipFile(wheel) as archive:
        code = [name for name in archive.namelist() if name.endswith(".py") and not name.endswith("__main__.py")]
    modules = sorted(map(module_name, code))
    script = tmp_path / "import_all.py"
    script.write_text("import importlib, sys\nfor one in sys.argv[1:]: print(importlib.import_module(one).__file__)\n")
    files = run(installed / "bin" / "python", script, *modules, cwd=tmp_path)
    assert len(files.splitlines()) >= len(PORTIONS)
    assert [line for line in files.splitlines() if not Path(line).is_relative_to(installed)] == []


def test_installed_command_runs(wheel: Path, installed: Path, tmp_path: Path) -> None:
    """The installed command tells its help and the version that the wheel's name says."""
    command = installed / "bin" / "terracube"
    version = wheel.name.split("-")[1]
    ask = "from importlib.metadata import version; print(version('terracube'))"
    assert run(installed / "bin" / "python", "-c", ask, cwd=tmp_path).strip() == version
    assert version in run(command, "--version", cwd=tmp_path)
    assert "Usage" in run(command, "--help", cwd=tmp_path)
