"""Spoil what lies behind the format of a file: headers of GeoTIFF, attributes of NetCDF, members of archives."""

from __future__ import annotations

import io
import lzma
import os
import random
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

from hostile import ARCHIVES, HOSTILE, TIF
from spoiling import Product, bytes_, elements, encoding, files, lines_, pick, spoilt, words


def other_format(product: Product, chance: random.Random) -> None:
    """Put another format behind the name of a raster."""
    name = pick(product, chance, *TIF, ".jp2", ".nc")
    if name is None:
        return
    vrt = (
        '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">../outside/secret.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        "</VRTDataset>"
    )
    wms = "<GDAL_WMS><Service name='WMS'><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>"
    product[name] = chance.choice((vrt, wms, "GTI", "CDF\x01", "\x89HDF\r\n\x1a\n", "II*\x00")).encode("latin-1")


def tif(product: Product, chance: random.Random) -> None:
    """Write a valid GeoTIFF with another shape, type, place, number for missing or numbers."""
    import numpy as np
    import rasterio
    from affine import Affine

    name = pick(product, chance, *TIF)
    if name is None:
        return
    height, width, count = (chance.choice((1, 2, 5, 11, 17, 64)) for _ in range(3))
    kind = chance.choice(("uint8", "uint16", "int16", "int32", "float32", "float64", "complex64", "int8", "uint64"))
    profile: dict[str, Any] = {"driver": "GTiff", "height": height, "width": width, "count": count % 5 + 1}
    try:
        with warnings.catch_warnings(), rasterio.MemoryFile(product[name]) as memory:
            warnings.simplefilter("ignore")
            with memory.open() as dataset:
                profile, tags, values = dict(dataset.profile), dataset.tags(), dataset.read()
    except (rasterio.errors.RasterioError, ValueError):
        tags, values = {}, np.zeros((profile["count"], height, width), "uint8")
    for key in chance.sample(("shape", "type", "nodata", "crs", "transform", "count", "values", "tags"), k=2):
        if key == "shape":
            values = np.resize(values, (values.shape[0], height, width))
        elif key == "type":
            with np.errstate(all="ignore"):
                values = values.astype(kind)
            profile["nodata"] = None
        elif key == "nodata":
            profile["nodata"] = chance.choice((None, 0, -9999, 255, float("nan"), 1e308, -32768, float("inf")))
        elif key == "crs":
            profile["crs"] = chance.choice((None, "EPSG:4326", "EPSG:3857", "EPSG:32601", "EPSG:4978", "EPSG:3031"))
        elif key == "transform":
            big = chance.choice((1e-300, 1e-9, 0.001, 1, 30, 1e9, 1e300, float("nan"), float("inf"), -30))
            shear, start = chance.choice((0, 0, 0.5)), chance.choice((0, 180, -90, 6e5, 1e15, 1e300, float("nan")))
            profile["transform"] = Affine(big, shear, start, shear, chance.choice((-big, big, -1)), start)
        elif key == "count":
            values = np.resize(values, (chance.choice((1, 2, 3, 5)), *values.shape[1:]))
        elif key == "values" and values.dtype.kind == "f":
            values = np.full_like(values, chance.choice((np.nan, np.inf, 1e38, -1e38, 0)))
        elif key == "values":
            values = np.full_like(values, chance.choice((0, 1, 127)))
        else:
            tags = {one: chance.choice((told, chance.choice(HOSTILE[:40]))) for one, told in tags.items()}
    keep = {one: profile[one] for one in ("driver", "nodata", "crs", "transform") if one in profile}
    size = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype.name}
    try:
        with warnings.catch_warnings(), rasterio.MemoryFile() as memory:
            warnings.simplefilter("ignore")
            with memory.open(**{**keep, "driver": "GTiff"}, **size) as out:
                out.write(values)
                out.update_tags(**{one: told.replace("\x00", "") for one, told in tags.items()})
            product[name] = memory.read()
    except (rasterio.errors.RasterioError, ValueError, TypeError, OverflowError, UnicodeError):
        return


def netcdf(product: Product, chance: random.Random) -> None:
    """Change attributes, values, names or variables of a valid NetCDF file."""
    import netCDF4
    import numpy as np

    name = pick(product, chance, ".nc")
    if name is None or not product[name]:
        return
    handle, place = tempfile.mkstemp(suffix=".nc")
    os.close(handle)
    path = Path(place)
    try:
        path.write_bytes(product[name])
        with netCDF4.Dataset(path, "a") as data:
            data.set_auto_maskandscale(False)
            groups = [data, *data.groups.values()]
            for _ in range(chance.choice((1, 1, 2, 3))):
                _edit(chance.choice(groups), chance, np)
        product[name] = path.read_bytes()
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, UnicodeError):
        return
    finally:
        path.unlink(missing_ok=True)


def _edit(group: Any, chance: random.Random, np: Any) -> None:
    values = (
        *(word for word in HOSTILE if len(word) < 500), np.float64("nan"), np.float64(1e308), np.int8(-1), np.int32(0),
        np.array([1, 2, 3]), np.array([], "f8"), np.uint64(2**64 - 1), np.array(["a", "b"], object), np.float32("inf"),
    )  # fmt: skip
    names = sorted(group.variables)
    one = group.variables[chance.choice(names)] if names and chance.random() < 0.85 else group
    told = one.ncattrs()
    how = chance.randrange(9)
    if how in (0, 1, 2) and told:
        one.setncattr(chance.choice(told), chance.choice(values))
    elif how == 3 and told:
        one.delncattr(chance.choice(told))
    elif how == 4 and told and names:
        other = group.variables[chance.choice(names)]
        if other.ncattrs():
            one.setncattr(chance.choice(told), other.getncattr(chance.choice(other.ncattrs())))
    elif how == 5 and one is not group:
        group.renameVariable(one.name, chance.choice((f"{one.name}_", one.name.upper(), "x", "a b", "\u00e9")))
    elif how == 6 and group.dimensions:
        group.renameDimension(chance.choice(sorted(group.dimensions)), "other")
    elif one is not group and one.size and one.dtype != str:
        put = chance.choice((0, 1, -1, 127, 1e30, float("nan"), float("inf"), 999999, -32768))
        with np.errstate(all="ignore"):
            found = np.asarray(one[...])
            if found.dtype.kind in "SU":
                one[...] = np.full(found.shape, chance.choice((b"", b"\x00", b"9", b"\xff", b"*")), found.dtype)
            elif chance.random() < 0.5 and found.ndim:
                found[tuple(chance.randrange(side) for side in found.shape)] = np.array(put).astype(found.dtype)
                one[...] = found
            else:
                one[...] = np.full(found.shape, np.array(put).astype(found.dtype))
    else:
        one.setncattr(chance.choice(("scale_factor", "_Unsigned", "missing_value", "flag_masks", "coordinates")), "x")


def archive_(product: Product, chance: random.Random) -> None:
    """Spoil a member of an archive, or its name, and pack it again."""
    name = pick(product, chance, *ARCHIVES)
    if name is None:
        return
    try:
        if name.endswith((".tar", ".gz")):
            product[name] = _tar(product[name], chance, compressed=name.endswith(".gz"))
        else:
            product[name] = _zip(product[name], chance)
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, ValueError, KeyError, RuntimeError,
            NotImplementedError, zlib.error, lzma.LZMAError, UnicodeError):  # fmt: skip
        return


_NAMES = (
    "../x", "/x", "a/../../x", "C:\\x", "a\\b", "a\x00b", "", ".", "..", "x" * 300, "a/" * 600, "CON", "a\nb", "\u202e",
)  # fmt: skip


def _zip(content: bytes, chance: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    inside = dict(members)
    how = chance.randrange(4)
    if how:
        chance.choice((words, words, elements, lines_, bytes_, encoding, files))(inside, chance)
    listed = list(inside.items())
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", chance.choice((0, 8, 8, 12, 14))) as archive:
        warnings.simplefilter("ignore")
        for number, (name, body) in enumerate(listed):
            if how == 0 and (number == 0 or chance.random() < 0.3):
                name = chance.choice((*_NAMES, listed[0][0], name.upper()))
            info = zipfile.ZipInfo(name)
            info.compress_type = archive.compression
            if how == 0 and chance.random() < 0.3:
                info.external_attr = chance.choice((0o120777, 0o060644, 0o010644, 0o040755, 0o100000)) << 16
            archive.writestr(info, bytes(3_000_000) if how == 0 and chance.random() < 0.05 else body)
    return out.getvalue() if chance.random() < 0.7 else spoilt(out.getvalue(), chance)


def _tar(content: bytes, chance: random.Random, *, compressed: bool) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [(info, archive.extractfile(info)) for info in archive if info.isreg()]
        read = [(info, stream.read() if stream else b"") for info, stream in members]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if compressed else "w", format=chance.choice((0, 1, 2))) as archive:
        for info, body in read:
            how = chance.randrange(6)
            if how == 0:
                info.name = chance.choice(_NAMES)
            elif how == 1:
                info.type = chance.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"Z"))
                info.linkname = chance.choice(("../x", "/etc/passwd", info.name, ""))
            elif how == 2:
                info.size = chance.choice((0, info.size * 2, 2**33, info.size + 1))
            elif how == 3:
                info.pax_headers = {chance.choice(("size", "path", "linkpath", "GNU.sparse.size")): _NAMES[0]}
            archive.addfile(info, io.BytesIO(body + bytes(max(0, min(info.size, 4096) - len(body)))))
            if info.size > 4096:
                break
    return out.getvalue() if chance.random() < 0.6 else spoilt(out.getvalue(), chance)
