"""Bytes over HTTP from servers that work, that fail, and that lie."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AccessError, AssetError, HostileInputError, InputError, UnreachableError
from terracube.cubes.access import (
    Location,
    Retries,
    check_href,
    connections,
    forget,
    open_bytes,
    remote,
    transport,
    use_retries,
)

DATA = bytes(range(251)) * 1000
QUICK = Retries(attempts=3, first_wait=0.01, longest_wait=0.05, timeout=0.5)


@pytest.fixture(autouse=True)
def quick():
    """Wait milliseconds, where users would wait seconds."""
    with use_retries(QUICK):
        yield


def _open(address):
    return open_bytes(Location(address))


def test_ranges(file_server):
    """The size comes with the first request; ranges come as they were asked for, and nothing else is sent."""
    source = _open(file_server.put("/a.tif", DATA))
    assert source.size == len(DATA)
    assert source.read(100_000, 100_010) == DATA[100_000:100_010]
    assert source.read(len(DATA) - 3, len(DATA)) == DATA[-3:]
    assert source.read(7, 7) == b""
    assert [one.headers["range"] for one in file_server.requests_of("/a.tif")] == [
        "bytes=0-32767",
        "bytes=100000-100009",
        f"bytes={len(DATA) - 3}-{len(DATA) - 1}",
    ]


def test_the_first_bytes_are_not_asked_for_twice(file_server):
    """Headers of rasters lie in what the first request brought; opened again, a file costs no request."""
    address = file_server.put("/a.tif", DATA)
    assert _open(address).read(0, 1000) == DATA[:1000]
    assert _open(address).read_many([(5, 10), (0, 32768)]) == [DATA[5:10], DATA[:32768]]
    assert len(file_server.asked) == 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(DATA)), st.integers(0, len(DATA))).map(sorted).map(tuple), max_size=8))
def test_many_ranges(file_server, ranges):
    """Any ranges at once are the bytes of the file, in the order in which they were asked for."""
    address = file_server.put("/a.tif", DATA)
    assert _open(address).read_many(ranges) == [DATA[a:b] for a, b in ranges]


def test_near_ranges_are_asked_for_together(file_server):
    """Two tiles next to each other are one request, and a far one is another."""
    source = _open(file_server.put("/a.tif", DATA))
    source.read_many([(60_000, 61_000), (50_000, 51_000), (200_000, 200_001)])
    asked = {one.headers["range"] for one in file_server.requests_of("/a.tif")[1:]}
    assert asked == {"bytes=50000-60999", "bytes=200000-200000"}


def test_threads_share_a_source(file_server):
    """Many threads read one file at once, each its own part."""
    source = _open(file_server.put("/a.tif", DATA))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: source.read(40_000 + k, 50_000 + k), range(60)))
    assert found == [DATA[40_000 + k : 50_000 + k] for k in range(60)]


@pytest.mark.parametrize("size", [0, 1, 32767, 32768, 32769])
@pytest.mark.parametrize("ranges", [True, False])
def test_small_files(file_server, size, ranges):
    """Empty files, and such as are as long as the first request, have their own size."""
    source = _open(file_server.put("/a.tif", DATA[:size], ranges=ranges))
    assert source.size == size
    assert source.read(0, size) == DATA[:size]
    with pytest.raises(AssetError, match="ends before"):
        source.read(0, size + 1)


def test_a_server_that_ignores_ranges(file_server):
    """A server that sends whole files is read once, if the file is small."""
    source = _open(file_server.put("/a.tif", DATA, ranges=False))
    assert source.read_many([(100_000, 100_010), (3, 5)]) == [DATA[100_000:100_010], DATA[3:5]]
    assert len(file_server.asked) == 1


def test_a_large_file_without_ranges_is_refused(file_server, monkeypatch):
    """A large file is not taken whole."""
    monkeypatch.setattr(remote, "WHOLE", 100_000)
    with pytest.raises(AssetError, match="does not answer ranges"):
        _open(file_server.put("/a.tif", DATA, ranges=False))


def test_an_answer_without_a_length(file_server, file_servers):
    """A whole file of which nobody says how long it is could be cut off anywhere."""
    faults = [file_servers.Fault(headers={"Content-Length": ""}, cut=10**9)] * 9
    with pytest.raises(UnreachableError, match="how long"):
        _open(file_server.put("/a.tif", DATA, ranges=False, faults=faults))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_fails_twice_then_works(file_server, file_servers, status):
    """What may pass is asked for again."""
    address = file_server.put("/a.tif", DATA, faults=[file_servers.Fault(status)] * 2)
    assert _open(address).size == len(DATA)
    assert len(file_server.asked) == 3


@pytest.mark.parametrize(
    "how",
    [{"reset": True}, {"cut": 1000}, {"wait": 0.8}, {"cut": 0}, {"headers": {"Content-Length": ""}, "cut": 20}],
    ids=["reset", "truncated", "time-out", "nothing", "truncated without a length"],
)
def test_breaks_then_works(file_server, file_servers, how):
    """Connections that break, bodies that end too early and silence are asked for again."""
    source = _open(file_server.put("/a.tif", DATA))
    file_server.files["/a.tif"].faults = [file_servers.Fault(**how)]
    assert source.read(100_000, 150_000) == DATA[100_000:150_000]
    assert len(file_server.requests_of("/a.tif")) == 3


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"status": 503}, "HTTP 503"),
        ({"status": 429, "headers": {"Retry-After": "0"}}, "HTTP 429"),
        ({"cut": 5}, "truncated|IncompleteRead|Protocol"),
        ({"reset": True}, "Protocol"),
        ({"wait": 0.8}, "Timeout"),
    ],
    ids=["503", "429", "truncated", "reset", "time-out"],
)
def test_gives_up(file_server, file_servers, how, told):
    """After the last attempt the error says what went wrong, and how often it was tried."""
    address = file_server.put("/a.tif", DATA, faults=[file_servers.Fault(**how)] * 9)
    with pytest.raises(UnreachableError, match=told) as caught:
        _open(address)
    assert "3 attempts" in caught.value.got
    assert caught.value.where == address
    assert caught.value.__context__ is None
    assert len(file_server.asked) == 3


@pytest.mark.parametrize("status", [400, 404, 405, 410, 451, 501, 505])
def test_is_not_asked_again(file_server, file_servers, status):
    """What will not pass is asked for once."""
    address = file_server.put("/a.tif", DATA, faults=[file_servers.Fault(status)] * 9)
    with pytest.raises(AssetError, match=f"HTTP {status}") as caught:
        _open(address)
    assert not isinstance(caught.value, (AccessError, UnreachableError))
    assert len(file_server.asked) == 1


def test_a_missing_file(file_server):
    """A file that is not there is told in so many words."""
    with pytest.raises(AssetError, match="not there"):
        _open(file_server.url + "/absent.tif")


@pytest.mark.parametrize("status", [401, 403])
def test_refused_without_a_signer(file_server, file_servers, status):
    """Without a signer there is nothing to try again with."""
    address = file_server.put("/a.tif", DATA, faults=[file_servers.Fault(status)] * 9)
    with pytest.raises(AccessError, match=f"HTTP {status}"):
        _open(address)
    assert len(file_server.asked) == 1


@pytest.mark.parametrize("as_date", [False, True])
def test_waits_as_long_as_it_is_asked_to_within_bounds(file_server, file_servers, monkeypatch, as_date):
    """Retry-After is kept to, as a number or a date, but not beyond the longest wait."""
    waited = []
    monkeypatch.setattr(transport.time, "sleep", waited.append)
    texts = ["3", "9999999", "rubbish", "-5"]
    if as_date:
        texts = [format_datetime(datetime.now(UTC) + timedelta(seconds=s)) for s in (3600, -3600)]
    for text in texts:
        transport_answer = transport._retry_after(text)
        assert transport_answer >= 0
    with use_retries(Retries(attempts=4, first_wait=1, longest_wait=5, timeout=1)):
        faults = [file_servers.Fault(429, {"Retry-After": text}) for text in texts]
        _open(file_server.put("/a.tif", DATA, faults=faults[:3]))
    assert [w for w in waited if w] == ([5, 2] if as_date else [3, 5, 4])


def test_a_slow_drip_ends(file_server, file_servers, monkeypatch):
    """A server that sends a byte now and then, always in time, is left after a while."""
    monkeypatch.setattr(transport, "_SLOWEST", 10**9)
    address = file_server.put("/a.tif", DATA[:200], faults=[file_servers.Fault(drip=0.02)] * 3)
    with use_retries(Retries(attempts=2, first_wait=0.01, timeout=0.3)), pytest.raises(UnreachableError, match="slow"):
        _open(address)


def test_a_header_that_never_ends():
    """A server that sends its header byte by byte does not keep us for ever."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drip():
        connection, _ = listener.accept()
        with connection:
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Long: y\r\n" * 1000:
                try:
                    connection.send(bytes([byte]))
                except OSError:
                    return
                stopped.wait(0.02)

    stopped = threading.Event()
    thread = threading.Thread(target=drip)
    thread.start()
    with use_retries(Retries(attempts=1, timeout=0.2)), pytest.raises(UnreachableError, match="1 attempts"):
        _open(f"http://127.0.0.1:{listener.getsockname()[1]}/a.tif")
    stopped.set()
    thread.join()
    listener.close()


def test_nobody_listens():
    """A port without a server is unreachable."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError, match="3 attempts"):
        _open(f"http://127.0.0.1:{port}/a.tif")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": ""},
        {"Content-Range": "bytes 0-9/251000"},
        {"Content-Range": "bytes 100001-100010/251000"},
        {"Content-Range": "bytes 100000-100009/250999"},
        {"Content-Range": "bytes 100000-100009/*"},
        {"Content-Range": "bytes 100009-100000/251000"},
        {"Content-Range": "items 1-2/3"},
        {"Content-Encoding": "gzip"},
        {"ETag": '"2"'},
    ],
    ids=str,
)
def test_lying_answers(file_server, file_servers, headers):
    """Bytes of another place, another file or another version are not taken for the ones asked for."""
    source = _open(file_server.put("/a.tif", DATA))
    file_server.files["/a.tif"].faults = [file_servers.Fault(headers=headers)] * 3
    with pytest.raises(AssetError):
        source.read(100_000, 100_010)


def test_more_than_asked_for(file_server, file_servers):
    """A part larger than the one asked for is not read into memory."""
    source = _open(file_server.put("/a.tif", DATA))
    file_server.files["/a.tif"].faults = [file_servers.Fault(headers={"Content-Length": str(10**12)})]
    with pytest.raises(HostileInputError, match="more than was asked for"):
        source.read(100_000, 100_010)
    headers = {"Content-Length": "", "Content-Range": "bytes 100000-100009/251000"}
    file_server.files["/a.tif"].faults = [file_servers.Fault(206, headers, DATA, cut=10**9)]
    with pytest.raises(HostileInputError, match="got: more"):
        source.read(100_000, 100_010)


def test_a_file_that_changes(file_server):
    """A file replaced between two reads is told once, and read anew after."""
    address = file_server.put("/a.tif", DATA)
    source = _open(address)
    file_server.put("/a.tif", DATA[::-1], etag='"2"')
    with pytest.raises(AssetError, match="changed while"):
        source.read(100_000, 100_010)
    assert _open(address).read(100_000, 100_010) == DATA[::-1][100_000:100_010]
    assert _open(address).version != source.version


def test_redirects(file_server, file_servers):
    """A redirect is followed at every read, at most five times in a row."""
    file_server.put("/b.tif", DATA)
    address = file_server.put("/a.tif", b"", faults=[file_servers.Fault(302, {"Location": "/b.tif"})] * 2)
    source = _open(address)
    assert source.read(100_000, 100_010) == DATA[100_000:100_010]
    assert source.name == address
    loop = file_server.put("/c.tif", b"", faults=[file_servers.Fault(307, {"Location": "/c.tif"})] * 20)
    with pytest.raises(AssetError, match="too many redirects"):
        _open(loop)
    assert len(file_server.requests_of("/c.tif")) == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://a.org/b", "gopher://a.org", "s3://b/c"])
def test_redirects_to_nowhere(file_server, file_servers, target):
    """A redirect cannot lead out of http."""
    address = file_server.put("/a.tif", b"", faults=[file_servers.Fault(302, {"Location": target})])
    with pytest.raises(HostileInputError, match="redirects"):
        _open(address)


def test_redirects_do_not_lose_encryption():
    """From https, a redirect to http is not followed."""
    with pytest.raises(HostileInputError, match="expected: https;"):
        transport._redirected("https://a.org/x", "http://a.org/x", {}, "x")


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0.0.0.0"]
)
def test_metadata_services(file_server, file_servers, host):
    """The addresses that give a machine its keys are not asked, neither at once nor by a redirect."""
    with pytest.raises(HostileInputError, match="link-local"):
        _open(f"http://{host}/latest/meta-data")
    address = file_server.put("/a.tif", b"", faults=[file_servers.Fault(302, {"Location": f"http://{host}/keys"})])
    with pytest.raises(HostileInputError, match="link-local"):
        _open(address)


def test_names_that_lead_to_a_metadata_service(file_server, monkeypatch):
    """A name is judged by where it leads, before a word is sent."""
    address = file_server.put("/a.tif", DATA)
    monkeypatch.setattr(connections, "_METADATA", frozenset(["127.0.0.1"]))
    with pytest.raises(HostileInputError, match="link-local"):
        _open(address.replace("127.0.0.1", "localhost"))
    assert file_server.asked == []


def test_a_child_of_a_fork_has_its_own_connections(file_server):
    """Parent and child do not share a connection."""
    address = file_server.put("/a.tif", DATA)
    source = _open(address)
    assert source.read_many([(100_000, 100_010), (200_000, 200_010)])[0] == DATA[100_000:100_010]
    child = os.fork()
    if child == 0:
        threading.Timer(8, os._exit, [2]).start()
        good = source.read_many([(90_000, 90_010), (210_000, 210_010)])[1] == DATA[210_000:210_010]
        os._exit(0 if good else 1)
    assert source.read(100_000, 100_010) == DATA[100_000:100_010]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_kept_is_bounded(file_server, monkeypatch):
    """Of many files only some are remembered, and whole files only up to a number of bytes."""
    monkeypatch.setattr(remote, "_MAX_KEPT_BYTES", 100_000)
    for k in range(12):
        _open(file_server.put(f"/{k}.tif", DATA[:20_000], ranges=False))
    assert sum(one.kept for one in remote._opened.values()) <= 100_000
    monkeypatch.setattr(remote, "_KEPT_SECONDS", 0.0)
    _open(file_server.url + "/11.tif")
    assert len(file_server.requests_of("/11.tif")) == 2
    forget()
    assert not remote._opened


@pytest.mark.parametrize(
    "href",
    [
        "a/b.tif",
        "./b.tif",
        "file:b.tif",
        "",
        "ftp://a.org/b.tif",
        "gs://a/b.tif",
        "az://a/b",
        "memory://x",
        "http://",
        "http:///b.tif",
        "http://a:99999/b",
        "http://[::1/b.tif",
        "https://me:word@a.org/b.tif",
        "file://other/b.tif",
    ],
)
def test_addresses_that_are_not_read(href):
    """Nothing is read from other schemes, relative paths and broken addresses; what they hide is not told."""
    with pytest.raises(InputError) as caught:
        open_bytes(Location(href))
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "href",
    [
        "/vsicurl/http://a.org/b.tif",
        "/VSIZIP/x",
        "file:///vsimem/x",
        "/a\0b",
        "http://a.org/\r\nX: y",
        "/a\nb",
        "x" * 5000,
        "file:///http://a.org/b",
    ],
)
def test_addresses_that_hide_something(href):
    """Virtual paths of GDAL, control characters and giants are refused."""
    with pytest.raises(HostileInputError):
        open_bytes(Location(href))


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_an_error_of_ours(text):
    """Whatever stands in an item, it is judged and never crashes."""
    for href in (text, "https://" + text, "file://" + text, "s3://" + text):
        try:
            assert check_href(href)
        except (InputError, HostileInputError):
            continue


def test_proxies(file_server, file_servers, monkeypatch):
    """A proxy that the environment names is used, but not for this machine, nor for hosts that are excepted."""
    monkeypatch.setenv("http_proxy", file_server.url.removeprefix("http://"))
    monkeypatch.setenv("no_proxy", "excepted.example.org")
    assert connections._proxy_of("http://data.example.org/a.tif") == file_server.url
    assert connections._proxy_of("http://excepted.example.org/a.tif") == ""
    assert connections._proxy_of("http://[::1]/a.tif") == connections._proxy_of("http://localhost:1/a.tif") == ""
    file_server.put("/a.tif", DATA)  # a proxy is asked for the whole address; this one looks at its path only
    assert _open("http://data.example.org/a.tif").read(100_000, 100_010) == DATA[100_000:100_010]
    assert {one.headers["host"] for one in file_server.asked} == {"data.example.org"}
