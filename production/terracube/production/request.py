"""A request: all that decides a product, as one JSON document. A notebook, a schedule and an API send the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError
from terracube.core.validation import validated
from terracube.cubes.crs import to_crs_text
from terracube.processing import get_chain
from terracube.stac import parse_filter, parse_interval

_MAX_REQUEST = 1 << 20
ALL = "all"
"""The period of whatever there is: later scenes give new versions of one product."""


class RunRequest(BaseModel):
    """What to make. How it is computed (scheduler, block size, memory) is no part of it, and changes no pixel."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    chain: str = Field(max_length=100, description="name of the chain")
    collection: str = Field(max_length=100, description="collection of the scenes")
    datetime: str = Field(max_length=100, description="period, like 2023-08 or 2023-08-01/2023-08-20; or all")
    bbox: tuple[float, float, float, float] | None = Field(
        default=None, description="west, south, east, north in degrees; left out = all that the scenes cover"
    )
    filters: tuple[str, ...] = Field(default=(), max_length=50, description="like eo:cloud_cover<60")
    crs: str | None = Field(default=None, max_length=10_000, description="CRS of the product; left out = that of align")
    resolution: float | None = Field(default=None, description="pixel size in units of the CRS; left out = of align")
    align: str | None = Field(
        default=None,
        max_length=128,
        description="scene whose pixel edges are taken; left out = the first by time and id",
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="parameters of the chain")

    @property
    def period(self) -> str | None:
        """The period that is searched; ``None`` for all that there is."""
        return None if self.datetime == ALL else self.datetime

    @property
    def slot(self) -> str:
        """Digest of what is asked for, however it is written: such products are versions of each other.

        Parameters that are left out count as their defaults, and a period as its first and last moment.

        Raises
        ------
        InputError
            If the chain, a parameter or the period is wrong.
        """
        settled = get_chain(self.chain).to_parameters(self.parameters).model_dump(mode="json")
        ends = (None, None) if self.period is None else parse_interval(self.period)
        period = [None if moment is None else moment.isoformat() for moment in ends]
        if isinstance(settled["mask"], list):
            settled["mask"] = sorted(set(settled["mask"]))
        crs = None if self.crs is None else to_crs_text(self.crs)
        told = {
            "crs": crs,
            "parameters": settled,
            "datetime": period,
            "filters": sorted(map(str, map(parse_filter, self.filters))),
        }
        return sha256_of(self.model_dump(mode="json") | told)


def to_request(value: RunRequest | dict[str, Any]) -> RunRequest:
    """Accept a request as a model or as JSON values.

    Raises
    ------
    InputError
        Naming each field that is wrong.
    """
    if isinstance(value, RunRequest):
        return value
    return validated(RunRequest, value, what="the request is wrong")


def read_request(path: Path) -> RunRequest:
    """Read a request from a JSON file of bounded size.

    Raises
    ------
    InputError
        If the file cannot be read, or is no request.
    """
    try:
        if path.stat().st_size > _MAX_REQUEST:
            raise InputError("the request is too large", where=str(path), expected=f"<= {_MAX_REQUEST} bytes")
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError("cannot read the request", where=str(path), got=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InputError("the request is not JSON", where=str(path), got=str(error)[:120]) from error
    if not isinstance(value, dict):
        raise InputError("the request is not a JSON object", where=str(path))
    return to_request(value)
