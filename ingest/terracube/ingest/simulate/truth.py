"""Write down what is true, beside what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from terracube.core.files import remove
from terracube.ingest.simulate.output import read_json, write_geotiff, write_json
from terracube.ingest.simulate.region import Region
from terracube.ingest.simulate.sensor import BANDS, to_date
from terracube.ingest.simulate.surface import Cover

_CLASSES = {str(int(cover)): cover.name.lower() for cover in Cover}


def write_truth(region: Region, folder: Path, *, dates: Sequence[date | str]) -> Path:
    """Write the truth of a region on its 10 m grid.

    Parameters
    ----------
    folder : Path
        Made if needed. Gets ``land-cover.tif`` (codes of :class:`Cover`), ``fractions.tif`` (a band per cover),
        ``chlorophyll.tif`` (mg m-3) and ``suspended-matter.tif`` (g m-3), both with a band per date and NaN where
        there is no water, per date ``reflectance-DATE.tif`` (twelve bands), and ``truth.json``.
    dates : sequence of dates
        For which days the changing truths are written.

    Returns
    -------
    Path of ``truth.json``, written last. If it is there already with the same content, nothing is done.
    """
    days = [to_date(day) for day in dates]
    names = [day.isoformat() for day in days]
    about = {
        "digest": region.digest,
        "region": region.as_dict(),
        "land_cover": _CLASSES,
        "bands": list(BANDS),
        "dates": names,
    }
    path = folder / "truth.json"
    if read_json(path) == about:
        return path
    remove(path)
    _write(region, folder / "land-cover.tif", region.land_cover, nodata=0)
    _write(region, folder / "fractions.tif", region.land.fractions, names=list(_CLASSES.values()))
    water = {"chlorophyll": region.chlorophyll, "suspended-matter": region.suspended_matter}
    for name, content in water.items():
        _write(region, folder / f"{name}.tif", np.stack([content(day) for day in days]), names=names)
    for day in days:
        stack = region.truth_reflectance(list(BANDS), [day])[0]
        _write(region, folder / f"reflectance-{day}.tif", stack, names=list(BANDS))
    write_json(path, about)
    return path


def _write(region: Region, path: Path, array: Any, *, nodata: float = np.nan, names: Sequence[str] = ()) -> None:
    write_geotiff(path, array, transform=region.transform(), epsg=region.epsg, nodata=nodata, names=names)
