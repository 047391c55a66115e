"""What spectral indices there are: the catalogue of spyndex, with bands by our roles.

The catalogue is that of Montero et al. 2023 (doi:10.1038/s41597-023-02096-0), as the package ``spyndex`` carries it;
the file is read, the package is not imported.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from terracube.core.errors import InputError, NotFoundError, StorageError
from terracube.core.sensors import load_sensor
from terracube.processing.landcover.indices.formula import names_in, parse
from terracube.processing.landcover.indices.letters import KERNELS, LETTERS

_WITHOUT_UNIT = frozenset(LETTERS) - {"T", "T1", "T2", "VV", "VH", "HV", "HH"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_MAX_BYTES = 8 * 2**20
_MAX_ENTRIES = 5000


@dataclass(frozen=True, slots=True)
class Index:
    """A spectral index: what it is called, its formula, and what the formula needs."""

    name: str
    """Short name, such as ``NDVI``."""
    title: str
    domain: str
    """Field of use: vegetation, water, burn, urban, soil, radar, snow, clouds, kernel; ``own`` for a user's."""
    formula: str
    """As the catalogue writes it, in letters of bands and names of parameters."""
    letters: tuple[str, ...]
    """Names of bands in the formula, kernel terms resolved: letters of the catalogue, or roles in a user's formula."""
    parameters: tuple[tuple[str, float | None], ...]
    """Names of other numbers in the formula and their defaults; None where the user must give one."""
    reference: str
    unit: str | None
    """``"1"``, or None where it depends on the units of thermal or radar bands."""
    platforms: tuple[str, ...] = ()
    """Satellites for which the catalogue lists it."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Roles of the bands that it needs, of several possible ones the preferred."""
        return tuple(dict.fromkeys(LETTERS.get(letter, (letter,))[0] for letter in self.letters))

    def roles(self, bands: Collection[str]) -> dict[str, str] | None:
        """Say which of these bands each letter is; None if one is absent, or two letters would be one band.

        Examples
        --------
        >>> get_index("NDVI").roles(["red", "nir08"])
        {'N': 'nir08', 'R': 'red'}
        """
        found: dict[str, str] = {}
        for letter in self.letters:
            role = next((role for role in LETTERS.get(letter, (letter,)) if role in bands), None)
            if role is None:
                return None
            found[letter] = role
        return found if len(set(found.values())) == len(found) else None


def _folder() -> Path:
    """Find the data files of spyndex; the package is not imported, because only its files are needed."""
    spec = find_spec("spyndex")
    if spec is None or not spec.submodule_search_locations:
        raise NotFoundError("the catalogue of spectral indices is not installed", todo="install spyndex")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _read(name: str) -> Mapping[str, Any]:
    path = _folder() / name
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise StorageError(
                "the catalogue of spectral indices is too large", where=name, got=str(path.stat().st_size)
            )
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(
            "the catalogue of spectral indices cannot be read", where=name, todo="reinstall spyndex"
        ) from error
    if not isinstance(found, dict):
        raise StorageError("the catalogue of spectral indices is no mapping", where=name, todo="reinstall spyndex")
    return found


@cache
def constants() -> Mapping[str, float | None]:
    """List the parameters of the catalogue's formulas with their defaults; None where there is none.

    Examples
    --------
    >>> constants()["L"], constants()["lambdaN"]
    (1.0, None)
    """
    raw = _read("constants.json")
    values = {name: entry.get("default") for name, entry in raw.items() if isinstance(entry, dict)}
    return MappingProxyType({name: None if value is None else float(value) for name, value in values.items()})


def _needs(formula: str, known: Mapping[str, float | None], roles: Collection[str]) -> tuple[list[str], list[str]]:
    """Split the names of a formula into bands and parameters; kernel terms give theirs."""
    letters: dict[str, None] = {}
    parameters: dict[str, None] = {}
    for name in names_in(parse(formula)):
        if name in KERNELS:
            inner = _needs(KERNELS[name], known, roles)
            letters.update(dict.fromkeys(inner[0]))
            parameters.update(dict.fromkeys(inner[1]))
        elif name in LETTERS or name in roles:
            letters[name] = None
        elif name in known:
            parameters[name] = None
        else:
            expected = f"letters of bands ({', '.join(LETTERS)}), roles of bands, or parameters ({', '.join(known)})"
            raise InputError(
                "the formula holds an unknown name", where="formula", expected=expected, got=repr(name)[:80]
            )
    return list(letters), list(parameters)


def _bounded(raw: Mapping[str, Any], key: str, *, limit: int = 600) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or len(value) > limit:
        raise InputError(f"the entry has no {key}, or one that is too long", where=key, got=repr(value)[:80])
    return value


def _index_from(name: str, raw: Mapping[str, Any], known: Mapping[str, float | None]) -> Index:
    formula = _bounded(raw, "formula")
    letters, parameters = _needs(formula, known, ())
    if not letters:
        raise InputError("the formula uses no band", where="formula", got=formula[:80])
    return Index(
        name=name,
        title=_bounded(raw, "long_name"),
        domain=_bounded(raw, "application_domain"),
        formula=formula,
        letters=tuple(letters),
        parameters=tuple((parameter, known[parameter]) for parameter in parameters),
        reference=_bounded(raw, "reference"),
        unit="1" if _WITHOUT_UNIT.issuperset(letters) else None,
        platforms=tuple(str(platform)[:80] for platform in raw.get("platforms", ())),
    )


@cache
def _catalogue() -> tuple[Mapping[str, Index], Mapping[str, str]]:
    """Read the catalogue: what can be computed, and what cannot with the reason."""
    raw = _read("spectral-indices-dict.json")
    entries = raw.get("SpectralIndices", raw)
    if not isinstance(entries, dict) or len(entries) > _MAX_ENTRIES:
        raise StorageError("the catalogue of spectral indices has another form", todo="install another spyndex")
    usable: dict[str, Index] = {}
    refused: dict[str, str] = {}
    for name in sorted(entries):
        if _NAME.fullmatch(name) is None or not isinstance(entries[name], dict):
            refused[name[:80]] = "its name or its entry has another form than the catalogue's"
            continue
        try:
            usable[name] = _index_from(name, entries[name], constants())
        except InputError as error:
            refused[name] = str(error)
    return MappingProxyType(usable), MappingProxyType(refused)


def index_names(domain: str | None = None) -> tuple[str, ...]:
    """List the indices of the catalogue that can be computed, sorted by name.

    Parameters
    ----------
    domain : str, optional
        Those of one field of use alone, such as ``"water"``.

    Examples
    --------
    >>> index_names("snow")[:3]
    ('NBSIMS', 'NDGlaI', 'NDSI')
    """
    return tuple(name for name, index in _catalogue()[0].items() if domain is None or index.domain == domain)


def left_out() -> Mapping[str, str]:
    """List the entries of the catalogue that cannot be computed, with the reason."""
    return _catalogue()[1]


def get_index(name: str) -> Index:
    """Look up an index of the catalogue.

    Raises
    ------
    NotFoundError
        If there is none of that name, or it is left out; the message has the nearest names, or the reason.

    Examples
    --------
    >>> get_index("NDVI").formula, get_index("NDVI").bands
    ('(N - R)/(N + R)', ('nir', 'red'))
    >>> get_index("SAVI").parameters
    (('L', 1.0),)
    """
    usable, refused = _catalogue()
    if name in usable:
        return usable[name]
    if name in refused:
        raise NotFoundError("this spectral index cannot be computed", where=name, got=refused[name])
    near = difflib.get_close_matches(str(name)[:80].upper(), [known.upper() for known in usable], n=4, cutoff=0.5)
    named = [known for known in usable if known.upper() in near]
    expected = f"such as {', '.join(named)}" if named else "a name of index_names()"
    raise NotFoundError("unknown spectral index", expected=expected, got=repr(name)[:80])


def make_index(name: str, formula: str, *, title: str = "", bands: Iterable[str] = (), unit: str | None = "1") -> Index:
    """Make an index of one's own from a formula in letters of the catalogue, parameters and roles of bands.

    Parameters
    ----------
    name : str
        Letters, digits and underscores, at most 40.
    formula : str
        Numbers, names, ``+ - * / **``, brackets, and ``sqrt``, ``exp``, ``log`` of one argument.
    title : str
    bands : iterable of str
        Roles that the formula names, beside those that the table of letters knows.
    unit : str, optional

    Raises
    ------
    InputError
        If the name or the formula is not allowed, or the formula uses no band.

    Examples
    --------
    >>> make_index("brightness", "sqrt(green ** 2 + red ** 2 + nir ** 2)").bands
    ('green', 'red', 'nir')
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InputError("an index has another name", where="name", expected="letters, digits, _", got=repr(name)[:80])
    roles = {role for candidates in LETTERS.values() for role in candidates} | set(bands)
    letters, parameters = _needs(formula, constants(), roles)
    if not letters:
        raise InputError("the formula uses no band", where="formula", got=formula[:80])
    defaults = tuple((parameter, constants()[parameter]) for parameter in parameters)
    return Index(name, title or name, "own", formula, tuple(letters), defaults, "", unit)


def available(bands: Iterable[str], parameters: Iterable[str] = ()) -> tuple[str, ...]:
    """List the indices of the catalogue that can be computed from bands of these roles.

    Parameters
    ----------
    bands : iterable of str
        Role names.
    parameters : iterable of str
        Names of parameters that will be given: those without default, such as the wavelengths, need it.

    Examples
    --------
    >>> "NDVI" in available(["red", "nir08"]), "EVI" in available(["red", "nir08"])
    (True, False)
    """
    present, given = frozenset(bands), frozenset(parameters)
    return tuple(
        name
        for name, index in _catalogue()[0].items()
        if index.roles(present) is not None
        and all(default is not None or parameter in given for parameter, default in index.parameters)
    )


def wavelengths(sensor: str) -> dict[str, float]:
    """Give the central wavelengths of a sensor as the parameters of the formulas that use them.

    Parameters
    ----------
    sensor : str
        Name of a described sensor, such as ``"sentinel-2-l2a"``.

    Returns
    -------
    dict
        ``lambdaG``, ``lambdaR``, ``lambdaN``, ``lambdaN2``, ``lambdaS1``, ``lambdaS2`` in nanometres, of those bands
        that the sensor has.

    Raises
    ------
    NotFoundError
        If there is no description of that sensor.

    Examples
    --------
    >>> wavelengths("sentinel-2-l2a")["lambdaS1"]
    1610.0
    """
    bands = load_sensor(sensor).bands
    found: dict[str, float] = {}
    for name in constants():
        letter = name.removeprefix("lambda")
        roles = [role for role in LETTERS.get(letter, ()) if name != letter and role in bands]
        centre = bands[roles[0]].center_wavelength if roles else None
        if centre is not None:
            found[name] = round(centre * 1000.0, 6)
    return found
