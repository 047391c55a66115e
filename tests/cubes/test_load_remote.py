"""Items whose files lie behind a server: the same cube, few requests, failures told by name, and no token anywhere."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from pathlib import Path

import dask
import numpy as np
import pystac
import pytest
import rasterio
from rasterio.shutil import copy

from terracube.core.errors import (
    AccessError,
    AssetError,
    EmptyResultError,
    HostileInputError,
    MetadataError,
    TerraCubeError,
    UnreachableError,
)
from terracube.cubes import explain, load, report
from terracube.cubes.access import BearerToken, NotThereError, Retries, S3Keys, SasTokens, use_retries
from terracube.cubes.access.signing import _tokens
from terracube.cubes.readers import close_files

SIDE = 160
BANDS = ["red", "nir"]
NUMBERS = np.random.default_rng(4).integers(1, 9000, (3, SIDE, SIDE), "uint16")
CLASSES = np.random.default_rng(5).integers(0, 12, (SIDE, SIDE), "uint8")
LAYERS = {"red": NUMBERS[0], "nir": NUMBERS[1], "scl": CLASSES}
TILES = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
SECRETS = ("secret-token", "bearer-word", "store-secret-word", "session-word", "store-key-id")


@pytest.fixture(autouse=True)
def patience():
    """Little patience, nothing known before, and no file left open."""
    close_files()
    _tokens.kept.clear()
    with use_retries(Retries(attempts=4, first_wait=0.01, longest_wait=0.02, timeout=0.4)):
        yield
    close_files()


@pytest.fixture
def local(make_scene):
    """A scene on this machine."""
    return make_scene("scene", LAYERS, **TILES)


@pytest.fixture
def publish(file_server):
    """Put a local scene behind the server, and give its item as a dictionary that says where the pixels lie."""

    def publish(item: pystac.Item, *, claims: bool = True, base: str = "", **how) -> dict:
        content = item.to_dict(include_self_link=False, transform_hrefs=False)
        folder = Path(item.get_self_href()).parent
        for asset in content["assets"].values():
            path = folder / asset["href"]
            place = f"/box/{item.id}/{path.name}"
            file_server.put(place, path.read_bytes(), **how)
            asset["href"] = (base or file_server.url) + place
            if claims:
                with rasterio.open(path) as dataset:
                    asset |= {
                        "proj:code": dataset.crs.to_string(),
                        "proj:shape": list(dataset.shape),
                        "proj:transform": list(dataset.transform)[:6],
                        "data_type": dataset.dtypes[0],
                    }
        return content

    return publish


def pixel_requests(server):
    """Count the requests for files."""
    return sum(one.path.startswith("/box/") for one in server.asked)


def same(one, other):
    """Tell whether two cubes are equal to the bit."""
    return all(np.array_equal(one[name].values, other[name].values, equal_nan=True) for name in BANDS)


def failing(told, *words):
    """Check that an error, or what was left out, names item, asset and reason."""
    assert all(word in str(told) for word in ("scene", *words)), str(told)


class TestSamePixels:
    @pytest.mark.parametrize("mask", ["clear", None])
    @pytest.mark.parametrize("chunks", [100, None])
    def test_as_local(self, local, publish, file_server, mask, chunks):
        """A published scene gives the cube of the local one; opened lazily it costs no request."""
        item = publish(local)
        wanted = load([local], bands=BANDS, mask=mask, chunks=None)
        found = load([item], bands=BANDS, mask=mask, chunks=chunks)
        if chunks:
            assert file_server.asked == []
            found = found.compute()
        assert pixel_requests(file_server) > 0
        assert same(found, wanted)
        assert np.isfinite(wanted.red.values).any()

    def test_on_another_grid(self, local, publish):
        """Resampled, too."""
        options = {"bands": BANDS, "crs": "EPSG:3857", "resolution": 25, "chunks": None}
        assert same(load([publish(local)], **options), load([local], **options))

    def test_headers_where_items_are_silent(self, local, publish, file_server):
        """Without claims, or with ``always``, each header is read once when the cube is opened."""
        item = publish(local, claims=False)
        found = load([item], bands=BANDS, chunks=100)
        assert pixel_requests(file_server) == 3
        assert same(found.compute(), load([local], bands=BANDS, chunks=None))
        close_files()
        file_server.asked.clear()
        load([publish(local)], bands=BANDS, headers="always")
        assert pixel_requests(file_server) == 3

    def test_few_requests(self, local, publish, file_server):
        """However many blocks read it, a small file is asked for once per header and once per part."""
        load([publish(local)], bands=BANDS, chunks=50).compute(scheduler="sync")
        counts = {path: len(file_server.requests_of(path)) for path in file_server.files}
        size = {path: len(content.data) for path, content in file_server.files.items()}
        assert all(count <= 1 + size[path] // 4096 for path, count in counts.items()), counts

    def test_many_items(self, local, publish, file_server):
        """A hundred published items open without a request."""
        item = publish(local)
        moments = [f"2023-08-{1 + n % 28:02}T10:{n % 60:02}:00Z" for n in range(100)]
        items = [
            item | {"id": f"s{n}", "properties": item["properties"] | {"datetime": moment}}
            for n, moment in enumerate(moments)
        ]
        cube = load(items, bands=BANDS, chunks=100)
        assert cube.sizes["time"] == 28
        assert file_server.asked == []

    @pytest.mark.parametrize("driver", ["COG", "JP2OpenJPEG", "packbits", "overviews"])
    def test_other_encodings(self, make_scene, publish, tmp_path, driver):
        """COG, JPEG 2000 and what is left to GDAL are read from the server as from this machine."""
        local = make_scene("scene", LAYERS, **TILES)
        for key in LAYERS:
            path = tmp_path / "scene" / f"{key}.tif"
            path.rename(tmp_path / "plain.tif")
            how = {"COG": {"driver": "COG", "blocksize": 128}, "overviews": {"driver": "COG", "blocksize": 128},
                   "packbits": {"driver": "GTiff", "compress": "packbits"},
                   "JP2OpenJPEG": {"driver": driver, "QUALITY": "100", "REVERSIBLE": "YES"}}[driver]  # fmt: skip
            # By its suffix the driver of JPEG 2000 decides whether it writes a place.
            made = path.with_suffix(".jp2") if driver == "JP2OpenJPEG" else path
            copy(tmp_path / "plain.tif", made, **how)
            made.rename(path)
        options = {"bands": BANDS, "chunks": None}
        if driver == "overviews":
            options |= {"crs": "EPSG:32633", "resolution": 40, "overviews": "auto", "resampling": "average"}
        found, wanted = load([publish(local)], **options), load([local], **options)
        assert same(found, wanted)
        assert np.isfinite(found.red.values).any()


class TestBadServers:
    def faults(self, Fault):
        """What a request may meet once or twice, and be answered after."""
        return [
            [Fault(status=500), Fault(status=500)],
            [Fault(status=503)],
            [Fault(status=429, headers={"Retry-After": "0"})],
            [Fault(reset=True)],
            [Fault(cut=100)],
            [Fault(wait=0.6)],
            [Fault(), Fault(cut=7), Fault(status=502)],
        ]

    def test_a_flaky_server(self, local, publish, file_server, file_servers):
        """What a second or third attempt mends does not show in the cube or the ledger."""
        wanted = load([local], bands=BANDS, chunks=None)
        for faults in self.faults(file_servers.Fault):
            close_files()
            item = publish(local)
            for content in file_server.files.values():
                content.faults = list(faults)
            found = load([item], bands=BANDS, chunks=None, on_error="skip")
            assert same(found, wanted)
            assert report(found).complete
            assert not file_server.files["/box/scene/red.tif"].faults

    @pytest.mark.parametrize(
        ("fault", "error", "word"),
        [
            ({"status": 404}, NotThereError, "404"),
            ({"status": 401}, AccessError, "401"),
            ({"status": 403}, AccessError, "403"),
            ({"status": 500}, UnreachableError, "500"),
            ({"status": 429, "headers": {"Retry-After": "3600"}}, UnreachableError, "429"),
            ({"wait": 0.3}, UnreachableError, "imeout"),
            ({"reset": True}, UnreachableError, "attempts"),
            ({"cut": 10}, UnreachableError, "truncated"),
            ({"status": 400}, AssetError, "400"),
        ],
    )
    @pytest.mark.parametrize("claims", [True, False])
    def test_a_broken_server(self, local, publish, file_server, file_servers, fault, error, word, claims):
        """What does not answer is an error that names item and asset, or missing and told in the ledger."""
        item = publish(local, claims=claims)
        with use_retries(Retries(attempts=2, first_wait=0.01, longest_wait=0.02, timeout=0.1)):
            bad = file_server.files["/box/scene/nir.tif"]
            bad.faults = [file_servers.Fault(**fault) for _ in range(99)]
            with pytest.raises(AssetError) as told:
                load([item], bands=BANDS, chunks=None)
            assert isinstance(told.value, error) or not claims
            failing(told.value, "scene/nir", word)
            close_files()
            bad.faults = [file_servers.Fault(**fault) for _ in range(99)]
            if not claims:
                with pytest.raises(EmptyResultError) as empty:
                    load([item], bands=BANDS, chunks=None, on_error="skip")
                failing(empty.value, "scene/nir", word)
                return
            found = load([item], bands=BANDS, chunks=None, on_error="skip")
        (note,) = report(found).failed
        assert (note.item, note.asset) == ("scene", "nir")
        assert word in note.reason
        assert np.isnan(found.nir.values).all()
        assert np.array_equal(found.red.values, load([local], bands=["red"], chunks=None).red.values, equal_nan=True)

    def test_a_tile_that_does_not_come(self, local, publish, file_server, file_servers):
        """A server that fails in the middle of a file is named too."""
        item = publish(local)
        load([item], bands=["red"], mask=None, chunks=None)
        file_server.files["/box/scene/red.tif"].faults = [file_servers.Fault(status=500) for _ in range(99)]
        from terracube.cubes.readers import cache

        cache.tiles.clear()
        with pytest.raises(UnreachableError) as told:
            load([item], bands=["red"], mask=None, chunks=None)
        failing(told.value, "red.tif", "500")
        found = load([item], bands=["red"], mask=None, chunks=None, on_error="skip")
        (note,) = report(found).failed
        assert (note.item, note.asset) == ("scene", "red")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("proj:shape", [SIDE - 1, SIDE]),
            ("proj:shape", [SIDE * 2, SIDE * 2]),
            ("proj:transform", [10, 0, 500050, 0, -10, 5100000]),
            ("proj:transform", [20, 0, 500040, 0, -20, 5100000]),
            ("proj:transform", [10, 0, 500040.5, 0, -10, 5100000]),
            ("proj:code", "EPSG:25833"),
            ("data_type", "float32"),
            ("data_type", "uint8"),
        ],
    )
    def test_an_item_that_lies(self, local, publish, field, value):
        """A claim that the header contradicts is an error, or a missing asset: never pixels at a wrong place."""
        item = publish(local)
        item["assets"]["nir"][field] = value
        grid = load([local], bands=["red"], mask=None)
        with pytest.raises(MetadataError) as told:
            load([item], bands=BANDS, grid=grid, chunks=None)
        failing(told.value, "scene/nir", field, 'headers="always"')
        found = load([item], bands=BANDS, grid=grid, chunks=None, on_error="skip")
        (note,) = report(found).failed
        assert (note.item, note.asset) == ("scene", "nir")
        assert field in note.reason
        assert np.isnan(found.nir.values).all()
        assert np.isfinite(found.red.values).any()
        assert same(
            load([item], bands=BANDS, grid=grid, chunks=None, headers="always"), load([local], bands=BANDS, chunks=None)
        )

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("proj:code", "EPSG:32634"),
            ("proj:code", "EPSG:3857"),
            ("proj:transform", [10, 0, 800040, 0, -10, 5100000]),
            ("proj:transform", [10, 0, 500040, 0, -10, 5900000]),
        ],
    )
    def test_an_item_that_claims_a_far_place(self, local, publish, field, value):
        """A claim beside the item's own bbox would find nothing to read, and nobody would know: the header decides."""
        item = publish(local)
        item["assets"]["nir"][field] = value
        wanted = load([local], bands=BANDS, chunks=None)
        assert same(load([item], bands=BANDS, chunks=None), wanted)
        with pytest.raises(MetadataError, match="not what the item claims"):
            load([item], bands=["nir"], mask=None, headers="never", chunks=None)

    def test_nodata_of_file_and_item(self, local, publish):
        """A remote file whose nodata is not the claimed one is refused too, unless the caller decides."""
        item = publish(local)
        item["assets"]["nir"]["nodata"] = 7
        with pytest.raises(MetadataError, match=r"disagree on the nodata.*scene/nir"):
            load([item], bands=BANDS, chunks=None)
        assert same(load([item], bands=BANDS, chunks=None, nodata=0), load([local], bands=BANDS, chunks=None))

    def test_no_ranges(self, local, publish, file_server):
        """A server that sends only whole files is read too."""
        item = publish(local, ranges=False)
        assert same(load([item], bands=BANDS, chunks=None), load([local], bands=BANDS, chunks=None))


@pytest.fixture
def signed(publish, local, file_server, monkeypatch):
    """The scene behind a server that wants something, once for each kind of signer: item and signer."""
    names = {"BEARER": SECRETS[1], "KEY_ID": SECRETS[4], "KEY_SECRET": SECRETS[2], "KEY_SESSION": SECRETS[3]}
    for name, value in names.items():
        monkeypatch.setenv(name, value)

    def signed(kind: str, **how):
        own = (file_server.url,)
        if kind == "sas":
            signer = SasTokens(endpoint=file_server.url + "/token/{container}", hosts=own, public=())
            return publish(local, sas=True, **how), signer
        if kind == "bearer":
            return publish(local, bearer=SECRETS[1], **how), BearerToken("BEARER", own)
        signer = S3Keys(endpoint=file_server.url, key_env="KEY_ID", secret_env="KEY_SECRET", session_env="KEY_SESSION")
        return publish(local, s3_key=SECRETS[4], base="s3:/", **how), signer

    return signed


KINDS = ("sas", "bearer", "s3")


class TestSigned:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("claims", [True, False])
    def test_values(self, local, signed, file_server, kind, claims):
        """With the right signer the cube is the local one; tokens are asked for as late as can be."""
        item, signer = signed(kind, claims=claims)
        wanted = load([local], bands=BANDS, chunks=None)
        lazy = load([item], bands=BANDS, signer=signer, chunks=100)
        assert (file_server.asked == []) is claims
        assert same(lazy.compute(scheduler="threads"), wanted)
        again = pickle.loads(pickle.dumps(lazy))
        close_files()
        assert same(again.compute(scheduler="sync"), wanted)

    @pytest.mark.parametrize("kind", KINDS)
    def test_without_or_with_a_wrong_key(self, signed, file_server, kind, monkeypatch):
        """Without a signer, or with keys that the server does not know, the refusal is told, and with skip kept."""
        item, signer = signed(kind)
        for name in ("BEARER", "KEY_ID"):
            monkeypatch.setenv(name, "another-word")
        if kind == "sas":
            for content in file_server.files.values():
                content.sas, content.bearer = False, "what nobody has"
        attempts = [signer] if kind == "s3" else [signer, None]
        for one in attempts:
            close_files()
            with pytest.raises(AccessError) as told:
                load([item], bands=BANDS, mask=None, signer=one, chunks=None)
            failing(told.value, "scene/", "40", "signer" if one is None else "check the key")
            found = load([item], bands=BANDS, mask=None, signer=one, chunks=None, on_error="skip")
            assert {(note.item, note.asset) for note in report(found).failed} == {("scene", "red"), ("scene", "nir")}

    def test_expired_while_reading(self, local, signed, file_server):
        """A token that has expired, and one that the server no longer takes, are replaced while a cube is read."""
        wanted = load([local], bands=BANDS, chunks=None)
        item, signer = signed("sas")
        file_server.token_life = 0.3
        lazy = load([item], bands=BANDS, signer=signer, chunks=64)
        assert same(lazy.compute(scheduler="sync"), wanted)
        file_server.token_life = 3600.0
        _tokens.kept.clear()
        close_files()
        first = lazy.isel(x=slice(0, 64)).compute(scheduler="sync")
        file_server.tokens += 5
        asked = file_server.tokens
        rest = lazy.isel(x=slice(64, None)).compute(scheduler="sync")
        assert file_server.tokens == asked + 1
        assert np.array_equal(np.concatenate([first.red, rest.red], axis=2), wanted.red.values, equal_nan=True)

    def test_a_token_service_that_fails(self, signed, file_server, file_servers):
        """Without a token nothing is read, and the answer of the service is not told."""
        item, signer = signed("sas")
        file_server.token_faults = [file_servers.Fault(status=500) for _ in range(99)]
        with pytest.raises(AssetError) as told:
            load([item], bands=BANDS, signer=signer, chunks=None)
        failing(told.value, "scene/", "/token/")


def everything_told(cube, items, options) -> list[str]:
    """Collect all that a user, a scheduler or a store may see of a cube."""
    graph = dask.base.unpack_collections(cube)[0][0].__dask_graph__() if cube.chunks else {}
    told = [
        json.dumps(cube.attrs, default=str),
        str(cube),
        repr(cube),
        cube._repr_html_(),
        cube.red.data.name if cube.chunks else "",
    ]
    told += [str(key) for key in graph] + [repr(pickle.dumps(dict(graph))), repr(dict(graph)), repr(pickle.dumps(cube))]
    for one in (report(cube), explain(cube), explain(items, **options)):
        told += [str(one), repr(one), json.dumps(one.as_dict(), default=str), getattr(one, "_repr_html_", str)()]
    told += [json.dumps(variable.attrs, default=str) for variable in cube.variables.values()]
    return told


def everything_kept(folder: Path) -> list[str]:
    """Read all files below a folder."""
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]


class TestSecrets:
    @pytest.mark.parametrize("kind", KINDS)
    def test_no_token_anywhere(self, signed, file_server, file_servers, kind, caplog, tmp_path):
        """Of what opens the files nothing is kept: not in a cube, its graph, logs, ledger, errors or a stored cube."""
        from terracube.cubes import VersionedCube

        caplog.set_level(logging.DEBUG)
        item, signer = signed(kind)
        before = json.dumps(item)
        options = {"bands": BANDS, "signer": signer, "on_error": "skip", "mask": None}
        lazy = load([item], chunks=100, **options)
        told = everything_told(lazy, [item], options)
        kept = VersionedCube.create(tmp_path / "cube", variables=lazy)
        kept.append([item], message="first", signer=signer, mask=None)
        told += [repr(one) for one in kept.history()] + [repr(kept), *everything_kept(tmp_path / "cube")]
        done = load([item], chunks=None, **options)
        told += everything_told(done, [item], options)
        Fault = file_servers.Fault
        grant = {"Location": file_server.url + "/elsewhere?sig=secret-token-0"}
        for fault in ({"status": 403}, {"status": 404}, {"reset": True}, {"status": 302, "headers": grant},
                      {"status": 400, "body": b"<Code>bearer-word</Code>"}):  # fmt: skip
            close_files()
            for content in file_server.files.values():
                content.faults = [Fault(**fault) for _ in range(99)]
            broken = load([item], chunks=None, **options)
            assert report(broken).failed
            told += everything_told(broken, [item], options)
            with pytest.raises(TerraCubeError) as error:
                load([item], chunks=None, **(options | {"on_error": "raise"}))
            told += [
                *traceback.format_exception(error.value),
                repr(error.value.as_dict()),
                repr(pickle.dumps(error.value)),
            ]
        told += [caplog.text, *(repr(record.__dict__) for record in caplog.records)]
        assert "/box/" in caplog.text
        assert json.dumps(item) == before
        for secret in SECRETS:
            assert not [text[:300] for text in told if secret in text], secret
        seen = {secret for secret in SECRETS if secret in str(file_server.asked)}
        # The search does find what is there: what the server saw, and where the redirects led.
        assert seen == {SECRETS[0]} | {"sas": set(), "bearer": {SECRETS[1]}, "s3": {SECRETS[3], SECRETS[4]}}[kind]


class TestHostile:
    def test_a_redirect_takes_no_token_along(self, local, signed, publish, file_server, file_servers):
        """A file that has moved to another host is read there, without the token of the first."""
        item, signer = signed("bearer")
        with file_servers.FileServer() as other:
            for path, content in file_server.files.items():
                other.put(path, content.data)
                content.bearer = ""
                moved = {"Location": other.url + path}
                content.faults = [file_servers.Fault(status=302, headers=moved) for _ in range(99)]
            found = load([item], bands=BANDS, signer=signer, chunks=None)
            assert same(found, load([local], bands=BANDS, chunks=None))
            assert not [one for one in other.asked if "authorization" in one.headers]
            assert [one for one in file_server.asked if "authorization" in one.headers]

    @pytest.mark.parametrize(
        ("place", "error"),
        [
            ("file:///etc/passwd", HostileInputError),
            ("ftp://example.org/a.tif", HostileInputError),
            ("http://169.254.169.254/latest/meta-data/", HostileInputError),
            ("http://[::ffff:169.254.169.254]/", HostileInputError),
            ("/box/scene/red.tif", AssetError),
            ("http://[", TerraCubeError),
        ],
    )
    def test_a_redirect_to_nowhere(self, local, publish, file_server, file_servers, place, error):
        """A redirect to a file, another protocol, a metadata service or itself is refused, naming the asset."""
        item = publish(local)
        fault = file_servers.Fault(status=302, headers={"Location": place})
        file_server.files["/box/scene/red.tif"].faults = [fault for _ in range(99)]
        with pytest.raises(error) as told:
            load([item], bands=BANDS, mask=None, chunks=None)
        failing(told.value, "scene/red")
        found = load([item], bands=BANDS, mask=None, chunks=None, on_error="skip")
        assert [(note.item, note.asset) for note in report(found).failed] == [("scene", "red")]
        assert np.isfinite(found.nir.values).all()

    @pytest.mark.parametrize("base", ["local", "remote", "none"])
    @pytest.mark.parametrize(
        "href",
        [
            "/vsicurl/http://127.0.0.1/red.tif", "/vsizip/box.zip/red.tif", "/VSIMEM/red.tif", "vsis3://a/red.tif",
            "file:///etc/passwd", "FILE:///etc/passwd", "/etc/passwd", "../../etc/passwd", "../other/red.tif",
            "a/../../other/red.tif", "link.tif", "http://169.254.169.254/red.tif", "http://[fe80::1]/red.tif",
            "http://0.0.0.0/red.tif", "gs://box/red.tif", "javascript:alert(1)", "data:image/tiff;base64,SUkq",
            "http://user:word@127.0.0.1/red.tif", "red.tif\0.tif", "x" * 100_000, "", " ", "#", "?",
            "\\\\host\\red.tif",
        ],
    )  # fmt: skip
    def test_addresses(self, make_scene, publish, file_server, tmp_path, base, href):
        """What leads elsewhere is refused for its item alone, wherever the item lies."""
        other = make_scene("other", LAYERS)
        local = make_scene("scene", LAYERS)
        (tmp_path / "scene" / "link.tif").symlink_to(tmp_path / "other" / "red.tif")
        item = publish(local)
        item["assets"]["red"]["href"] = href
        place = {
            "local": str(tmp_path / "scene" / "i.json"),
            "remote": file_server.url + "/box/scene/i.json",
            "none": "",
        }
        item["links"] = [{"rel": "self", "href": place[base]}] if base != "none" else []
        with pytest.raises(TerraCubeError) as told:
            load([item], bands=["red"], mask=None, chunks=None)
        assert "scene" in str(told.value)
        assert len(str(told.value)) < 2000
        assert "word@" not in str(told.value)
        found = load([item, other], bands=["red"], mask=None, chunks=None, on_error="skip", groupby=None)
        assert np.isfinite(found.red.values).sum() == SIDE * SIDE
        kept = report(found)
        assert {note.item for note in (*kept.left_out, *kept.failed)} == {"scene"}

    @pytest.mark.parametrize("far", [True, False])
    @pytest.mark.parametrize("kind", ["vrt", "text", "absurd", "empty", "tags", "netcdf", "pipe"])
    def test_files_that_are_none(self, make_scene, publish, file_server, tmp_path, kind, far):
        """A VRT by another name, a header of absurd tiles, and other such files are refused, here and there."""
        local = make_scene("scene", LAYERS, **TILES)
        path = tmp_path / "scene" / "red.tif"
        content = {
            "vrt": b"<VRTDataset rasterXSize='5' rasterYSize='5'><SRS>EPSG:4326</SRS></VRTDataset>",
            "text": b"<html>login</html>" * 9,
            "empty": b"",
            "tags": b"II*\0\x08\0\0\0\xff\xff" + b"\x01" * 4000,
            "netcdf": b"CDF\x01" + bytes(200),
            "pipe": b"II*\0" + b"\xff" * 20,
            "absurd": giant_tiles(path.read_bytes()),
        }[kind]
        path.unlink()
        path.write_bytes(content)
        item = local
        if far:
            path.write_bytes(b"")
            path.unlink()
            make_scene("scene", LAYERS, **TILES)
            item = publish(local)
            file_server.files["/box/scene/red.tif"].data = content
        with pytest.raises(TerraCubeError) as told:
            load([item], bands=["red"], mask=None, chunks=None)
        failing(told.value, "red")
        found = load([item], bands=["red"], mask=None, chunks=None, on_error="skip") if far else None
        assert found is None or len(report(found).failed) == 1

    def test_an_item_of_a_million_assets(self, local, publish):
        """Whatever else an item holds, its bands are found; errors stay short."""
        item = publish(local)
        item["assets"] |= {f"x{n}": {"href": "x"} for n in range(1_000_000)}
        assert same(load([item], bands=BANDS, chunks=None), load([local], bands=BANDS, chunks=None))
        for options in ({"bands": ["none of them"]}, {"bands": ["x5"], "mask": None}):
            with pytest.raises(TerraCubeError) as told:
                load([item], **options)
            assert len(str(told.value)) < 3000

    @pytest.mark.parametrize(
        "change",
        [
            {"id": "i" * 1_000_000},
            {"collection": "c" * 1_000_000},
            {"stac_version": "9" * 1_000_000},
            {"bbox": [0.0] * 1_000_000},
            {"properties": {"datetime": "2023" * 1_000_000}},
            {"properties": {"datetime": "2023-08-15T10:00:00Z", "proj:code": "E" * 1_000_000}},
            {"properties": {"datetime": "2023-08-15T10:00:00Z", "proj:wkt2": "A[" * 1_000_000}},
        ],
    )
    def test_absurdly_long_texts(self, local, publish, change):
        """What is far too long is refused or not looked at, and never repeated whole."""
        item = publish(local) | change
        for asset in item["assets"].values():
            asset.pop("proj:code")
        told = ""
        try:
            found = load([item], bands=["red"], mask=None, chunks=None)
        except TerraCubeError as error:
            told = str(error)
        assert len(told) < 5000
        assert told or np.isfinite(found.red.values).any()


def giant_tiles(content: bytes) -> bytes:
    """Change the tile width and height of a TIFF to 60 000 pixels each."""
    out = bytearray(content)
    start = int.from_bytes(out[4:8], "little")
    for number in range(int.from_bytes(out[start : start + 2], "little")):
        at = start + 2 + 12 * number
        if int.from_bytes(out[at : at + 2], "little") in (256, 257, 322, 323):
            out[at + 2 : at + 12] = (
                (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + (60_000).to_bytes(4, "little")
            )
        if int.from_bytes(out[at : at + 2], "little") in (324, 325):
            out[at + 4 : at + 8] = (1).to_bytes(4, "little")
    return bytes(out)
