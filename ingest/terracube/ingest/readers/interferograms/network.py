"""The network of a stack as one JSON file beside it: pairs, baselines, wavelength, looks, geometry.

Written by the simulator of this project, and by others who hand on a stack of GeoTIFFs. Read as a complement to what
the files themselves tell, or, where they tell nothing, as the description of the whole stack (see :mod:`.sidecar`).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from terracube.core.errors import MetadataError
from terracube.ingest.readers.interferograms.complement import Sign, model_of
from terracube.ingest.readers.interferograms.pair import read_date
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.text import read_json

NAME = "network.json"
_OURS = "d = -wavelength / (4 pi) * phase, positive towards the satellite; phase is second minus first date"
_MAX_PAIRS = 200_000


class Network(BaseModel):
    """A stack; fields that are not named here are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    pairs: list[tuple[str, str]] = Field(max_length=_MAX_PAIRS)
    bperp_m: list[float] | None = None
    wavelength_m: float | None = Field(default=None, gt=0)
    incidence_deg: float | None = Field(default=None, ge=0, le=90)
    heading_deg: float | None = None
    looks_rg: int | None = Field(default=None, ge=1)
    looks_az: int | None = Field(default=None, ge=1)
    nlooks_used_for_weight: float | None = Field(default=None, gt=0)
    nodata: float | None = None
    orbit: Literal["ascending", "descending"] | None = None
    sensor: str | None = None
    sign: str | None = None

    @property
    def told_sign(self) -> Sign | None:
        """What a growing phase means, if the file says it in words that are known."""
        return "range_increase" if self.sign in (_OURS, "range_increase") else _decrease(self.sign)

    def baseline(self, reference: datetime, secondary: datetime, *, where: str) -> float | None:
        """Give the baseline of a pair of days, as the pair is ordered here; ``None`` where it is not listed.

        Raises
        ------
        MetadataError
            If the lists do not fit each other, or hold what is no date.
        """
        if self.bperp_m is None:
            return None
        if len(self.bperp_m) != len(self.pairs):
            raise MetadataError(
                "pairs and baselines do not fit",
                where=where,
                expected=f"{len(self.pairs)} baselines",
                got=str(len(self.bperp_m)),
            )
        asked = f"{reference:%Y%m%d}", f"{secondary:%Y%m%d}"
        for pair, baseline in zip(self.pairs, self.bperp_m, strict=True):
            first, second = (f"{read_date(text, where=where)[0]:%Y%m%d}" for text in pair)
            if (first, second) == asked:
                return baseline
            if (second, first) == asked:
                return -baseline
        return None


def _decrease(sign: str | None) -> Sign | None:
    return "range_decrease" if sign == "range_decrease" else None


def read_network(path: Path) -> Network:
    """Read the file.

    Raises
    ------
    AssetError, MetadataError
    """
    return model_of(Network, read_json(path), where=str(path))


def network_of(path: Path) -> tuple[Network, Path] | None:
    """Give the network beside a file, or in the folder above, if there is one."""
    for folder in (path.parent, path.parent.parent):
        if there(folder / NAME):
            return read_network(folder / NAME), folder / NAME
    return None
