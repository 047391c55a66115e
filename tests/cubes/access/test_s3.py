"""S3 as plain HTTP, and its signatures."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from terracube.core.errors import AccessError, AssetError, InputError
from terracube.cubes.access import AnonymousS3, Location, Retries, S3Keys, Signer, open_bytes, use_retries
from terracube.cubes.access.s3 import Keys, authorization, object_url

DATA = bytes(range(251)) * 1000


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    """A key in the environment, and little patience."""
    monkeypatch.setenv("STORE_ID", "my-key-id")
    monkeypatch.setenv("STORE_SECRET", "my-secret-key")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    with use_retries(Retries(attempts=2, first_wait=0.01, longest_wait=0.05, timeout=1)):
        yield


def _signer(server, **more):
    return S3Keys(endpoint=server.url, key_env="STORE_ID", secret_env="STORE_SECRET", region="default", **more)


def test_the_published_example():
    """The example of the signature's documentation comes out to the letter."""
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = authorization(
        "https://examplebucket.s3.amazonaws.com/test.txt",
        keys,
        "us-east-1",
        datetime(2013, 5, 24, tzinfo=UTC),
        {"Range": "bytes=0-9"},
    )
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_read(file_server):
    """Size and ranges of an object whose store wants a signature."""
    file_server.put("/eodata/S2/B04 a.jp2", DATA, s3_key="my-key-id")
    source = open_bytes(Location("s3://eodata/S2/B04 a.jp2", signer=_signer(file_server, requester_pays=True)))
    assert source.size == len(DATA)
    assert source.read_many([(100_000, 100_010), (5, 6)]) == [DATA[100_000:100_010], DATA[5:6]]
    asked = file_server.requests_of("/eodata/S2/B04 a.jp2")[1].headers
    assert asked["range"] == "bytes=100000-100009"
    assert "/default/s3/aws4_request" in asked["authorization"]
    assert "x-amz-request-payer" in asked["authorization"]
    assert "my-secret-key" not in str(file_server.asked)
    assert source.name == "s3://eodata/S2/B04 a.jp2"


def test_temporary_keys(file_server, monkeypatch):
    """The token of temporary keys is sent, and signed."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-word")
    file_server.put("/box/a.tif", DATA, s3_key="my-key-id")
    open_bytes(Location("s3://box/a.tif", signer=_signer(file_server)))
    asked = file_server.asked[0].headers
    assert asked["x-amz-security-token"] == "session-word"
    assert "x-amz-security-token" in asked["authorization"]


def test_the_same_signature_as_another_client(file_server, monkeypatch):
    """For the request that an independent client sends, our signature is equal to the client's."""
    obstore = pytest.importorskip("obstore")
    file_server.put("/box/S2/B04 a+b.jp2", DATA)
    store = obstore.store.S3Store(
        "box",
        endpoint=file_server.url,
        access_key_id="my-key-id",
        secret_access_key="my-secret-key",
        region="default",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    obstore.get_range(store, "S2/B04 a+b.jp2", start=5, end=10)
    sent = file_server.asked[0].headers
    when = datetime.strptime(sent["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    url = object_url("s3://box/S2/B04 a+b.jp2", file_server.url)
    covered = sent["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    known = {"host", "x-amz-date", "x-amz-content-sha256"}
    extra = {name: sent[name] for name in covered if name not in known}
    ours = authorization(url, Keys("my-key-id", "my-secret-key"), "default", when, extra)
    if sent["x-amz-content-sha256"] != ours["x-amz-content-sha256"]:
        monkeypatch.setattr("terracube.cubes.access.s3._NO_BODY", sent["x-amz-content-sha256"])
        ours = authorization(url, Keys("my-key-id", "my-secret-key"), "default", when, extra)
    assert ours["Authorization"].replace(" ", "") == sent["authorization"].replace(" ", "")


def test_refused(file_server, monkeypatch):
    """A key that the store does not know is told by the store's own word, and tried twice."""
    monkeypatch.setenv("STORE_ID", "other-key-id")
    file_server.put("/box/a.tif", DATA, s3_key="my-key-id")
    with pytest.raises(AccessError, match=r"HTTP 403 \(AccessDenied\)") as caught:
        open_bytes(Location("s3://box/a.tif", signer=_signer(file_server)))
    assert "key-id" not in str(caught.value)
    assert len(file_server.asked) == 2
    with pytest.raises(AssetError, match="not there"):
        open_bytes(Location("s3://box/b.tif", signer=_signer(file_server)))


def test_another_region(file_server, file_servers):
    """A store that names the region of the bucket helps the user."""
    fault = file_servers.Fault(
        301, {"x-amz-bucket-region": "eu-central-1"}, b"<Error><Code>PermanentRedirect</Code></Error>"
    )
    file_server.put("/box/a.tif", DATA, faults=[fault])
    with pytest.raises(AssetError, match="eu-central-1"):
        open_bytes(Location("s3://box/a.tif", signer=_signer(file_server)))


def test_open_buckets(file_server):
    """A store that is open to all gets no signature; nor does a bucket that the keys are not for."""
    file_server.put("/box/a.tif", DATA)
    assert open_bytes(Location("s3://box/a.tif", signer=AnonymousS3(file_server.url))).size == len(DATA)
    assert "authorization" not in file_server.asked[0].headers
    keys = _signer(file_server, buckets=("other",))
    assert keys.sign("s3://box/a.tif").url == "s3://box/a.tif"
    assert keys.sign("https://box.org/a.tif").headers == {}


@pytest.mark.parametrize(
    "href", ["s3://box", "s3://box/", "s3:///a", "s3://a@b/c", "s3://a:1/c", "s3://b/../c", "s3://b/./c", "s3://ä/c"]
)
def test_no_objects(href):
    """An address without bucket or key, or with a host hidden in it, is refused."""
    with pytest.raises(InputError):
        object_url(href, "https://{bucket}.s3.amazonaws.com")


def test_missing_keys(file_server, monkeypatch):
    """The variable that is not set is named."""
    monkeypatch.delenv("STORE_SECRET")
    with pytest.raises(InputError, match="STORE_SECRET"):
        open_bytes(Location("s3://box/a.tif", signer=_signer(file_server)))


def test_values():
    """Signers travel, keys are not printed, and the endpoint of the region is filled in."""
    for signer in (S3Keys(), S3Keys.copernicus(), AnonymousS3()):
        assert isinstance(signer, Signer)
        assert pickle.loads(pickle.dumps(signer)) == signer
        assert hash(signer)
    assert "word" not in repr(Keys("a-word", "b-word", "c-word"))


def test_endpoint_of_amazon(monkeypatch):
    """Bucket and region stand in the host."""
    signed = S3Keys(key_env="STORE_ID", secret_env="STORE_SECRET").sign("s3://usgs-landsat/a/b.TIF")
    assert signed.url == "https://usgs-landsat.s3.us-west-2.amazonaws.com/a/b.TIF"
