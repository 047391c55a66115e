"""Readers of interferograms. What all of them give, and the one sign they give it in, is told in :mod:`.pair`."""

from terracube.cubes.pairs import SIGN
from terracube.ingest.readers.interferograms.pair import SENTINEL_1, SPEED_OF_LIGHT, Pair, read_date

__all__ = ["SENTINEL_1", "SIGN", "SPEED_OF_LIGHT", "Pair", "read_date"]
