"""A file that is not there: an error for a raster, an answer for a store of chunks."""

from __future__ import annotations

from terracube.core.errors import AssetError


class NotThereError(AssetError):
    """There is no such file."""
