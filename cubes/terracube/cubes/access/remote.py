"""Bytes of files behind http and S3: by ranges, near ones together, several at a time, signed at every request."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from terracube.core.errors import AccessError, AssetError
from terracube.cubes.access.location import Location
from terracube.cubes.access.ranges import Span, check_range, coalesce
from terracube.cubes.access.redact import redact, safe_name
from terracube.cubes.access.s3 import AnonymousS3
from terracube.cubes.access.signing import Signed
from terracube.cubes.access.transport import Answer, RefusedError, get

# The first request brings the size, and the header of most rasters with it.
HEAD = 32 << 10
# A server that does not answer ranges has to send the whole file; larger ones are refused.
WHOLE = 64 << 20
_AT_ONCE = 8
_MAX_KEPT = 256
_MAX_KEPT_BYTES = 256 << 20
_KEPT_SECONDS = 600.0


class RemoteBytes:
    """A file behind http or S3; threads may share it, and it holds no token."""

    __slots__ = ("_head", "_location", "name", "opened", "size", "version")

    def __init__(self, location: Location) -> None:
        self._location = location
        self.name = safe_name(location.href)
        self.opened = time.monotonic()
        answer = _ask(location, 0, HEAD)
        self.size, self._head = _first(answer, self.name)
        self.version = _version(answer)

    def __repr__(self) -> str:
        return f"RemoteBytes({self.name}, {self.size} bytes)"

    @property
    def kept(self) -> int:
        """How many bytes from the start are held in memory."""
        return len(self._head)

    def read(self, start: int, stop: int) -> bytes:
        """Give the bytes from ``start`` to before ``stop``."""
        check_range(start, stop, self.size, self.name)
        if start == stop or stop <= len(self._head):
            return self._head[start:stop] if start < stop else b""
        answer = _ask(self._location, start, stop)
        total = len(answer.body) if answer.status == 200 else answer.total
        if (total is not None and total != self.size) or _version(answer) != self.version:
            forget_remote(self._location)
            raise AssetError("the file changed while it was read", where=self.name, todo="load again")
        if answer.status == 200:
            return answer.body[start:stop]
        if answer.range != (start, stop):
            raise _odd(answer, start, stop, self.name)
        return answer.body

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Give the bytes of several ranges, in their order; near ones are asked for together, far ones side by side."""
        for start, stop in ranges:
            check_range(start, stop, self.size, self.name)
        spans = coalesce(ranges)
        found = [b""] * len(ranges)
        for span, content in zip(spans, self._read_spans(spans), strict=True):
            for member in span.members:
                start, stop = ranges[member]
                found[member] = content[start - span.start : stop - span.start]
        return found

    def _read_spans(self, spans: list[Span]) -> list[bytes]:
        if len(spans) < 2:
            return [self.read(span.start, span.stop) for span in spans]
        return list(_executor().map(lambda span: self.read(span.start, span.stop), spans))


def _ask(location: Location, start: int, stop: int) -> Answer:
    return _ask_signed(location, {"Range": f"bytes={start}-{stop - 1}"}, stop - start, WHOLE)


def fetch_remote(location: Location, most: int) -> bytes:
    """Give all bytes of a file, in one request.

    Raises
    ------
    NotThereError
        If there is none.
    AccessError, UnreachableError, AssetError
        If the server refuses, does not answer, or the file is larger than ``most``.
    """
    return _ask_signed(location, {}, most, most).body


def _ask_signed(location: Location, wanted: dict[str, str], most: int, whole: int) -> Answer:
    """Ask with a token; once more with a new one if the first is refused."""
    told = ""
    name = safe_name(location.href)
    for fresh in (False, True):
        signed = _sign(location, fresh=fresh)
        try:
            return get(signed.url, {**signed.headers, **wanted}, most=most, whole=whole, name=name)
        except RefusedError as error:
            told = f"HTTP {error.status}" + (f" ({error.code})" if error.code else "")
        if not signed.headers and signed.url == location.href:
            break
    todo = "check the key or token" if location.signer else "give a signer"
    raise AccessError("the server refuses to give the file", where=name, got=told, todo=todo)


def _sign(location: Location, *, fresh: bool) -> Signed:
    signed = location.signer.sign(location.href, fresh=fresh) if location.signer else Signed(location.href)
    # A bucket that the signer is not declared for is one that is open to all, or refuses.
    return AnonymousS3().sign(signed.url) if signed.url.startswith("s3://") else signed


def _first(answer: Answer, name: str) -> tuple[int, bytes]:
    """Give the size of the file, and its first bytes."""
    if answer.status == 200:
        return len(answer.body), answer.body
    if answer.status == 416 and answer.total == 0:
        return 0, b""
    if answer.total is None or answer.range != (0, min(HEAD, answer.total)):
        raise _odd(answer, 0, HEAD, name)
    return answer.total, answer.body


def _version(answer: Answer) -> str:
    """Give what changes when the file does: the entity tag, or its time where that is weak or absent."""
    tag = answer.headers.get("etag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("last-modified", "")


def _odd(answer: Answer, start: int, stop: int, name: str) -> AssetError:
    return AssetError(
        "the server answers another range than the one asked for",
        where=name,
        expected=f"bytes {start}-{stop - 1}",
        got=f"HTTP {answer.status}, {redact(answer.headers.get('content-range', 'no Content-Range'))[:60]}",
    )


_lock = threading.Lock()
_opened: OrderedDict[Location, RemoteBytes] = OrderedDict()
_threads: ThreadPoolExecutor | None = None


def _executor() -> ThreadPoolExecutor:
    global _threads
    with _lock:
        if _threads is None:
            _threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="terracube-ranges")
        return _threads


def _after_fork() -> None:
    # Threads do not survive a fork, and a lock may have been held by one.
    global _lock, _threads
    _lock, _threads = threading.Lock(), None


os.register_at_fork(after_in_child=_after_fork)


def open_remote(location: Location) -> RemoteBytes:
    """Open a file behind http or S3, or give the one that was opened within the last ten minutes.

    Raises
    ------
    AccessError, UnreachableError, AssetError
        If the server refuses, does not answer, or has no such file.
    """
    key = Location(location.href, signer=location.signer)
    with _lock:
        found = _opened.get(key)
        if found is not None and time.monotonic() - found.opened < _KEPT_SECONDS:
            _opened.move_to_end(key)
            return found
    opened = RemoteBytes(key)
    with _lock:
        _opened[key] = opened
        _opened.move_to_end(key)
        held = sum(one.kept for one in _opened.values())
        while len(_opened) > 1 and (len(_opened) > _MAX_KEPT or held > _MAX_KEPT_BYTES):
            held -= _opened.popitem(last=False)[1].kept
    return opened


def forget_remote(location: Location | None = None) -> None:
    """Forget what is known of one file, or of all."""
    with _lock:
        if location is None:
            _opened.clear()
        else:
            _opened.pop(Location(location.href, signer=location.signer), None)
