"""Archives: what they hold comes out whole; what tries to leave, to lie or to flood does not."""

from __future__ import annotations

import contextlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, HostileInputError, StorageError, TerraCubeError
from terracube.ingest.archives import Limits, is_archive, unpack

FILES = {"P.SAFE/MTD.xml": b"<a/>", "P.SAFE/IMG/B02.jp2": bytes(range(256)) * 40, "P.SAFE/empty.txt": b""}


def _zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _tar(path: Path, files: dict[str, bytes] = FILES, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    "make",
    [
        lambda p: _zip(p / "a.zip"),
        lambda p: _tar(p / "a.tar.gz"),
        lambda p: _tar(p / "a.tar", mode="w:"),
        lambda p: _tar(p / "a.tar.xz", mode="w:xz"),
    ],
    ids=["zip", "tar.gz", "tar", "tar.xz"],
)
def test_everything_comes_out(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Every file, with its bytes, below one folder."""
    path = make(tmp_path)
    assert is_archive(path)
    out = unpack(path, _folder(tmp_path))
    assert {str(f.relative_to(out)): f.read_bytes() for f in out.rglob("*") if f.is_file()} == FILES


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "C:evil", "a\nb", "x" * 300, "", "a/" * 600 + "b"],
)
@pytest.mark.parametrize("make", [_zip, _tar], ids=["zip", "tar"])
def test_names_that_leave_the_folder(make: Callable[..., Path], name: str, tmp_path: Path) -> None:
    """A name that could write elsewhere is refused before anything is written."""
    suffix = ".zip" if make is _zip else ".tar.gz"
    path = make(tmp_path / f"a{suffix}", {"good": b"1", name: b"2"})
    with pytest.raises(TerraCubeError):
        unpack(path, _folder(tmp_path))
    assert not list((tmp_path / "out").iterdir())
    assert not (tmp_path / "evil").exists()


def test_links_and_devices(tmp_path: Path) -> None:
    """Links, hard links and devices are refused, in tar and in zip."""
    for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
        path = tmp_path / f"{number}.tar"
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        out = tmp_path / f"out{number}"
        out.mkdir()
        with pytest.raises(HostileInputError, match="link or a device"):
            unpack(path, out)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        info2 = zipfile.ZipInfo("link")
        info2.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info2, "/etc/passwd")
    with pytest.raises(HostileInputError, match="link or a device"):
        unpack(tmp_path / "s.zip", _folder(tmp_path))


def test_bombs(tmp_path: Path) -> None:
    """Too much is refused by what the archive says, before it is unpacked."""
    path = _zip(tmp_path / "bomb.zip", {"zeros": bytes(64 << 20)})
    with pytest.raises(HostileInputError, match="bomb"):
        unpack(path, _folder(tmp_path))
    many = _zip(tmp_path / "many.zip", {f"{n}": b"" for n in range(50)})
    with pytest.raises(HostileInputError, match="too much"):
        unpack(many, tmp_path / "out", Limits(files=20))
    with pytest.raises(HostileInputError, match="too much"):
        unpack(_tar(tmp_path / "big.tar.gz", {"a": bytes(5000)}), tmp_path / "out", Limits(bytes=4000))
    with pytest.raises(StorageError, match="no room"):
        unpack(_zip(tmp_path / "a.zip"), tmp_path / "out", Limits(spare=1 << 60))


def test_member_that_is_larger_than_it_says(tmp_path: Path) -> None:
    """A stream that gives more than its header says ends there."""
    path = _zip(tmp_path / "a.zip", {"a": bytes(1000)})
    raw = bytearray(path.read_bytes())
    for at in (22, raw.find(b"PK\1\2") + 24):
        raw[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    with pytest.raises(TerraCubeError):
        unpack(path, _folder(tmp_path))


def test_two_files_of_one_name(tmp_path: Path) -> None:
    """Of two files of one name it could not be told which is meant; case does not make a difference everywhere."""
    with pytest.raises(HostileInputError, match="one name"):
        unpack(_zip(tmp_path / "a.zip", {"B02.jp2": b"1", "b02.JP2": b"2"}), _folder(tmp_path))


def test_encrypted(tmp_path: Path) -> None:
    """An encrypted member is told as such."""
    path = _zip(tmp_path / "a.zip", {"a": b"1"})
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.find(b"PK\1\2") + 8] |= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(AssetError, match="encrypted"):
        unpack(path, _folder(tmp_path))


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -5])
def test_truncated(cut: int, tmp_path: Path) -> None:
    """An archive that ends too early is damaged; a tar needs no more than its members."""
    for path in (_zip(tmp_path / "a.zip"), *([_tar(tmp_path / "a.tar.gz")] if cut >= 0 else [])):
        path.write_bytes(path.read_bytes()[:cut])
        out = tmp_path / f"out-{path.name}"
        out.mkdir()
        with pytest.raises(AssetError, match="damaged"):
            unpack(path, out)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), at=st.integers(0, 400), suffix=st.sampled_from([".zip", ".tar", ".tar.gz"]))
def test_any_bytes(data: bytes, at: int, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the bytes, it is unpacked or refused, and nothing is written outside."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / f"a{suffix}"
    good = (
        _zip(folder / "g.zip") if suffix == ".zip" else _tar(folder / "g.tar", mode="w:gz" if "gz" in suffix else "w:")
    )
    raw = bytearray(good.read_bytes())
    raw[at : at + len(data)] = data
    path.write_bytes(bytes(raw))
    out = folder / "out"
    out.mkdir()
    with contextlib.suppress(TerraCubeError):
        unpack(path, out)
    assert {p.name for p in folder.iterdir()} <= {"out", path.name, good.name}
