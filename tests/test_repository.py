"""What lies in the checkout fits any machine, and the first command of a newcomer finds a Python or says what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

MACHINE_FOLDERS = ("work", "root", "home", "tmp", "opt", "Users", "mnt", "usr/local")
REGISTRIES = r"pypi\.org|pythonhosted\.org|anaconda\.(?:org|com)|npmjs\.(?:org|com)|docker\.io|ghcr\.io|quay\.io"
FOREIGN = re.compile(
    # An absolute path, not the tail of a relative one or of an address; then the hosts that packages come from.
    rf"(?<![\w.~$)}}*-])/(?:{'|'.join(MACHINE_FOLDERS)})/|\b(?:{REGISTRIES})\b"
)
SHELL_TOOLS = ("cat", "grep", "ls", "sh", "sort")


def kept_files(repository: Path) -> list[Path]:
    """Files that git keeps or would keep."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (repository / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: which files belong to the project is not known")
    names = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.split("\0")
    return [repository / name for name in names if name and (repository / name).is_file()]


def test_no_file_names_a_machine_or_a_registry(repository: Path) -> None:
    """No kept text file holds an absolute path of somebody's machine or the host name of a package registry."""
    found = []
    for path in kept_files(repository):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(repository)}: {hit.group()}" for hit in FOREIGN.finditer(text)]
    assert found == []


def test_the_pattern_finds_what_it_is_for() -> None:
    """Absolute paths and registries are found; relative paths and other addresses are not."""
    slash = "/"
    for text in (f"'{slash}home{slash}ann{slash}x'", f"open({slash}tmp{slash}a)", f"https:{slash}{slash}pypi" + ".org"):
        assert FOREIGN.search(text), text
    for text in ("../tmp/x", "https://example.org/home/x", "shared/data/y", "$ROOT/opt/z", "{folder}/tmp/a"):
        assert not FOREIGN.search(text), text


def test_no_outputs_are_kept(repository: Path) -> None:
    """No notebook with outputs, no compiled file and no file above one megabyte is kept."""
    files = kept_files(repository)
    assert [path.name for path in files if path.suffix in (".ipynb", ".pyc", ".so")] == []
    assert [path.name for path in files if path.stat().st_size > 2**20] == []


def test_citation_is_valid(repository: Path) -> None:
    """CITATION.cff has the fields that its format (1.2.0) asks for, and the project's licence and version."""
    cited = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert (cited["cff-version"], cited["type"]) == ("1.2.0", "software")
    assert (cited["license"], str(cited["version"])) == (project["license"], project["version"])
    assert all({"name"} <= set(author) or {"family-names"} <= set(author) for author in cited["authors"])
    assert isinstance(cited.get("date-released", date.min), date)


def test_make_explains_itself(repository: Path) -> None:
    """`make` alone lists every command with what it does."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(["make"], cwd=repository, capture_output=True, text=True, check=True)
    for command in ("demo", "test", "test-all", "bench", "lint", "lock", "clean"):
        assert re.search(rf"^  make {command} +\S", done.stdout, re.M), command


def test_ci_runs_what_users_run(repository: Path) -> None:
    """CI starts `make test` and nothing else."""
    script = repository / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1].startswith("exec make test")


def put(path: Path, line: str) -> None:
    """Write an executable shell script of one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that plays the machine: bin/ is its whole PATH, pyenv/ its pyenv; there is no Python yet."""
    for tool in SHELL_TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"{tool} is part of every POSIX system"
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def find_python(machine: Path, repository: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the interpreter search on such a machine."""
    env = {"PATH": str(machine / "bin"), "PYENV_ROOT": str(machine / "pyenv"), "HOME": str(machine)} | settings
    script = str(repository / ".ci" / "find-python")
    return subprocess.run(["sh", script], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_search_passes_over_a_shim_that_does_not_run(machine: Path, repository: Path) -> None:
    """A shim of a Python that is not switched on fails when called: the search goes on to pyenv's own folders."""
    put(machine / "bin" / "python3.13", "echo 'command not found' >&2; exit 127")
    put(machine / "pyenv" / "versions" / "3.13.1" / "bin" / "python", f'exec "{sys.executable}" "$@"')
    done = find_python(machine, repository)
    assert (done.returncode, done.stdout.strip()) == (0, sys.executable), done.stderr


def test_search_takes_path_first(machine: Path, repository: Path) -> None:
    """What PATH offers is taken before pyenv's folders are looked at."""
    put(machine / "bin" / "python3", f'exec "{sys.executable}" "$@"')
    put(machine / "pyenv" / "versions" / "3.13.1" / "bin" / "python", 'echo "tested elsewhere"')
    assert find_python(machine, repository).stdout.strip() == sys.executable


def test_search_prefers_the_newest_of_pyenv(machine: Path, repository: Path) -> None:
    """3.13.11 comes before 3.13.2 and 3.12.9; other versions there are not asked first."""
    for version in ("3.9.1", "3.12.9", "3.13.2", "3.13.11", "3.14.0"):
        put(machine / "pyenv" / "versions" / version / "bin" / "python", f'echo "tested {version}"')
    assert find_python(machine, repository).stdout.strip() == "3.13.11"


def test_search_says_what_to_install(machine: Path, repository: Path) -> None:
    """With no Python at all, or one too old or incomplete, the search fails and says which to install and why."""
    done = find_python(machine, repository)
    assert (done.returncode, done.stdout) == (1, "")
    assert "apt install python3 python3-venv" in done.stderr
    put(machine / "bin" / "python3", 'echo "old 3.11.2"')
    put(machine / "bin" / "python3.12", 'echo "incomplete ensurepip"')
    done = find_python(machine, repository)
    assert done.returncode == 1
    assert "python3 is Python 3.11.2, too old" in done.stderr
    assert "python3.12 lacks its standard module 'ensurepip'" in done.stderr


def test_newer_python_is_the_last_resort(machine: Path, repository: Path) -> None:
    """A Python newer than the tested ones is taken, with a note, only where no tested one is found."""
    put(machine / "bin" / "python3.14", 'echo "newer 3.14.0"')
    done = find_python(machine, repository)
    assert (done.returncode, done.stdout.strip()) == (0, "3.14.0")
    assert "newer than the tested Python" in done.stderr


def test_named_python_decides(machine: Path, repository: Path) -> None:
    """PYTHON= is taken or refused, never replaced by another."""
    put(machine / "bin" / "python3", f'exec "{sys.executable}" "$@"')
    assert find_python(machine, repository, PYTHON=sys.executable).stdout.strip() == sys.executable
    done = find_python(machine, repository, PYTHON=str(machine / "none"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a usable Python" in done.stderr
