"""S3 as plain HTTP: addresses of objects, and requests signed with keys from the environment.

Signature: AWS Signature Version 4, by the ``Authorization`` header, for requests without a body
(https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from terracube.core.errors import InputError
from terracube.cubes.access.redact import remember, safe_name
from terracube.cubes.access.signing import Signed, secret

_NO_BODY = hashlib.sha256(b"").hexdigest()
_SCHEME = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key, never printed."""

    id: str
    secret: str
    session: str = ""

    def __repr__(self) -> str:
        return "Keys(***)"


def object_url(href: str, endpoint: str) -> str:
    """Give the http address of an object.

    Parameters
    ----------
    href : str
        ``s3://bucket/key``.
    endpoint : str
        Address of the store; with ``{bucket}`` in its host, or else with the bucket as first folder of the path.

    Raises
    ------
    InputError
        If the address names no bucket or no key.

    Examples
    --------
    >>> object_url("s3://eodata/Sentinel-2/a b.jp2", "https://s3.example.org")
    'https://s3.example.org/eodata/Sentinel-2/a%20b.jp2'
    >>> object_url("s3://scenes/x.tif", "https://{bucket}.s3.amazonaws.com")
    'https://scenes.s3.amazonaws.com/x.tif'
    """
    bucket, _, key = href.removeprefix("s3://").partition("/")
    # Names of buckets: no host of an attacker's choice can be made from one.
    if not key or not bucket.replace("-", "").replace(".", "").replace("_", "").isalnum() or not bucket.isascii():
        raise InputError("no address of an object", where=safe_name(href), expected="s3://bucket/key")
    if any(part in (".", "..") for part in key.split("/")):
        raise InputError("the key of the object leaves its folder", where=safe_name(href), expected="no . or .. in it")
    path = quote(key, safe="/-_.~")
    base = endpoint.rstrip("/")
    return f"{base.replace('{bucket}', bucket)}/{path}" if "{bucket}" in base else f"{base}/{bucket}/{path}"


def authorization(url: str, keys: Keys, region: str, when: datetime, extra: dict[str, str]) -> dict[str, str]:
    """Give the headers that sign a GET request without a body.

    Parameters
    ----------
    url : str
        http or https address, its path percent-encoded, without a query.
    keys : Keys
    region : str
    when : datetime
        In UTC.
    extra : dict
        More headers to sign and send.

    Returns
    -------
    dict
        ``Authorization`` and all that it covers, but for ``Host``.
    """
    parts = urlsplit(url)
    stamp = when.strftime("%Y%m%dT%H%M%SZ")
    sent = {"x-amz-content-sha256": _NO_BODY, "x-amz-date": stamp} | {k.lower(): v for k, v in extra.items()}
    if keys.session:
        sent["x-amz-security-token"] = keys.session
    covered = dict(sorted({"host": parts.netloc, **sent}.items()))
    names = ";".join(covered)
    lines = [f"{name}:{value.strip()}\n" for name, value in covered.items()]
    request = "\n".join(["GET", parts.path or "/", "", "".join(lines), names, _NO_BODY])
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join([_SCHEME, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["Authorization"] = f"{_SCHEME} Credential={keys.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return sent


@dataclass(frozen=True, slots=True)
class S3Keys:
    """Keys from the environment for one S3 store; only ``s3://`` addresses are signed, and only for its endpoint.

    Examples
    --------
    >>> S3Keys.copernicus().endpoint
    'https://eodata.dataspace.copernicus.eu'
    """

    endpoint: str = "https://{bucket}.s3.{region}.amazonaws.com"
    """Address of the store; ``{bucket}`` and ``{region}`` are filled in, a bucket without a slot goes into the path."""
    region: str = "us-west-2"
    """Region that the store expects in a signature."""
    key_env: str = "AWS_ACCESS_KEY_ID"
    """Name of the environment variable that holds the id of the key."""
    secret_env: str = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  # the name of a variable
    """Name of the environment variable that holds the key."""
    session_env: str = "AWS_SESSION_TOKEN"
    """Name of the environment variable that holds the token of temporary keys; it may be unset."""
    buckets: tuple[str, ...] = ()
    """Buckets that are asked with the keys; empty = all."""
    requester_pays: bool = False
    """Whether the reader pays for what is transferred."""

    @classmethod
    def copernicus(cls, *, key_env: str = "CDSE_ACCESS_KEY", secret_env: str = "CDSE_SECRET_KEY") -> S3Keys:  # noqa: S107
        """Keys for the archive of the Copernicus Data Space Ecosystem."""
        return cls("https://eodata.dataspace.copernicus.eu", "default", key_env, secret_env, "", ("eodata", "EODATA"))

    def sign(self, href: str, *, fresh: bool = False) -> Signed:  # noqa: ARG002  # signed anew at every use
        """Give the object's http address, signed for the next minutes."""
        bucket = href.removeprefix("s3://").partition("/")[0]
        if not href.startswith("s3://") or (self.buckets and bucket not in self.buckets):
            return Signed(href)
        url = object_url(href, self.endpoint.replace("{region}", self.region))
        session = os.environ.get(self.session_env, "") if self.session_env else ""
        keys = Keys(secret(self.key_env), secret(self.secret_env), session)
        if session:
            remember(session)
        extra = {"x-amz-request-payer": "requester"} if self.requester_pays else {}
        return Signed(url, authorization(url, keys, self.region, datetime.now(UTC), extra))


@dataclass(frozen=True, slots=True)
class AnonymousS3:
    """An S3 store that is open to all."""

    endpoint: str = "https://{bucket}.s3.amazonaws.com"
    """Address of the store; a bucket without a slot goes into the path."""

    def sign(self, href: str, *, fresh: bool = False) -> Signed:  # noqa: ARG002  # nothing is kept
        """Give the object's http address."""
        return Signed(object_url(href, self.endpoint)) if href.startswith("s3://") else Signed(href)
