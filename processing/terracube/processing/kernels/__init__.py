"""Compiled loops on plain arrays: numpy and numba, nothing else."""
