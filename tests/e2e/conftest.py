"""Fixtures of whole paths: a catalogue of the real scenes, and the composite made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from terracube.ingest import IngestReport, ingest
from terracube.production import RunOptions, RunRequest, RunResult, run
from terracube.stac import Catalog

REQUEST = RunRequest(chain="composite", collection="sentinel-2-l2a", datetime="2023-08")


@pytest.fixture(scope="session")
def real_report(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, IngestReport]:
    """The whole folder of real Sentinel-2 scenes, ingested four at a time."""
    catalog = Catalog.create(tmp_path_factory.mktemp("real") / "catalog")
    report = ingest("sentinel-2-l2a", [data_dir / "sentinel2-l2a"], catalog, jobs=4)
    return catalog, report


@pytest.fixture(scope="session")
def real_catalog(real_report: tuple[Catalog, IngestReport]) -> Catalog:
    """The catalogue of the real scenes."""
    return real_report[0]


@pytest.fixture(scope="session")
def real_run(real_catalog: Catalog) -> RunResult:
    """The composite of August 2023 on the native grid of the first scene."""
    return run(real_catalog, REQUEST, RunOptions())
