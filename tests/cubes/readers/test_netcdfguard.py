"""Files that the NetCDF library must not open are refused before it sees them; all others are not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, BudgetError, HostileInputError
from terracube.cubes.access import ByteSource, Location, open_bytes
from terracube.cubes.readers import netcdf, netcdfguard
from terracube.cubes.readers.netcdfguard import check_netcdf

_ENDLESS = Path(__file__).parents[2] / "ingest" / "insitu" / "formats" / "crashers" / "endless-hdf5.nc"
_CLASSIC = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")
_FORMATS = ("NETCDF4", "NETCDF4_CLASSIC", *_CLASSIC)


def _write(path: Path, form: Any = "NETCDF4", *, records: int = 5) -> Path:
    """Write a file with records, a fixed variable, texts and attributes."""
    with netCDF4.Dataset(path, "w", format=form) as data:
        data.title = "a title"
        data.createDimension("time", None)
        data.createDimension("x", 3)
        data.createVariable("fixed", "i2", ("x",))[:] = [1, 2, 3]
        data.createVariable("flag", "i1", ("time",))[:] = np.zeros(records, "i1")
        grown = data.createVariable("grown", "f8", ("time", "x"))
        grown.units = "m"
        grown[:] = np.ones((records, 3))
    return path


def _source(path: Path) -> ByteSource:
    return open_bytes(Location(str(path)))


@pytest.fixture
def anew() -> Iterator[None]:
    """Forget verdicts and end the process, before and after."""
    netcdfguard._verdicts.clear()
    netcdfguard._end()
    yield
    netcdfguard._verdicts.clear()
    netcdfguard._end()


@pytest.mark.parametrize("form", _FORMATS)
@pytest.mark.parametrize("records", [0, 1, 5])
@pytest.mark.parametrize("held", [False, True])
def test_good_files_pass(tmp_path: Path, form: str, records: int, held: bool) -> None:
    """Every form of NetCDF passes, as a file and in memory."""
    path = _write(tmp_path / "good.nc", form, records=records)
    check_netcdf(_source(path), path.read_bytes() if held else None)


@pytest.mark.parametrize("form", _CLASSIC)
@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_a_lone_record_variable_is_not_padded(tmp_path: Path, form: Any, count: int) -> None:
    """Bytes that are the only variable with records stand side by side, and the file ends with the last of them."""
    with netCDF4.Dataset(tmp_path / "lone.nc", "w", format=form) as data:
        data.createDimension("time", None)
        data.createVariable("flag", "i1", ("time",))[:] = np.ones(count, "i1")
    check_netcdf(_source(tmp_path / "lone.nc"))


def test_a_header_larger_than_what_is_read_at_once(tmp_path: Path) -> None:
    """A header of many pieces is read to its end."""
    with netCDF4.Dataset(tmp_path / "long.nc", "w", format="NETCDF3_CLASSIC") as data:
        for number in range(300):
            data.setncattr(f"history_{number}", "x" * 500)
        data.createDimension("x", 2)
        data.createVariable("last", "f4", ("x",))[:] = [1, 2]
    check_netcdf(_source(tmp_path / "long.nc"))


def test_a_header_without_end(tmp_path: Path) -> None:
    """Of a header no more than 16 MiB is read."""
    (tmp_path / "huge.nc").write_bytes(
        b"CDF\1" + bytes(11) + b"\x0c" + b"\0\0\0\1\0\0\0\1a\0\0\0\0\0\0\2\7\xff\xff\xff"
    )
    content = (
        b"CDF\1" + bytes(4) + bytes(8) + b"\0\0\0\x0c\0\0\0\1\0\0\0\1a\0\0\0\0\0\0\2\0\xff\xff\xff" + bytes(1 << 25)
    )
    with pytest.raises(BudgetError, match="too large"):
        check_netcdf(_source(tmp_path / "huge.nc"), content)


@pytest.mark.parametrize("at", [8, 12])
def test_counts_of_all_ones(tmp_path: Path, at: int) -> None:
    """Only the number of records may be unknown: a list of four thousand million dimensions is damage."""
    content = bytearray(_write(tmp_path / "good.nc", "NETCDF3_CLASSIC").read_bytes())
    content[at : at + 4] = b"\xff" * 4
    with pytest.raises(AssetError, match="damaged NetCDF header"):
        check_netcdf(_source(tmp_path / "good.nc"), bytes(content))


@pytest.mark.parametrize("form", _FORMATS)
def test_a_file_cut_short(tmp_path: Path, form: str) -> None:
    """A file without its end is refused, wherever it was cut."""
    content = _write(tmp_path / "good.nc", form).read_bytes()
    for end in (8, 40, len(content) // 2, len(content) - 1):
        with pytest.raises(AssetError):
            check_netcdf(_source(tmp_path / "good.nc"), content[:end])


def test_no_netcdf(tmp_path: Path) -> None:
    """Other files are not opened at all."""
    (tmp_path / "a.nc").write_bytes(b"CDF\3 or so")
    with pytest.raises(HostileInputError, match="no NetCDF"):
        check_netcdf(_source(tmp_path / "a.nc"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_passes_does_not_crash_the_library(tmp_path_factory: Any, data: st.DataObject) -> None:
    """A spoilt classic header is either refused in our words, or harmless to the library."""
    form = data.draw(st.sampled_from(_CLASSIC))
    content = bytearray(_classic(tmp_path_factory, form))
    for _ in range(data.draw(st.integers(1, 3))):
        spoilt = data.draw(st.sampled_from([b"\xff" * 4, bytes(4), b"\0\0\0\1", b"\x7f\xff\xff\xff", b"\0\0\0\x0b"]))
        at = 4 * data.draw(st.integers(1, 90))
        content[at : at + len(spoilt)] = spoilt
    try:
        check_netcdf(_source(_classic_path(tmp_path_factory, form)), bytes(content))
    except (AssetError, BudgetError):
        return
    assert _asked().ask("spoilt.nc", bytes(content), 1000) is not None


_made: dict[str, Path] = {}
_probes: list[Any] = []


def _classic_path(factory: Any, form: str) -> Path:
    if form not in _made:
        _made[form] = _write(factory.mktemp("classic") / "good.nc", form)
    return _made[form]


def _classic(factory: Any, form: str) -> bytes:
    return _classic_path(factory, form).read_bytes()


def _asked() -> Any:
    if not _probes:
        _probes.append(netcdfguard._Probe())
    return _probes[0]


@pytest.fixture(scope="module", autouse=True)
def _no_process_left() -> Iterator[None]:
    yield
    while _probes:
        _probes.pop().end(kill=True)


@pytest.mark.usefixtures("anew")
def test_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on which the library runs for ever is refused, asked once, and the next one is read."""
    monkeypatch.setattr(netcdfguard, "_SECONDS", 1.0)
    good = _write(tmp_path / "good.nc")
    check_netcdf(_source(good))
    for content in (None, _ENDLESS.read_bytes()):
        with pytest.raises(HostileInputError, match="in time"):
            check_netcdf(_source(_ENDLESS), content)
    assert netcdfguard._probe is None
    with pytest.raises(HostileInputError, match="in time"):
        check_netcdf(_source(_ENDLESS))
    assert netcdfguard._probe is None
    check_netcdf(_source(good), good.read_bytes())


@pytest.mark.usefixtures("anew")
def test_through_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door to NetCDF files is guarded, and answers another file afterwards."""
    monkeypatch.setattr(netcdfguard, "_SECONDS", 1.0)
    location = Location(str(_ENDLESS))
    with pytest.raises(HostileInputError, match="in time"), netcdf.dataset(location, open_bytes(location)):
        pass


@pytest.mark.usefixtures("anew")
def test_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies of a file is told as a file that cannot be opened."""
    program = tmp_path / "dies.py"
    program.write_text("import os, sys\nsys.stdin.buffer.readline()\nos.abort()\n", encoding="utf-8")
    monkeypatch.setattr(netcdfguard, "_PROGRAM", program)
    with pytest.raises(AssetError, match="ended with -6"):
        check_netcdf(_source(_write(tmp_path / "good.nc")))


@pytest.mark.usefixtures("anew")
def test_no_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, files of HDF5 are refused, and never opened unguarded."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(AssetError, match="no process to open it in"):
        check_netcdf(_source(_write(tmp_path / "good.nc")))


@pytest.mark.usefixtures("anew")
def test_a_process_that_went_away(tmp_path: Path) -> None:
    """The process ends when it was idle for long; the next file starts another."""
    check_netcdf(_source(_write(tmp_path / "a.nc")))
    before = netcdfguard._probe
    assert before is not None
    before._process.terminate()
    before._process.wait()
    check_netcdf(_source(_write(tmp_path / "b.nc")))
    assert netcdfguard._probe not in (None, before)


@pytest.mark.usefixtures("anew")
def test_asked_once(tmp_path: Path) -> None:
    """The same file is asked for once, a changed one again."""
    path = _write(tmp_path / "a.nc")
    for _ in range(3):
        check_netcdf(_source(path))
    assert len(netcdfguard._verdicts) == 1
    path.unlink()
    check_netcdf(_source(_write(path, records=2)))
    assert len(netcdfguard._verdicts) == 2


_FORK = """
import os, sys
from terracube.cubes.access import Location, open_bytes
from terracube.cubes.readers.netcdfguard import check_netcdf
first, second = (open_bytes(Location(path)) for path in sys.argv[1:])
check_netcdf(first)
child = os.fork()
check_netcdf(second)
if child == 0:
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


def test_after_a_fork(tmp_path: Path) -> None:
    """Both sides of a fork ask a process of their own."""
    paths = [str(_write(tmp_path / name)) for name in ("a.nc", "b.nc")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FORK, *paths], capture_output=True, timeout=120, check=True
    )
    assert (done.stdout.strip(), done.stderr) == (b"0", b"")
