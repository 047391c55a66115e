"""Numbers of the coefficient files against a table that was typed from the papers, one spectrum or more per set.

``coefficients.csv`` holds spectra and the values that the published numbers give for them, worked out once in float64
apart from this package's files; its column ``source`` says where the numbers were read, and ``package`` where a number
is of this package alone, so that there is nothing else to compare it with.
"""

from __future__ import annotations

import copy
import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import InputError
from terracube.processing import water
from terracube.processing.water import coefficients
from terracube.processing.water.coefficients import coefficient_names, load_coefficients
from terracube.processing.water.retrievals import Bands, base, evidence, get_retrieval, retrieval_names
from terracube.processing.water.sensors import load_water_sensor

RTOL = 1e-6


@dataclass(frozen=True, slots=True)
class Row:
    """One spectrum, and what a retrieval makes of it."""

    retrieval: str
    sensor: str
    quantity: str
    bands: dict[str, float]
    expected: float
    """NaN: no value."""
    rtol: float
    source: str


def _table() -> tuple[Row, ...]:
    with (Path(__file__).parent / "coefficients.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(_row(row) for row in csv.DictReader(lines))


def _row(row: dict[str, str]) -> Row:
    bands = {role: float(value) for role, value in (pair.split("=") for pair in row["bands"].split())}
    expected, rtol = float(row["expected"] or "nan"), float(row["rtol"] or RTOL)
    return Row(row["retrieval"], row["sensor"], row["quantity"], bands, expected, rtol, row["source"])


ROWS = _table()
BY_FILE: dict[str, list[Row]] = defaultdict(list)
for _one in ROWS:
    BY_FILE[get_retrieval(_one.retrieval).coefficients].append(_one)


def _alike(rows: list[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """Put rows together that one call can make."""
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[row.retrieval, row.sensor, row.quantity, tuple(row.bands)].append(row)
    return found


@pytest.mark.parametrize("file", coefficient_names())
def test_values_are_those_of_the_published_numbers(file: str) -> None:
    """Through the fused pass in float64, to 1e-6 unless the number was printed with fewer digits."""
    for (name, sensor, quantity, roles), rows in _alike(BY_FILE[file]).items():
        bands = {role: ("sample", np.array([row.bands[role] for row in rows])) for role in roles}
        cube = xr.Dataset(bands, attrs={"quantity": quantity, "sensor": sensor})
        got = water.retrieve(name, cube, flags=False)[name].to_numpy()
        for value, row in zip(got, rows, strict=True):
            assert value == pytest.approx(row.expected, rel=row.rtol, abs=0, nan_ok=True), row


@pytest.mark.parametrize("file", coefficient_names())
def test_every_set_is_in_the_table(file: str) -> None:
    """No set of a file without a spectrum that it is computed from."""
    used = {get_retrieval(row.retrieval).coefficient_set(load_water_sensor(row.sensor)).name for row in BY_FILE[file]}
    assert used == {one.name for one in load_coefficients(file).sets}


def test_every_retrieval_is_in_the_table() -> None:
    """And nothing is in it that is no retrieval; a source is told for each row, some of them this package."""
    assert {row.retrieval for row in ROWS} == set(retrieval_names())
    assert all(row.source for row in ROWS)
    assert sum(row.source.startswith("package") for row in ROWS) < 0.04 * len(ROWS)


# -- can the table fail?


def _leaves(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the place of every number but zero, which no factor changes."""
    if isinstance(values, dict | list):
        for key, one in values.items() if isinstance(values, dict) else enumerate(values):
            yield from _leaves(one, (*path, key))
    elif values != 0:
        yield path


def _changed(values: Any, path: tuple[Any, ...]) -> None:
    for key in path[:-1]:
        values = values[key]
    values[path[-1]] *= 1.02


def _fails(row: Row) -> bool:
    """Compute without the compiler, for speed."""
    retrieval, sensor = get_retrieval(row.retrieval), load_water_sensor(row.sensor)
    needs = row.quantity if retrieval.quantity in ("ratio", "any") else retrieval.quantity
    factor = {("rhow", "rrs"): 1 / math.pi, ("rrs", "rhow"): math.pi}.get((row.quantity, needs), 1.0)
    bands = {role: np.array([value * factor]) for role, value in row.bands.items()}
    with np.errstate(all="ignore"):
        got = retrieval.formula(Bands(bands, sensor), retrieval.coefficient_set(sensor).values)
        lost = np.zeros(1, bool)
        for reason in (got.outside, got.saturated):
            lost = lost | (False if reason is None else reason)
        value = np.where(lost, np.nan, np.asarray(got.value, float) * np.ones(1))[0]
    return bool(value != pytest.approx(row.expected, rel=row.rtol, abs=0, nan_ok=True))


def _missed(monkeypatch: pytest.MonkeyPatch, file: str, name: str, paths: list[tuple[Any, ...]]) -> bool:
    """Tell whether no row fails when these numbers of a set are 2 % larger."""
    plain = coefficients._read

    def read(text: str) -> Any:
        family = copy.deepcopy(plain(text))
        if family["name"] == file:
            values = next(one["values"] for one in family["sets"] if one["name"] == name)
            for path in paths:
                _changed(values, path)
        return family

    family = load_coefficients(file)
    rows = [row for row in BY_FILE[file] if (found := family.find(row.sensor)) is not None and found.name == name]
    with monkeypatch.context() as patch:
        patch.setattr(coefficients, "_read", read)
        load_coefficients.cache_clear()
        missed = not any(_fails(row) for row in rows)
    load_coefficients.cache_clear()
    return missed


@pytest.mark.parametrize("file", coefficient_names())
def test_two_per_cent_of_any_set_is_seen(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All numbers of a set together, 2 % larger: a row of the table fails."""
    for one in load_coefficients(file).sets:
        paths = list(_leaves(one.values))
        assert not paths or not _missed(monkeypatch, file, one.name, paths), one.name


# How many single numbers of a file no row sees: ends of tables that no spectrum of the sensor reaches (scale of colour,
# wavelengths), pure water at a band that the formula does not take, a weight of 0.004, a ceiling, terms of a polynomial
# that only decides between two branches.
UNSEEN = {
    "chl_blend_share": 1,
    "chl_tc2": 2,
    "dominant_wavelength": 6,
    "forel_ule": 3,
    "forel_ule_index": 2,
    "hue_angle": 1,
    "qaa_bbp": 4,
    "spm_jiang2021": 4,
}
# Too many numbers for that: absorption of pigments by wavelength.
TABLES = {"chl_inversion", "chl_inversion_lee1998"}


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(set(coefficient_names()) - TABLES))
def test_two_per_cent_of_any_number_is_seen(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number alone, 2 % larger: a row of the table fails, but for the few that are counted above."""
    missed = [
        (one.name, path)
        for one in load_coefficients(file).sets
        for path in _leaves(one.values)
        if _missed(monkeypatch, file, one.name, [path])
    ]
    assert len(missed) <= UNSEEN.get(file, 0), missed


# -- what else the files say


def test_every_estimate_says_how_far_it_was_calibrated() -> None:
    """Only indices and classes, which have no error either, have no range; and one paper that was not read."""
    without = {
        file for file in coefficient_names() for one in load_coefficients(file).sets if one.range is None and any(
            (one.error.relative, one.error.absolute)
        )
    }  # fmt: skip
    assert without == {"chl_tc2"}


def test_quantity_of_a_file_is_that_of_its_retrievals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retrieval is not registered with coefficients that are for something else."""
    for name in retrieval_names():
        one = get_retrieval(name)
        assert load_coefficients(one.coefficients).quantity == one.quantity
    wrong = replace(get_retrieval("chl_oc2"), quantity="rhow")
    monkeypatch.setattr(base, "_REGISTRY", {})
    with pytest.raises(InputError, match="another quantity"):
        base.register_retrieval(wrong)
    assert base.register_retrieval(replace(wrong, quantity="rrs")).name == "chl_oc2"


def test_inner_coefficients_are_named() -> None:
    """What is built on the inversion, on a hue angle or on another product says whose numbers it took."""
    for sensor, expected in (("S2A_MSI", "qaa-nominal"), ("L8_OLI", "qaa-bands")):
        found = get_retrieval("tsi_secchi").inner_sets(load_water_sensor(sensor))
        assert [one.name for one in found] == ["secchi-lee2015", expected]
    assert [one.name for one in get_retrieval("forel_ule").inner_sets(load_water_sensor("L7_ETM"))] == ["hue-l57"]
    assert get_retrieval("chl_oc2").inner_sets(load_water_sensor("S2A_MSI")) == ()


def test_kinds_of_evidence_are_known() -> None:
    """A formula that is only written twice is called so; four of ten retrievals have more than that."""
    kinds = [one.kind for name, one in evidence().items() if name in retrieval_names()]
    assert set(kinds) <= set(base.EVIDENCE_KINDS)
    assert sum(kind != "formula" for kind in kinds) > 0.35 * len(kinds)
