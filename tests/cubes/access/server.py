"""A real HTTP server on this machine whose files fail in the ways servers fail."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Fault:
    """What goes wrong with one request."""

    status: int = 0
    """Answer with this status; 0 = the right one."""
    headers: dict[str, str] = field(default_factory=dict)
    """More headers, or others instead."""
    body: bytes = b""
    """Body of an answer with another status."""
    cut: int | None = None
    """Send only so many bytes of the body, then hang up."""
    wait: float = 0.0
    """Seconds before the answer."""
    reset: bool = False
    """Hang up without an answer."""
    drip: float = 0.0
    """Seconds between the bytes of the body."""


@dataclass
class Content:
    """A file of the server."""

    data: bytes
    ranges: bool = True
    etag: str = '"1"'
    sas: bool = False
    """Whether the query must hold the newest token of the token service."""
    bearer: str = ""
    """What the Authorization header must hold after ``Bearer``."""
    s3_key: str = ""
    """Id of the key that the Authorization header must name."""
    faults: list[Fault] = field(default_factory=list)
    """One is used up by each request."""


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Names in small letters."""


class FileServer:
    """Serves what it is given, below ``url``; usable as a context manager."""

    def __init__(self) -> None:
        self.files: dict[str, Content] = {}
        self.asked: list[Asked] = []
        self.tokens = 0
        """How many tokens were handed out; only the newest opens a file."""
        self.token_life = 3600.0
        """Seconds that a token lives."""
        self.token_faults: list[Fault] = []
        self.token_wait = 0.0
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # who hangs up on us does so on purpose
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Address without a slash at its end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def put(self, path: str, data: bytes, **how: Any) -> str:
        """Serve bytes, and give their address."""
        self.files[path] = Content(data, **how)
        return self.url + path

    def requests_of(self, path: str) -> list[Asked]:
        """Give the requests for one path."""
        with self.lock:
            return [one for one in self.asked if one.path == path]

    def token(self) -> str:
        """Give the newest token."""
        return f"st=now&sig=secret-token-{self.tokens}%3D"

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._serve()

        def do_GET(self) -> None:
            self._serve()

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            with server.lock:
                headers = {key.lower(): value for key, value in self.headers.items()}
                server.asked.append(Asked(self.command, path, parts.query, headers))
                content = server.files.get(path)
                faults = server.token_faults if path.startswith("/token/") else content.faults if content else []
                fault = faults.pop(0) if faults else Fault()
            time.sleep(fault.wait)
            if fault.reset:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif fault.status:
                self._send(fault.status, fault.headers, fault.body, fault)
            elif path.startswith("/token/"):
                self._token()
            elif content is None:
                self._send(404, {}, b"<html>not here</html>", fault)
            else:
                self._file(content, parts.query, headers, fault)

        def _token(self) -> None:
            time.sleep(server.token_wait)
            with server.lock:
                server.tokens += 1
                expiry = datetime.now(UTC) + timedelta(seconds=server.token_life)
                told = {"msft:expiry": expiry.isoformat().replace("+00:00", "Z"), "token": server.token()}
            self._send(200, {"Content-Type": "application/json"}, json.dumps(told).encode(), Fault())

        def _file(self, content: Content, query: str, headers: dict[str, str], fault: Fault) -> None:
            granted = headers.get("authorization", "")
            if content.sas and parse_qs(query).get("sig") != parse_qs(server.token())["sig"]:
                self._send(403 if "sig=" in query else 401, {"x-ms-error-code": "AuthenticationFailed"}, b"", fault)
            elif content.bearer and granted != f"Bearer {content.bearer}":
                self._send(401, {}, b"", fault)
            elif content.s3_key and f"AWS4-HMAC-SHA256 Credential={content.s3_key}/" not in granted:
                self._send(403, {}, b"<Error><Code>AccessDenied</Code></Error>", fault)
            else:
                self._part(content, headers.get("range", ""), fault)

        def _part(self, content: Content, wanted: str, fault: Fault) -> None:
            own = {"ETag": content.etag} if content.etag else {}
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
            if not found or not content.ranges:
                return self._send(200, own | fault.headers, content.data, fault)
            size = len(content.data)
            start, stop = int(found[1]), min(int(found[2]) + 1, size)
            if start >= size:
                return self._send(416, {"Content-Range": f"bytes */{size}"}, b"", fault)
            own["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            return self._send(206, own | fault.headers, content.data[start:stop], fault)

        def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            sent = body if fault.cut is None else body[: fault.cut]
            try:
                for piece in [sent] if not fault.drip else [sent[k : k + 1] for k in range(len(sent))]:
                    self.wfile.write(piece)
                    time.sleep(fault.drip)
            except OSError:
                self.close_connection = True
            if fault.cut is not None:
                self.close_connection = True

    return Handler
