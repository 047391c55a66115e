"""Cubes that grow: versions, time travel and safe appends, on icechunk."""

from terracube.cubes.storage.versioned.cube import VersionedCube
from terracube.cubes.storage.versioned.history import CubeDiff, Difference, Snapshot
from terracube.cubes.storage.versioned.variable import CubeVariable

__all__ = ["CubeDiff", "CubeVariable", "Difference", "Snapshot", "VersionedCube"]
