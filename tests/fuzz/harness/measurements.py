"""Small valid files of measurements of every kind, from which the fuzzing starts.

Where a mapping is needed it lies beside as ``mapping.yaml`` and is spoilt too.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import yaml

_HEADER = ["Lake", "Date", "Lon", "Lat", "Depth", "TN", "CHL"]
_ROWS = [
    ["A", "2019-08-03 10:30", 90.25, 31.5, 0.5, 0.61, 2.3],
    ["A", "2019-08-04 11:00", 90.25, 31.5, 5, 0.7, "<0.1"],
    ["B", "2019-08-05 09:15", 88.75, 30.125, 0.5, "n.d.", 12.25],
    ["B", "2019-10-27 02:30", 88.75, 30.125, "", -999, 4],
]
_MAPPING: dict[str, Any] = {
    "about": {"title": "Lakes", "licence": "CC-BY-4.0"},
    "station": {"column": "Lake"},
    "time": {"column": "Date", "format": "%Y-%m-%d %H:%M", "zone": "Europe/Warsaw"},
    "position": {"lon": "Lon", "lat": "Lat", "crs": "EPSG:4326"},
    "depth": {"column": "Depth", "unit": "m"},
    "missing": [-999],
    "columns": [
        {"column": "TN", "variable": "tn", "unit": "mg/L", "limit": 0.05},
        {"column": "CHL", "variable": "chlorophyll_a", "unit": "ug/L"},
    ],
}


def _mapping(folder: Path, told: dict[str, Any]) -> None:
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
    (folder / "mapping.yaml").write_text(text, encoding="utf-8")


def csv_wide(folder: Path) -> Path:
    """A column per variable."""
    _mapping(folder, {"kind": "csv", **_MAPPING})
    lines = [",".join(map(str, row)) for row in [_HEADER, *_ROWS]]
    (folder / "lakes.csv").write_text("\n".join(lines) + "\n")
    return folder / "lakes.csv"


def csv_long(folder: Path) -> Path:
    """A row per value, German spelling."""
    told = _MAPPING | {"time": {"column": "Date", "format": "%d.%m.%Y", "zone": "UTC"}, "columns": []}
    told |= {
        "layout": {"delimiter": ";", "decimal": ",", "encoding": "cp1252"},
        "long": {
            "variable_column": "What",
            "value_column": "Value",
            "unit_column": "Unit",
            "variables": {"Gesamtstickstoff": {"variable": "tn"}, "Trübung": {"variable": "turbidity_fnu"}},
        },
    }
    told["depth"], told["replicate_column"] = {"constant": 0.5}, "Lab"
    _mapping(folder, {"kind": "csv", **told})
    text = (
        "Lake;Date;Lon;Lat;What;Value;Unit;Lab\n"
        "See;03.08.2019;10,5;52,25;Gesamtstickstoff;0,61;mg/l;1\n"
        "See;03.08.2019;10,5;52,25;Trübung;12,5;FNU;1\n"
        "See;03.08.2019;10,5;52,25;Gesamtstickstoff;< 0,1;mg/l;2\n"
    )
    (folder / "lake.csv").write_bytes(text.encode("cp1252"))
    return folder / "lake.csv"


_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def _relation(kind: str, target: str, number: int = 1) -> str:
    return f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'


def _cell(row: int, column: int, value: Any, strings: list[str]) -> str:
    place = f"{'ABCDEFGHIJ'[column]}{row}"
    if isinstance(value, str):
        strings.append(value)
        return f'<c r="{place}" t="s"><v>{len(strings) - 1}</v></c>'
    return f'<c r="{place}" s="{1 if 40000 < value < 50000 else 0}"><v>{value}</v></c>'


def xlsx(folder: Path) -> Path:
    """A workbook with serial dates and a merged cell."""
    _mapping(folder, {"kind": "xlsx", **_MAPPING, "layout": {"sheet": "Data"}})
    strings: list[str] = []
    rows = [_HEADER, *[[row[0], 43680.5 + number, *row[2:]] for number, row in enumerate(_ROWS)]]
    cells = "".join(
        f'<row r="{number}">{"".join(_cell(number, at, value, strings) for at, value in enumerate(row))}</row>'
        for number, row in enumerate(rows, 1)
    )
    parts = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}">{_relation("officeDocument", "xl/workbook.xml")}'
        "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{_SHEETS}" xmlns:r="{_OFFICE}"><sheets>'
        '<sheet name="Data" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}">'
        f"{_relation('worksheet', 'worksheets/sheet1.xml')}{_relation('sharedStrings', 'sharedStrings.xml', 2)}"
        f"{_relation('styles', 'styles.xml', 3)}</Relationships>",
        "xl/styles.xml": f'<styleSheet xmlns="{_SHEETS}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/>'
        "</cellXfs></styleSheet>",
        "xl/sharedStrings.xml": f'<sst xmlns="{_SHEETS}">{"".join(f"<si><t>{_escaped(s)}</t></si>" for s in strings)}'
        "</sst>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SHEETS}"><dimension ref="A1:G5"/><sheetData>{cells}'
        '</sheetData><mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells></worksheet>',
    }
    return _zipped(folder / "lakes.xlsx", parts)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")


def _zipped(path: Path, parts: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, text in parts.items():
            out.writestr(zipfile.ZipInfo(name), text)
    return path


def ods(folder: Path) -> Path:
    """An OpenDocument sheet."""
    _mapping(folder, {"kind": "ods", **_MAPPING})
    rows = []
    for row in [_HEADER, *_ROWS]:
        cells = [
            f'<table:table-cell office:value-type="string"><text:p>{_escaped(value)}</text:p></table:table-cell>'
            if isinstance(value, str)
            else f'<table:table-cell office:value-type="float" office:value="{value}"/>'
            for value in row
        ]
        rows.append(f"<table:table-row>{''.join(cells)}</table:table-row>")
    urn = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<?xml version="1.0"?><office:document-content xmlns:office="{urn}:office:1.0" xmlns:table="{urn}:table:1.0" '
        f'xmlns:text="{urn}:text:1.0"><office:body><office:spreadsheet><table:table table:name="Data">'
        f'{"".join(rows)}<table:table-row table:number-rows-repeated="3"><table:table-cell '
        'table:number-columns-repeated="7"/></table:table-row></table:table></office:spreadsheet></office:body>'
        "</office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        f'<manifest:manifest xmlns:manifest="{urn}:manifest:1.0"><manifest:file-entry manifest:full-path="/" '
        f'manifest:media-type="{kind}"/></manifest:manifest>'
    )
    return _zipped(folder / "lakes.ods", {"mimetype": kind, "content.xml": content, "META-INF/manifest.xml": manifest})


def netcdf_series(folder: Path) -> Path:
    """Two stations over time, as CF has it."""
    with netCDF4.Dataset(folder / "series.nc", "w") as out:
        out.setncatts({"Conventions": "CF-1.11", "featureType": "timeSeries", "title": "Two stations"})
        for name, size in (("station", 2), ("time", 5), ("letters", 4)):
            out.createDimension(name, size)
        ids = out.createVariable("station_id", "S1", ("station", "letters"))
        ids.cf_role = "timeseries_id"
        ids[:] = netCDF4.stringtochar(np.array(["ABCD", "EFGH"], "S4"))
        time = out.createVariable("time", "f8", ("time",))
        time.setncatts({"standard_name": "time", "units": "days since 2019-08-01 00:00:00", "calendar": "standard"})
        time[:] = np.arange(5) + 0.5
        for name, values, unit in (
            ("lon", [10.5, 11.0], "degrees_east"),
            ("lat", [52.0, 53.0], "degrees_north"),
            ("z", [0.5, 2.0], "m"),
        ):
            one = out.createVariable(name, "f8", ("station",))
            long = {"lon": "longitude", "lat": "latitude", "z": "depth"}[name]
            one.setncatts({"standard_name": long, "units": unit} | ({"positive": "down"} if name == "z" else {}))
            one[:] = values
        heat = out.createVariable("temperature", "i2", ("station", "time"), fill_value=-999)
        heat.setncatts(
            {
                "standard_name": "sea_water_temperature",
                "units": "degree_Celsius",
                "scale_factor": 0.01,
                "add_offset": 0.0,
                "valid_min": np.int16(-200),
                "valid_max": np.int16(4000),
                "coordinates": "time lat lon z station_id",
                "ancillary_variables": "temperature_qc",
            }
        )
        heat.set_auto_maskandscale(False)
        heat[:] = np.arange(10).reshape(2, 5) * 100
        flag = out.createVariable("temperature_qc", "i1", ("station", "time"))
        flag.setncatts(
            {"standard_name": "status_flag", "flag_values": np.arange(3, dtype="i1"), "flag_meanings": "none good bad"}
        )
        flag[:] = np.arange(10).reshape(2, 5) % 3
    return folder / "series.nc"


def netcdf_profile(folder: Path) -> Path:
    """Profiles as a contiguous ragged array, in the classic format."""
    with netCDF4.Dataset(folder / "profiles.nc", "w", format="NETCDF3_CLASSIC") as out:
        out.setncatts({"Conventions": "CF-1.11", "featureType": "profile"})
        out.createDimension("profile", 2)
        out.createDimension("obs", 6)
        told: dict[str, tuple[str, tuple[str, ...], Any, dict[str, Any]]] = {
            "profile": ("i4", ("profile",), [1, 2], {"cf_role": "profile_id"}),
            "time": (
                "f8",
                ("profile",),
                [0.5, 1.5],
                {"standard_name": "time", "units": "days since 2019-08-01T00:00:00Z"},
            ),
            "lon": ("f4", ("profile",), [10.5, 10.5], {"standard_name": "longitude", "units": "degrees_east"}),
            "lat": ("f4", ("profile",), [52.0, 52.0], {"standard_name": "latitude", "units": "degrees_north"}),
            "rowSize": ("i4", ("profile",), [4, 2], {"sample_dimension": "obs"}),
            "z": (
                "f4",
                ("obs",),
                [1, 2, 3, 4, 1, 2],
                {"standard_name": "depth", "units": "m", "positive": "down", "axis": "Z"},
            ),
            "oxygen": (
                "f4",
                ("obs",),
                [9, 8, 7, 6, 9, 8],
                {
                    "standard_name": "mass_concentration_of_oxygen_in_sea_water",
                    "units": "mg L-1",
                    "coordinates": "time lon lat z",
                },
            ),
        }
        for name, (kind, dimensions, values, attributes) in told.items():
            one = out.createVariable(name, kind, dimensions)
            one.setncatts(attributes)
            one[:] = values
        out.platform_code = "LAKE1"
    return folder / "profiles.nc"


def argo(folder: Path) -> Path:
    """Two profiles of one float, one in delayed mode."""
    with netCDF4.Dataset(folder / "float_prof.nc", "w", format="NETCDF4_CLASSIC") as out:
        out.setncatts({"Conventions": "Argo-3.1 CF-1.6", "title": "Argo float vertical profile"})
        sizes = {"N_PROF": 2, "N_LEVELS": 4, "N_PARAM": 2, "STRING8": 8, "STRING16": 16, "STRING256": 256}
        for name, size in sizes.items():
            out.createDimension(name, size)

        def text(name: str, dimensions: tuple[str, ...], values: Any) -> None:
            one = out.createVariable(name, "S1", dimensions, fill_value=b" ")
            width = sizes.get(dimensions[-1], 1) if dimensions[-1].startswith("STRING") else 0
            one[:] = netCDF4.stringtochar(np.array(values, f"S{width}")) if width else np.array(values, "S1")

        text("DATA_TYPE", ("STRING16",), "Argo profile".ljust(16))
        text("PLATFORM_NUMBER", ("N_PROF", "STRING8"), ["3902131 "] * 2)
        text("STATION_PARAMETERS", ("N_PROF", "N_PARAM", "STRING16"), [["PRES".ljust(16), "TEMP".ljust(16)]] * 2)
        text("DATA_MODE", ("N_PROF",), ["D", "R"])
        text("JULD_QC", ("N_PROF",), ["1", "1"])
        text("POSITION_QC", ("N_PROF",), ["1", "8"])
        text("VERTICAL_SAMPLING_SCHEME", ("N_PROF", "STRING256"), ["Primary sampling: discrete []".ljust(256)] * 2)
        for name, values, unit in (
            ("JULD", [25000.5, 25010.5], "days since 1950-01-01 00:00:00 UTC"),
            ("LATITUDE", [43.5, 43.75], "degree_north"),
            ("LONGITUDE", [5.5, 5.25], "degree_east"),
        ):
            one = out.createVariable(name, "f8", ("N_PROF",), fill_value=999999.0)
            one.units = unit
            one[:] = values
        for name, start, unit in (("PRES", 5.0, "decibar"), ("TEMP", 13.5, "degree_Celsius")):
            for end in ("", "_ADJUSTED"):
                one = out.createVariable(f"{name}{end}", "f4", ("N_PROF", "N_LEVELS"), fill_value=99999.0)
                one.setncatts({"units": unit, "valid_min": np.float32(-2), "valid_max": np.float32(12000)})
                one[:] = start + np.arange(8).reshape(2, 4)
                text(f"{name}{end}_QC", ("N_PROF", "N_LEVELS"), [list("1114"), list("1289")])
    return folder / "float_prof.nc"


def wqp(folder: Path) -> Path:
    """Results and sites of the Water Quality Portal, the older columns."""
    names = (
        "MonitoringLocationIdentifier,ActivityIdentifier,ActivityTypeCode,ActivityMediaName,ActivityStartDate,"
        "ActivityStartTime/Time,ActivityStartTime/TimeZoneCode,ActivityDepthHeightMeasure/MeasureValue,"
        "ActivityDepthHeightMeasure/MeasureUnitCode,CharacteristicName,ResultSampleFractionText,"
        "ResultMeasureValue,ResultMeasure/MeasureUnitCode,ResultStatusIdentifier,ResultDetectionConditionText,"
        "DetectionQuantitationLimitTypeName,DetectionQuantitationLimitMeasure/MeasureValue,"
        "DetectionQuantitationLimitMeasure/MeasureUnitCode"
    )
    rows = (
        "WI-1,A1,Field Msr/Obs,Water,2011-05-09,12:20:00,CDT,1,m,Specific conductance,,1000,uS/cm,Final,,,,\n"
        "WI-1,A2,Sample-Routine,Water,2011-05-09,12:20:00,CDT,3,ft,Phosphorus,Total,0.02,mg/l as P,Accepted,,,,\n"
        "WI-1,A3,Sample-Routine,Water,2011-08-08,13:55:00,EST,,,Phosphorus,Total,,,Final,Not Detected,"
        "Method Detection Level,0.01,mg/l as P\n"
        "WI-1,A4,Quality Control Sample-Field Blank,Water,2011-08-08,13:55:00,EST,,,Phosphorus,Total,1,mg/l,Final,,,,\n"
    )
    (folder / "results.csv").write_text(f"{names}\n{rows}")
    (folder / "sites.csv").write_text(
        "MonitoringLocationIdentifier,MonitoringLocationName,LatitudeMeasure,LongitudeMeasure,"
        "HorizontalCoordinateReferenceSystemDatumName\nWI-1,Lake Mendota,43.1,-89.4,NAD83\n"
    )
    return folder / "results.csv"


def wqp_3(folder: Path) -> Path:
    """Results of the Water Quality Portal, the newer columns."""
    (folder / "results.csv").write_text(
        "Location_Identifier,Location_Name,Location_Latitude,Location_Longitude,"
        "Location_HorzCoordReferenceSystemDatum,Activity_StartDate,Activity_StartTime,Activity_StartTimeZone,"
        "Activity_TypeCode,Activity_Media,Activity_ActivityIdentifier,Result_Characteristic,Result_SampleFraction,"
        "Result_Measure,Result_MeasureUnit,Result_MeasureStatusIdentifier,Result_ResultDetectionCondition,"
        "DetectionLimit_TypeA,DetectionLimit_MeasureA,DetectionLimit_MeasureUnitA\n"
        "USGS-1,Creek,43.1,-89.4,NAD83,2020-05-09,12:20:00,EDT,Sample-Routine,Water,A,Nitrogen,Total,0.5,mg/l,Accepted,,,,\n"
        "USGS-1,Creek,43.1,-89.4,NAD83,2020-06-09,12:20:00,EDT,Sample-Routine,Water,B,Nitrogen,Total,,,Accepted,"
        "Not Detected,Reporting limit,0.1,mg/l\n"
    )
    return folder / "results.csv"


def nwis_rdb(folder: Path) -> Path:
    """Daily and instantaneous values as tab text, with a list of sites."""
    (folder / "dv.txt").write_text(
        "# retrieved 2020-02-20\n#\n"
        "agency_cd\tsite_no\tdatetime\ttz_cd\t6502_00060\t6502_00060_cd\t6503_00010\t6503_00010_cd\n"
        "5s\t15s\t20d\t6s\t14n\t10s\t14n\t10s\n"
        "USGS\t01491000\t2019-02-14 00:00\tEST\t120\tA\t4.5\tA\n"
        "USGS\t01491000\t2019-02-14 00:15\tEST\t121\tP\tIce\tP\n"
        "USGS\t01491000\t2019-07-14 00:30\tEDT\t<5\tA:e\t\t\n"
    )
    (folder / "sites.txt").write_text(
        "#\nagency_cd\tsite_no\tstation_nm\tdec_lat_va\tdec_long_va\tdec_coord_datum_cd\n5s\t15s\t50s\t16s\t16s\t10s\n"
        "USGS\t01491000\tCHOPTANK RIVER\t38.997\t-75.786\tNAD83\n"
    )
    return folder / "dv.txt"


def nwis_json(folder: Path) -> Path:
    """Instantaneous values as WaterML in JSON."""
    points = [
        {"value": "120", "qualifiers": ["A"], "dateTime": "2019-02-14T00:00:00.000-05:00"},
        {"value": "-999999", "qualifiers": ["P", "Ice"], "dateTime": "2019-02-14T00:15:00.000-05:00"},
        {"value": "121.5", "qualifiers": ["P", "e"], "dateTime": "2019-02-14T00:30:00.000-05:00"},
    ]
    series = {
        "sourceInfo": {
            "siteName": "CHOPTANK RIVER",
            "siteCode": [{"value": "01491000", "network": "NWIS", "agencyCode": "USGS"}],
            "timeZoneInfo": {"defaultTimeZone": {"zoneOffset": "-05:00", "zoneAbbreviation": "EST"}},
            "geoLocation": {"geogLocation": {"srs": "EPSG:4326", "latitude": 38.997, "longitude": -75.786}},
        },
        "variable": {
            "variableCode": [{"value": "00060", "network": "NWIS"}],
            "unit": {"unitCode": "ft3/s"},
            "options": {"option": [{"name": "Statistic", "optionCode": "00000"}]},
            "noDataValue": -999999.0,
        },
        "values": [{"value": points, "method": [{"methodID": 6502}]}],
        "name": "USGS:01491000:00060:00000",
    }
    told = {"name": "ns1:timeSeriesResponseType", "value": {"queryInfo": {}, "timeSeries": [series]}}
    (folder / "iv.json").write_text(json.dumps(told, indent=1))
    return folder / "iv.json"


def donar(folder: Path) -> Path:
    """Two series, one with a fixed step and one without."""
    _mapping(folder, {"kind": "donar", "time": {"zone": "+01:00"}})
    (folder / "level.dia").write_text(
        "[IDT;*DIF*;A;CENT;20181127]\n[W3H]\nWNS;1\nPAR;WATHTE\nCPM;10;Oppervlaktewater\nEHD;I;cm\nHDH;NAP;NAP\n"
        "LOC;DOVR;Dover;P;E50;1190000;51070000\nANA;F007;Waterhoogte\nTYP;TE\n[RKS]\n"
        "TYD;20080101;0000;20080101;0300;60;min\n[TPS]\nSTA;20080101;0000;20080101;0300;O\n[WRD]\n"
        "-181/0:-175/25:\n999999999/99:-19/0:\n"
        "[W3H]\nWNS;2\nPAR;T;Temperatuur\nCPM;10;Oppervlaktewater\nEHD;I;oC\nHDH;NVT\n"
        "LOC;HOEKVHLD;Hoek van Holland;P;RD;6793000;44400000\nTYP;TN\n[RKS]\n[TPS]\nSTA;G\n[WRD]\n"
        "20080101;1030;12,5/0:20080102;2400;12,0/50:\n",
        encoding="latin-1",
    )
    return folder / "level.dia"


def noos(folder: Path) -> Path:
    """A series of a gauge."""
    (folder / "level.noos").write_text(
        "#------------\n# Location    : vlissingen\n# Position    : (3.597577,51.443861)\n# Source      : observed\n"
        "# Unit        : waterlevel\n# Analyse time: 000000000000\n# Timezone    : MET\n#------------\n"
        "201801010000   2.5000\n201801010010   -999.0\n201801010020   2.3100\n"
    )
    return folder / "level.noos"


def gnss_tenv3(folder: Path) -> Path:
    """Two days of a station."""
    (folder / "P123.NA.tenv3").write_text(
        "site YYMMMDD yyyy.yyyy __MJD week d reflon _e0(m) __east(m) ____n0(m) _north(m) u0(m) ____up(m) _ant(m) "
        "sig_e(m) sig_n(m) sig_u(m) __corr_en __corr_eu __corr_nu _latitude(deg) _longitude(deg) __height(m)\n"
        "P123 08JAN01 2008.0000 54466 1460 2 -110.3 -1234 0.512345 4012345 0.123456 1500 0.654321 0.0083 "
        "0.000712 0.000811 0.003112 0.01 0.02 0.03 36.2 -110.3 1500.65\n"
        "P123 08JAN02 2008.0027 54467 1460 3 -110.3 -1234 0.513345 4012345 0.124456 1500 0.652321 0.0083 "
        "0.000712 0.000811 9.999999 0.01 0.02 0.03 36.2 -110.3 1500.65\n"
    )
    return folder / "P123.NA.tenv3"


def gnss_pos(folder: Path) -> Path:
    """Two days of a PBO series."""
    (folder / "P123.pos").write_text(
        "PBO Station Position Time Series. Reference Frame : IGS08\nFormat Version: 1.1.0\n4-character ID: P123\n"
        "Station name  : Somewhere\nFirst Epoch   : 20080101 120000\n"
        "XYZ Reference position :  -1793729.0  -4832517.0 3746400.0 (IGS08)\n"
        "NEU Reference position :    36.2000000000  249.7000000000 1500.65000 (IGS08/WGS84)\n"
        "Start Field Description\ndN            Difference in North component from NEU reference position, meters\n"
        "End Field Description\n"
        "*YYYYMMDD HHMMSS JJJJJ.JJJJ X Y Z Sx Sy Sz Rxy Rxz Ryz NLat Elong Height dN dE dU Sn Se Su Rne Rnu Reu Soln\n"
        " 20080101 120000 54466.5000 1 2 3 0.001 0.001 0.001 0 0 0 36.2 249.7 1500.65 0.00123 -0.00456 0.00789 "
        "0.001 0.001 0.003 0 0 0 final\n"
        " 20080102 120000 54467.5000 1 2 3 0.001 0.001 0.001 0 0 0 36.2 249.7 1500.65 0.00133 -0.00466 0.00889 "
        "0.001 0.001 0.003 0 0 0 rapid\n"
    )
    return folder / "P123.pos"
