"""From formulas to the table of the kernel: names become bands and numbers, and operations become steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.kernels import postfix as kernel
from terracube.processing.landcover.indices.catalogue import Index, constants, get_index
from terracube.processing.landcover.indices.formula import Postfix, parse
from terracube.processing.landcover.indices.letters import KERNELS, LETTERS
from terracube.processing.landcover.indices.steps import Operand, Row, Steps, to_table


@dataclass(frozen=True, slots=True)
class Program:
    """Indices ready to run: plain numbers, so it can be pickled, hashed and compared."""

    names: tuple[str, ...]
    """Results, in their order."""
    bands: tuple[str, ...]
    """Roles of the bands, in the order in which values are given."""
    table: tuple[Row, ...]
    """Steps: code, target, a, b."""
    constants: tuple[float, ...]
    """Numbers in the formulas, in the first slots."""
    slots: int

    def __post_init__(self) -> None:
        """Refuse a table that points outside: the kernel writes where it is told."""
        rows = np.asarray(self.table, np.int64).reshape(-1, 4)
        code, target, a, b = rows.T
        load, store = code == kernel.LOAD, code == kernel.STORE
        step = ~load & ~store
        limit = np.full(len(rows), self.slots)
        wrong = (rows < 0).any(1) | (code >= kernel.CODES)
        wrong |= target >= np.where(store, len(self.names), limit)
        wrong |= a >= np.where(load, len(self.bands), limit)
        wrong |= b >= limit
        # Neither may a step write over a constant, nor over what it reads.
        wrong |= ~store & (target < len(self.constants))
        wrong |= step & (target == a) | step & (code < kernel.NEGATE) & (target == b)
        if wrong.any():
            got = str(tuple(rows[wrong][0].tolist()))
            raise InputError("the table of a program points outside its slots", where="table", got=got)

    @property
    def used(self) -> tuple[str, ...]:
        """Roles of the bands that are read, in the order of ``bands``."""
        read = {a for code, _, a, _ in self.table if code == kernel.LOAD}
        return tuple(band for number, band in enumerate(self.bands) if number in read)

    def run(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Compute the indices of pixels.

        Parameters
        ----------
        values : float (V, N)
            One row per band, in the order of ``bands``; NaN is missing. Computed in float32.

        Returns
        -------
        float32 (I, N)
            One row per index; NaN where a band is missing, or the formula has no finite value (division by zero).

        Raises
        ------
        InputError
            If the values have another shape or are whole numbers, whose missing value is not known.
        """
        if values.ndim != 2 or values.shape[0] != len(self.bands):
            expected = f"({len(self.bands)}, pixels): {', '.join(self.bands)}"
            raise InputError("the bands have another shape", where="values", expected=expected, got=str(values.shape))
        if values.dtype.kind != "f":
            expected = "floating point numbers with NaN as missing"
            raise InputError("the bands are no reflectances", where="values", expected=expected, got=str(values.dtype))
        with np.errstate(over="ignore"):
            plain = np.require(values, np.float32, ["C", "W"])
        out = np.empty((len(self.names), values.shape[1]), np.float32)
        table = np.asarray(self.table, np.int32).reshape(-1, 4)
        kernel.run(table, np.asarray(self.constants, np.float32), self.slots, plain, out)
        return out


def _numbers(index: Index, given: Mapping[str, float]) -> dict[str, float]:
    """Give the parameters of an index their values."""
    found = {name: given.get(name, default) for name, default in index.parameters}
    absent = [name for name, value in found.items() if value is None]
    if absent:
        todo = "give parameters={...}; wavelengths(sensor) gives those of a sensor"
        raise InputError(f"{index.name} needs a parameter", where="parameters", expected=", ".join(absent), todo=todo)
    return {name: value for name, value in found.items() if value is not None}


def _roles(index: Index, bands: tuple[str, ...]) -> dict[str, str]:
    roles = index.roles(bands)
    if roles is not None:
        return roles
    expected = ", ".join(" or ".join(LETTERS.get(letter, (letter,))) for letter in index.letters)
    raise InputError(
        f"{index.name} cannot be computed from these bands",
        where=index.formula[:80],
        expected=f"{expected}, each another band",
        got=", ".join(bands)[:200],
    )


def _checked(parameters: Mapping[str, float] | None) -> dict[str, float]:
    """Refuse parameters that no formula knows, and what is no number."""
    found: dict[str, float] = {}
    for name, value in (parameters or {}).items():
        if name not in constants():
            raise InputError(
                "unknown parameter", where="parameters", expected=", ".join(constants()), got=str(name)[:80]
            )
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
            raise InputError("a parameter is no number", where=f"parameters.{name}", got=repr(value)[:80])
        if not math.isfinite(value):
            raise InputError("a parameter is not finite", where=f"parameters.{name}", got=repr(value)[:80])
        found[name] = float(value)
    return found


def _add(index: Index, bands: tuple[str, ...], given: Mapping[str, float], steps: Steps) -> int:
    """Add the steps of one index and give the one that is its value."""
    steps.formula = index.formula
    names: dict[str, Operand | Postfix] = {name: parse(formula) for name, formula in KERNELS.items()}
    names |= _numbers(index, given)
    for letter, role in _roles(index, bands).items():
        names[letter] = steps.add(kernel.LOAD, bands.index(role))
    return steps.place(steps.walk(parse(index.formula), names))


def compile_indices(
    names: Iterable[str | Index], bands: Iterable[str], parameters: Mapping[str, float] | None = None
) -> Program:
    """Prepare indices for bands given in an order.

    Parameters
    ----------
    names : iterable of str or Index
        Names of the catalogue, or indices of :func:`make_index`; none at all is allowed.
    bands : iterable of str
        Roles of the bands that :meth:`Program.run` will be given; more than are needed are allowed.
    parameters : mapping, optional
        Numbers of the formulas (``{"L": 0.5}``) instead of the catalogue's defaults, for all of these indices. Those
        that none of them uses are ignored, so what :func:`wavelengths` gives can be passed whole.

    Returns
    -------
    Program

    Raises
    ------
    NotFoundError
        If an index is unknown.
    InputError
        If a name or a band comes twice, bands or parameters are missing, or a formula cannot be computed.

    Examples
    --------
    >>> import numpy as np
    >>> program = compile_indices(["NDVI", "NDWI"], ("green", "red", "nir"))
    >>> program.run(np.float32([[0.1], [0.2], [0.6]])).round(3).tolist()
    [[0.5], [-0.7139999866485596]]
    """
    chosen = [name if isinstance(name, Index) else get_index(name) for name in names]
    given, order = _checked(parameters), tuple(bands)
    wanted = tuple(index.name for index in chosen)
    for what, listed in (("an index", wanted), ("a band", order)):
        twice = next((name for name in listed if listed.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{what} is named twice", got=repr(twice)[:80])
    steps = Steps()
    results = [_add(index, order, given, steps) for index in chosen]
    table, slots = to_table(steps, results)
    return Program(wanted, order, table, tuple(steps.numbers), slots)
