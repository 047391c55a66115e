"""Classify a season of scenes: gap filling, features and model are one piece of work, and nothing between is kept.

The chain ``landcover`` reads a block, fills and describes the series of its pixels strip by strip, asks the model for
the probabilities of the classes, and gives the class with the highest one (of equal ones, that which comes first in
the model), how probable it is, how far the next one lies below, the entropy, on how many dates the pixel was clear,
and whether it is unlike all that the model was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from terracube.core.errors import ConflictError, InputError
from terracube.core.validation import validated
from terracube.cubes import Grid, map_blocks
from terracube.cubes.gridlike import to_grid
from terracube.cubes.load import DEFAULT_BLOCK, as_array
from terracube.cubes.storage import Layer, LayerClass
from terracube.processing.chain import Chain, ChainParameters, Context, Finish, Map
from terracube.processing.kernels.summary import summarise
from terracube.processing.landcover.domain import outside
from terracube.processing.landcover.features import FeatureSpec, Season, compute
from terracube.processing.landcover.models import Model
from terracube.processing.landcover.models.reference import ModelFile, to_model
from terracube.processing.landcover.nomenclature import Nomenclature
from terracube.processing.landcover.post.smoothing import smooth_array
from terracube.processing.registry import register

# Features that are made before the model is asked, and pixels: enough for a forest to read each tree once for many of
# them, few enough for all that lies between series and class to stay small, and near to the processor.
_TOGETHER_BYTES = 1 << 23
_TOGETHER = (1024, 16_384)
_MOST_CLASSES = 255
_MISSING = {"uint8": 255, "uint16": 65_535}
# Beside the probabilities: clear dates, and whether the pixel lies outside of what the model knows.
_BESIDE = 2
_COUNT, _OUTSIDE = -2, -1


class Smoothing(BaseModel):
    """How the probabilities of neighbours are taken into account."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    window: int = Field(default=9, ge=3, le=31, description="pixels along each side of the neighbourhood, odd")
    variance: float = Field(default=20.0, gt=0, le=1e6, description="of the logits of a class; more smooths more")
    fraction: float = Field(
        default=0.5, gt=0, le=1, description="part of the neighbours, the most probable, that count"
    )


class LandCoverParameters(ChainParameters):
    """What the classification can be told; bands and classes are those of the model."""

    bands: tuple[str, ...] = Field(
        default=(), max_length=64, description="role names of the bands, as the model has it"
    )
    groupby: Literal["solar_day"] = Field(default="solar_day", description="scenes of one solar day are one date")
    model: str = Field(pattern="^[0-9a-f]{64}$", description="sha256 of the model")
    year: int | None = Field(
        default=None, ge=1970, le=2200, description="in which the season starts; left out: that of most dates"
    )
    probabilities: bool = Field(default=False, description="give the probability of every class")
    smoothing: Smoothing | None = Field(default=None, description="Bayesian smoothing over neighbours")
    min_clear: int = Field(default=1, ge=1, le=65_535, description="clear dates below which a pixel has no class")
    classes: tuple[int, ...] = Field(
        default=(), max_length=_MOST_CLASSES, description="codes of the classes, as the model has them"
    )


def _told(parameters: ChainParameters) -> LandCoverParameters:
    if not isinstance(parameters, LandCoverParameters):
        raise InputError("the classification needs its own parameters", got=type(parameters).__name__)
    return parameters


def _settle(parameters: ChainParameters, resource: Any) -> LandCoverParameters:
    """Fill in bands and classes from the model; refuse another model, and one that no map can be made with."""
    told, model = _told(parameters), to_model(resource)
    if told.model != model.digest:
        raise InputError("this is another model", where="model", expected=told.model, got=model.digest)
    bands = spec_of(model).bands
    for what, given, has in (("bands", told.bands, bands), ("classes", told.classes, model.classes)):
        if given and given != has:
            raise InputError(
                f"the {what} are those of the model",
                where=what,
                expected=str(has),
                got=str(given),
                todo="leave them out",
            )
    if not all(0 <= code < _MISSING["uint16"] for code in model.classes):
        raise InputError(
            "a map cannot hold these codes", where="classes", expected="0 to 65534", got=str(model.classes)[:200]
        )
    return told.model_copy(update={"bands": bands, "classes": model.classes})


def spec_of(model: Model) -> FeatureSpec:
    """Give how the features of a model are made of a series.

    Raises
    ------
    InputError
        If the model does not tell, or its features are others.
    """
    if model.spec is None:
        raise InputError(
            "the model does not tell how its features are made",
            where="model.spec",
            expected="a description of features",
            todo="Model.from_sklearn(..., spec=spec.to_json()), or train with landcover.train",
        )
    spec = FeatureSpec.from_json(model.spec)
    model.check_features(spec.names())
    return spec


def class_layer(codes: Sequence[int], models: Sequence[Model | ModelFile] = ()) -> Layer:
    """Describe the layer of classes; with names and colours as the first model has them that knows the class."""
    dtype = "uint8" if max(codes, default=0) < _MISSING["uint8"] else "uint16"
    known: dict[int, LayerClass] = {}
    for model in models:
        known = {told.value: told for told in _legend(model)["class"]} | known
    meaning = tuple(known[code] for code in codes if code in known)
    missing = float(_MISSING[dtype])
    return Layer("class", "Land cover", dtype, "1", missing, resampling="nearest", classes=meaning)


def _layers(parameters: ChainParameters) -> tuple[Layer, ...]:
    told = _told(parameters)
    sure = {
        "probability": "probability of the class",
        "margin": "how much more probable the class is than the next",
        "entropy": "entropy of the probabilities, nats",
    }
    every = told.classes if told.probabilities else ()
    return (
        class_layer(told.classes),
        *(Layer(name, title, "float32", "1", math.nan, role="uncertainty") for name, title in sure.items()),
        Layer("validity", "clear dates", "uint16", "1", None, resampling="nearest", role="validity"),
        Layer("outside", "unlike the training samples", "uint8", "1", 255.0, resampling="nearest", role="uncertainty"),
        *(Layer(f"p_{code}", f"probability of class {code}", "float32", "1", math.nan) for code in every),
    )


def season_year(season: Season, dates: NDArray[np.datetime64], *, year: int | None = None) -> int:
    """Give the year in which the season begins that holds most of the dates.

    Raises
    ------
    InputError
        If two seasons hold equally many, or none holds any: then the year is to be told.

    Examples
    --------
    >>> season_year(Season(start="09-01"), np.array(["2017-08-20", "2017-09-03", "2018-02-11"], "datetime64[D]"))
    2017
    """
    if year is not None:
        return year
    years = dates.astype("datetime64[Y]").astype(int) + 1970
    held: dict[int, int] = {}
    for candidate in range(int(years.min()) - 2, int(years.max()) + 1) if len(dates) else ():
        held[candidate] = int(season.holds(season.days(dates, candidate)).sum())
    most = max(held.values(), default=0)
    found = [candidate for candidate, count in held.items() if count == most]
    if most == 0 or len(found) > 1:
        raise InputError(
            "the dates do not tell which season is meant",
            where="year",
            expected=f"the year in which it starts (on {season.start})",
            got=f"{len(dates)} dates" + (f", as many in {found[0]} as in {found[1]}" if most else " outside of any"),
            todo="give year=...",
        )
    return found[0]


def _days(spec: FeatureSpec, context: Context) -> NDArray[np.float64]:
    if context.dates is None:
        raise InputError("the cube has no times", where="time", expected="a coordinate of dates")
    year = season_year(spec.season, context.dates, year=_told(context.parameters).year)
    days = spec.season.days(context.dates, year)
    if not (np.diff(days) > 0).all():
        raise InputError(
            "two steps of time are of one day, or not in order",
            where="time",
            expected="one step a day, in order",
            todo='load with groupby="solar_day"',
        )
    return days


def _stage(cube: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn observations (time, band, y, x) into probabilities, clear dates and the flag of the unknown."""
    if np.isnan(cube).all():  # where a region does not reach, or nothing was ever seen
        empty = np.full((len(_told(context.parameters).classes) + _BESIDE, *cube.shape[2:]), np.nan, np.float32)
        empty[_COUNT] = 0
        return empty
    return _describe(cube, context, {})


def _describe(
    cube: NDArray[np.float32], context: Context, static: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    model = to_model(context.resource)
    spec = spec_of(model)
    days = _days(spec, context)
    pixels = cube.shape[2] * cube.shape[3]
    series = cube.reshape(*cube.shape[:2], pixels)
    out = np.empty((len(model.classes) + _BESIDE, pixels), np.float32)
    least, most = _TOGETHER
    together = min(most, max(least, _TOGETHER_BYTES // (4 * len(model.features))))
    for start in range(0, pixels, together):
        part = slice(start, start + together)
        fixed = {name: np.ascontiguousarray(values.reshape(-1)[part], np.float32) for name, values in static.items()}
        found = compute(np.ascontiguousarray(series[:, :, part]), days, spec, fixed)
        out[:-_BESIDE, part] = model.predict_features(found.values)
        out[_COUNT, part] = found.count
        out[_OUTSIDE, part] = outside(model, found.values)
    return out.reshape(-1, *cube.shape[2:])


def _finish(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn probabilities, clear dates and flag (value, y, x) into layers."""
    told = _told(context.parameters)
    probabilities = values[:-_BESIDE]
    count = values[_COUNT]
    # A pixel that was only clear outside the season has features, and yet was never seen.
    probabilities = np.where(count < told.min_clear, np.float32(np.nan), probabilities)
    if told.smoothing is not None:
        probabilities = smooth_array(probabilities, **told.smoothing.model_dump())
    shape = count.shape
    best = np.empty(count.size, np.int16)
    sure = np.empty((3, count.size), np.float32)
    summarise(np.ascontiguousarray(probabilities).reshape(len(told.classes), -1), best, sure)
    names = [layer.name for layer in _layers(told)]
    out = np.empty((len(names), *shape), np.float32)
    codes = np.array([*told.classes, np.nan], np.float32)
    out[0] = codes[best].reshape(shape)
    out[1:4] = sure.reshape(3, *shape)
    out[4] = count
    out[5] = np.where(best.reshape(shape) < 0, np.float32(np.nan), values[_OUTSIDE])
    if told.probabilities:
        out[6:] = probabilities
    return out


def _legend(resource: Any) -> Mapping[str, tuple[LayerClass, ...]]:
    """Tell what the codes mean: names, titles and colours of the nomenclature, or shades where nobody said."""
    model = to_model(resource)
    told = model.nomenclature
    known = None if told is None else validated(Nomenclature, told, what="the nomenclature of the model is wrong")
    classes = tuple(_class(code, number, known) for number, code in enumerate(model.classes))
    flag = (LayerClass(0, "known", "like the training samples", "#d9e3df"),
            LayerClass(1, "outside", "unlike the training samples", "#b4442f"))  # fmt: skip
    return {"class": classes, "outside": flag}


# Colours of classes that have none, told apart also by those who see colours otherwise (Okabe and Ito, 2008).
_SHADES = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")


def _class(code: int, number: int, known: Nomenclature | None) -> LayerClass:
    if known is None or code not in known.codes:
        return LayerClass(code, f"class_{code}", f"class {code}", _SHADES[number % len(_SHADES)])
    told = known.of(code)
    return LayerClass(code, told.name, told.title.en, told.colour)


LANDCOVER = register(
    Chain(
        name="landcover",
        version="1.0.0",
        title="Land cover",
        parameters=LandCoverParameters,
        layers=_layers,
        stage=Map("series, features and model", _stage, copies=1.5),
        finish=Finish(
            "classes",
            _finish,
            values=lambda parameters: len(_told(parameters).classes) + _BESIDE,
            halo=lambda parameters: 0 if (how := _told(parameters).smoothing) is None else how.window // 2,
        ),
        resource=lambda parameters: _told(parameters).model,
        settle=_settle,
        legend=_legend,
    )
)


def classify(
    source: Iterable[pystac.Item] | xr.Dataset | xr.DataArray,
    model: Model | ModelFile,
    *,
    grid: Grid | None = None,
    static: xr.Dataset | None = None,
    probabilities: bool = True,
    block: int = DEFAULT_BLOCK,
    **told: Any,
) -> xr.Dataset:
    """Make a map of classes from a season of observations and a model; lazy in, lazy out.

    Parameters
    ----------
    source : iterable of pystac.Item, Dataset (time, y, x) per band, or DataArray (time, band, y, x)
        The observations; those outside the season help to fill its ends. Bands are found by their role names, in the
        unit the model was trained in.
    model : Model or ModelFile
        With a description of its features.
    grid : Grid
        Needed with items.
    static : Dataset (y, x)
        Terrain that the model asks for (``elevation``, ``slope``, ...), on the pixels of the cube. With a cube only.
    probabilities : bool
        Whether to give the probability of each class.
    block : int
        Pixels along each side of a block; the values do not depend on it.
    **told
        Further fields of :class:`LandCoverParameters`: ``year``, ``smoothing``, ``min_clear``, ``mask``.

    Returns
    -------
    xarray.Dataset
        ``class`` (codes; attribute ``nodata`` where there is none), ``probability`` of the class, ``margin`` to the
        next, ``entropy`` (nats), ``validity`` (dates of the season on which all bands were clear; where it is 0 there
        is no class, even if dates outside of the season would fill it),
        ``outside`` (1: unlike the training samples), and ``probabilities`` (class_code, y, x).

    Raises
    ------
    InputError
        If the cube lacks a band, the model tells nothing of its features, or the dates do not tell the season.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> spec = FeatureSpec(bands=("red",), series=("red",), season={"step": 180, "count": 2})
    >>> seen = [[0.1, 0.1], [0.1, 0.2], [0.8, 0.7], [0.7, 0.8]]
    >>> forest = RandomForestClassifier(9, random_state=0).fit(seen, [3, 3, 7, 7])
    >>> model = Model.from_sklearn(forest, features=spec.names(), spec=spec.to_json())
    >>> red = np.float32([[0.1, 0.8], [0.1, np.nan]]).reshape(2, 1, 2)
    >>> times = np.array(["2018-01-05", "2018-06-30"], "datetime64[ns]")
    >>> maps = classify(xr.Dataset({"red": (("time", "y", "x"), red)}, coords={"time": times}), model)
    >>> maps["class"].values.tolist(), maps.validity.values.tolist()
    ([[3, 7]], [[2, 1]])
    """
    known = to_model(model)
    parameters = {"model": known.digest, "probabilities": probabilities, **told}
    terrain = spec_of(known).terrain
    if static is None and terrain:
        raise InputError(
            "the model asks for terrain",
            where="static",
            expected=", ".join(terrain),
            got="none",
            todo="give static=landcover.terrain(dem, ...), with a cube",
        )
    if static is None:
        found = LANDCOVER(source, grid=grid, parameters=parameters, block=block, resource=model)
    elif isinstance(source, xr.Dataset | xr.DataArray):
        found = _on_terrain(source, static, model, parameters)
    else:
        raise InputError(
            "terrain comes with a cube", where="static", got="items", todo="cubes.load(items, grid=grid, ...) first"
        )
    return _joined(found, known.classes) if probabilities else found


def rehearse(model: Model | ModelFile) -> None:
    """Classify two made-up pixels, so that all that a model needs is compiled in this process."""
    known = to_model(model)
    spec = spec_of(known)
    targets = spec.season.targets()
    dates = spec.season.first(2001) + targets.astype("timedelta64[D]")
    cube = np.random.default_rng(0).uniform(0.1, 0.4, (len(targets), len(spec.bands), 1, 2)).astype("float32")
    context = Context(_told(LANDCOVER.settled({"model": known.digest}, model)), dates, resource=model)
    _finish(_describe(cube, context, {name: np.zeros((1, 2), np.float32) for name in spec.terrain}), context)


def _joined(maps: xr.Dataset, classes: Sequence[int]) -> xr.Dataset:
    """Put the layers of probabilities into one variable."""
    names = [f"p_{code}" for code in classes]
    every = xr.concat([maps[name] for name in names], dim="class_code", coords="minimal", compat="override")
    every = every.assign_coords(class_code=list(classes)).rename("probabilities")
    every = every.chunk(class_code=-1) if every.chunks else every
    return maps.drop_vars(names).assign(
        probabilities=every.assign_attrs(long_name="probability of each class", units="1")
    )


def _on_terrain(
    source: xr.Dataset | xr.DataArray, static: xr.Dataset, model: Model | ModelFile, told: dict[str, Any]
) -> xr.Dataset:
    """Classify a cube together with layers that do not change with time, block by block."""
    parameters = _told(LANDCOVER.settled(told, model))
    needed = spec_of(to_model(model)).terrain
    cube = as_array(source)
    lacking = [name for name in needed if name not in static] + [
        name for name in parameters.bands if name not in cube.band.values
    ]
    if lacking:
        raise InputError("the model asks for layers that are not there", where=", ".join(lacking))
    bands = {name: cube.sel(band=name, drop=True) for name in parameters.bands}
    beside = {name: _aligned(static[name].astype("float32"), cube) for name in needed}
    whole = xr.Dataset({**bands, **beside})
    context = Context(parameters, cube["time"].values.astype("datetime64[D]"), resource=model)
    layers = LANDCOVER.layers(parameters)
    fn = partial(_terrain_block, names=(parameters.bands, needed))
    halo = 0 if parameters.smoothing is None else parameters.smoothing.window // 2
    found = map_blocks(whole, None, fn, {layer.name: "float32" for layer in layers}, halo=halo, broadcast=context)
    product = found.to_dataarray("layer")
    return LANDCOVER.to_dataset(product, parameters, model)


def _aligned(layer: xr.DataArray, cube: xr.DataArray) -> xr.DataArray:
    """Give a layer in the chunks of the cube, whose pixels it must have."""
    if (mine := to_grid(layer.to_dataset(name="layer"))) != (theirs := to_grid(cube)):
        raise ConflictError(
            "the terrain is on other pixels than the cube",
            where=str(layer.name),
            expected=f"{theirs.shape} {tuple(theirs.transform)[:6]}",
            got=f"{mine.shape} {tuple(mine.transform)[:6]}",
            todo="load or warp it on the cube's grid",
        )
    chunks = {axis: cube.chunksizes[axis] for axis in ("y", "x") if axis in cube.chunksizes}
    placed = layer.assign_coords(y=cube["y"], x=cube["x"])
    return placed.chunk(chunks) if chunks else placed


def _terrain_block(
    block: xr.Dataset, context: Context, *, names: tuple[tuple[str, ...], tuple[str, ...]]
) -> dict[str, NDArray[np.float32]]:
    bands, needed = names
    cube = np.ascontiguousarray(np.stack([block[name].values for name in bands], axis=1), np.float32)
    values = _describe(cube, context, {name: block[name].values for name in needed})
    return dict(zip((layer.name for layer in _layers(context.parameters)), _finish(values, context), strict=True))
