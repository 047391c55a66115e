"""Who adds what a server asks for: tokens are fetched and added where bytes are read, and travel nowhere."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn, Protocol, runtime_checkable
from urllib.parse import quote, urlsplit

from terracube.core.errors import AccessError, AssetError, InputError
from terracube.cubes.access.redact import remember, remember_query, safe_name
from terracube.cubes.access.transport import RefusedError, get

_MARGIN = 300.0
_MOST_TOKEN_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, repr=False)
class Signed:
    """An address with all that its server asks for; it cannot be printed or sent to another process."""

    url: str
    """http or https URL, with tokens in its query where the server wants them there."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to send along."""

    def __repr__(self) -> str:
        return f"Signed({safe_name(self.url)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signed address is used where it is made, and never pickled")


@runtime_checkable
class Signer(Protocol):
    """What signs addresses on the worker; itself frozen, hashable, picklable and without any secret.

    It names environment variables and endpoints only, so that it may travel with every task.
    """

    def sign(self, href: str, *, fresh: bool = False) -> Signed:
        """Give the address to ask, with what its server wants; ``fresh`` = do not use a token that was kept.

        A host that the signer is not declared for gets its address unchanged, without any token.
        """
        ...


def declared(href: str, hosts: tuple[str, ...]) -> bool:
    """Tell whether a token for ``hosts`` may be sent to an address.

    Parameters
    ----------
    href : str
    hosts : tuple of str
        ``example.org`` is that host, ``.example.org`` every host below it; both over https only.
        ``http://localhost:8080`` is that very server, without encryption.

    Examples
    --------
    >>> [declared(f"{scheme}://data.example.org/x.tif", (".example.org",)) for scheme in ("https", "http")]
    [True, False]
    """
    parts = urlsplit(href)
    host = (parts.hostname or "").lower()
    if f"{parts.scheme}://{parts.netloc}".lower() in hosts:
        return True
    here = host if parts.port in (None, 443) else f"{host}:{parts.port}"
    below = any(one.startswith(".") and here.endswith(one) for one in hosts)
    return parts.scheme == "https" and (here in hosts or below)


def secret(variable: str) -> str:
    """Read a secret from the environment, and see to it that it is never told.

    Raises
    ------
    InputError
        If the variable is not set.
    """
    value = os.environ.get(variable, "")
    if not value:
        raise InputError(
            "a key is missing", where=variable, expected="an environment variable", todo="set it on every worker"
        )
    if not value.isascii() or not value.isprintable():
        raise InputError("a key holds characters that no header may hold", where=variable)
    remember(value)
    return value


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token from the environment, sent in the ``Authorization`` header.

    Examples
    --------
    >>> BearerToken(env="PORTAL_TOKEN", hosts=("data.example.org",)).sign("https://elsewhere.org/x.tif").headers
    {}
    """

    env: str
    """Name of the environment variable that holds the token; read at every use."""
    hosts: tuple[str, ...]
    """Hosts that get the token, see `declared`."""

    def sign(self, href: str, *, fresh: bool = False) -> Signed:  # noqa: ARG002  # read anew at every use
        """Add the header."""
        if not declared(href, self.hosts):
            return Signed(href)
        return Signed(href, {"Authorization": f"Bearer {secret(self.env)}"})


@dataclass(frozen=True, slots=True)
class _Token:
    query: str
    expires: float
    """Seconds since 1970."""
    fetched: float
    """On the monotonic clock."""
    margin: float
    """Seconds before the end at which a new one is fetched."""


class _Tokens:
    """Tokens of this process, by endpoint; at most one request per endpoint is under way."""

    def __init__(self) -> None:
        self.kept: dict[str, _Token] = {}
        self.locks: dict[str, threading.Lock] = {}
        self.lock = threading.Lock()

    def of(self, endpoint: str, headers: Mapping[str, str], *, fresh: bool) -> str:
        asked = time.monotonic()
        kept = self.kept.get(endpoint)
        if kept and not fresh and time.time() < kept.expires - kept.margin:
            return kept.query
        with self.lock:
            own = self.locks.setdefault(endpoint, threading.Lock())
        with own:
            kept = self.kept.get(endpoint)
            # Somebody else fetched it while this thread waited.
            if kept and kept.fetched >= asked:
                return kept.query
            self.kept[endpoint] = self._renewed(endpoint, headers, None if fresh else kept)
            return self.kept[endpoint].query

    @staticmethod
    def _renewed(endpoint: str, headers: Mapping[str, str], kept: _Token | None) -> _Token:
        try:
            return _fetch_token(endpoint, headers)
        except AssetError:
            # Renewed early: the old one still serves while its service is away.
            if kept is None or time.time() >= kept.expires:
                raise
            return kept


_tokens = _Tokens()


def _after_fork() -> None:
    global _tokens
    _tokens = _Tokens()


os.register_at_fork(after_in_child=_after_fork)


def _fetch_token(endpoint: str, headers: Mapping[str, str]) -> _Token:
    told = ""
    try:
        answer = get(endpoint, headers, most=_MOST_TOKEN_BYTES)
        content = json.loads(answer.body)
        query, expiry = content["token"], datetime.fromisoformat(content["msft:expiry"])
    except RefusedError as error:
        told = f"HTTP {error.status}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _no_token(endpoint) from None
    if told:
        raise AccessError("no token is given", where=safe_name(endpoint), got=told, todo="check the subscription key")
    if not isinstance(query, str) or not query.isascii() or not query.isprintable() or " " in query:
        raise _no_token(endpoint)
    query = query.lstrip("?")
    remember_query(query)
    expires = (expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)).timestamp()
    # A token that lives shorter than the margin must not be fetched for every single read.
    return _Token(query, expires, time.monotonic(), min(_MARGIN, max(0.0, expires - time.time()) / 2))


def _no_token(endpoint: str) -> AssetError:
    # What came instead is not told: it may hold a token.
    return AssetError(
        "the answer holds no token", where=safe_name(endpoint), expected='JSON with "token" and "msft:expiry"'
    )


@dataclass(frozen=True, slots=True)
class SasTokens:
    """Shared-access signatures of Azure storage, fetched from a token service as the Planetary Computer has it.

    The service answers ``{"msft:expiry": time, "token": query}``, per account and container, or per collection. A token
    is kept in the process until 5 minutes before it expires.

    Examples
    --------
    >>> SasTokens().endpoint_of("https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/33/T/B04.tif")
    'https://planetarycomputer.microsoft.com/api/sas/v1/token/sentinel2l2a01/sentinel2-l2'
    """

    endpoint: str = "https://planetarycomputer.microsoft.com/api/sas/v1/token/{account}/{container}"
    """Address of the token service; ``{account}`` is the first label of the host, ``{container}`` the first folder of
    the path, ``{collection}`` is `collection`."""
    collection: str = ""
    """Id of the collection, for a service that gives tokens by collection."""
    hosts: tuple[str, ...] = (".blob.core.windows.net",)
    """Hosts that get a token, see `declared`."""
    public: tuple[str, ...] = ("ai4edatasetspublicassets.blob.core.windows.net",)
    """Hosts among them that need none."""
    key_env: str = ""
    """Name of an environment variable with a subscription key, for a higher rate; empty = none."""
    key_header: str = "Ocp-Apim-Subscription-Key"
    """Header in which the token service wants that key."""

    def endpoint_of(self, href: str) -> str:
        """Give the address of the token service for a file.

        Raises
        ------
        InputError
            If the endpoint names something that the file's address or this object does not have.
        """
        parts = urlsplit(href)
        names = {
            "account": (parts.hostname or "").partition(".")[0],
            "container": parts.path.lstrip("/").partition("/")[0],
            "collection": self.collection,
        }
        address = self.endpoint
        for name, value in names.items():
            slot = "{" + name + "}"
            if slot in address and (not value or value in (".", "..")):
                raise InputError(f"the token service needs a {name}", where=safe_name(href), expected=self.endpoint)
            address = address.replace(slot, quote(value, safe="$"))
        return address

    def sign(self, href: str, *, fresh: bool = False) -> Signed:
        """Add the token to the query."""
        if not declared(href, self.hosts) or declared(href, self.public):
            return Signed(href)
        headers = {self.key_header: secret(self.key_env)} if self.key_env else {}
        token = _tokens.of(self.endpoint_of(href), headers, fresh=fresh)
        base = href.partition("#")[0]
        return Signed(f"{base}{'&' if '?' in base else '?'}{token}")


@dataclass(frozen=True, slots=True)
class Signers:
    """Several signers; the first one that is declared for a host signs."""

    members: tuple[Signer, ...]

    def sign(self, href: str, *, fresh: bool = False) -> Signed:
        """Let the first one sign that has something to add."""
        for member in self.members:
            signed = member.sign(href, fresh=fresh)
            if signed.headers or signed.url != href:
                return signed
        return Signed(href)
