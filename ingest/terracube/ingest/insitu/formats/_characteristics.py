"""Which variable a characteristic of the Water Quality Portal is: name, fraction, species and unit together."""

from __future__ import annotations

import re

from terracube.ingest.insitu.vocabulary import Term, find_term, term_named

_PLAIN = {
    "temperature, water": "water_temperature",
    "temperature": "water_temperature",
    "specific conductance": "specific_conductance",
    "ph": "ph",
    "dissolved oxygen (do)": "dissolved_oxygen",
    "oxygen": "dissolved_oxygen",
    "dissolved oxygen saturation": "oxygen_saturation",
    "salinity": "practical_salinity",
    "depth, secchi disk depth": "secchi_depth",
    "total suspended solids": "suspended_matter",
    "suspended sediment concentration (ssc)": "suspended_matter",
    "volatile suspended solids": "suspended_matter_organic",
    "fixed suspended solids": "suspended_matter_inorganic",
    "total dissolved solids": "total_dissolved_solids",
    "chlorophyll a": "chlorophyll_a",
    "chlorophyll a, corrected for pheophytin": "chlorophyll_a",
    "chlorophyll a, uncorrected for pheophytin": "chlorophyll_a",
    "chlorophyll a (probe)": "chlorophyll_a_fluorescence",
    "pheophytin a": "phaeophytin",
    "stream flow, instantaneous": "discharge",
    "stream flow, mean. daily": "discharge",
    "kjeldahl nitrogen": "tkn",
    "hardness, ca, mg": "hardness",
    "chloride": "chloride",
    "sulfate": "sulfate",
    "calcium": "calcium",
    "magnesium": "magnesium",
    "sodium": "sodium",
    "potassium": "potassium",
    "true color": "colour",
    "silica": "silica",
    "mercury": "mercury",
}
_BY_UNIT = {"turbidity": {"ntu": "turbidity_ntu", "fnu": "turbidity_fnu"}}
#: Total and dissolved (filtered) of what is counted as one element anyway.
_BY_FRACTION = {
    "nitrogen": ("tn", "dtn", "N"),
    "total nitrogen": ("tn", "dtn", "N"),
    "nitrogen, mixed forms (nh3), (nh4), organic, (no2) and (no3)": ("tn", "dtn", "N"),
    "total nitrogen, mixed forms": ("tn", "dtn", "N"),
    "total nitrogen, mixed forms (nh3), (nh4), organic, (no2) and (no3)": ("tn", "dtn", "N"),
    "phosphorus": ("tp", "dtp", "P"),
    "total phosphorus, mixed forms": ("tp", "dtp", "P"),
    "organic carbon": ("toc", "doc", "C"),
}
_BY_SPECIES = {
    "nitrate": {"n": "no3_n", "no3": "no3"},
    "nitrite": {"n": "no2_n", "no2": "no2"},
    "nitrate + nitrite": {"n": "no3_no2_n"},
    "inorganic nitrogen (nitrate and nitrite)": {"n": "no3_no2_n"},
    "ammonia": {"n": "nh4_n", "nh4": "nh4"},
    "ammonium": {"n": "nh4_n", "nh4": "nh4"},
    "ammonia and ammonium": {"n": "nh4_n", "nh4": "nh4"},
    "ammonia-nitrogen": {"n": "nh4_n"},
    "orthophosphate": {"p": "po4_p", "po4": "po4"},
    "alkalinity": {"caco3": "alkalinity_caco3"},
    "alkalinity, total": {"caco3": "alkalinity_caco3"},
}
#: Characteristics that carry their species in the name.
_NAMED_SPECIES = {"ammonia-nitrogen": "n"}
_TOTAL = ("total", "unfiltered", "recoverable")
_DISSOLVED = ("dissolved", "filtered", "filterable")


def find_characteristic(name: str, fraction: str, species: str, unit: str) -> tuple[Term | None, str]:
    """Give the term that a characteristic means, else None and why not.

    Parameters
    ----------
    name, fraction, species, unit : str
        As delivered; the species may stand in the unit (``mg/l as N``).

    Examples
    --------
    >>> term, _ = find_characteristic("Nitrate", "Filtered", "as N", "mg/L")
    >>> term.name
    'no3_n'
    >>> find_characteristic("Nitrate", "", "", "mg/L")
    (None, 'counted as what is not told (n, no3)')
    """
    key = " ".join(name.lower().split())
    told = _species(species) or _species_of_unit(unit) or _NAMED_SPECIES.get(key, "")
    if key in _BY_UNIT:
        known = _BY_UNIT[key]
        found = known.get(unit.strip().lower())
        return (term_named(found), "") if found else (None, f"measured in none of {', '.join(known).upper()}")
    if key in _BY_SPECIES:
        known = _BY_SPECIES[key]
        if told in known:
            return term_named(known[told]), ""
        return None, f"counted as {told.upper()}" if told else f"counted as what is not told ({', '.join(known)})"
    if key in _BY_FRACTION:
        return _by_fraction(key, fraction, told)
    term = term_named(_PLAIN[key]) if key in _PLAIN else find_term(name)
    return term, "" if term else "not in the vocabulary"


def _by_fraction(key: str, fraction: str, told: str) -> tuple[Term | None, str]:
    total, dissolved, element = _BY_FRACTION[key]
    if told and told != element.lower():
        return None, f"counted as {told.upper()}"
    part = fraction.lower()
    if part.startswith(_TOTAL):
        return term_named(total), ""
    if part.startswith(_DISSOLVED):
        return term_named(dissolved), ""
    return None, "neither total nor dissolved"


def _species(text: str) -> str:
    """Give ``n`` of ``as N``."""
    return re.sub(r"^as\s+", "", text.strip().lower())


def _species_of_unit(unit: str) -> str:
    """Give what a unit counts as: ``mg/l as N``, ``mg/l asNO2``, ``mg/l CaCO3``, ``mg/l N``."""
    found = re.search(r"/\s*\w+\s+(?:as\s*)?(n|p|c|no2|no3|nh3|nh4|po4|caco3)\s*\**$", unit.strip().lower())
    return found[1] if found else ""
