"""Settings say where things are."""

from __future__ import annotations

from pathlib import Path

from terracube.core.settings import settings


def test_defaults(monkeypatch):
    """Without variables, places lie beside the working folder and scratch beside the product."""
    for name in ("TERRACUBE_DATA", "TERRACUBE_SCHEMAS", "TERRACUBE_SCRATCH"):
        monkeypatch.delenv(name, raising=False)
    found = settings()
    assert found.data == Path("../shared/data")
    assert found.schemas == Path("../shared/schemas")
    assert found.scratch is None


def test_environment_wins(monkeypatch):
    """Variables name other places; an empty scratch means none."""
    monkeypatch.setenv("TERRACUBE_DATA", "/a")
    monkeypatch.setenv("TERRACUBE_SCHEMAS", "/b")
    monkeypatch.setenv("TERRACUBE_SCRATCH", "/c")
    assert (settings().data, settings().schemas, settings().scratch) == (Path("/a"), Path("/b"), Path("/c"))
    monkeypatch.setenv("TERRACUBE_SCRATCH", "")
    assert settings().scratch is None
