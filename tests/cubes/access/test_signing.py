"""Tokens are fetched when bytes are read, renewed before they expire, and sent to nobody else."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from terracube.core.errors import AccessError, AssetError, InputError, UnreachableError
from terracube.cubes.access import (
    BearerToken,
    Location,
    Retries,
    SasTokens,
    Signed,
    Signer,
    Signers,
    forget,
    open_bytes,
    use_retries,
)
from terracube.cubes.access.signing import _tokens, declared

DATA = bytes(range(251)) * 1000


@pytest.fixture(autouse=True)
def quick():
    """Wait milliseconds, and begin without any token."""
    _tokens.kept.clear()
    with use_retries(Retries(attempts=2, first_wait=0.01, longest_wait=0.05, timeout=1)):
        yield


@pytest.fixture
def sas(file_server):
    """A signer whose token service is the local server."""
    return SasTokens(endpoint=file_server.url + "/token/{container}", hosts=(file_server.url,), public=())


def test_a_token_is_fetched_once(file_server, sas):
    """Many reads of many files of one container need one token."""
    for k in range(3):
        address = file_server.put(f"/box/{k}.tif", DATA, sas=True)
        assert open_bytes(Location(address, signer=sas)).read(100_000, 100_010) == DATA[100_000:100_010]
    assert [one.path for one in file_server.asked if one.path.startswith("/token")] == ["/token/box"]


def test_threads_share_one_request(file_server, sas):
    """Threads that need a token at once wait for one request."""
    file_server.token_wait = 0.2
    start = threading.Barrier(8)

    def sign(k):
        start.wait()
        return sas.sign(f"{file_server.url}/box/{k}.tif", fresh=bool(k % 2)).url.partition("?")[2]

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(sign, range(8)))
    assert found == {file_server.token()}
    assert file_server.tokens == 1


def _age(seconds):
    """Let the tokens that are kept grow older."""
    for endpoint, token in _tokens.kept.items():
        _tokens.kept[endpoint] = replace(token, expires=token.expires - seconds)


def test_a_token_is_renewed_before_it_expires(file_server, sas):
    """A token is used until five minutes before its end, and not after."""
    address = file_server.put("/box/a.tif", DATA, sas=True)
    source = open_bytes(Location(address, signer=sas))
    _age(3600 - 400)
    assert source.read(100_000, 100_010) == DATA[100_000:100_010]
    assert file_server.tokens == 1
    _age(101)
    assert source.read(100_000, 100_010) == DATA[100_000:100_010]
    assert file_server.tokens == 2


def test_a_token_that_lives_shortly_serves_half_its_life(file_server, sas):
    """A token that lives less than the margin is not fetched for every read."""
    address = file_server.put("/box/a.tif", DATA, sas=True)
    file_server.token_life = 100
    source = open_bytes(Location(address, signer=sas))
    _age(30)
    source.read(100_000, 100_010)
    assert file_server.tokens == 1
    _age(21)
    source.read(100_000, 100_010)
    assert file_server.tokens == 2


def test_an_old_token_serves_while_the_service_is_away(file_server, file_servers, sas):
    """A token that is renewed early, but could not be, is used to its end; not after."""
    address = file_server.put("/box/a.tif", DATA, sas=True)
    source = open_bytes(Location(address, signer=sas))
    file_server.token_faults = [file_servers.Fault(404)] * 99
    _age(3600 - 100)
    assert source.read(100_000, 100_010) == DATA[100_000:100_010]
    _age(101)
    with pytest.raises(AssetError, match="not there"):
        source.read(100_000, 100_010)


def test_a_refused_token_is_replaced_once(file_server, sas):
    """A token that the store refuses, though it should live, is replaced, and the read goes on."""
    address = file_server.put("/box/a.tif", DATA, sas=True)
    source = open_bytes(Location(address, signer=sas))
    file_server.tokens += 1  # the store forgets the one that was handed out
    assert source.read(100_000, 100_010) == DATA[100_000:100_010]
    assert [one.path for one in file_server.asked].count("/token/box") == 2


@pytest.mark.parametrize("status", [401, 403])
def test_refused_twice_is_an_error(file_server, file_servers, sas, status):
    """A file that stays refused is asked for twice, with two tokens, and then told."""
    fault = file_servers.Fault(status, {"x-ms-error-code": "AuthorizationFailure"})
    address = file_server.put("/box/a.tif", DATA, sas=True, faults=[fault] * 9)
    with pytest.raises(AccessError, match=rf"HTTP {status} \(AuthorizationFailure\)") as caught:
        open_bytes(Location(address, signer=sas))
    assert "token-" not in str(caught.value)
    assert len(file_server.requests_of("/box/a.tif")) == 2
    assert file_server.tokens == 2


def test_the_token_service_refuses(file_server, file_servers, sas):
    """A token service that refuses, or does not answer, is told by its own address."""
    address = file_server.put("/box/a.tif", DATA, sas=True)
    file_server.token_faults = [file_servers.Fault(403)]
    with pytest.raises(AccessError, match="/token/box"):
        open_bytes(Location(address, signer=sas))
    file_server.token_faults = [file_servers.Fault(503)] * 9
    with pytest.raises(UnreachableError, match="/token/box"):
        open_bytes(Location(address, signer=sas))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"token": "sig=abcdefgh"}',
        b'{"token": 5, "msft:expiry": "2030-01-01T00:00:00Z"}',
        b'{"token": "a\\r\\nb", "msft:expiry": "2030-01-01T00:00:00Z"}',
        b'{"token": "sig=abcdefgh", "msft:expiry": "soon"}',
        b'{"token": "sig=abcdefgh", "msft:expiry": 5}',
        b"[" * 60000,
        b"\xff\xfe",
    ],
)
def test_odd_answers_of_the_token_service(file_server, file_servers, sas, body):
    """What is no token is refused, and not told: it may hold one."""
    file_server.token_faults = [file_servers.Fault(200, {}, body)]
    with pytest.raises(AssetError, match="holds no token") as caught:
        sas.sign(f"{file_server.url}/box/a.tif")
    assert "abcdefgh" not in str(caught.value)


def test_a_subscription_key_goes_to_the_token_service_only(file_server, file_servers, monkeypatch):
    """The key is sent to the service that wants it, and not to the store, nor where the service redirects to."""
    monkeypatch.setenv("MY_KEY", "subscription-word")
    with file_servers.FileServer() as other:
        signer = SasTokens(
            endpoint=file_server.url + "/token/{collection}",
            collection="sentinel-2-l2a",
            hosts=(other.url,),
            public=(),
            key_env="MY_KEY",
        )
        open_bytes(Location(other.put("/box/a.tif", DATA), signer=signer))
        file_server.token_faults = [file_servers.Fault(302, {"Location": f"{other.url}/token/x"})]
        signer.sign(f"{other.url}/box/a.tif", fresh=True)
        assert file_server.requests_of("/token/sentinel-2-l2a")[0].headers["ocp-apim-subscription-key"]
        assert all("subscription-word" not in str(one) for one in other.asked)


def test_a_bearer_token(file_server, monkeypatch):
    """The token is read from the environment at every read, and sent in the header."""
    address = file_server.put("/a.tif", DATA, bearer="first-word")
    location = Location(address, signer=BearerToken(env="MY_TOKEN", hosts=(file_server.url,)))
    with pytest.raises(InputError, match="MY_TOKEN"):
        open_bytes(location)
    monkeypatch.setenv("MY_TOKEN", "first-word")
    source = open_bytes(location)
    file_server.files["/a.tif"].bearer = "second-word"
    monkeypatch.setenv("MY_TOKEN", "second-word")
    assert source.read(100_000, 100_010) == DATA[100_000:100_010]
    monkeypatch.setenv("MY_TOKEN", "third-word")
    with pytest.raises(AccessError, match="HTTP 401"):
        source.read(100_000, 100_010)
    monkeypatch.setenv("MY_TOKEN", "a\r\nHost: evil.org")
    with pytest.raises(InputError, match="characters"):
        source.read(100_000, 100_010)


def test_no_token_for_another_host(file_server, file_servers, monkeypatch):
    """A host that the signer does not know gets none, whether it is asked or redirected to."""
    monkeypatch.setenv("MY_TOKEN", "bearer-word")
    with file_servers.FileServer() as other:
        target = other.put("/b.tif", DATA)
        redirect = file_servers.Fault(302, {"Location": target})
        address = file_server.put("/box/a.tif", DATA, faults=[redirect] * 2)
        sas = SasTokens(endpoint=file_server.url + "/token/{container}", hosts=(file_server.url,), public=())
        for signer in (BearerToken(env="MY_TOKEN", hosts=(file_server.url,)), sas):
            for href in (target, address):
                assert open_bytes(Location(href, signer=signer)).size == len(DATA)
                forget()
        assert len(other.asked) == 4
        for one in other.asked:
            assert "authorization" not in one.headers
            assert one.query == ""
            assert "word" not in str(one)


def test_a_redirect_on_the_same_host_keeps_the_token(file_server, file_servers, monkeypatch):
    """A portal that moves a file within itself still gets the token."""
    monkeypatch.setenv("MY_TOKEN", "bearer-word")
    file_server.put("/b.tif", DATA, bearer="bearer-word")
    address = file_server.put("/a.tif", b"", faults=[file_servers.Fault(301, {"Location": "b.tif"})])
    assert open_bytes(Location(address, signer=BearerToken("MY_TOKEN", (file_server.url,)))).size == len(DATA)


@pytest.mark.parametrize(
    ("href", "hosts", "good"),
    [
        ("https://a.org/x", ("a.org",), True),
        ("https://A.org:443/x", ("a.org",), True),
        ("https://a.org:8443/x", ("a.org",), False),
        ("https://a.org:8443/x", ("a.org:8443",), True),
        ("http://a.org/x", ("a.org",), False),
        ("http://a.org/x", ("http://a.org",), True),
        ("http://a.org:80/x", ("http://a.org",), False),
        ("https://b.a.org/x", ("a.org",), False),
        ("https://b.a.org/x", (".a.org",), True),
        ("https://a.org/x", (".a.org",), False),
        ("https://evila.org/x", (".a.org", "a.org"), False),
        ("https://a.org.evil.org/x", (".a.org", "a.org"), False),
        ("https://a.org@evil.org/x", (".a.org", "a.org"), False),
        ("https://evil.org/?a.org", ("a.org",), False),
        ("https://evil.org#.a.org", (".a.org",), False),
        ("/data/a.org", ("a.org",), False),
        ("s3://a.org/x", ("a.org",), False),
    ],
)
def test_hosts(href, hosts, good):
    """A token goes to the hosts that are named, letter by letter."""
    assert declared(href, hosts) is good


def test_the_planetary_computer():
    """Account and container of a blob's address name the token; its open account needs none."""
    signer = SasTokens()
    with pytest.raises(InputError, match="needs a container"):
        signer.endpoint_of("https://naipeuwest.blob.core.windows.net/")
    with pytest.raises(InputError, match="needs a collection"):
        SasTokens(endpoint="https://a.org/sas/token/{collection}").endpoint_of("https://x.blob.core.windows.net/c/y")
    public = "https://ai4edatasetspublicassets.blob.core.windows.net/assets/a.png"
    assert signer.sign(public).url == public
    assert signer.sign("http://naipeuwest.blob.core.windows.net/naip/a.tif").url.endswith("a.tif")
    sneaky = signer.endpoint_of("https://x.blob.core.windows.net/%2e%2e%2fadmin?/b")
    assert sneaky.endswith("/token/x/%252e%252e%252fadmin")


def test_several_signers(file_server, monkeypatch):
    """The first signer that knows the host signs."""
    monkeypatch.setenv("ONE", "first-word")
    monkeypatch.setenv("TWO", "second-word")
    both = Signers((BearerToken("ONE", ("one.org",)), BearerToken("TWO", ("two.org", "one.org"))))
    assert both.sign("https://one.org/a").headers == {"Authorization": "Bearer first-word"}
    assert both.sign("https://two.org/a").headers == {"Authorization": "Bearer second-word"}
    assert both.sign("https://three.org/a") == Signed("https://three.org/a")


@pytest.mark.parametrize("signer", [SasTokens(), BearerToken("X", ("a.org",)), Signers((SasTokens(),))])
def test_signers_are_values(signer):
    """A signer is a small value: equal, hashable, picklable, so that it may travel with every task."""
    assert isinstance(signer, Signer)
    again = pickle.loads(pickle.dumps(signer))
    assert again == signer
    assert hash(again) == hash(signer)
    assert len(pickle.dumps(Location("https://a.org/x", signer=signer))) < 600
