"""Write a stack of unwrapped interferograms of a region, with coherence, terrain, network and truth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError
from terracube.core.files import remove
from terracube.ingest.simulate.output import read_json, write_geotiff, write_json
from terracube.ingest.simulate.radar import NODATA, Frame, interferogram
from terracube.ingest.simulate.region import Region
from terracube.ingest.simulate.sensor import to_date

NETWORK = "network.json"
SIGN = "d = -wavelength / (4 pi) * phase, positive towards the satellite; phase is second minus first date"


def radar_dates(first: date | str = "2022-01-03", *, count: int = 31, every: int = 24) -> list[date]:
    """List the days on which the radar passes; the default spans two years.

    Examples
    --------
    >>> [str(day) for day in radar_dates(count=2, every=12)]
    ['2022-01-03', '2022-01-15']
    """
    return [to_date(first) + timedelta(days=every * k) for k in range(count)]


def pairs_of(dates: Sequence[date], *, neighbours: int = 2) -> list[tuple[date, date]]:
    """Pair every date with the next ``neighbours`` ones.

    Examples
    --------
    >>> a, b, c = radar_dates(count=3)
    >>> pairs_of([c, a, b]) == [(a, b), (a, c), (b, c)]
    True
    """
    days = sorted(dates)
    return [(days[i], day) for i in range(len(days)) for day in days[i + 1 : i + 1 + neighbours]]


def write_interferograms(
    region: Region, folder: Path, *, dates: Sequence[date | str] | None = None, neighbours: int = 2, size: int = 128
) -> Path:
    """Write a stack of interferograms; the network's file is written last and says that the stack is complete.

    Parameters
    ----------
    folder : Path
        Made if needed. Gets ``dem.tif`` (m); per pair ``FIRST-SECOND_unw.tif`` (rad, 0 = not unwrapped) and
        ``FIRST-SECOND_cc.tif`` (coherence); ``network.json``; and in ``truth/`` the displacement along the line of
        sight since the first date (m, a band per date), ``velocity.tif`` (m/year) and ``annual.tif`` (amplitude, m).
    dates : sequence of dates, optional
        Default: :func:`radar_dates`.
    neighbours : int
        Each date is paired with so many later ones.
    size : int
        Pixels of 90 m per side of the frame around the region.

    Returns
    -------
    Path of ``network.json``. If it is there already with the same content, nothing is done.

    Raises
    ------
    InputError
        If there are fewer than two different dates.
    StorageError
        If the disk refuses.
    """
    days = sorted({to_date(day) for day in dates} if dates is not None else radar_dates())
    if len(days) < 2 or neighbours < 1:
        raise InputError("no pair", where="dates, neighbours", expected="two dates, one neighbour", got=f"{len(days)}")
    frame, path = Frame(region, size), folder / NETWORK
    network = _network(frame, days, neighbours)
    if read_json(path).get("digest") == network["digest"]:
        return path
    remove(path)
    _write(folder / "dem.tif", frame.terrain, frame, nodata=-9999)
    for first, second in pairs_of(days, neighbours=neighbours):
        _write_pair(folder, frame, first, second)
    _write_truth(folder / "truth", frame, days)
    write_json(path, network)
    return path


def _network(frame: Frame, days: Sequence[date], neighbours: int) -> dict[str, Any]:
    radar, pairs = frame.region.radar, pairs_of(days, neighbours=neighbours)
    content = {
        "pairs": [[f"{first:%Y%m%d}", f"{second:%Y%m%d}"] for first, second in pairs],
        "bperp_m": [round(frame.orbit(second) - frame.orbit(first), 3) for first, second in pairs],
        "dates": [f"{day:%Y%m%d}" for day in days],
        "ref_yx": reference_pixel(frame),
        "wavelength_m": radar.wavelength,
        "incidence_deg": radar.incidence,
        "heading_deg": radar.heading,
        "nlooks_used_for_weight": radar.looks,
        "nodata": NODATA,
        "orbit": "ascending",
        "sensor": "simulated, like Sentinel-1",
        "sign": SIGN,
    }
    return content | {"digest": sha256_of({"region": frame.region.digest, "size": frame.size, **content})}


def reference_pixel(frame: Frame) -> list[int]:
    """Choose row and column of the most lastingly coherent pixel among the hundredth that moves least."""
    motion = frame.motion
    speed = np.abs(motion.velocity) + np.abs(motion.annual)
    still = (speed <= np.quantile(speed, 0.01)) & ~frame.water
    best = np.argmax(np.where(still, frame.lasting_coherence, -1.0))
    return [int(k) for k in np.unravel_index(best, still.shape)]


def _write_pair(folder: Path, frame: Frame, first: date, second: date) -> None:
    pair, radar = interferogram(frame, first, second), frame.region.radar
    stem = f"{first:%Y%m%d}-{second:%Y%m%d}"
    tags = {
        "FIRST_DATE": first.isoformat(),
        "SECOND_DATE": second.isoformat(),
        "WAVELENGTH_METRES": str(radar.wavelength),
        "INCIDENCE_DEGREES": str(radar.incidence),
        "INSAR_PROCESSOR": "SIMULATED",
    }
    phase = np.where(np.isnan(pair.unwrapped), np.float32(NODATA), pair.unwrapped)
    unwrapped = tags | {"DATA_TYPE": "ORIGINAL_IFG", "DATA_UNITS": "RADIANS", "SIGN": SIGN}
    _write(folder / f"{stem}_unw.tif", phase, frame, nodata=NODATA, tags=unwrapped)
    _write(folder / f"{stem}_cc.tif", pair.coherence, frame, nodata=NODATA, tags=tags | {"DATA_TYPE": "ORIGINAL_COH"})


def _write_truth(folder: Path, frame: Frame, days: Sequence[date]) -> None:
    motion = frame.motion
    names = [day.isoformat() for day in days]
    _write(folder / "displacement.tif", motion.displacement(days), frame, nodata=np.nan, names=names)
    _write(folder / "velocity.tif", motion.velocity, frame, nodata=np.nan)
    _write(folder / "annual.tif", motion.annual, frame, nodata=np.nan)


def _write(path: Path, array: NDArray[Any], frame: Frame, **how: Any) -> None:
    values = np.asarray(array, dtype=np.float32)
    write_geotiff(path, values, transform=frame.transform, epsg=frame.region.epsg, **how)
