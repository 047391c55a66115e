"""Small valid products of every satellite form, from which the fuzzing starts.

Each function writes into an empty folder and gives what the reader is called with. Where the tests of a reader write
such products by plain functions, these are used; else the product is written here, with the texts of those tests.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import netCDF4
import numpy as np
import rasterio
import yaml
from affine import Affine
from pyproj import CRS

_TESTS = Path(__file__).resolve().parents[2] / "ingest"
_UTM = Affine(80.0, 0.0, 600000.0, 0.0, -80.0, 4100000.0)
_DEGREES = Affine(0.001, 0.0, 29.0, 0.0, -0.001, 41.0)


@cache
def tests_of(name: str) -> ModuleType:
    """Load the module of tests that lies at a path below ``tests/ingest``."""
    path = _TESTS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"fuzz_{name.replace('/', '_')}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def tif(path: Path, values: Any, *, crs: str = "EPSG:32633", transform: Affine = _UTM, **told: Any) -> Path:
    """Write a small GeoTIFF, a band (y, x) or several."""
    layers = np.atleast_3d(np.asarray(values).T).T
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = told.pop("tags", {})
    size = {"count": layers.shape[0], "height": layers.shape[1], "width": layers.shape[2], "dtype": layers.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", **size, crs=crs, transform=transform, **told) as out:
        out.write(layers)
        out.update_tags(**tags)
    return path


def _scene() -> Any:
    return tests_of("readers/interferograms/conftest").Scene()


def safe(folder: Path) -> Path:
    """Sentinel-2 SAFE of 600 m, each band on one grid."""
    made = tests_of("readers/test_safe")
    made.SIDE = 600.0
    layers = made.SIZES.items()
    made.SIZES = {metres: tuple(name for name in names if made.NATIVE[name] == metres) for metres, names in layers}
    made.write_product(folder / f"{made.NAME}.SAFE")
    return folder / f"{made.NAME}.SAFE"


def _eopf(folder: Path, version: int) -> Path:
    made = tests_of("readers/test_eopf")
    made.SIDE = 600.0
    made.write_product(folder / f"{made.NAME}.zarr", version)
    return folder / f"{made.NAME}.zarr"


def eopf_2(folder: Path) -> Path:
    """EOPF in version 2 of Zarr."""
    return _eopf(folder, 2)


def eopf_3(folder: Path) -> Path:
    """EOPF in version 3 of Zarr."""
    return _eopf(folder, 3)


def stac_item(folder: Path) -> Path:
    """A scene of the simulator: an item with its bands beside it."""
    from terracube.ingest.simulate import Region, write_scenes

    (path, *_) = write_scenes(Region(seed=3, size=90), folder, dates=["2023-06-24"])
    for other in set(path.parent.parent.iterdir()) - {path.parent}:
        _remove(other)
    return path


def _remove(path: Path) -> None:
    for each in sorted(path.rglob("*"), reverse=True) if path.is_dir() else ():
        each.rmdir() if each.is_dir() else each.unlink()
    path.rmdir() if path.is_dir() else path.unlink()


def _theia(folder: Path, name: str) -> Path:
    made = tests_of("readers/test_theia")
    product = folder / getattr(made, name)
    product.mkdir()
    for path, (values, pixel) in made._layers(product.name, ("FRE", "SRE")).items():
        made._write(product / path, values, pixel)
    (product / f"{product.name}_MTD_ALL.xml").write_text(made._metadata(product.name), encoding="utf-8")
    return product


def theia_s2(folder: Path) -> Path:
    """MUSCATE, Sentinel-2."""
    return _theia(folder, "S2")


def theia_landsat(folder: Path) -> Path:
    """MUSCATE, Landsat."""
    return _theia(folder, "L8")


def _landsat(folder: Path, craft: str, kind: str) -> Path:
    made = tests_of("readers/test_landsat")
    name = f"{craft}_L2SP_001062_20201031_20201106_02_T1"
    (folder / name).mkdir()
    for band in (*made.BANDS[craft], "ST_QA", *made.QUALITY):
        made._write_tif(folder / name / f"{name}_{band}.TIF", made._values(band))
    made._write_mtl(folder / name / f"{name}_MTL{kind}", made._groups(name, made.BANDS[craft]))
    return folder / name


def landsat_txt(folder: Path) -> Path:
    """Landsat 8 with the metadata as text."""
    return _landsat(folder, "LC08", ".txt")


def landsat_json(folder: Path) -> Path:
    """Landsat 7 with the metadata as JSON."""
    return _landsat(folder, "LE07", ".json")


def landsat_xml(folder: Path) -> Path:
    """Landsat 8 with the metadata as XML."""
    return _landsat(folder, "LC08", ".xml")


def olci(folder: Path) -> Path:
    """A Sentinel-3 swath."""
    made = tests_of("readers/test_olci")
    product: Path = made.product(folder, *made.positions())
    return product


def c2rcc_2(folder: Path) -> Path:
    """A C2RCC cube in version 2 of Zarr."""
    made = tests_of("readers/test_c2rcc")
    path: Path = made.store(made.small(), folder / "cube.zarr", version=2)
    return path


def c2rcc_3(folder: Path) -> Path:
    """A C2RCC cube in version 3 of Zarr."""
    made = tests_of("readers/test_c2rcc")
    path: Path = made.store(made.small(), folder / "cube.zarr", version=3)
    return path


def c2rcc_nc(folder: Path) -> Path:
    """A C2RCC cube in NetCDF."""
    tests_of("readers/test_c2rcc").small().to_netcdf(folder / "cube.nc")
    return folder / "cube.nc"


def dimap_tif(folder: Path) -> Path:
    """DIMAP with GeoTIFF tiles."""
    path: Path = tests_of("readers/test_dimap").product(folder / "dimap")
    return path


def dimap_jp2(folder: Path) -> Path:
    """DIMAP with JPEG 2000 tiles."""
    path: Path = tests_of("readers/test_dimap").product(folder / "dimap", "JP2")
    return path


_ORTHO = {
    "datetime": "2021-07-14T10:32:00Z",
    "licence": "CC-BY-4.0",
    "access": "open",
    "platform": "aerial",
    "nodata": 0,
    "gsd": 0.5,
    "incidence_angle": 12.5,
    "bands": [{"role": "red"}, {"role": "green", "scale": 0.01, "offset": 1.0, "unit": "1"}],
}


def ortho(folder: Path) -> Path:
    """An orthoimage with its side-car."""
    values = np.arange(2 * 20 * 30, dtype="uint16").reshape(2, 20, 30)
    (folder / "ortho.yaml").write_text(yaml.safe_dump(_ORTHO))
    return tif(folder / "ortho.tif", values)


def ortho_json(folder: Path) -> Path:
    """An orthoimage with a side-car in JSON."""
    values = np.arange(2 * 20 * 30, dtype="uint16").reshape(2, 20, 30)
    (folder / "ortho.json").write_text(json.dumps(_ORTHO))
    return tif(folder / "ortho.tif", values)


def dem(folder: Path) -> Path:
    """An elevation model with its side-car."""
    told = {"vertical_datum": "EPSG:5773", "licence": "CC-BY-4.0", "datetime": "2015-06-01T00:00:00Z", "unit": "m"}
    (folder / "heights.yaml").write_text(yaml.safe_dump(told))
    return tif(folder / "heights.tif", np.arange(600, dtype="float32").reshape(20, 30), nodata=-32768)


def dem_compound(folder: Path) -> Path:
    """An elevation model that tells its datum itself."""
    (folder / "heights.yaml").write_text(yaml.safe_dump({"licence": "CC-BY-4.0", "datetime": "2015-06-01T00:00:00Z"}))
    values = np.arange(600, dtype="float32").reshape(20, 30)
    return tif(folder / "heights.tif", values, crs="EPSG:32633+5773", nodata=-32768)


def _hyp3(folder: Path, burst: bool) -> Path:
    made, scene = tests_of("readers/interferograms/test_hyp3"), _scene()
    name, text = (made.BURST, made.BURST_TEXT) if burst else (made.SCENE, made.GAMMA_TEXT)
    east, north, _ = scene.los
    layers = {
        "unw_phase": scene.grown,
        "corr": np.full(scene.shape, 0.8, "float32"),
        "lv_theta": np.full(scene.shape, math.radians(90 - scene.incidence), "float32"),
        "lv_phi": np.full(scene.shape, math.atan2(north, east), "float32"),
        "inc_map_ell": np.full(scene.shape, math.radians(scene.incidence), "float32"),
        "dem": np.full(scene.shape, 120, "int16"),
        "conncomp": np.ones(scene.shape, "float32"),
    }
    for end, values in layers.items():
        tif(folder / name / f"{name}_{end}.tif", values, nodata=0)
    tif(folder / name / f"{name}_water_mask.tif", np.ones(scene.shape, "uint8"))
    (folder / name / f"{name}.txt").write_text(text)
    return folder / name / f"{name}.txt"


def hyp3_gamma(folder: Path) -> Path:
    """A pair of whole scenes."""
    return _hyp3(folder, burst=False)


def hyp3_burst(folder: Path) -> Path:
    """A pair of bursts."""
    return _hyp3(folder, burst=True)


def licsar(folder: Path) -> Path:
    """A frame of one pair."""
    made, scene = tests_of("readers/interferograms/test_licsar"), _scene()
    root, pair = folder / made.FRAME, "20170302_20170314"
    place: dict[str, Any] = {"crs": "EPSG:4326", "transform": _DEGREES}
    tif(root / "interferograms" / pair / f"{pair}.geo.unw.tif", scene.grown, **place)
    tif(root / "interferograms" / pair / f"{pair}.geo.cc.tif", np.full(scene.shape, 204, "uint8"), **place)
    for name, part in zip("ENU", scene.los, strict=True):
        tif(root / "metadata" / f"{made.FRAME}.geo.{name}.tif", np.full(scene.shape, part, "float32"), **place)
    tif(root / "metadata" / f"{made.FRAME}.geo.hgt.tif", np.full(scene.shape, 7, "float32"), **place)
    (root / "metadata" / "metadata.txt").write_text(made.METADATA)
    (root / "metadata" / "baselines").write_text(made.BASELINES)
    return root


def gamma(folder: Path) -> Path:
    """A stack of one pair, in plain binaries."""
    made, scene = tests_of("readers/interferograms/test_gamma"), _scene()
    east, north, _ = scene.los
    layers = {
        f"{made.PAIR}_utm.unw": scene.grown,
        f"{made.PAIR}_utm.unw.cc": np.full(scene.shape, 0.7),
        "20180106_utm.dem": np.full(scene.shape, 55.0),
        "20180106_utm.lv_theta": np.full(scene.shape, math.radians(90 - scene.incidence)),
        "20180106_utm.lv_phi": np.full(scene.shape, math.atan2(north, east)),
        "20180106_utm.inc": np.full(scene.shape, 0.5),
    }
    for name, values in layers.items():
        (folder / name).write_bytes(values.astype(">f4").tobytes())
    (folder / "20180106_utm_dem.par").write_text(made.MAP.format(*scene.shape))
    for day in ("20180106", "20180130"):
        (folder / f"{day}_slc.par").write_text(made.IMAGE.format(day[:4], day[4:6], day[6:]))
    (folder / f"{made.PAIR}_base.par").write_text(made.BASE)
    return folder


def _tagged(folder: Path, processor: str) -> Path:
    made, scene = tests_of("readers/interferograms/test_tagged"), _scene()
    tags = made.TAGS | {"INSAR_PROCESSOR": processor}
    place: dict[str, Any] = {"crs": "EPSG:4326", "transform": _DEGREES}
    path = tif(folder / made.NAME, scene.grown, nodata=0, tags=tags, **place)
    tif(folder / "a_dem.tif", np.full(scene.shape, 7, "int16"), tags=tags | {"DATA_TYPE": "ORIGINAL_DEM"}, **place)
    other = tags | {"DATA_TYPE": "ORIGINAL_COH"}
    tif(
        folder / made.NAME.replace("_eqa_unw", "_flat_eqa_cc"),
        np.full(scene.shape, 0.5, "float32"),
        tags=other,
        **place,
    )
    return path


def gammatif(folder: Path) -> Path:
    """A pair of GAMMA as GeoTIFF with tags, and the network of its stack."""
    network = {
        "pairs": [["2018-01-06", "2018-01-30"]],
        "bperp_m": [40.5],
        "wavelength_m": 0.0554657595,
        "incidence_deg": 39.7,
        "heading_deg": -13.0,
        "looks_rg": 8,
        "looks_az": 2,
        "nlooks_used_for_weight": 8,
        "orbit": "ascending",
        "sign": "range_increase",
    }
    (folder / "network.json").write_text(json.dumps(network, indent=1))
    return _tagged(folder, "GAMMA")


def roipactif(folder: Path) -> Path:
    """A pair of ROI_PAC as GeoTIFF with tags."""
    return _tagged(folder, "ROIPAC")


def roipac(folder: Path) -> Path:
    """A pair with correlation and terrain, in plain binaries."""
    made, scene = tests_of("readers/interferograms/test_roipac"), _scene()
    told, name = made.RESOURCE.format(*scene.shape), "geo_060619-061002"
    amplitude = np.full(scene.shape, 9.0)
    for end, plane in ((".unw", scene.conjugate), (".cor", np.full(scene.shape, 0.6))):
        (folder / f"{name}{end}").write_bytes(np.stack([amplitude, plane], axis=1).astype("<f4").tobytes())
        (folder / f"{name}{end}.rsc").write_text(told)
    (folder / "sydney.dem").write_bytes(np.full(scene.shape, 300, "<i2").tobytes())
    (folder / "sydney.dem.rsc").write_text(told)
    return folder / f"{name}.unw"


def flatsim(folder: Path) -> Path:
    """A pair, and the line of sight in a folder of its own."""
    scene, stem = _scene(), "20180106_20180130"
    place: dict[str, Any] = {"crs": "EPSG:4326", "transform": _DEGREES}
    other = np.full(scene.shape, 0.5, "float32")
    pair = folder / "INTERFERO" / f"int_{stem}"
    tif(pair / f"CNES_InU_geo_{stem}_sd_era_8rlks.tiff", np.stack([scene.grown, other]), **place)
    tif(pair / f"CNES_Coh_geo_{stem}_8rlks.tiff", other, **place)
    (pair / f"CNES_InU_geo_{stem}_sd_era_8rlks.meta").write_text("Rlooks_unw: 8\n")
    vector = np.stack([np.full(scene.shape, -part, "float32") for part in scene.los])
    tif(folder / "DAUX" / "CNES_CosENU_geo_8rlks.tiff", vector, **place)
    return folder


def opera(folder: Path) -> Path:
    """A displacement product."""
    made, scene = tests_of("readers/interferograms/test_opera"), _scene()
    path, (rows, cols) = folder / f"{made.NAME}.nc", scene.shape
    left, top = made.PLACE
    with netCDF4.Dataset(path, "w") as out:
        out.createDimension("y", rows)
        out.createDimension("x", cols)
        for axis, count, start, step in (("y", rows, top, -30.0), ("x", cols, left, 30.0)):
            out.createVariable(axis, "f8", (axis,))[:] = start + (np.arange(count) + 0.5) * step
        mapping = out.createVariable("spatial_ref", "i4", ())
        mapping.crs_wkt = CRS.from_epsg(32611).to_wkt()
        mapping.GeoTransform = f"{left} 30.0 0.0 {top} 0.0 -30.0"
        fields = {
            "displacement": (scene.towards.astype("float32"), np.nan),
            "short_wavelength_displacement": (scene.towards.astype("float32"), np.nan),
            "temporal_coherence": (np.full(scene.shape, 0.9, "float32"), np.nan),
            "estimated_phase_quality": (np.full(scene.shape, 0.7, "float32"), np.nan),
            "connected_component_labels": (np.ones(scene.shape, "uint16"), 65535),
            "recommended_mask": (np.ones(scene.shape, "uint8"), 255),
        }
        for name, (values, fill) in fields.items():
            one = out.createVariable(name, values.dtype, ("y", "x"), fill_value=fill, chunksizes=(4, 4))
            one[:] = values
            one.grid_mapping = "spatial_ref"
        out["displacement"].description = made.TOWARDS
        about = out.createGroup("identification")
        for name, text in made.DATES.items():
            about.createVariable(name, str, ())[...] = text
        about.createVariable("radar_wavelength", "f8", ())[...] = scene.wavelength
        more = out.createGroup("corrections")
        more.createVariable("perpendicular_baseline", "f4", ("y", "x"))[:] = 62.0
    return path


def pairs(folder: Path) -> Path:
    """Plain GeoTIFFs with a side-car."""
    scene = _scene()
    tif(folder / "a_unw.tif", scene.grown)
    tif(folder / "a_cc.tif", np.full(scene.shape, 0.6, "float32"))
    tif(folder / "dem.tif", np.full(scene.shape, 3, "int16"))
    for name, part in zip(("e", "n", "u"), scene.los, strict=True):
        tif(folder / f"{name}.tif", np.full(scene.shape, part, "float32"))
    files = {"unwrapped_phase": "a_unw.tif", "coherence": "a_cc.tif"}
    entry = {"reference": "2018-01-06", "secondary": "2018-01-30T00:40:21Z", "perpendicular_baseline": 40.1}
    told = {
        "stack": "mine",
        "sign": "range_increase",
        "wavelength": scene.wavelength,
        "unit": "radian",
        "zero": "missing",
        "looks_range": 8,
        "orbit": "ascending",
        "pairs": [entry | {"files": files}],
        "geometry": {"dem": "dem.tif", "los_east": "e.tif", "los_north": "n.tif", "los_up": "u.tif"},
    }
    (folder / "mine.pairs.yaml").write_text(yaml.safe_dump(told))
    return folder / "mine.pairs.yaml"


def pairs_json(folder: Path) -> Path:
    """The same, with a side-car in JSON."""
    path = pairs(folder)
    (folder / "mine.pairs.json").write_text(json.dumps(yaml.safe_load(path.read_text())))
    path.unlink()
    return folder / "mine.pairs.json"


def network(folder: Path) -> Path:
    """A stack of the simulator, described by its network."""
    from terracube.ingest.simulate import Region, write_interferograms

    write_interferograms(Region(seed=3, size=90), folder, dates=["2023-01-01", "2023-01-13", "2023-01-25"], size=12)
    return next(folder.rglob("network.json"))


def raster_tif(folder: Path) -> Path:
    """A GeoTIFF alone."""
    return tif(
        folder / "a.tif", np.arange(600, dtype="uint16").reshape(20, 30), nodata=0, tiled=True, compress="deflate"
    )


def raster_jp2(folder: Path) -> Path:
    """A JPEG 2000 alone."""
    values = np.arange(1600, dtype="uint16").reshape(40, 40)
    tests_of("readers/test_safe").jp2(folder / "a.jp2", values, 10)
    return folder / "a.jp2"


_MEMBERS = {"scene/a.txt": b"one\n" * 40, "scene/b/c.xml": b"<x/>", "scene/d.bin": bytes(range(256))}


def archive_zip(folder: Path) -> Path:
    """A zip archive of three files."""
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in _MEMBERS.items():
            out.writestr(zipfile.ZipInfo(name), content)
    return folder / "a.zip"


def _tar(path: Path, mode: Any) -> Path:
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as out:
        for name, content in _MEMBERS.items():
            told = tarfile.TarInfo(name)
            told.size = len(content)
            out.addfile(told, io.BytesIO(content))
    return path


def archive_tar(folder: Path) -> Path:
    """The same as tar."""
    return _tar(folder / "a.tar", "w")


def archive_tgz(folder: Path) -> Path:
    """The same as compressed tar."""
    return _tar(folder / "a.tar.gz", "w:gz")


def text_xml(folder: Path) -> Path:
    """An XML file."""
    (folder / "a.xml").write_text('<?xml version="1.0" encoding="UTF-8"?>\n<a:r xmlns:a="u"><b c="1">2</b></a:r>\n')
    return folder / "a.xml"


def text_json(folder: Path) -> Path:
    """A JSON file."""
    (folder / "a.json").write_text(json.dumps({"a": [1, 2.5, "x", None, {"b": True}], "c": "é"}))
    return folder / "a.json"


def text_plain(folder: Path) -> Path:
    """A text file."""
    (folder / "a.txt").write_text("one\r\ntwo\n\tthrée\n", encoding="utf-8")
    return folder / "a.txt"
