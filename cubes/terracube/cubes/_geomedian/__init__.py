"""Kernels of the geometric median and its deviations: private to :mod:`terracube.cubes.reduce`."""
