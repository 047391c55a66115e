"""A model answers as the estimator it was taken from, and refuses what it cannot answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier

from terracube.core.errors import InputError, TerraCubeError
from terracube.processing.landcover.models import Model, describe, make_card, mlm_properties

RANDOM = np.random.default_rng(1)
X, Y = RANDOM.normal(size=(150, 3)).astype(np.float32), RANDOM.integers(1, 5, 150) * 10
NAMES = ("red", "nir", "slope")


@pytest.fixture(scope="module")
def forest():
    """A fitted forest."""
    return RandomForestClassifier(9, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def model(forest):
    """The model of it."""
    return Model.from_sklearn(forest, features=NAMES)


def test_labels_and_probabilities(forest, model):
    """Codes and probabilities of scikit-learn, for float32, float64, lists and whole numbers."""
    for x in (X, X.astype(np.float64), X.tolist(), np.asfortranarray(X), X.astype(int)):
        np.testing.assert_array_equal(model.predict(x), forest.predict(np.asarray(x)))
        np.testing.assert_allclose(model.predict_proba(x), forest.predict_proba(np.asarray(x)), rtol=0, atol=1e-6)
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(model.predict(frozen), forest.predict(X))


def test_probabilities_agree_with_labels(model):
    """The first largest probability is the label."""
    codes = np.asarray(model.classes)[model.predict_proba(X).argmax(axis=1)]
    np.testing.assert_array_equal(codes, model.predict(X))


def test_pixels(model):
    """Features first: the same numbers, NaN where a feature is not finite."""
    x = X.T.copy()
    x[1, 4], x[2, 7] = np.nan, np.inf
    out = model.predict_features(x)
    assert out.shape == (4, 150)
    assert out.dtype == np.float32
    assert np.isnan(out[:, [4, 7]]).all()
    rest = np.delete(np.arange(150), [4, 7])
    np.testing.assert_array_equal(out[:, rest].T, model.predict_proba(X[rest]))
    assert model.predict_features(x[:, :0]).shape == (4, 0)
    assert np.isnan(x[1, 4])


def test_pixels_in_blocks(model, monkeypatch):
    """Blocks do not show."""
    whole = model.predict_features(X.T), model.predict_proba(X), model.predict(X)
    monkeypatch.setattr("terracube.processing.landcover.models.model.BLOCK", 7)
    parts = model.predict_features(X.T), model.predict_proba(X), model.predict(X)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_models_trained_with_missing_features():
    """NaN is used if the model was trained with it; a pixel without any feature stays missing."""
    x = X.copy()
    x[RANDOM.random(x.shape) < 0.2] = np.nan
    x[0] = np.nan
    forest = RandomForestClassifier(9, random_state=0).fit(x, Y)
    model = Model.from_sklearn(forest, features=NAMES, missing=True)
    np.testing.assert_array_equal(model.predict(x), forest.predict(x))
    out = model.predict_features(x.T)
    lost = np.isnan(x).all(axis=1)
    assert np.isnan(out[:, lost]).all()
    np.testing.assert_array_equal(out[:, ~lost].T, model.predict_proba(x[~lost]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_refused(model, value):
    """NaN, infinity and what float32 cannot hold are refused, naming row and feature."""
    x = X.astype(np.float64)
    x[5, 1] = value
    with pytest.raises(InputError, match="row 5, feature 'nir'"):
        model.predict_proba(x)
    with pytest.raises(InputError):
        model.predict(x)


def test_large_values_are_not_refused(model):
    """Values whose sum float32 cannot hold are finite all the same."""
    assert model.predict(np.full((3, 3), 3e38)).shape == (3,)


@pytest.mark.parametrize("x", [X[:, :2], X[0], X[None], np.array([["a", "b", "c"]])])
def test_shapes_that_are_refused(model, x):
    """Another number of features or dimensions, or no numbers."""
    with pytest.raises(InputError, match="wrong form"):
        model.predict_proba(x)
    with pytest.raises(InputError, match="wrong form"):
        model.predict_features(x if x.ndim != 2 else x.T)


def test_features_by_name(model):
    """Features are never reordered: what is missing, unknown or elsewhere is named."""
    model.check_features(list(NAMES))
    for names, told in (
        (("red", "nir"), "missing: slope"),
        (("red", "nir", "slope", "ndvi"), "unknown: ndvi"),
        (("nir", "red", "slope"), "at place 0: 'nir'"),
        (("red", "nir", "slope", "red"), "another order or repeated"),
        ((), "missing: red, nir, slope"),
    ):
        with pytest.raises(InputError, match=told):
            model.check_features(names)


def test_names_of_the_estimator():
    """Names that the estimator remembers in another order are refused."""
    import pandas as pd

    tree = DecisionTreeClassifier().fit(pd.DataFrame(X, columns=list(NAMES)), Y)
    assert Model.from_sklearn(tree, features=NAMES).features == NAMES
    with pytest.raises(InputError, match="fitted with"):
        Model.from_sklearn(tree, features=NAMES[::-1])


@pytest.mark.parametrize(
    "names", [("a", "b"), ("a", "b", "b"), ("a", "b", ""), ("a", "b", "c\n"), ("a", "b", "c" * 300), ()]
)
def test_names_that_are_refused(forest, names):
    """Too few, repeated, empty, unprintable or endless names."""
    with pytest.raises(InputError):
        Model.from_sklearn(forest, features=names)


def test_codes(forest):
    """Codes are the classes of the estimator, or what is said of them."""
    told = Model.from_sklearn(forest, features=NAMES, classes=[5, 6, 7, 8])
    np.testing.assert_array_equal(told.predict(X), forest.predict(X) // 10 + 4)
    for classes in ([1, 2], [1, 1, 2, 3], [1, 2, 3, 2**40]):
        with pytest.raises(InputError):
            Model.from_sklearn(forest, features=NAMES, classes=classes)
    words = DecisionTreeClassifier().fit(X, np.where(Y > 20, "wood", "water"))
    with pytest.raises(InputError, match="whole numbers"):
        Model.from_sklearn(words, features=NAMES)
    assert Model.from_sklearn(words, features=NAMES, classes=[1, 2]).classes == (1, 2)


def test_estimators_that_are_refused():
    """Not fitted, a regressor, no estimator at all, several outputs."""
    for estimator in (
        RandomForestClassifier(),
        RandomForestRegressor(3).fit(X, Y),
        "forest",
        DecisionTreeClassifier().fit(X, np.stack([Y, Y], axis=1)),
    ):
        with pytest.raises(InputError):
            Model.from_sklearn(estimator, features=NAMES, classes=[1, 2, 3, 4])


def test_models_are_values(model):
    """A model travels to workers and is as large as its arrays."""
    import pickle

    again = pickle.loads(pickle.dumps(model))
    assert again.digest == model.digest
    with pytest.raises(AttributeError):
        model.features = ()


def test_description(forest):
    """A description is plain JSON and names the classes."""
    import json

    nomenclature = {"name": "mine", "classes": [{"code": 10, "name": "wood"}]}
    told = describe(Model.from_sklearn(forest, features=NAMES, nomenclature=nomenclature, card=make_card(title="T")))
    assert json.loads(json.dumps(told)) == told
    assert told["classes"][0] == {"code": 10, "name": "wood"}
    assert told["trees"] == 9
    assert told["card"]["software"]["numpy"] == np.__version__


def test_cards_are_checked():
    """Further entries are kept; wrong types are refused by name."""
    assert make_card(sensor="S2", classes=[{"code": 1, "samples": 3}])["classes"][0]["samples"] == 3
    with pytest.raises(TerraCubeError, match="classes"):
        make_card(classes=[{"code": "one"}])


def test_stac_item(model, forest, validate_stac):
    """An item with these properties fulfils the schemas of STAC and of the extension."""
    nomenclature = {"classes": [{"code": 10, "name": "Forêt de feuillus"}]}
    named = Model.from_sklearn(forest, features=NAMES, nomenclature=nomenclature, card=make_card(title="Été 2018!"))
    asset = {"href": "m.tcmodel", "roles": ["mlm:model"], "mlm:artifact_type": "terracube.tcmodel"}
    for one in (model, named):
        item = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": ["https://stac-extensions.github.io/mlm/v1.5.0/schema.json"],
            "id": "model",
            "geometry": None,
            "properties": {"datetime": "2020-01-01T00:00:00Z", **mlm_properties(one)},
            "links": [],
            "assets": {"model": asset},
        }
        validate_stac(item)
