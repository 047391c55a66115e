"""Write requirements.lock: the pins for Linux x86-64 under each tested Python, resolved from pyproject.toml by uv.

Pins of the present lock are kept where they still fit; ``UPGRADE=1`` takes the newest versions instead.
Run by ``make lock`` in an environment of its own, which holds uv, pip and packaging.
"""

import os
import subprocess  # runs uv and pip of this same environment, with fixed arguments
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path("requirements.lock")
DRAFT = Path("requirements.lock.new")
TESTED = ("3.12", "3.13")
# Extras whose licences keep them out.
APART = ("snaphu", "tides")
HEADER = """\
# Every package that `make` installs into .venv: the library's own needs and its extras.
# Made by `make lock` (uv, from pyproject.toml); valid for Python 3.12 and 3.13 on Linux x86-64. Do not edit by hand.
"""


def index_settings() -> dict[str, str]:
    """Return the main package index that pip is configured with as a setting of uv, which does not read pip's files.

    Additional indexes are left out on purpose: uv does not merge the files of one version over several indexes,
    so a partial mirror would hide wheels and pull in older versions.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True)
    settings = dict(line.split("=", 1) for line in listing.stdout.splitlines() if "=" in line)
    for section in (":env:", "install", "global"):
        if f"{section}.index-url" in settings:
            return {"UV_INDEX_URL": settings[f"{section}.index-url"].strip("'")}
    return {}


def resolve() -> list[str]:
    """Run uv over pyproject.toml with its extras and return its lines, which may carry markers."""
    extras = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal", "--quiet"]
    command += [word for name in extras if name not in APART for word in ("--extra", name)]
    command += ["--python", sys.executable, "--python-version", TESTED[0], "--no-python-downloads"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header"]
    command += ["--output-file", str(DRAFT)]
    if os.environ.get("UPGRADE"):
        command.append("--upgrade")
    subprocess.run(command, env=index_settings() | os.environ, check=True)
    return DRAFT.read_text(encoding="utf-8").splitlines()


def narrow(line: str) -> str | None:
    """Return a line without its marker if that holds under every tested Python, None if under none, else unchanged."""
    requirement = Requirement(line)
    if requirement.marker is None:
        return line
    platform = {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"}
    platform |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    versions = [{"python_version": tested, "python_full_version": f"{tested}.0"} for tested in TESTED]
    holds = [requirement.marker.evaluate(platform | version) for version in versions]
    if all(holds):
        return line.partition(" ;")[0]
    return line if any(holds) else None


def main() -> None:
    """Resolve from a copy of the present pins, narrow to the tested systems, and replace the lock at once."""
    before = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    DRAFT.write_text(before, encoding="utf-8")
    pins = [pin for pin in map(narrow, resolve()) if pin is not None]
    text = HEADER + "\n".join(pins) + "\n"
    DRAFT.write_text(text, encoding="utf-8")
    if text == before:
        DRAFT.unlink()  # an untouched lock spares everybody a new environment
    else:
        DRAFT.replace(LOCK)
    changed = sorted(set(pins) - set(before.splitlines()))
    sys.stdout.write(f"requirements.lock holds {len(pins)} packages; changed or new: {', '.join(changed) or 'none'}\n")


if __name__ == "__main__":
    main()
