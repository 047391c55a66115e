"""Acquisition through eodag, from a provider that is a real STAC API of this machine."""

from __future__ import annotations

import functools
import json
import threading
import warnings
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from terracube.core.errors import EmptyResultError, InputError, TerraCubeError
from terracube.ingest.acquire import acquire

pytest.importorskip("eodag", reason="eodag, an extra, is not installed")


class _Provider(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Give a file, or say that nothing particular may be asked for."""
        if self.path.endswith("/queryables"):
            self._json({"type": "object", "properties": {}, "additionalProperties": True})
        else:
            super().do_GET()

    def do_POST(self) -> None:
        """Answer every search with the one product that there is; a search of other years with none."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        folder = Path(self.directory)
        product = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": "S2_PRODUCT",
            "collection": "s2",
            "geometry": {"type": "Polygon", "coordinates": [[[15, 46], [16, 46], [16, 47], [15, 46]]]},
            "bbox": [15, 46, 16, 47],
            "properties": {"datetime": "2023-08-15T10:00:00Z", "title": "S2_PRODUCT"},
            "links": [],
            "assets": {"downloadLink": {"href": f"http://{self.headers['Host']}/product.zip", "title": "zip"}},
        }
        there = "2023" in str(asked.get("datetime", "2023")) and (folder / "product.zip").is_file()
        self._json({"type": "FeatureCollection", "features": [product] if there else [], "links": []})

    def _json(self, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A gateway of eodag that knows one provider, whose home is a folder of this test."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "product.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    for name in ("HOME", "EODAG_CFG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Provider, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from eodag import EODataAccessGateway

        hub = EODataAccessGateway()
        hub.update_providers_config(
            dict_conf={
                "here": {
                    "name": "here",
                    "search": {"type": "StacSearch", "api_endpoint": f"{url}/search", "need_auth": False},
                    "products": {"S2_MSI_L2A": {"_collection": "s2"}},
                    "download": {"type": "HTTPDownload"},
                }
            }
        )
        yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_products_come_as_they_are(portal: Any, tmp_path: Path) -> None:
    """What the search finds is downloaded, byte for byte; a search that finds nothing says so."""
    paths = acquire("here", "S2_MSI_L2A", tmp_path / "in", bbox=(15, 46, 16, 47), portal=portal)
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    assert [file.read_bytes()[:2] for file in files] == [b"PK"]
    with pytest.raises(EmptyResultError):
        acquire("here", "S2_MSI_L2A", tmp_path / "in", period=("2001-01-01", "2001-02-01"), portal=portal)


def test_wrong_calls(portal: Any, tmp_path: Path) -> None:
    """An unknown provider, too many products: told at once, nothing downloaded."""
    with pytest.raises(TerraCubeError):
        acquire("nobody", "S2_MSI_L2A", tmp_path / "in", portal=portal)
    with pytest.raises(InputError, match="too many"):
        acquire("here", "S2_MSI_L2A", tmp_path / "in", portal=portal, limit=0)
    assert not (tmp_path / "in").exists()
