"""Remote places: an object store of this machine, asked by the real client; folders, files, what is not there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import fsspec
import pytest

from terracube.core.errors import AssetError, HostileInputError
from terracube.ingest import ingest
from terracube.ingest.fetch import fetch
from terracube.stac import Catalog

pytest.importorskip("s3fs", reason="s3fs, an extra, is not installed")


def _handler(files: dict[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Store(BaseHTTPRequestHandler):
        """The part of the S3 API that listing and reading take: ListObjectsV2, HeadObject, GetObject by range."""

        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            """Tell of an object."""
            self.do_GET()

        def do_GET(self) -> None:
            """List, or give an object."""
            parts = urlsplit(self.path)
            query, key = parse_qs(parts.query), unquote(parts.path).removeprefix("/bucket").lstrip("/")
            if "list-type" in query:
                self._list(query.get("prefix", [""])[0], query.get("delimiter", [""])[0])
            elif key in files:
                self._object(files[key])
            else:
                self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", {})

        def _list(self, prefix: str, delimiter: str) -> None:
            found = sorted(key for key in files if key.startswith(prefix))
            folders = sorted({key[: key.index("/", len(prefix)) + 1] for key in found if "/" in key[len(prefix) :]})
            if delimiter:
                found = [key for key in found if "/" not in key[len(prefix) :]]
            told = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(files[key])}</Size><ETag>1</ETag>"
                "<LastModified>2023-08-15T10:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
                for key in found
            )
            if delimiter:
                told += "".join(f"<CommonPrefixes><Prefix>{one}</Prefix></CommonPrefixes>" for one in folders)
            head = f"<Name>bucket</Name><Prefix>{prefix}</Prefix><KeyCount>{len(found)}</KeyCount>"
            text = f"<ListBucketResult>{head}<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{told}"
            self._send(200, f"{text}</ListBucketResult>".encode(), {"Content-Type": "application/xml"})

        def _object(self, data: bytes) -> None:
            wanted = self.headers.get("Range", "")
            start, stop = 0, len(data)
            if wanted:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start, stop = int(first), min(int(last) + 1, len(data))
            more = {"ETag": '"1"', "Last-Modified": "Tue, 15 Aug 2023 10:00:00 GMT"}
            if wanted:
                more["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            self._send(206 if wanted else 200, data[start:stop], more)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The objects of a bucket; the client finds the store and its keys by the environment, as a user's does."""
    files: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(files))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield files
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_scene_in_a_bucket(store: dict[str, bytes], delivered: list[Path], catalog: Catalog) -> None:
    """A folder of an object store comes in as a local one does, and is named by its address."""
    for path in delivered[0].parent.iterdir():
        store[f"scenes/one/{path.name}"] = path.read_bytes()
    report = ingest("sentinel-2-l2a", ["s3://bucket/scenes/one", "s3://bucket/nothing"], catalog)
    assert report.taken == [delivered[0].stem], report.refused
    assert [gone.path for gone in report.refused] == ["s3://bucket/nothing"]
    assert report.lines()[-1]["input"].startswith("s3://bucket/scenes/one!")
    assert not list((catalog.root / ".staging").iterdir())


def test_bytes_are_whole(store: dict[str, bytes], tmp_path: Path) -> None:
    """A file of many pieces comes byte for byte; one that is larger than allowed does not come at all."""
    store["a/big.bin"] = bytes(range(256)) * (40 << 10)
    assert fetch("s3://bucket/a/big.bin", tmp_path).read_bytes() == store["a/big.bin"]
    with pytest.raises(HostileInputError, match="too"):
        fetch("s3://bucket/a", tmp_path / "limited", limit=1000)
    assert not list((tmp_path / "limited").rglob("*.bin"))
    with pytest.raises(AssetError):
        fetch("s3://bucket/a/missing.bin", tmp_path)
