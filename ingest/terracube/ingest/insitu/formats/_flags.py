"""Flags of producers as flags of QARTOD.

References
----------
IOOS, Manual for Real-Time Quality Control of Oceanographic Data: Data Flags, version 1.2, table 2.
IOC Manuals and Guides 54, volume 3 (2013), DOI 10.25607/OBP-6.
Argo user's manual, DOI 10.13155/29825, reference table 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from terracube.ingest.insitu.table import FAIL, GOOD, MISSING, NOT_EVALUATED, SUSPECT

#: What flags are called in ``flag_meanings``. "Probably good" is good: its producers mean it to be used as such.
_WORDS: Mapping[int, str] = {
    GOOD: """good good_data good_value good_quality pass passed pass_qc valid ok correct correct_value probably_good
    probably_good_data probably_good_value probably_correct value_changed changed changed_value accepted approved""",
    NOT_EVALUATED: """not_evaluated unknown no_qc_performed no_qc no_quality_control not_checked unchecked not_used
    not_evaluated_not_available_or_unknown quality_not_evaluated interpolated interpolated_value estimated
    estimated_value""",
    SUSPECT: """suspect suspicious questionable doubtful suspect_or_of_high_interest high_interest probably_bad
    probably_bad_data probably_bad_value probably_incorrect bad_data_that_are_potentially_correctable
    potentially_correctable_bad_data questionable_suspect suspect_value questionable_value inconsistent""",
    FAIL: "fail failed bad bad_data bad_value erroneous incorrect rejected invalid",
    MISSING: "missing missing_data missing_value value_missing no_data absent",
}
_MEANINGS = {word: flag for flag, words in _WORDS.items() for word in words.split()}
ARGO: Mapping[str, int] = {
    "0": NOT_EVALUATED, "1": GOOD, "2": GOOD, "3": SUSPECT, "4": FAIL, "5": GOOD,
    "6": NOT_EVALUATED, "7": NOT_EVALUATED, "8": NOT_EVALUATED, "9": MISSING,
}  # fmt: skip
"""Argo's reference table 2. 2 "probably good" and 5 "changed" are good, 8 is interpolated, 6 and 7 have no meaning."""
_ORDER = {GOOD: 0, NOT_EVALUATED: 1, SUSPECT: 2, FAIL: 3, MISSING: 4}


def flag_of(meaning: str, told: Mapping[str, int]) -> int | None:
    """Give the QARTOD flag of a word of ``flag_meanings``, None if it is not known; ``told`` goes first.

    Examples
    --------
    >>> flag_of("Probably_Bad", {}), flag_of("fishy", {}), flag_of("fishy", {"fishy": 3})
    (3, None, 3)
    """
    if meaning in told:
        return told[meaning]
    return _MEANINGS.get(re.sub(r"[^a-z]+", "_", meaning.lower()).strip("_"))


def worst(flags: list[np.ndarray]) -> np.ndarray:
    """Give the worst of several flags per cell: fail, then suspect, then not evaluated, then good."""
    ranks = np.zeros(256, dtype="uint8")
    for flag, rank in _ORDER.items():
        ranks[flag] = rank
    back = np.array(sorted(_ORDER, key=_ORDER.__getitem__), dtype="uint8")
    return np.asarray(back[np.max([ranks[flag] for flag in flags], axis=0)])
