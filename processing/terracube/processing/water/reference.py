"""The page of all retrievals, written from what is registered: `python -m terracube.processing.water.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

from terracube.processing.water.assembly import costs
from terracube.processing.water.coefficients import ANY, CoefficientSet, load_coefficients
from terracube.processing.water.retrievals import evidence, get_retrieval, retrieval_names
from terracube.processing.water.retrievals.base import Retrieval
from terracube.processing.water.sensors import WaterSensor, load_water_sensor, water_sensor_names

_WIDTH = 120
# Sections of the page, by the first word of a name.
_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Suspended matter": ("spm",),
    "Turbidity": ("turbidity",),
    "Chlorophyll": ("chl",),
    "Algae and blooms": ("ndci", "fai", "afai", "mph", "flh", "slh", "ci", "cyano", "bloom"),
    "Light in the water": ("kd490", "kdpar", "zeu", "secchi"),
    "Inherent optical properties": tuple(f"{letter}{nm}" for letter in ("a", "bbp") for nm in range(400, 800)),
    "Dissolved organic matter": ("cdom",),
    "Colour": ("hue", "forel", "dominant"),
    "Water types": ("owt",),
    "Trophic state": ("tsi",),
}
_TAKES = {"rhow": "rhow", "rrs": "Rrs", "any": "any", "ratio": "a ratio"}
_HEAD = """# Water retrievals

Every product that [water](water.md) can make of a spectrum. This page is written from what is registered, by
`python -m terracube.processing.water.reference > docs/water-retrievals.md`; a test compares the two. From Python:
`water.describe()`, with `sensor="S2A_MSI"` only what that sensor allows.

- **takes**: the quantity that the formula is for. What is declared as `rhow` or `rrs` is brought to it; `rhos` has to
  be [corrected](water.md#correction) first. Of *a ratio* rhow and Rrs give the same; indices take *any* of the three.
- **bands**: roles, as in [scenes](scene.md); numbers are wavelengths in nm, for the sensor's band within 8 nm. In
  brackets those that are used where they are there.
- **sensors**: MSI (Sentinel-2), TM, ETM, OLI (Landsat 5; 7; 8 and 9), OLCI (Sentinel-3), MERIS, MODIS.
- **range**: of calibration, in the unit of the product. Beyond it a value is kept and flagged.
- **error**: of the formula, one standard deviation: relative, or with + an absolute part in the unit of the product.
- **shown by**: what speaks for the code, with how many spectra of how many agree. A *reference table* is of another
  processor, a *paper* its example; *exact* is the formula of the paper, written a second time; *simulation* is a
  spectrum whose content is known. It says that the formula is as published, not that it is right in your lake.
- A name in *italics* is of little skill, and says so in its attributes too.
"""


def page() -> str:
    """Write the page, in Markdown.

    Examples
    --------
    >>> "`spm_nechad2016`" in page()
    True
    """
    parts = [_HEAD]
    sections = _sections()
    for title, names in sections.items():
        parts.append(f"\n## {title}\n\n{_table(names)}\n{_sources(names)}")
    return "".join(parts)


def _sections() -> dict[str, list[str]]:
    """Give the names of each section; what has none of its own comes last."""
    of_word = {word: title for title, words in _SECTIONS.items() for word in words}
    found: dict[str, list[str]] = {title: [] for title in (*_SECTIONS, "Others")}
    for name in retrieval_names():
        found[of_word.get(name.partition("_")[0], "Others")].append(name)
    return {title: names for title, names in found.items() if names}


def _table(names: Iterable[str]) -> str:
    rows = [
        "| name | what | unit | takes | bands | sensors | range | error | shown by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows += ["| " + " | ".join(_row(get_retrieval(name))) + " |" for name in names]
    return "\n".join(rows) + "\n"


def _row(one: Retrieval) -> tuple[str, ...]:
    able = [sensor for sensor in map(load_water_sensor, water_sensor_names()) if _can(one, sensor)]
    sets = [(sensor.name, one.coefficient_set(sensor)) for sensor in able]
    proof = evidence()[one.name]
    name = f"*`{one.name}`*" if one.weak else f"`{one.name}`"
    return (
        name, one.title, one.unit, _TAKES[one.quantity], _bands(one), _instruments([sensor.name for sensor in able]),
        _by_sensor([(sensor, _range(known)) for sensor, known in sets]),
        _by_sensor([(sensor, _error(known)) for sensor, known in sets]), f"{proof.kind}, {proof.n} of {proof.of}",
    )  # fmt: skip


def _can(one: Retrieval, sensor: WaterSensor) -> bool:
    quantity = one.quantity if one.quantity in ("rhow", "rrs") else "rhow"
    return not costs([one.name], sensor, list(sensor.bands), quantity)


def _bands(one: Retrieval) -> str:
    more = [str(key) for key in one.also if key not in one.needs]
    return ", ".join(map(str, one.needs)) + (f" ({', '.join(more)})" if more else "")


def _instruments(names: Sequence[str]) -> str:
    """Write instruments; and which satellite, where not all that carry it are meant."""
    everyone = [name.partition("_")[::2] for name in water_sensor_names()]
    told = []
    for instrument in dict.fromkeys(instrument for _, instrument in everyone):
        carriers = [carrier for carrier, own in everyone if own == instrument]
        mine = [carrier for carrier in carriers if f"{carrier}_{instrument}" in names]
        if mine:
            told.append(instrument if mine == carriers else f"{instrument} ({', '.join(mine)})")
    return ", ".join(told) or "none yet"


def _by_sensor(told: Sequence[tuple[str, str]]) -> str:
    """Write a fact once where it is the same for all sensors, else by instrument."""
    facts = list(dict.fromkeys(fact for _, fact in told))
    if len(facts) <= 1:
        return "".join(facts)
    return "; ".join(f"{_instruments([name for name, own in told if own == fact])}: {fact or '-'}" for fact in facts)


def _range(known: CoefficientSet) -> str:
    return "" if known.range is None else f"{known.range[0]:g} to {known.range[1]:g}"


def _error(known: CoefficientSet) -> str:
    relative, absolute = known.error.relative, known.error.absolute
    told = [f"{100 * relative:.3g} %"] * (relative > 0) + [f"{absolute:g}"] * (absolute > 0)
    return " + ".join(told)


def _sources(names: Iterable[str]) -> str:
    """Write where the numbers are from, each set of coefficients once."""
    lines = ["Coefficients:\n"]
    for name in dict.fromkeys(get_retrieval(name).coefficients for name in names):
        told: dict[str, list[str]] = {}
        for one in load_coefficients(name).sets:
            text = f"{' '.join(one.source.split()).rstrip('.')}. Read: {one.checked}. Error: {_plain(one.error.basis)}."
            told.setdefault(text, []).extend(one.sensors)
        for text, sensors in told.items():
            whom = "" if ANY in sensors or len(told) == 1 else f" ({_instruments(sensors)})"
            lines.append(_wrapped(f"- `{name}`{whom}: {text}"))
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> str:
    """Wrap an entry of a list; never before a minus sign, which would begin another list."""
    held = text.replace(" - ", "\xa0-\xa0").replace(" + ", "\xa0+\xa0")
    return fill(held, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False).replace(
        "\xa0", " "
    )


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


if __name__ == "__main__":
    sys.stdout.write(page())
