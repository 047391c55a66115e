"""Where the bytes of an asset lie, without any secret."""

from __future__ import annotations

from dataclasses import dataclass

from terracube.cubes.access.signing import Signer


@dataclass(frozen=True, slots=True)
class Location:
    """A file, or a variable inside one; small enough to travel with every task, and safe to print.

    Examples
    --------
    >>> Location("https://example.org/B04.tif").is_remote
    True
    """

    href: str
    """Absolute path on this machine, or an http, https or s3 URL without any token."""
    member: str = ""
    """Variable inside a Zarr group or a NetCDF file; empty for rasters."""
    signer: Signer | None = None
    """Who adds what the server asks for, when bytes are read."""

    @property
    def is_remote(self) -> bool:
        """Whether it is not on this machine."""
        return "://" in self.href

    def __str__(self) -> str:
        return f"{self.href}:{self.member}" if self.member else self.href
