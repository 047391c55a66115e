"""Model files: a zip of one JSON text and plain arrays, and a reader that believes nothing.

A file ``*.tcmodel`` is an uncompressed zip archive (nothing in it can unfold) of ``model.json`` and one ``.npy`` per
array. The JSON tells the version of the format, the facts of the model, and type, shape and sha256 of every array.
Nothing in it is code: no pickle, no names of classes or functions to import.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.digest import canonical_json
from terracube.core.errors import HostileInputError, InputError, IntegrityError, NotFoundError, VersionError
from terracube.core.files import atomic_path

SUFFIX = ".tcmodel"
FORMAT = "terracube-model"
VERSION = 1
MAX_BYTES = (1 << 31) - 1
MAX_JSON = 1 << 24
MAX_ARRAYS = 256
_MANIFEST = "model.json"
_DTYPES = ("|b1", "|u1", "<u2", "<u4", "<i4", "<i8", "<f4", "<f8")
_MAX_DIMENSIONS = 4
# The end of the directory of a zip archive, and the mark of its 64-bit form just before it (APPNOTE.TXT 4.3.15-16).
_END = struct.Struct("<4s4H2LH")
_END_MARK, _WIDE_MARK, _WIDE_SIZE = b"PK\x05\x06", b"PK\x06\x07", 20
_MAX_DIRECTORY = 1 << 17


@dataclass(frozen=True)
class Parts:
    """A model taken apart."""

    facts: Mapping[str, Any]
    """Plain JSON."""
    arrays: Mapping[str, NDArray[Any]]
    """Arrays of plain numbers, by name."""


def digest_of(parts: Parts) -> str:
    """Give the sha256 (hex) of the canonical content: facts, and name, type, shape and checksum of every array."""
    return hashlib.sha256(_manifest(parts)).hexdigest()


def write(path: Path, parts: Parts) -> Path:
    """Write a model file atomically; the same model always gives the same bytes.

    Raises
    ------
    InputError
        If the path does not end with ``.tcmodel``, or the model is too large or not plain.
    StorageError
        If the disk refuses.
    """
    if path.suffix != SUFFIX:
        raise InputError("a model file has another ending", where=str(path), expected=f"*{SUFFIX}", got=path.name)
    manifest = _manifest(parts)
    if sum(values.nbytes for values in parts.arrays.values()) + len(manifest) > MAX_BYTES - (1 << 20):
        raise InputError("the model is too large for a file", where=str(path), expected=f"at most {MAX_BYTES} bytes")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, _MANIFEST, manifest)
        for number, name in enumerate(sorted(parts.arrays)):
            _put(archive, _member(number), _npy(parts.arrays[name]))
    return path


def read(path: Path) -> Parts:
    """Read a model file that may have been made by anybody.

    Raises
    ------
    NotFoundError, VersionError, IntegrityError, HostileInputError
        See :meth:`terracube.processing.landcover.models.Model.load`.
    """
    if not path.is_file():
        raise NotFoundError("there is no such model file", where=str(path))
    with path.open("rb") as stream:
        _check_outside(stream, path)
        try:
            with zipfile.ZipFile(stream) as archive:
                return _read_archive(archive, path)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError, struct.error) as error:
            raise _broken(path, "the archive cannot be read", str(error)) from error


@contextmanager
def blaming(where: str = "model file") -> Iterator[None]:
    """Tell what is wrong with the numbers of a model as what it is when they come from a file: a broken file."""
    try:
        yield
    except InputError as error:
        raise IntegrityError(
            f"{where}: {error.what}", **{**error.as_dict(), "todo": "get the model file again"}
        ) from error


def _manifest(parts: Parts) -> bytes:
    """Write the JSON of a model in its canonical form."""
    if len(parts.arrays) > MAX_ARRAYS:
        raise InputError("the model has too many arrays", where="arrays", expected=f"at most {MAX_ARRAYS}")
    arrays = {}
    for name, values in parts.arrays.items():
        if _dtype(values) not in _DTYPES or values.ndim > _MAX_DIMENSIONS:
            got = f"{values.ndim} dimensions of {values.dtype}"
            raise InputError("an array cannot be stored", where=name, expected=", ".join(_DTYPES), got=got)
        digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
        arrays[name] = {"dtype": _dtype(values), "shape": list(values.shape), "sha256": digest}
    told = {"format": FORMAT, "version": VERSION, "facts": dict(parts.facts), "arrays": arrays}
    try:
        text = canonical_json(told)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("the model's facts are not plain JSON", where="facts", got=str(error)) from error
    if len(text) > MAX_JSON:
        raise InputError("the model's facts are too long", where="facts", expected=f"at most {MAX_JSON} bytes")
    return text


def _dtype(values: NDArray[Any]) -> str:
    return values.dtype.newbyteorder("<").str


def _member(number: int) -> str:
    return f"array-{number:03d}.npy"


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Store a member without a date, so that the same model gives the same bytes."""
    archive.writestr(zipfile.ZipInfo(name), content)


def _npy(values: NDArray[Any]) -> bytes:
    """Write an array as a .npy file."""
    plain = np.ascontiguousarray(values, _dtype(values)).reshape(values.shape)
    return _npy_header(_dtype(values), values.shape) + plain.tobytes()


def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Write the header of a .npy file, version 1.0."""
    told = io.BytesIO()
    np.lib.format.write_array_header_1_0(told, {"descr": dtype, "fortran_order": False, "shape": shape})
    return told.getvalue()


def _check_outside(stream: IO[bytes], path: Path) -> None:
    """Refuse, before anything is unpacked, a file that is too large, no zip, or lists too many members."""
    size = stream.seek(0, io.SEEK_END)
    if size > MAX_BYTES:
        raise HostileInputError(
            "the model file is too large", where=str(path), expected=f"at most {MAX_BYTES} bytes", got=str(size)
        )
    if size < _END.size + _WIDE_SIZE:
        raise _broken(path, "the file is too short", f"{size} bytes")
    stream.seek(-_END.size - _WIDE_SIZE, io.SEEK_END)
    tail = stream.read(_END.size + _WIDE_SIZE)
    mark, disk, first_disk, here, members, directory, offset, comment = _END.unpack(tail[_WIDE_SIZE:])
    if mark != _END_MARK or tail.startswith(_WIDE_MARK) or (disk, first_disk, comment) != (0, 0, 0):
        raise _broken(path, "the file does not end as a model file does", "truncated, or no model file")
    if here != members or members > MAX_ARRAYS + 1 or directory > _MAX_DIRECTORY:
        got = f"{members} members, {directory} bytes"
        raise HostileInputError("the archive lists too much", where=str(path), expected=f"{MAX_ARRAYS + 1}", got=got)
    if offset + directory + _END.size != size:
        raise _broken(path, "something lies before, between or behind the members", f"{size} bytes")
    stream.seek(0)


def _read_archive(archive: zipfile.ZipFile, path: Path) -> Parts:
    """Read the JSON, then exactly the arrays that it announces."""
    infos = {info.filename: info for info in archive.infolist()}
    plain = all(info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1 for info in infos.values())
    stored = sum(info.file_size for info in infos.values())
    if not plain or len(infos) != len(archive.infolist()) or stored > _end_of(archive):
        raise HostileInputError(
            "the archive is packed or its members overlap", where=str(path), expected="stored members, each once"
        )
    if _MANIFEST not in infos or infos[_MANIFEST].file_size > MAX_JSON:
        raise _broken(path, f"{_MANIFEST} is missing or too large", f"{len(infos)} members")
    text = archive.read(_MANIFEST)
    told = _parsed(text, path)
    announced = _announced(told, path)
    if {_MANIFEST, *map(_member, range(len(announced)))} != set(infos):
        raise _broken(path, "the arrays are not those announced", f"{len(infos) - 1} arrays")
    arrays = {
        name: _array(archive, infos[_member(number)], announced[name], where=f"{path}, {name}")
        for number, name in enumerate(sorted(announced))
    }
    parts = Parts(told["facts"], arrays)
    with blaming(str(path)):  # numbers such as 1e999 are read, but cannot be written
        written = _manifest(parts)
    if written != text:
        raise _broken(path, f"{_MANIFEST} is not in the form it is written in", "another form of JSON")
    return parts


def _end_of(archive: zipfile.ZipFile) -> int:
    """Give where the members end and the directory begins."""
    return archive.start_dir


def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    """Parse the JSON and see that it is of a version we know."""
    try:
        told = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError as error:
        raise HostileInputError("the JSON is nested too deeply", where=str(path)) from error
    except (ValueError, UnicodeDecodeError) as error:
        raise _broken(path, "the JSON cannot be read", str(error)) from error
    if not isinstance(told, dict) or told.get("format") != FORMAT or not isinstance(told.get("version"), int):
        raise _broken(path, "this is no model file of TerraCube", "another format")
    if told["version"] > VERSION:
        raise VersionError(
            "the model was saved by a newer TerraCube",
            where=str(path),
            expected=f"version {VERSION} of the format or older",
            got=str(told["version"]),
            todo="update TerraCube, or save the model again with this version",
        )
    if told["version"] < 1 or not isinstance(told.get("facts"), dict):
        raise _broken(path, "the JSON says nothing of a model", f"version {told['version']}")
    return told


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _announced(told: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Give the arrays that the JSON announces, once each is of a known type and shape."""
    announced = told.get("arrays")
    if not isinstance(announced, dict) or len(announced) > MAX_ARRAYS:
        raise _broken(path, "the JSON announces no arrays, or too many", "")
    for name, one in announced.items():
        if not isinstance(one, dict) or one.get("dtype") not in _DTYPES or not _is_shape(one.get("shape")):
            raise _broken(path, "an array is announced with an unknown type or shape", name[:80])
    return announced


def _is_shape(shape: Any) -> bool:
    """Tell whether this is a short list of whole numbers that are not negative."""
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        return False
    return all(type(size) is int and 0 <= size <= MAX_BYTES for size in shape)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, told: Mapping[str, Any], *, where: str) -> NDArray[Any]:
    """Read one array; its header is compared with the one it must have, never interpreted."""
    header = _npy_header(told["dtype"], tuple(told["shape"]))
    dtype = np.dtype(told["dtype"])
    if info.file_size != len(header) + math.prod(told["shape"]) * dtype.itemsize:
        raise _broken(where, "an array has another size than announced", f"{info.file_size} bytes")
    content = archive.read(info)
    if not content.startswith(header) or hashlib.sha256(memoryview(content)[len(header) :]).hexdigest() != told.get(
        "sha256"
    ):
        raise _broken(where, "an array is not the one announced", "another checksum")
    if told["dtype"] == "|b1" and max(content[len(header) :], default=0) > 1:
        raise _broken(where, "a truth value is neither true nor false", "")
    # A copy: writable, as all arrays of models are, so that kernels are compiled for one kind only.
    native = np.frombuffer(content, dtype, offset=len(header)).reshape(told["shape"])
    return native.astype(dtype.newbyteorder("="), copy=True)


def _broken(where: str | Path, what: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"the model file is broken: {what}", where=str(where), got=got, todo="get the model file again"
    )
