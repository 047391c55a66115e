"""Spectral indices: the catalogue, formulas through the allow-list, programs, and their doors."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError, NotFoundError, StorageError
from terracube.core.sensors import load_sensor
from terracube.processing.kernels import postfix as kernel
from terracube.processing.landcover.indices import (
    Index,
    Program,
    available,
    catalogue,
    compile_indices,
    evaluate,
    get_index,
    index_names,
    indices,
    left_out,
    make_index,
    wavelengths,
)
from terracube.processing.landcover.indices.formula import MAX_LENGTH, OPERATIONS, names_in, parse
from terracube.processing.landcover.indices.letters import KERNELS, LETTERS

SENTINEL_2 = tuple(load_sensor("sentinel-2-l2a").bands)
LANDSAT = tuple(load_sensor("landsat-c2-l2").bands)
THERMAL = ("T", "T1", "T2")
GIVEN = {**wavelengths("sentinel-2-l2a"), "PAR": 1500.0}


def f32(values: Any) -> NDArray[np.float32]:
    """Make an array of single precision."""
    return np.asarray(values, np.float32)


def letters(pixels: int = 500) -> dict[str, NDArray[np.float32]]:
    """Make random reflectances, and kelvin, by letter of the catalogue."""
    rng = np.random.default_rng(1)
    found = {letter: rng.uniform(0.02, 0.6, pixels).astype(np.float32) for letter in LETTERS}
    return found | {letter: rng.uniform(270, 320, pixels).astype(np.float32) for letter in THERMAL}


def roles(pixels: int = 500) -> dict[str, NDArray[np.float32]]:
    """Give the same by role."""
    return {LETTERS[letter][0]: values for letter, values in letters(pixels).items()}


def reference(name: str, dtype: str) -> NDArray[Any]:
    """Compute an index with spyndex itself."""
    spyndex = importlib.import_module("spyndex")

    defaults = {name: value for name, value in catalogue.constants().items() if value is not None}
    words: dict[str, Any] = {letter: values.astype(dtype) for letter, values in letters().items()} | defaults | GIVEN
    for term in KERNELS:
        words[term] = spyndex.computeKernel("RBF", a=words[term[1]], b=words[term[2]], sigma=words["sigma"])
    with np.errstate(all="ignore"):
        found = np.asarray(spyndex.computeIndex(name, words))
    return np.where(np.isfinite(found), found, np.nan)


@pytest.fixture(scope="module")
def everything() -> dict[str, NDArray[np.float32]]:
    """All indices of the catalogue on the same pixels, in one program."""
    return dict(zip(index_names(), evaluate(index_names(), roles(), GIVEN), strict=True))


def test_catalogue_is_whole() -> None:
    """The catalogue has its 280 entries or more, all of which can be computed."""
    assert len(index_names()) >= 280
    assert left_out() == {}
    assert set(index_names("water")) < set(index_names())
    assert index_names("nothing") == ()


@pytest.mark.parametrize("name", index_names())
def test_equal_to_spyndex(name: str, everything: Mapping[str, NDArray[np.float32]]) -> None:
    """Every index is what spyndex computes, in single precision to its rounding and in double to that of single."""
    found, single, double = everything[name], reference(name, "float32"), reference(name, "float64")
    # The kernels of kEVI and kVARI are near one, and their sums and differences near zero.
    slack = 3e-4 * (get_index(name).domain == "kernel")
    np.testing.assert_allclose(found, single, rtol=5e-6 + 100 * slack, atol=1e-6 + slack)
    assert np.nanmedian(np.abs(found - double) / (np.abs(double) + 1e-3)) < 2e-6
    assert np.isnan(single).mean() < 0.7


def test_formulas_without_functions_equal_spyndex_to_the_bit(everything: Mapping[str, NDArray[np.float32]]) -> None:
    """Without powers and kernels, the order of operations is that of the formula, so all bits are equal."""
    plain = [name for name in index_names() if "**" not in get_index(name).formula and not name.startswith("k")]
    assert len(plain) > 200
    for name in plain:
        np.testing.assert_array_equal(everything[name], reference(name, "float32").astype("float32"), err_msg=name)


def test_alone_as_together(everything: Mapping[str, NDArray[np.float32]]) -> None:
    """An index alone is what it is among all the others, to the bit."""
    for name in ("NDVI", "GEMI", "kEVI", "CRSWIR", "MTVI2", "RWI"):
        np.testing.assert_array_equal(evaluate(name, roles(), GIVEN)[0], everything[name])


def test_crswir_of_sentinel_2() -> None:
    """CRSWIR divides by the continuum between 865 and 2190 nm at 1610 nm."""
    values = {"nir08": 0.3, "swir16": 0.2, "swir22": 0.1}
    found = evaluate("CRSWIR", values, wavelengths("sentinel-2-l2a"))
    assert found.item() == pytest.approx(0.2 / (0.3 + (0.1 - 0.3) / (2190 - 865) * (1610 - 865)), rel=1e-6)


def test_spyndex_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue is read without importing its package."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "spyndex"]:
        monkeypatch.delitem(sys.modules, name)
    catalogue._catalogue.cache_clear()
    assert len(index_names()) >= 280
    assert "spyndex" not in sys.modules


def test_entry_says_what_it_is() -> None:
    """An entry has title, field of use, formula, roles, reference and unit."""
    index = get_index("EVI")
    assert (index.title, index.domain, index.unit) == ("Enhanced Vegetation Index", "vegetation", "1")
    assert index.bands == ("nir", "red", "blue")
    assert dict(index.parameters) == {"g": 2.5, "C1": 6.0, "C2": 7.5, "L": 1.0}
    assert index.reference.startswith("https://")
    assert "Sentinel-2" in index.platforms
    assert get_index("NDBaI").unit is None
    assert get_index("kNDVI").bands == ("nir", "red")


def test_unknown_index() -> None:
    """An unknown index is refused with the nearest names."""
    with pytest.raises(NotFoundError, match="NDVI"):
        get_index("ndvi")
    with pytest.raises(NotFoundError, match="index_names"):
        get_index("%%%%")


def test_every_letter_has_a_role_of_its_own() -> None:
    """No two letters prefer the same role, and all bands of the catalogue's file are in the table."""
    preferred = [candidates[0] for candidates in LETTERS.values()]
    assert len(set(preferred)) == len(preferred)
    raw = json.loads((catalogue._folder() / "bands.json").read_text(encoding="utf-8"))
    assert set(raw) <= set(LETTERS)


def test_roles_of_sensors() -> None:
    """The near infrared is nir of Sentinel-2 and nir08 of Landsat; mir of MODIS is its band 7."""
    assert get_index("NDVI").roles(SENTINEL_2) == {"N": "nir", "R": "red"}
    assert get_index("NDVI").roles(LANDSAT) == {"N": "nir08", "R": "red"}
    assert get_index("NBR").roles(("red", "nir", "blue", "mir")) == {"N": "nir", "S2": "mir"}
    assert get_index("NDREI").roles(LANDSAT) is None


def test_one_band_is_not_two_letters() -> None:
    """A formula of both near infrareds is not computed from the one of Landsat."""
    both = make_index("both", "(N - N2)/(N + N2)")
    assert both.roles(SENTINEL_2) == {"N": "nir", "N2": "nir08"}
    assert both.roles(LANDSAT) is None
    with pytest.raises(InputError, match="each another band"):
        compile_indices([both], LANDSAT)


def test_available() -> None:
    """What is available is what compiles; wavelengths add the indices that need them."""
    for bands in (SENTINEL_2, LANDSAT, ("red", "nir", "blue", "mir"), ("red",), ()):
        names = available(bands)
        assert compile_indices(names, bands).names == names
    assert "CRSWIR" not in available(SENTINEL_2)
    assert "CRSWIR" in available(SENTINEL_2, wavelengths("sentinel-2-l2a"))
    assert {"NDVI", "EVI", "NBR", "kNDVI"} <= set(available(("red", "nir", "blue", "mir")))
    assert available(()) == ()
    refused = set(index_names()) - set(available(SENTINEL_2))
    for name in sorted(refused):
        with pytest.raises(InputError):
            compile_indices([name], SENTINEL_2)


def test_wavelengths() -> None:
    """Wavelengths are those of the sensor's bands, in nanometres."""
    assert wavelengths("sentinel-2-l2a") == {
        "lambdaG": 560.0, "lambdaN": 842.0, "lambdaN2": 865.0, "lambdaR": 665.0, "lambdaS1": 1610.0, "lambdaS2": 2190.0,
    }  # fmt: skip
    assert wavelengths("landsat-c2-l2")["lambdaN"] == 865.0
    with pytest.raises(NotFoundError):
        wavelengths("nothing")


def test_parameters() -> None:
    """A parameter replaces the default of the catalogue, and those that no formula uses are ignored."""
    values = {"red": 0.1, "nir": 0.4}
    assert evaluate("SAVI", values).item() == pytest.approx(2 * 0.3 / 1.5)
    assert evaluate("SAVI", values, {"L": 0.5, "g": 3.0}).item() == pytest.approx(1.5 * 0.3 / 1.0)
    assert evaluate("NIRvP", values, {"PAR": 10}).item() == pytest.approx(0.6 * 0.4 * 10)


@pytest.mark.parametrize("wrong", [{"M": 1.0}, {"L": float("nan")}, {"L": float("inf")}, {"L": "1"}, {"L": True}])
def test_wrong_parameters(wrong: Any) -> None:
    """Parameters that no formula knows, or that are no finite number, are refused."""
    with pytest.raises(InputError, match="param"):
        compile_indices(["SAVI"], ("red", "nir"), wrong)


def test_parameter_without_default() -> None:
    """A parameter without default must be given; the message says which."""
    with pytest.raises(InputError, match="PAR"):
        compile_indices(["NIRvP"], ("red", "nir"))
    with pytest.raises(InputError, match="lambdaN"):
        compile_indices(["FAI"], SENTINEL_2)


def test_parameters_without_value() -> None:
    """Parameters with which the formula's numbers have no value are refused."""
    with pytest.raises(InputError, match="divides by zero"):
        compile_indices(["CRSWIR"], SENTINEL_2, {"lambdaS2": 865, "lambdaN2": 865, "lambdaS1": 1610})
    with pytest.raises(InputError, match="no value"):
        compile_indices(["DVIplus"], SENTINEL_2, {"lambdaN": 842, "lambdaR": 665, "lambdaG": 842})
    with pytest.raises(InputError, match="too large"):
        compile_indices(["SAVI"], SENTINEL_2, {"L": 1e300})
    with pytest.raises(InputError, match="power"):
        compile_indices(["GDVI"], SENTINEL_2, {"nexp": 1e6})


HOSTILE = [
    "", " ", "N R", "N +", "(N", "N)", "()", "[N]", "{N}", "N,", "N, R", "N;R", "N:=R", "N = R", "N == R", "N < R",
    "N and R", "not N", "N if R else B", "lambda: N", "N.real", "N.__class__", "__import__('os')", "().__class__",
    "exec(N)", "eval(N)", "open(N)", "exp", "exp()", "exp(N, R)", "exp(x=N)", "exp(*N)", "(exp)(N)(R)", "N(R)",
    "exp.real(N)", "N[0]", "N @ R", "N % R", "N // R", "N << 2", "~N", "N | R", "N ^ R", "'N'", "b'N'", "f'{N}'",
    "1j * N",     "1_0j", "True", "None", "...", "N\nR", "N\\\nR", "N # R", "N\x00", "\uff2e - R", "N \u2212 R",
    "await N", "yield N", "unknown", "os", "N + unknown", "1", "2 ** 3", "9" * 500,
    "1e400 * N", "N ** 1e400", "N ** 1000", "N ** -17", "N ** R",
    "2 ** N", "10 ** 10 ** 10 * N", "10.0 ** 400 * N", "(-8) ** 0.5 * N", "1 / 0 * N", "N / 0",
    "N / (1 - 1)", "log(0) * N", "sqrt(-1) * N",
    "exp(1000) * N", "-" * 300 + "N", "(" * 250 + "N" + ")" * 250, "+".join("N" * 400), "N" * (MAX_LENGTH + 1),
    "N" + " " * MAX_LENGTH, "exp(" * 100 + "N" + ")" * 100, "0xFFN", "0777",
    "1_0 * N", "1e5or N", "1if N else 2", "N ** (R - R)",
]  # fmt: skip


@pytest.mark.parametrize("formula", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_formulas_are_refused(formula: str) -> None:
    """Whatever is no formula of numbers, bands and the allowed operations is refused, before anything is computed."""
    with pytest.raises(InputError):
        compile_indices([make_index("own", formula)], SENTINEL_2)


def test_formula_of_another_type_is_refused() -> None:
    """A formula is text."""
    nothing: Any = None
    with pytest.raises(InputError, match="empty"):
        parse(nothing)


@pytest.mark.parametrize("name", ["", "1N", "a b", "a-b", "__class__", "a" * 41, "é", None])
def test_hostile_names_are_refused(name: Any) -> None:
    """The name of an index becomes the name of a variable, so it holds letters, digits and underscores."""
    with pytest.raises(InputError, match="name"):
        make_index(name, "N - R")


@settings(max_examples=60, deadline=None)
@given(st.text("NRB019.eE+-*/() expsqrtlog_", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Of any text, the reader gives numbers, names and operations, or refuses it."""
    try:
        found = parse(text)
    except InputError:
        return
    assert all(isinstance(token, float) or token in OPERATIONS or token.isidentifier() for token in found)
    assert len(names_in(found)) == len(set(names_in(found)))


def trees() -> st.SearchStrategy[str]:
    """Draw formulas with brackets around everything."""
    joints, heads = st.sampled_from([" + ", " - ", " * ", " / "]), st.sampled_from(["-(", "sqrt(", "(1.0 * "])
    powers = st.sampled_from([" ** 2", " ** 3", " ** 0.5", " ** 1"])

    def more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        two = st.tuples(st.just("("), inner, joints, inner, st.just(")"))
        one = st.tuples(heads, inner, st.just(")"))
        power = st.tuples(st.just("("), inner, powers, st.just(")"))
        return st.one_of(two.map("".join), one.map("".join), power.map("".join))

    return st.recursive(st.sampled_from(["N", "R", "0.5", "2.0", "L"]), more, max_leaves=12)


@settings(max_examples=40, deadline=None)
@given(trees())
def test_program_is_the_formula(formula: str) -> None:
    """A formula of any form gives what numpy gives in float32, whose order of operations is the same."""
    values = {"N": f32([0.25, 0.5, np.nan]), "R": f32([0.75, 0.5, 0.1])}
    try:
        program = compile_indices([make_index("own", f"({formula}) * N")], ("red", "nir"))
    except InputError:
        # Numbers alone may have no value, as the root of -0.5.
        return
    words = {name: values[name] for name in values} | {"sqrt": np.sqrt, "L": 1.0, "__builtins__": {}}
    with np.errstate(all="ignore"):
        wanted = np.broadcast_to(eval(f"({formula}) * N", words), 3)  # drawn by this test, as reference
    found = program.run(np.stack([values["R"], values["N"]]))[0]
    there = np.isfinite(found)
    np.testing.assert_allclose(found[there], wanted[there].astype("float32"), rtol=1e-5, atol=1e-6)
    assert np.isnan(found[2]) or "N" not in formula


def test_own_index() -> None:
    """A formula of one's own may name letters, parameters and roles."""
    brightness = make_index("brightness", "sqrt(green ** 2 + R ** 2 + nir ** 2)", title="Brightness")
    assert brightness.bands == ("green", "red", "nir")
    found = evaluate(brightness, {"green": 0.1, "red": 0.2, "nir": 0.2})
    assert found.item() == pytest.approx(0.3)
    thermal = make_index("warm", "oa21 * log(exp(red)) / 2", bands=["oa21"], unit=None)
    assert evaluate([thermal], {"oa21": 3.0, "red": 2.0}).item() == pytest.approx(3.0)
    with pytest.raises(InputError, match="unknown name"):
        make_index("warm", "oa21 * 2")


def test_missing_and_zero() -> None:
    """Missing bands, infinite bands and divisions by zero are missing, and never infinite or zero."""
    nan = np.nan
    found = evaluate(["NDVI", "SR"], {"red": [0.0, nan, 0.1, np.inf, 0.0], "nir": [0.0, 0.3, nan, 0.2, 0.3]})
    np.testing.assert_array_equal(found, f32([[nan] * 4 + [1.0], [nan] * 5]))


def test_program_is_a_value() -> None:
    """A program can be hashed, compared and pickled, and is the same each time."""
    bands = ("blue", "red", "nir")
    program = compile_indices(["NDVI", "EVI"], bands)
    assert program == compile_indices(["NDVI", "EVI"], list(bands))
    assert hash(program) == hash(pickle.loads(pickle.dumps(program)))
    assert tokenize(program) == tokenize(compile_indices(["NDVI", "EVI"], bands))
    assert program != compile_indices(["NDVI", "EVI"], bands, {"L": 0.5})
    assert compile_indices(["NDVI"], bands).used == ("red", "nir")


def test_equal_steps_are_done_once() -> None:
    """What formulas share is computed once: the difference of two bands, a kernel, a whole index."""
    steps = [row[0] for row in compile_indices(["NDVI", "DVI", "NIRv"], ("red", "nir")).table]
    assert steps.count(kernel.SUBTRACT) == 1
    assert steps.count(kernel.DIVIDE) == 1
    assert [row[0] for row in compile_indices(["kNDVI"], ("red", "nir")).table].count(kernel.EXPONENTIAL) == 1


def test_no_indices() -> None:
    """Without indices there is nothing, of the right shape."""
    assert compile_indices([], ("red",)).run(np.ones((1, 5), "float32")).shape == (0, 5)
    assert evaluate([], {"red": 1.0}).shape == (0,)


@pytest.mark.parametrize(
    "row",
    [
        (99, 3, 1, 2), (-1, 3, 1, 2), (kernel.LOAD, 3, 2, 0), (kernel.LOAD, 9, 0, 0), (kernel.STORE, 1, 3, 0),
        (kernel.STORE, 0, 9, 0), (kernel.ADD, 9, 1, 2), (kernel.ADD, 3, 9, 2), (kernel.ADD, 3, 1, 9),
        (kernel.ADD, 3, 3, 2), (kernel.ADD, 0, 1, 2), (kernel.ADD, 3, -1, 2),
    ],
)  # fmt: skip
def test_table_that_points_outside(row: tuple[int, int, int, int]) -> None:
    """A table made by somebody else cannot let the kernel read or write outside its arrays."""
    program = compile_indices(["SAVI"], ("red", "nir"))
    with pytest.raises(InputError, match="outside"):
        replace(program, table=(*program.table, row), slots=4)


@pytest.mark.parametrize("values", [np.ones((2, 3, 4), "f4"), np.ones((3, 4), "f4"), np.ones(2, "f4")])
def test_values_of_another_shape(values: NDArray[Any]) -> None:
    """Values have one row per band."""
    with pytest.raises(InputError, match="shape"):
        compile_indices(["NDVI"], ("red", "nir")).run(values)


def test_whole_numbers_are_refused() -> None:
    """Whole numbers have no NaN, and their missing value is not known."""
    with pytest.raises(InputError, match="reflectance"):
        compile_indices(["NDVI"], ("red", "nir")).run(np.ones((2, 4), "uint16"))
    with pytest.raises(InputError, match="red"):
        evaluate("NDVI", {"red": np.ones(2, "int16"), "nir": np.ones(2)})
    with pytest.raises(InputError, match="nir"):
        indices(xr.Dataset({"red": ("x", [0.5]), "nir": ("x", [5])}), "NDVI")


def test_arrays_of_any_kind() -> None:
    """Double precision, strided and read-only arrays give what plain ones give."""
    plain = np.random.default_rng(0).uniform(0, 1, (2, 600)).astype("float32")
    program = compile_indices(["NDVI"], ("red", "nir"))
    wanted = program.run(plain)
    fixed = plain.copy()
    fixed.flags.writeable = False
    strided = np.repeat(plain, 2, axis=1)[:, ::2]
    for values in (plain.astype("float64"), np.asfortranarray(plain), strided, fixed):
        np.testing.assert_array_equal(program.run(values), wanted)
    assert program.run(np.full((2, 3), 1e300)).shape == (1, 3)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(0, 9))
def test_cuts_do_not_matter(sizes: list[int], seed: int) -> None:
    """Pixels in pieces give what they give together, to the bit."""
    values = np.random.default_rng(seed).uniform(0, 0.6, (3, sum(sizes))).astype("float32")
    program = compile_indices(["GEMI", "kNDVI", "OCVI"], ("green", "red", "nir"))
    pieces = [program.run(piece) for piece in np.split(values, np.cumsum(sizes)[:-1], axis=1)]
    assert np.concatenate(pieces, axis=1).tobytes() == program.run(values).tobytes()


@pytest.mark.parametrize(("names", "bands"), [(["NDVI", "NDVI"], ["red", "nir"]), (["NDVI"], ["red", "nir", "red"])])
def test_named_twice(names: list[str], bands: list[str]) -> None:
    """An index or a band that comes twice is refused."""
    with pytest.raises(InputError, match="twice"):
        compile_indices(names, bands)


def test_missing_bands() -> None:
    """What is missing is said by role."""
    with pytest.raises(InputError, match="nir or nir08"):
        compile_indices(["NDVI"], ("red", "green"))
    with pytest.raises(InputError, match="NDVI"):
        evaluate("NDVI", {"red": 1.0})


def test_shapes_that_do_not_fit() -> None:
    """Arrays broadcast, or are refused."""
    found = evaluate("NDVI", {"red": np.full((2, 3), 0.1), "nir": np.full(3, 0.3)})
    np.testing.assert_allclose(found, np.full((1, 2, 3), 0.5), rtol=1e-6)
    with pytest.raises(InputError, match="do not fit"):
        evaluate("NDVI", {"red": np.ones(2), "nir": np.ones(3)})


def cube(lazy: bool = False) -> xr.Dataset:
    """Make a cube with a mask beside its bands."""
    values = np.random.default_rng(3).uniform(0, 0.6, (4, 3, 20, 30)).astype("float32")
    values[values < 0.05] = np.nan
    dims = ("time", "y", "x")
    found = xr.Dataset(
        {role: (dims, plane) for role, plane in zip(("blue", "green", "red", "nir08"), values, strict=True)},
        {"time": np.arange(3), "x": np.arange(30) + 0.5, "spatial_ref": 0},
        {"title": "a cube"},
    )
    found["scl"] = (dims, np.ones((3, 20, 30), "uint8"))
    for variable in found.data_vars.values():
        variable.encoding["grid_mapping"] = "spatial_ref"
    return found.chunk({"time": 2, "y": 7, "x": 11}) if lazy else found


def test_cube() -> None:
    """A cube gives one variable per index on its coordinates, with what it is."""
    found = indices(cube(), ["NDVI", "EVI"])
    assert list(found) == ["NDVI", "EVI"]
    assert found.NDVI.dims == ("time", "y", "x")
    assert found.NDVI.dtype == np.float32
    assert set(found.coords) == {"time", "x", "spatial_ref"}
    assert found.NDVI.attrs["long_name"] == "Normalized Difference Vegetation Index"
    assert found.NDVI.attrs["units"] == "1"
    assert found.NDVI.encoding["grid_mapping"] == "spatial_ref"
    np.testing.assert_allclose(found.NDVI, (cube().nir08 - cube().red) / (cube().nir08 + cube().red), rtol=1e-6)


def test_lazy_cube() -> None:
    """A lazy cube stays lazy, and computed it is what the same cube in memory gives, to the bit."""
    names = ["NDVI", "GEMI", "kNDVI", "OCVI"]
    found = indices(cube(lazy=True), names)
    assert all(isinstance(variable.data, da.Array) for variable in found.data_vars.values())
    assert found.NDVI.chunks == cube(lazy=True).red.chunks
    xr.testing.assert_identical(found.compute(), indices(cube(), names))
    again = indices(cube(lazy=True), names)
    assert [found[name].data.name for name in names] == [again[name].data.name for name in names]


def test_lazy_cube_computes_nothing_early() -> None:
    """Making the indices reads no block, and computing several reads each block once."""
    seen: list[int] = []

    def block(values: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(values.size)
        return values

    red = da.from_array(np.full((4, 4), 0.1, "f4"), chunks=2).map_blocks(block, dtype="f4", meta=np.empty((0, 0), "f4"))
    found = indices(xr.Dataset({"red": (("y", "x"), red), "nir": (("y", "x"), red * 3)}), ["NDVI", "SAVI", "DVI"])
    assert seen == []
    found.compute(scheduler="synchronous")
    assert seen == [4] * 4


def test_one_index_and_none() -> None:
    """One name gives one variable; no name gives none."""
    assert list(indices(cube(), "NDVI")) == ["NDVI"]
    assert list(indices(cube(), [])) == []
    own = make_index("brightness", "sqrt(G ** 2 + R ** 2)")
    assert "references" not in indices(cube(), own).brightness.attrs


def test_cube_without_the_bands() -> None:
    """A cube that lacks a band is refused by role."""
    with pytest.raises(InputError, match="swir16"):
        indices(cube(), "NDMI")


def test_band_without_time() -> None:
    """A band of fewer dimensions is taken at all dates."""
    mixed = cube().assign(red=cube().red.isel(time=0))
    found = indices(mixed, "NDVI").NDVI
    wanted = (mixed.nir08 - mixed.red) / (mixed.nir08 + mixed.red)
    np.testing.assert_allclose(found, wanted.transpose(*found.dims), rtol=1e-6)


@pytest.fixture
def other_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands for that of another release of the catalogue."""
    (tmp_path / "constants.json").write_text('{"L": {"default": 1}, "M": {"default": null}}', encoding="utf-8")
    monkeypatch.setattr(catalogue, "_folder", lambda: tmp_path)
    caches = (catalogue._catalogue, catalogue.constants)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def entry(formula: Any, **others: Any) -> dict[str, Any]:
    """Write an entry as the catalogue does."""
    return {"formula": formula, "long_name": "A", "application_domain": "water", "reference": "", **others}


def test_entries_that_cannot_be_computed_are_left_out(other_catalogue: Path) -> None:
    """An entry of another form or with a formula that is not allowed is left out, with the reason."""
    entries = {
        "OK": entry("(N - R) * L + M"), "CALL": entry("system(N)"), "NAME": entry("N - unheard"),
        "FLAT": entry("L * 2"), "TEXT": entry(5), "LONG": entry("N", long_name="x" * 1000), "LIST": [],
        "bad name": entry("N"),
    }  # fmt: skip
    raw = json.dumps({"SpectralIndices": entries})
    (other_catalogue / "spectral-indices-dict.json").write_text(raw, encoding="utf-8")
    assert index_names() == ("OK",)
    assert get_index("OK").parameters == (("L", 1.0), ("M", None))
    assert set(left_out()) == set(entries) - {"OK"}
    assert "unheard" in left_out()["NAME"]
    with pytest.raises(NotFoundError, match="cannot be computed"):
        get_index("CALL")


@pytest.mark.parametrize("raw", ["", "[]", "{", '{"SpectralIndices": 5}', "[" * 100000, " " * (9 * 2**20)])
def test_catalogue_that_cannot_be_read(other_catalogue: Path, raw: str) -> None:
    """A catalogue file that is cut, of another form or far too large is refused as such."""
    (other_catalogue / "spectral-indices-dict.json").write_text(raw, encoding="utf-8")
    with pytest.raises(StorageError, match="catalogue"):
        index_names()


def test_catalogue_that_is_absent(other_catalogue: Path) -> None:
    """Without the file, the error says what to do."""
    with pytest.raises(StorageError, match="reinstall"):
        index_names()


def test_index_is_frozen() -> None:
    """An index is a value."""
    index = get_index("NDVI")
    assert isinstance(index, Index)
    assert hash(index) == hash(get_index("NDVI"))
    assert isinstance(compile_indices([index], ("red", "nir")), Program)
