"""Nothing secret in words: texts for errors and logs lose their query strings and every token that was handed out."""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

_HIDDEN = "***"
_MAX_SECRETS = 4096
# Shorter words would be found inside innocent text, and no service hands out tokens as short.
_SHORTEST = 6

# Names under which services put a grant into a query; the short ones mean it only beside a signature.
_TOKENS = ("sig", "signature", "token", "access_token", "access-token", "accesstoken", "auth_token", "id_token", "jwt")
_KEYS = ("key", "apikey", "api_key", "api-key", "subscription-key", "auth", "authorization", "bearer")
_WORDS = ("password", "passwd", "pwd", "secret", "client_secret", "sessionid", "session_id", "jsessionid")
_GRANTS = frozenset((*_TOKENS, *_KEYS, *_WORDS))
_AZURE = ("se", "sp", "st", "sv", "sr", "spr", "sip", "ske", "skoid", "sks", "skt", "sktid", "skv", "ss", "srt")
_OTHERS = ("saoid", "suoid", "scid", "sdd", "ses", "awsaccesskeyid", "googleaccessid", "expires", "policy")
_BESIDE_SIG = frozenset((*_AZURE, *_OTHERS, "key-pair-id"))
_SIGNATURES = frozenset(
    ("sig", "signature", "token", "x-amz-signature", "x-amz-security-token", "x-goog-signature", "access_token")
)
_GRANT_PREFIXES = ("x-amz-", "x-goog-")
_QUERY = re.compile(r"\?[^\s'\"<>)\]]+")
# Three base64url parts, of which the first is the JSON of a header; and the session that a servlet puts into a path.
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_SESSION = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/?#;\s'\"<>)\]]*", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^\s/@'\"]+@")
_SCHEME = re.compile(r"\b(bearer|basic|aws4-hmac-sha256)\s+[^'\"}]+", re.IGNORECASE)

_lock = threading.Lock()
_secrets: OrderedDict[str, None] = OrderedDict()


def remember(*secrets: str) -> None:
    """Keep words that must never be told; `redact` finds them wherever they stand, also percent-encoded."""
    forms = [form for word in secrets for form in {word, unquote(word), urlencode({"": word})[1:]}]
    with _lock:
        for form in forms:
            if len(form) >= _SHORTEST:
                _secrets[form] = None
                _secrets.move_to_end(form)
        while len(_secrets) > _MAX_SECRETS:
            _secrets.popitem(last=False)


def remember_query(query: str) -> None:
    """Keep a query that grants access, whole and by the values of its signature."""
    remember(query, *(value for name, value in parse_qsl(query) if name.lower() in _SIGNATURES))


def _hide(text: str) -> str:
    with _lock:
        known = sorted((word for word in _secrets if word in text), key=len, reverse=True)
    for word in known:
        text = text.replace(word, _HIDDEN)
    return text


def _plain(text: str) -> str:
    return _SESSION.sub("", _JWT.sub(_HIDDEN, text))


def redact(text: object) -> str:
    """Give a text without query strings, user names in addresses, authorisations and known tokens.

    Examples
    --------
    >>> redact("GET https://example.org/B04.tif?sv=2&sig=abc failed")
    'GET https://example.org/B04.tif failed'
    """
    plain = _plain(_SCHEME.sub(rf"\1 {_HIDDEN}", _hide(str(text))))
    return _USER.sub("", _QUERY.sub("", plain))


def safe_name(href: str) -> str:
    """Give the address of a file as it may be printed: no query, no fragment, no user name.

    Examples
    --------
    >>> safe_name("https://me:word@example.org/B04.tif?sig=abc#x")
    'https://example.org/B04.tif'
    """
    if "://" not in href:
        return href
    scheme, _, rest = href.partition("://")
    rest = rest.partition("?")[0].partition("#")[0]
    host, slash, path = rest.partition("/")
    return _hide(_plain(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"))


def strip_grant(href: str) -> str:
    """Give an address without the parts that grant access: in its query, sessions in its path, anything like a JWT.

    What names the file stays.

    Examples
    --------
    >>> strip_grant("https://example.org/B04.tif?version=3&se=2026-01-01&sig=abc")
    'https://example.org/B04.tif?version=3'
    """
    parts = urlsplit(href)
    if parts.scheme not in ("http", "https", "s3"):
        return href
    pieces = parts.query.split("&")
    names = {piece.partition("=")[0].lower() for piece in pieces}
    grants = _GRANTS | _BESIDE_SIG if names & {"sig", "signature"} else _GRANTS
    kept = [piece for piece in pieces if not _is_one(piece, grants)]
    bare = href if len(kept) == len(pieces) else urlunsplit(parts._replace(query="&".join(kept)))
    return _plain(bare)


def _is_one(piece: str, grants: frozenset[str]) -> bool:
    name, _, value = unquote(piece).partition("=")
    return name.lower() in grants or name.lower().startswith(_GRANT_PREFIXES) or bool(_JWT.search(value))


class _Quiet(logging.Filter):
    """Takes known tokens out of what a library logs of our requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, cleaned."""
        told = record.getMessage()
        clean = _hide(told)
        if clean != told:
            record.msg, record.args = clean, ()
        return True


def quiet_logger(name: str) -> None:
    """Clean all that one logger of a library writes."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, _Quiet) for one in logger.filters):
        logger.addFilter(_Quiet())
