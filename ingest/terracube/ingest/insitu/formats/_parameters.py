"""Codes of the National Water Information System: parameters, statistics, remarks.

References
----------
USGS, NWISWeb help system, "Codes": parameter_cd, stat_cd; "Instantaneous and daily value qualification codes".
"""

from __future__ import annotations

from collections.abc import Mapping as Words

#: Parameter codes: variable, unit, and the datum of a height.
PARAMETERS: Words[str, tuple[str, str, str]] = {
    "00010": ("water_temperature", "degC", ""),
    "00011": ("water_temperature", "degF", ""),
    "00020": ("air_temperature", "degC", ""),
    "00021": ("air_temperature", "degF", ""),
    "00025": ("air_pressure", "mmHg", ""),
    "00036": ("wind_direction", "degree", ""),
    "00045": ("precipitation", "inch", ""),
    "00052": ("relative_humidity", "%", ""),
    "00055": ("water_velocity", "ft/s", ""),
    "00060": ("discharge", "ft3/s", ""),
    "00061": ("discharge", "ft3/s", ""),
    "00065": ("water_level", "ft", "of the gage"),
    "00076": ("turbidity_ntu", "NTU", ""),
    "00078": ("secchi_depth", "m", ""),
    "00095": ("specific_conductance", "uS/cm", ""),
    "00300": ("dissolved_oxygen", "mg/L", ""),
    "00301": ("oxygen_saturation", "%", ""),
    "00400": ("ph", "standard units", ""),
    "00530": ("suspended_matter", "mg/L", ""),
    "00600": ("tn", "mg/L", ""),
    "00608": ("nh4_n", "mg/L", ""),
    "00613": ("no2_n", "mg/L", ""),
    "00618": ("no3_n", "mg/L", ""),
    "00631": ("no3_no2_n", "mg/L", ""),
    "00665": ("tp", "mg/L", ""),
    "00666": ("dtp", "mg/L", ""),
    "00671": ("po4_p", "mg/L", ""),
    "00680": ("toc", "mg/L", ""),
    "00681": ("doc", "mg/L", ""),
    "00940": ("chloride", "mg/L", ""),
    "00945": ("sulfate", "mg/L", ""),
    "32316": ("chlorophyll_a_fluorescence", "ug/L", ""),
    "32318": ("chlorophyll_a_fluorescence", "ug/L", ""),
    "62614": ("water_level", "ft", "NGVD29"),
    "62615": ("water_level", "ft", "NAVD88"),
    "63158": ("water_level", "ft", "NGVD29"),
    "63160": ("water_level", "ft", "NAVD88"),
    "63680": ("turbidity_fnu", "FNU", ""),
    "72255": ("water_velocity", "ft/s", ""),
    "80154": ("suspended_matter", "mg/L", ""),
    "90860": ("practical_salinity", "PSU", ""),
    "99133": ("no3_no2_n", "mg/L", ""),
}
STATISTICS = {
    "00001": "daily maximum",
    "00002": "daily minimum",
    "00003": "daily mean",
    "00006": "daily sum",
    "00008": "daily median",
}
#: Remarks: what kept the instrument from a value, or acted on it.
REMARKS = {
    "Ice",
    "Eqp",
    "Bkw",
    "Ssn",
    "Dis",
    "Fld",
    "Mnt",
    "Rat",
    "Dry",
    "ZFl",
    "Tst",
    "Pmp",
    "Unk",
    "Pr",
    "***",
    "--",
}
