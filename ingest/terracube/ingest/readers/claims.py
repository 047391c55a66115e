"""What metadata claim, against what the headers of the files say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyproj import CRS
from pyproj.exceptions import CRSError

from terracube.core.errors import HostileInputError, MetadataError
from terracube.cubes.crs import Bounds
from terracube.cubes.grid import YX, Grid

# A corner may lie this part of a claimed pixel off that of the header: agencies round.
_SLACK = 0.01


def number(text: str, *, where: str) -> float:
    """Read a finite number.

    Raises
    ------
    MetadataError
        If it is none.

    Examples
    --------
    >>> number(" 2.75e-05 ", where="x")
    2.75e-05
    """
    try:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text)
    except ValueError as error:
        raise MetadataError(
            "the metadata hold no number", where=where, expected="a number", got=repr(text)[:60]
        ) from error
    return value


def side(text: str, *, largest: int, where: str) -> int:
    """Read how many pixels metadata claim along a side.

    Raises
    ------
    MetadataError
        If it is no whole number above 0.
    HostileInputError
        If it is more than a scene can have.
    """
    value = number(text, where=where)
    if value < 1 or value != int(value):
        raise MetadataError("the metadata claim an odd size", where=where, expected="1 or more", got=text[:60])
    if value > largest:
        raise HostileInputError(
            "the metadata claim more pixels than a scene of this sensor has",
            where=where,
            expected=f"at most {largest} along each side",
            got=text[:60],
        )
    return int(value)


@dataclass(frozen=True)
class Claim:
    """Where metadata say that the pixels lie."""

    crs: str
    bounds: Bounds
    shape: YX


def check_claim(grid: Grid, claim: Claim, *, where: str) -> tuple[str, ...]:
    """Compare the grid of a header with what the metadata claim.

    Returns
    -------
    tuple of str
        A note, where the file covers the same ground with fewer pixels: it was thinned after delivery.

    Raises
    ------
    MetadataError
        If CRS or extent differ, or the file has more pixels than it should.
    """
    if not _same_crs(grid.crs, claim.crs):
        raise _contradiction("CRS", claim.crs, grid.crs, where)
    slack = _SLACK * (claim.bounds.right - claim.bounds.left) / claim.shape.x
    if max(abs(one - other) for one, other in zip(grid.bounds, claim.bounds, strict=True)) > slack:
        raise _contradiction("extent", str(list(claim.bounds)), str(list(grid.bounds)), where)
    if grid.shape == claim.shape:
        return ()
    told = f"{claim.shape.y} x {claim.shape.x}"
    if grid.shape.y > claim.shape.y or grid.shape.x > claim.shape.x:
        raise _contradiction("size", told, f"{grid.shape.y} x {grid.shape.x}", where)
    return (f"the files were thinned: the metadata claim {told} pixels, there are {grid.shape.y} x {grid.shape.x}",)


def _same_crs(found: str, claimed: str) -> bool:
    try:
        return found == claimed or bool(CRS(found).equals(CRS(claimed), ignore_axis_order=True))
    except CRSError:
        return False


def _contradiction(what: str, claimed: str, found: str, where: str) -> MetadataError:
    return MetadataError(
        f"metadata and header contradict each other: {what}",
        where=where,
        expected=f"{claimed} as the metadata say"[:200],
        got=found[:200],
        todo="get the file that belongs to the metadata, or correct its georeference",
    )
