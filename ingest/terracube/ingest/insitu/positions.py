"""Positions as files write them, made degrees of WGS 84."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from terracube.core.errors import MetadataError

_WGS84 = "EPSG:4326"
_DMS = re.compile(
    r"""(?P<first>[NSEW东西南北])?\s*(?P<sign>[+-])?\s*(?P<degrees>\d{1,3}(?:\.\d+)?)\s*(?:[°ºd:度]|\s|$)\s*
    (?:(?P<minutes>\d{1,2}(?:\.\d+)?)\s*(?:['\u2032\u2019:m分]|\s|$)\s*)?
    (?:(?P<seconds>\d{1,2}(?:\.\d+)?)\s*(?:"|″|”|''|s|秒|\s|$)\s*)?
    (?P<last>[NSEW东西南北])?""",
    re.VERBOSE | re.IGNORECASE,
)


def to_lonlat(x: np.ndarray, y: np.ndarray, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Turn coordinates (easting or longitude first) into longitude and latitude of WGS 84, in degrees.

    Where one of the two is NaN, or the projection has no such place, both are NaN.

    Raises
    ------
    MetadataError
        If there is no such coordinate reference system.

    Examples
    --------
    >>> lon, lat = to_lonlat(np.array([0.0]), np.array([0.0]), "EPSG:5070")
    >>> round(float(lon[0]), 6), round(float(lat[0]), 6)
    (-96.0, 23.0)
    """
    known = np.isfinite(x) & np.isfinite(y)
    lon, lat = np.where(known, x, np.nan), np.where(known, y, np.nan)
    transformer = _transformer(crs)
    if transformer is None or not known.any():
        return lon, lat
    places, codes = np.unique(np.stack([lon[known], lat[known]]), axis=1, return_inverse=True)
    moved = np.stack(transformer.transform(places[0], places[1], errcheck=False))
    moved[:, ~np.isfinite(moved).all(axis=0)] = np.nan
    lon[known], lat[known] = moved[:, codes.reshape(-1)]
    return lon, lat


def read_dms(cells: pa.Array) -> np.ndarray:
    """Read degrees, minutes and seconds (53°07'30"N, N 53 07.5, -0:30:00) as degrees; NaN where it is none.

    Examples
    --------
    >>> read_dms(pa.array(["53°07'30\\"N", "90 15.5 W", "x"])).tolist()
    [53.125, -90.25833333333334, nan]
    """
    coded = cells.dictionary_encode()
    read = np.array([_one_dms(text or "") for text in coded.dictionary.to_pylist()], dtype="float64")
    return read[coded.indices.to_numpy()] if len(read) else np.zeros(0)


def is_dms(texts: pa.Array) -> bool:
    """Tell whether a column holds degrees, minutes and seconds, and not plain numbers."""
    told = texts.filter(pc.not_equal(pc.utf8_trim_whitespace(texts), "")).slice(0, 500)
    plain = pc.match_substring_regex(told, r"^\s*[+-]?[0-9]+([.,][0-9]*)?\s*$").to_numpy(zero_copy_only=False).sum()
    return bool(np.isfinite(read_dms(told)).sum() > max(plain, len(told) / 2))


def _one_dms(text: str) -> float:
    plain = unicodedata.normalize("NFKC", text[:100]).replace("\u2212", "-").replace(",", ".").strip()
    found = _DMS.fullmatch(plain)
    if found is None:
        return np.nan
    side = (found["first"] or found["last"] or "").upper()
    minutes, seconds = float(found["minutes"] or 0), float(found["seconds"] or 0)
    twice = bool(found["first"] and found["last"]) or bool(side and found["sign"])
    if minutes >= 60 or seconds >= 60 or twice:
        return np.nan
    degrees = float(found["degrees"]) + minutes / 60 + seconds / 3600
    return -degrees if found["sign"] == "-" or side in ("S", "W", "南", "西") else degrees


@lru_cache(maxsize=64)
def _transformer(crs: str) -> Transformer | None:
    """What turns a system into WGS 84; None if it is WGS 84."""
    try:
        system = CRS.from_user_input(crs)
        if system.to_epsg() == 4326:
            return None
        return Transformer.from_crs(system, _WGS84, always_xy=True)
    except (CRSError, ProjError) as error:
        raise MetadataError("no such coordinate reference system", where="position.crs", got=crs[:100]) from error
