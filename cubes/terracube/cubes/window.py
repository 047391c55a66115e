"""A rectangle of pixels, as integers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Rows and columns of a raster, counted from its first pixel.

    Examples
    --------
    >>> Window(0, 512, 256, 512).slices
    (slice(0, 256, None), slice(512, 1024, None))
    """

    row: int
    col: int
    height: int
    width: int

    @property
    def stop(self) -> tuple[int, int]:
        """Row and column after the last."""
        return self.row + self.height, self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index an array of the whole raster with this to get the window."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def within(self, outer: Window) -> Window:
        """Give the same pixels counted from the first pixel of ``outer``."""
        return Window(self.row - outer.row, self.col - outer.col, self.height, self.width)
