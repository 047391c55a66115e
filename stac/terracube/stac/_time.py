"""Time, in one place: everything is UTC, and what is stored sorts as text in the order of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def as_utc(moment: datetime) -> datetime:
    """Turn a moment with a time zone into UTC.

    Raises
    ------
    ValueError
        If it has no time zone, or leaves the years 1 to 9999 on the way.
    """
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def read_rfc3339(text: str) -> datetime:
    """Read a date and time with its offset (``Z`` or ``+02:00``) into UTC.

    Raises
    ------
    ValueError
        If it is no such time, or has no offset.

    Examples
    --------
    >>> read_rfc3339("2023-08-15T12:00:00+02:00").isoformat()
    '2023-08-15T10:00:00+00:00'
    """
    return as_utc(datetime.fromisoformat(text.upper()))


def days(moment: datetime) -> float:
    """Count the days of a UTC moment since the beginning of year 1, with their fraction.

    Examples
    --------
    >>> days(datetime(1, 1, 2, 12, tzinfo=UTC))
    1.5
    """
    return (moment - datetime.min.replace(tzinfo=UTC)) / timedelta(days=1)


def sortable(moment: datetime) -> str:
    """Write a UTC moment in a fixed width down to the microsecond, so that text order is time order.

    Examples
    --------
    >>> sortable(datetime(800, 1, 2, tzinfo=UTC))
    '0800-01-02T00:00:00.000000Z'
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
