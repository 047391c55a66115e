"""Fixtures of ingest: two small delivered scenes, and copies of them to spoil."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from terracube.ingest.simulate import Region, write_scenes
from terracube.stac import Catalog

Edit = Callable[[dict[str, Any]], None]
Spoil = Callable[..., Path]


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Item files of two small simulated scenes of one date."""
    return write_scenes(Region(seed=3, size=90), tmp_path_factory.mktemp("delivered"), dates=["2023-06-24"])


@pytest.fixture
def spoil(delivered: list[Path], tmp_path: Path) -> Spoil:
    """Copy the first scene, let the caller change its item, and give the path of the item."""

    def copy(edit: Edit | None = None, *, name: str = "spoilt") -> Path:
        folder = tmp_path / "in" / name
        shutil.copytree(delivered[0].parent, folder)
        path = folder / delivered[0].name
        if edit is not None:
            document = json.loads(path.read_text())
            edit(document)
            path.write_text(json.dumps(document))
        return path

    return copy


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """An empty catalogue."""
    return Catalog.create(tmp_path / "catalog")
