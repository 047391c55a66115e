"""Land cover: from a year of scenes to a validated map, with its uncertainty.

    from terracube.processing import landcover

    model = landcover.train(samples, cube)          # samples: polygons, points, or labelled series
    maps = landcover.classify(next_year, model)     # class, probabilities, margin, entropy, validity, outside
    report = landcover.validate(maps["class"], reference, design="stratified")

One room per noun: :mod:`samples`, :mod:`indices`, :mod:`features`, :mod:`models`, :mod:`post` (what is done to maps),
:mod:`accuracy` and :mod:`change`.
"""

from typing import TYPE_CHECKING

from terracube.core.lazy import lazy_names

if TYPE_CHECKING:
    from terracube.processing.landcover import accuracy, change, features, indices, models, post, samples
    from terracube.processing.landcover.accuracy import validate
    from terracube.processing.landcover.classification import LANDCOVER, LandCoverParameters, classify
    from terracube.processing.landcover.features import FeatureSpec, Season, modis, oso, register_function
    from terracube.processing.landcover.learn import TrainParameters
    from terracube.processing.landcover.models import Model
    from terracube.processing.landcover.nomenclature import Nomenclature, load_nomenclature
    from terracube.processing.landcover.regions import blend, classify_regions, region_weights
    from terracube.processing.landcover.relief import terrain
    from terracube.processing.landcover.samples import Samples, Series, read_samples
    from terracube.processing.landcover.series import regular_series, savgol, whittaker
    from terracube.processing.landcover.trainer import Training, train, training

# Each name with the module that holds it, imported when it is first asked for: learners and maps bring large libraries.
_ROOMS = ("accuracy", "change", "features", "indices", "models", "post", "samples")
_HOMES = {
    "accuracy": ("validate",),
    "classification": ("LANDCOVER", "LandCoverParameters", "classify"),
    "features": ("FeatureSpec", "Season", "modis", "oso", "register_function"),
    "learn": ("TrainParameters",),
    "models": ("Model",),
    "nomenclature": ("Nomenclature", "load_nomenclature"),
    "regions": ("blend", "classify_regions", "region_weights"),
    "samples": ("Samples", "Series", "read_samples"),
    "series": ("regular_series", "savgol", "whittaker"),
    "relief": ("terrain",),
    "trainer": ("Training", "train", "training"),
}

__all__ = [
    "LANDCOVER",
    "FeatureSpec",
    "LandCoverParameters",
    "Model",
    "Nomenclature",
    "Samples",
    "Season",
    "Series",
    "TrainParameters",
    "Training",
    "accuracy",
    "blend",
    "change",
    "classify",
    "classify_regions",
    "features",
    "indices",
    "load_nomenclature",
    "models",
    "modis",
    "oso",
    "post",
    "read_samples",
    "region_weights",
    "register_function",
    "regular_series",
    "samples",
    "savgol",
    "terrain",
    "train",
    "training",
    "validate",
    "whittaker",
]


__getattr__ = lazy_names(__name__, _HOMES, _ROOMS)
