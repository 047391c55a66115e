"""Mirroring: items of a real STAC API of this machine, with their files; whole, resumed, verified, or refused."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import rasterio

from terracube import cubes
from terracube.core.digest import file_sha256, multihash
from terracube.core.errors import AssetError, InputError
from terracube.ingest.mirror import Search, mirror, source_of
from terracube.stac import Catalog, Query

COLLECTION = "sentinel-2-l2a"


@dataclass
class Api:
    """A STAC API with one collection, whose files may fail."""

    items: list[dict[str, Any]]
    folder: Path
    asked: list[str] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    """Bytes after which a file breaks off, each time."""
    url: str = ""

    def page(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a search, one item a page."""
        number = int(request.get("token", 0))
        found = self.items[number : number + 1]
        links = []
        if number + 1 < len(self.items):
            body = {**request, "token": number + 1}
            links = [{"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": body, "merge": False}]
        return {"type": "FeatureCollection", "features": found, "links": links}

    def landing(self) -> dict[str, Any]:
        """Give the landing page."""
        conforms = ["core", "item-search", "item-search#query"]
        link = {"rel": "search", "href": f"{self.url}/search", "type": "application/geo+json", "method": "POST"}
        return {
            "type": "Catalog",
            "id": "api",
            "description": "An API",
            "stac_version": "1.0.0",
            "conformsTo": [f"https://api.stacspec.org/v1.0.0/{name}" for name in conforms],
            "links": [{"rel": "root", "href": self.url, "type": "application/json"}, link],
        }


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            """Answer a search."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._json(api.page(body))

        def do_GET(self) -> None:
            """Give the landing page or a file."""
            api.asked.append(self.path)
            if self.path in ("/", ""):
                self._json(api.landing())
                return
            data = (api.folder / self.path.lstrip("/")).read_bytes()
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, stop = (int(found[1]), min(int(found[2]) + 1, len(data))) if found else (0, len(data))
            broken = api.broken.get(Path(self.path).name)
            if broken is not None and stop > broken:
                self.send_error(500)
                return
            self.send_response(206 if found else 200)
            self.send_header("Content-Length", str(stop - start))
            self.send_header("ETag", '"1"')
            if found:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            self.end_headers()
            self.wfile.write(data[start:stop])

        def _json(self, value: dict[str, Any]) -> None:
            text = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Handler


@pytest.fixture
def api(delivered: list[Path]) -> Iterator[Api]:
    """An API that holds the two delivered scenes, with sizes and checksums."""
    root = delivered[0].parent.parent
    server_items = []
    found = Api(server_items, root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    found.url = f"http://127.0.0.1:{server.server_port}"
    for path in delivered:
        document = json.loads(path.read_text())
        for asset in document["assets"].values():
            file = path.parent / asset["href"]
            if file.is_file():
                asset["href"] = f"{found.url}/{file.relative_to(root).as_posix()}"
                asset["file:size"], asset["file:checksum"] = file.stat().st_size, multihash(file_sha256(file))
        server_items.append(document)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """Try a broken server again, but not for long."""
    with cubes.access.use_retries(cubes.access.Retries(attempts=2, first_wait=0.01, longest_wait=0.02)):
        yield


def test_items_come_with_their_files(api: Api, delivered: list[Path], catalog: Catalog) -> None:
    """Every page of the search; the bands that were asked for and the mask; pixels equal to those of the server."""
    report = mirror(Search(api.url, COLLECTION), catalog, assets=["red", "B08"])
    assert report.taken == sorted(path.stem for path in delivered), report.refused
    item = catalog.get(delivered[0].stem)
    local = {key for key, asset in item.assets.items() if "file:checksum" in asset.extra_fields}
    assert local == {"red", "nir", "scl"}
    with rasterio.open(delivered[0].parent / "B04.tif") as one, rasterio.open(_path(item, "red")) as other:
        assert (one.read() == other.read()).all()
        assert one.transform == other.transform
    assert not list((catalog.root / ".staging").iterdir())
    again = mirror(Search(api.url, COLLECTION), catalog, assets=["red", "B08"])
    assert (again.taken, len(again.already)) == ([], 2)


def _path(item: Any, key: str) -> str:
    return str(item.assets[key].get_absolute_href())


def test_an_interrupted_copy_is_continued(api: Api, delivered: list[Path], catalog: Catalog) -> None:
    """A file that broke off is told; the next call asks only for what is missing, and does not copy others again."""
    api.items[:] = api.items[:1]
    api.broken["B08.tif"] = 0
    report = mirror(Search(api.url, COLLECTION), catalog, assets=["red", "nir"])
    assert (report.taken, len(report.refused)) == ([], 1)
    assert "B08.tif" in report.refused[0].reason
    assert catalog.count(Query()) == 0
    api.broken.clear()
    api.asked.clear()
    report = mirror(Search(api.url, COLLECTION), catalog, assets=["red", "nir"])
    assert report.taken == [delivered[0].stem]
    assert any(path.endswith("B08.tif") for path in api.asked)


@pytest.mark.parametrize(("field_name", "value"), [("file:checksum", multihash("ab" * 32)), ("file:size", 17)])
def test_a_copy_that_is_not_what_the_item_tells(field_name: str, value: Any, api: Api, catalog: Catalog) -> None:
    """Another checksum or size refuses the item; the other item comes in."""
    api.items[0]["assets"]["red"][field_name] = value
    report = mirror(Search(api.url, COLLECTION), catalog, assets=["red"])
    assert report.taken == [api.items[1]["id"]]
    assert [gone.id for gone in report.refused] == [api.items[0]["id"]]
    assert "tells" in report.refused[0].reason


@pytest.mark.parametrize("href", ["file:///etc/passwd", "/vsicurl/http://127.0.0.1/x.tif", "ftp://a/b.tif"])
def test_hostile_addresses(href: str, api: Api, catalog: Catalog) -> None:
    """An item cannot make us read a file of this machine."""
    api.items[0]["assets"]["red"]["href"] = href
    report = mirror(Search(api.url, COLLECTION), catalog, assets=["red"])
    assert report.taken == [api.items[1]["id"]]
    assert len(report.refused) == 1


def test_hostile_id(api: Api, catalog: Catalog) -> None:
    """An id that could write elsewhere is refused before anything is copied."""
    api.items[0]["id"] = "../../evil"
    report = mirror(Search(api.url, COLLECTION), catalog, assets=["red"])
    assert "item id" in report.refused[0].reason


def test_dry_run(api: Api, catalog: Catalog) -> None:
    """A dry run searches, and copies nothing."""
    report = mirror(Search(api.url, COLLECTION), catalog, dry_run=True)
    assert len(report.taken) == 2
    assert not [path for path in api.asked if path.endswith(".tif")]
    assert catalog.count(Query()) == 0


def test_wrong_calls(api: Api, catalog: Catalog) -> None:
    """An unknown collection or asset, no jobs, a place that is no API: told at once."""
    with pytest.raises(InputError, match="no source describes"):
        mirror(Search(api.url, "naip"), catalog)
    with pytest.raises(InputError, match="unknown band"):
        mirror(Search(api.url, COLLECTION), catalog, assets=["purple"])
    with pytest.raises(InputError, match="job"):
        mirror(Search(api.url, COLLECTION), catalog, jobs=0)
    with pytest.raises(InputError, match="no address"):
        mirror(Search("/etc", COLLECTION), catalog)
    with pytest.raises(AssetError, match="cannot be searched"):
        mirror(Search(f"{api.url}/{api.items[0]['id']}/B04.tif", COLLECTION), catalog)
    assert source_of("landsat-c2-l2").name == "landsat-c2-l2"
