"""No token in any word: a search through everything that is printed, logged, raised, pickled or kept."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback

import pytest

from terracube.core.errors import TerraCubeError
from terracube.cubes.access import (
    BearerToken,
    Location,
    Retries,
    S3Keys,
    SasTokens,
    Signed,
    forget,
    open_bytes,
    redact,
    safe_name,
    strip_grant,
    use_retries,
)
from terracube.cubes.access.signing import _tokens

DATA = bytes(range(251)) * 1000
SECRETS = ("secret-token", "bearerword", "store-secret-word", "session-word")


@pytest.fixture
def signers(file_server, monkeypatch):
    """One signer of each kind, for the local server."""
    _tokens.kept.clear()
    for name, value in {"B": SECRETS[1], "K": "store-id", "S": SECRETS[2], "T": SECRETS[3]}.items():
        monkeypatch.setenv(name, value)
    sas = SasTokens(endpoint=file_server.url + "/token/{container}", hosts=(file_server.url,), public=())
    keys = S3Keys(endpoint=file_server.url, key_env="K", secret_env="S", session_env="T")
    http = file_server.url + "/box/a.tif"
    return [(http, BearerToken("B", (file_server.url,))), (http, sas), ("s3://box/a.tif", keys)]


def _faults(Fault):
    return [
        [],
        [Fault(status=503)] * 9,
        [Fault(status=404)] * 9,
        [Fault(status=401)] * 9,
        [Fault(cut=5)] * 9,
        [Fault(reset=True)] * 9,
        [Fault(wait=0.3)] * 9,
        [Fault(status=302, headers={"Location": "/box/b.tif?sig=secret-token-0"})] * 9,
        [Fault(status=302, headers={"Location": "ftp://x.org/b.tif?sig=secret-token-0"})] * 9,
        [Fault(status=400, headers={"x-ms-error-code": "bearerword"}, body=b"<Code>bearerword</Code>")] * 9,
        [Fault(headers={"Content-Range": "bytes 0-1/bearerword"})] * 9,
    ]


def test_no_secret_is_told(file_server, file_servers, signers, caplog):
    """Whatever goes wrong: not in errors, their causes and tracebacks, logs, reprs or pickles."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    with use_retries(Retries(attempts=2, first_wait=0.01, longest_wait=0.01, timeout=0.2)):
        for href, signer in signers:
            for faults in _faults(file_servers.Fault):
                forget()
                file_server.put("/box/a.tif", DATA, sas=isinstance(signer, SasTokens), faults=faults)
                location = Location(href, signer=signer)
                told += [
                    repr(location),
                    str(location),
                    repr(signer),
                    repr(pickle.dumps(location)),
                    repr(hash(location)),
                ]
                try:
                    source = open_bytes(location)
                    source.read(100_000, 100_010)
                    told += [repr(source), source.name, source.version]
                except TerraCubeError as error:
                    told += [repr(error), *traceback.format_exception(error), repr(error.as_dict())]
                    told += [repr(pickle.dumps(error)), repr(error.__context__), repr(error.__cause__)]
    told += [record.getMessage() for record in caplog.records] + [caplog.text]
    assert "box/a.tif" in caplog.text  # the library did log our requests
    assert any("503" in text for text in told)
    for secret in SECRETS:
        assert not [text for text in told if secret in text]
    # The search does find what is there: the server saw all of them but the key itself.
    assert {s for s in SECRETS if s in str(file_server.asked)} == {SECRETS[0], SECRETS[1], SECRETS[3]}


def test_a_signed_address_is_not_printed_or_sent():
    """What holds a token is neither printed nor pickled nor copied by way of a pickle."""
    signed = Signed("https://a.org/x.tif?sig=secret-token", {"Authorization": "Bearer bearer-word"})
    assert repr(signed) == str(signed) == "Signed(https://a.org/x.tif)"
    for carry in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            carry(signed)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Pool(host='a.org'): /x?se=1&sig=a%2Fb (Caused by X)", "Pool(host='a.org'): /x (Caused by X)"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ***'}"),
        ("AWS4-HMAC-SHA256 Credential=A/b, Signature=c", "AWS4-HMAC-SHA256 ***"),
        ("https://me:word@a.org/x", "https://a.org/x"),
        ("what? nothing", "what? nothing"),
        (OSError("s3://b/k?X-Amz-Signature=1"), "s3://b/k"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.a-b_c is old", "token *** is old"),
        ("GET https://a.org/x;jsessionid=12AB/y failed", "GET https://a.org/x/y failed"),
    ],
)
def test_redact(text, clean):
    """Queries, users and authorisations go; the rest stays."""
    assert redact(text) == clean


def test_names_and_grants():
    """A printed name has no query at all; an address keeps what names the file, and loses what grants access."""
    assert safe_name("/data/what?.tif") == "/data/what?.tif"
    assert safe_name("https://a.org/x#sig=1?2") == "https://a.org/x"
    sas = "https://x.blob.core.windows.net/c/a.tif?st=1&se=2&sp=rl&sv=2021&sr=c&skoid=3&sig=a%2Bb%3D"
    assert strip_grant(sas) == "https://x.blob.core.windows.net/c/a.tif"
    amazon = "https://b.s3.amazonaws.com/k?versionId=7&X-Amz-Algorithm=A&X-Amz-Signature=c&x-amz-date=1"
    assert strip_grant(amazon) == "https://b.s3.amazonaws.com/k?versionId=7"
    for plain in ("https://a.org/wcs?st=1&se=2&coverage=a%20b", "https://a.org/x", "/data/a?sig=1", "https://a.org/x?"):
        assert strip_grant(plain) == plain
    for name in ("key", "auth", "access_token", "apikey", "api_key", "Token", "Subscription-Key", "api%5Fkey"):
        assert strip_grant(f"https://a.org/x?v=1&{name}=2") == "https://a.org/x?v=1"
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc"
    assert strip_grant(f"https://a.org/x?k={jwt}") == "https://a.org/x"
    for secret in (f"https://a.org/{jwt}/x", "https://a.org/x;jsessionid=12AB", "https://a.org/x;JSESSIONID=12AB?v=1"):
        assert strip_grant(secret) != secret
        assert not {"12AB", "abc"} & set(safe_name(secret).replace("/", "=").split("="))
    assert strip_grant("https://a.org/x?access_token=1#f") == "https://a.org/x#f"
