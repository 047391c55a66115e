"""One HTTP request, done properly: bounded in time, bytes, redirects and attempts, and silent about tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ProtocolError, SSLError

from terracube.core.errors import AssetError, HostileInputError, TerraCubeError, UnreachableError
from terracube.core.logging import get_logger
from terracube.cubes.access.connections import Watch, check_address, pool
from terracube.cubes.access.errors import NotThereError
from terracube.cubes.access.redact import redact, remember_query, safe_name

_log = get_logger(__name__)
_MAX_REDIRECTS = 5
# A server that sends less than this many bytes a second counts as one that does not answer.
_SLOWEST = 16 << 10
_ERROR_BODY = 4096
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})")
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_REFUSED = frozenset((401, 403))
_MOVED = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and how patiently, a server is asked."""

    attempts: int = 4
    first_wait: float = 0.2
    """Seconds before the second attempt; doubled for each one after."""
    longest_wait: float = 10.0
    """Seconds that are waited at most, whatever the server asks for."""
    timeout: float = 30.0
    """Seconds to connect, and without a byte; an answer also has to arrive at 16 KiB/s."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whole."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes
    attempts: int
    """How many it took."""

    @property
    def range(self) -> tuple[int, int] | None:
        """First byte, and the one after the last, of a part; ``None`` if the server does not say."""
        found = _CONTENT_RANGE.fullmatch(self.headers.get("content-range", ""))
        return (int(found[1]), int(found[2]) + 1) if found and found[1] else None

    @property
    def total(self) -> int | None:
        """Size of the file that a part is of; ``None`` if the server does not say."""
        found = _CONTENT_RANGE.fullmatch(self.headers.get("content-range", ""))
        return int(found[3]) if found else None


class RefusedError(Exception):
    """The server wants another token (401 or 403); the caller decides."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code


class _TransientError(Exception):
    """Worth another attempt."""

    def __init__(self, told: str, wait: float = 0.0) -> None:
        super().__init__(told)
        self.told = told
        self.wait = wait


_retries = Retries()


def current_retries() -> Retries:
    """Give how often and how patiently servers are asked now."""
    return _retries


@contextmanager
def use_retries(retries: Retries) -> Iterator[None]:
    """Ask servers more or less patiently within a ``with`` block, in all threads of this process."""
    global _retries
    before, _retries = _retries, retries
    try:
        yield
    finally:
        _retries = before


@dataclass(frozen=True, slots=True)
class _Limits:
    part: int
    whole: int
    timeout: float

    def of(self, status: int) -> int:
        return self.part if status == 206 else self.whole


def get(url: str, headers: Mapping[str, str], *, most: int, whole: int | None = None, name: str = "") -> Answer:
    """Ask for an address, again where that may help.

    Parameters
    ----------
    url, headers
        With tokens, where there are any. Headers are not sent on to another host.
    most : int
        Bytes that the answer may have.
    whole : int or None
        Bytes that it may have if the server does not answer ranges, and sends all.
    name : str
        How errors call it; the address without its query unless given.

    Returns
    -------
    Answer
        Of status 200 or 206, complete; or 416, without a body.

    Raises
    ------
    RefusedError
        For 401 and 403.
    AssetError
        If it is not there, or the server cannot answer such a request; this is not asked again.
    UnreachableError
        If no complete answer came after all attempts.
    HostileInputError
        If a part is larger than ``most``, or a redirect leads to where none may.
    """
    name = name or safe_name(url)
    retries = _retries
    limits = _Limits(most, most if whole is None else whole, retries.timeout)
    told = ""
    for attempt in range(1, retries.attempts + 1):
        try:
            return _follow(url, headers, limits, name, attempt)
        except _TransientError as error:
            told, asked = error.told, error.wait
        if attempt < retries.attempts:
            _wait(retries, attempt, asked, f"{name}: {told}")
    # Not from within the handlers: what the library chains to its errors holds tokens, and cannot be pickled.
    raise UnreachableError(
        "the server did not answer properly",
        where=name,
        expected="the bytes asked for",
        got=f"{told}; {retries.attempts} attempts",
        todo="try again later, or load with on_error='skip'",
    )


def _wait(retries: Retries, attempt: int, asked: float, told: str) -> None:
    """Wait twice as long after each attempt, or as long as the server asks for, within bounds."""
    seconds = min(max(retries.first_wait * 2 ** (attempt - 1), asked), retries.longest_wait)
    _log.info("asking again in %.1f s, attempt %d of %d: %s", seconds, attempt, retries.attempts, told)
    time.sleep(seconds)


def _follow(url: str, headers: Mapping[str, str], limits: _Limits, name: str, attempt: int) -> Answer:
    """One attempt, through at most five redirects."""
    for _ in range(_MAX_REDIRECTS + 1):
        status, answered, body = _once(url, headers, limits, name)
        if status not in _MOVED or "location" not in answered:
            _judge(status, answered, body, name)
            answer = Answer(status, answered, body, attempt)
            if status == 206 and answer.range and answer.range[1] - answer.range[0] != len(body):
                raise _TransientError(f"truncated body: {len(body)} bytes of {answer.range}")
            return answer
        url, headers = _redirected(url, answered["location"], headers, name)
    raise AssetError("too many redirects", where=name, expected=f"at most {_MAX_REDIRECTS}")


def _redirected(url: str, location: str, headers: Mapping[str, str], name: str) -> tuple[str, Mapping[str, str]]:
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
    except ValueError:
        raise HostileInputError("the server redirects to no address", where=name, got=redact(location)[:80]) from None
    if after.scheme not in ("http", "https") or (before.scheme == "https" and after.scheme == "http"):
        raise HostileInputError(
            "the server redirects to where nothing is read from",
            where=name,
            expected="https" if before.scheme == "https" else "http or https",
            got=safe_name(target),
        )
    # Portals redirect to addresses that grant access for a while.
    remember_query(after.query)
    same = (before.scheme, before.netloc) == (after.scheme, after.netloc)
    kept = headers if same else {key: value for key, value in headers.items() if key.lower() in ("range", "user-agent")}
    return target, kept


def _once(url: str, headers: Mapping[str, str], limits: _Limits, name: str) -> tuple[int, dict[str, str], bytes]:
    check_address(urlsplit(url).hostname or "", name)
    wrong: TerraCubeError | _TransientError
    # A byte now and then would keep any time-out per byte happy.
    watch = Watch(2 * limits.timeout + limits.part / _SLOWEST)
    try:
        with watch:
            response = pool(url).urlopen(
                "GET",
                url,
                headers={"Accept-Encoding": "identity", "User-Agent": "terracube", **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=limits.timeout, read=limits.timeout),
            )
            try:
                if response.status == 200 and limits.whole > limits.part:
                    watch.grant(limits.timeout + limits.whole / _SLOWEST)
                return _receive(response, limits, name)
            finally:
                # A body that was not read to its end makes the connection useless.
                response.close() if not response.closed else response.release_conn()
    except (LocationParseError, UnicodeError, ValueError) as error:
        wrong = AssetError("the address cannot be asked", where=name, got=redact(error))
    except (HTTPError, OSError) as error:
        wrong = _TransientError(_short(error))
        if isinstance(error, SSLError) and "CERTIFICATE" in str(error).upper():
            wrong = UnreachableError("the server's certificate is not trusted", where=name, got=f"{wrong}; 1 attempt")
    except _TransientError as error:
        wrong = error
    raise _TransientError("too slow") if watch.fired else wrong


def _short(error: Exception) -> str:
    """Say what went wrong in the words of its class; the rest of the text holds addresses."""
    kind = type(error).__name__.removesuffix("Error")
    told = redact(error.args[-1] if isinstance(error, ProtocolError) and error.args else error)
    return f"{kind}: {told.partition('): ')[2] or told}"[:200]


def _receive(response: urllib3.BaseHTTPResponse, limits: _Limits, name: str) -> tuple[int, dict[str, str], bytes]:
    headers = {key.lower(): value for key, value in response.headers.items()}
    if response.status not in (200, 206):
        with suppress(HTTPError, OSError):
            return response.status, headers, response.read(_ERROR_BODY) or b""
        return response.status, headers, b""
    if headers.get("content-encoding", "identity") != "identity":
        raise AssetError("the server packs what it sends", where=name, got=redact(headers["content-encoding"])[:40])
    length = headers.get("content-length", "")
    if response.status == 200 and not length and "transfer-encoding" not in headers:
        # A connection that is cut within the header looks like an empty file.
        raise _TransientError("an answer that does not say how long it is")
    most = limits.of(response.status)
    if length.isdigit() and int(length) > most:
        raise _too_much(response.status, f"{length[:20]} bytes", most, name)
    body = response.read(most + 1)
    if len(body) > most:
        raise _too_much(response.status, "more", most, name)
    if length.isdigit() and len(body) != int(length):
        raise _TransientError(f"truncated body: {len(body)} of {length} bytes")
    return response.status, headers, body


def _too_much(status: int, got: str, most: int, name: str) -> TerraCubeError:
    if status == 206:
        return HostileInputError(
            "the server sends more than was asked for", where=name, expected=f"at most {most} bytes", got=got
        )
    return AssetError(
        "the server does not answer ranges, and the file is too large to be sent whole",
        where=name,
        expected=f"at most {most} bytes",
        got=got,
        todo="use a server that answers range requests, or fetch the file first",
    )


def _judge(status: int, headers: Mapping[str, str], body: bytes, name: str) -> None:
    """Raise what a status means, unless it is an answer."""
    if status in (200, 206, 416):
        return
    code = _code(headers, body)
    told = f"HTTP {status}" + (f" ({code})" if code else "")
    if status in _REFUSED:
        raise RefusedError(status, code)
    if status in _AGAIN:
        raise _TransientError(told, _retry_after(headers.get("retry-after", "")))
    if status in (404, 410):
        raise NotThereError("the file is not there", where=name, got=told, todo="check the address in the item")
    region = headers.get("x-amz-bucket-region", "")
    raise AssetError(
        "the server cannot answer",
        where=name,
        expected="HTTP 200 or 206",
        got=told,
        todo=f"the bucket lies in region {redact(region)[:40]}" if region and status in _MOVED else "",
    )


def _code(headers: Mapping[str, str], body: bytes) -> str:
    """Give the word by which an object store says what is wrong: a name only, never its text."""
    word = headers.get("x-ms-error-code", "") or body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode("latin-1")
    return redact(word) if word.isalnum() and len(word) <= 60 else ""


def _retry_after(text: str) -> float:
    """Seconds that a server wants us to wait, from a number or a date."""
    if text.strip().isdigit():
        return float(text)
    with suppress(ValueError, OverflowError):
        when = parsedate_to_datetime(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return 0.0
