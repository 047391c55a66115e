"""Every notebook runs from top to bottom and shows its pictures."""

from __future__ import annotations

from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No cell fails, and at least three cells show a picture."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    if "TERRACUBE_DATA" in path.read_text(encoding="utf-8"):
        monkeypatch.setenv("TERRACUBE_DATA", str(request.getfixturevalue("data_dir")))
    notebook = jupytext.read(path)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_there_are_notebooks() -> None:
    """The list that the test above runs over is not empty."""
    assert NOTEBOOKS
