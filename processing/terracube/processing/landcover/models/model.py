"""A trained classifier as a value: named features in order, class codes, and what computes probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.kernels.temper import temper
from terracube.processing.landcover.models import convert, file
from terracube.processing.landcover.models.card import check_card
from terracube.processing.landcover.models.protocol import (
    BLOCK,
    MAX_CLASSES,
    MAX_FEATURES,
    MAX_NAME,
    ByColumns,
    Classifier,
)

type Json = dict[str, Any]

_HOTTEST = 32.0


@dataclass(frozen=True, eq=False)
class Model:
    """A trained classifier with all that is needed to use it on other data, and nothing that runs code.

    Attributes
    ----------
    features : tuple of str
        Names of the features, in the order of the columns of X.
    classes : tuple of int
        Code of each class, in the order of the columns of the probabilities.
    classifier : Classifier
        What turns features into probabilities: a forest, boosted trees or a support vector machine.
    nomenclature : dict or None
        The nomenclature of the codes as plain JSON.
    spec : dict or None
        How the features are made of a series (the feature specification as plain JSON).
    card : dict
        What the model was made of and how well it does: see :mod:`terracube.processing.landcover.models.card`.
    missing : bool
        Whether a missing feature (NaN) is something the model was trained with. If not, NaN is refused.
    extras : dict of arrays
        Further small arrays that travel with the model, such as those of its training domain.
    temperature : float
        T by which the probabilities of the classifier become calibrated, p**(1/T) scaled to sum 1; 1 leaves them.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> forest = RandomForestClassifier(5, random_state=0).fit([[0.1, 0.5], [0.2, 0.4], [0.8, 0.1]], [3, 3, 7])
    >>> model = Model.from_sklearn(forest, features=["red", "nir"])
    >>> model.classes
    (3, 7)
    >>> model.predict([[0.1, 0.6]]).tolist()
    [3]
    """

    features: tuple[str, ...]
    classes: tuple[int, ...]
    classifier: Classifier
    nomenclature: Json | None = None
    spec: Json | None = None
    card: Json = field(default_factory=dict)
    missing: bool = False
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_card(self.card)
        _check_names(self.features)
        _check_codes(self.classes)
        _check_temperature(self.temperature)
        for what, told, has in (
            ("features", len(self.features), self.classifier.n_features),
            ("classes", len(self.classes), self.classifier.n_classes),
        ):
            if told != has:
                raise InputError(
                    f"the number of {what} is not that of the classifier", where=what, expected=str(has), got=str(told)
                )
        if self.missing and not self.classifier.takes_missing:
            raise InputError(
                "this classifier cannot use missing features",
                where="missing",
                expected="false",
                got=self.classifier.kind,
            )

    @classmethod
    def from_sklearn(
        cls,
        estimator: Any,
        *,
        features: Sequence[str],
        classes: Sequence[int] | None = None,
        missing: bool = False,
        **told: Any,
    ) -> Model:
        """Take over a fitted estimator: its numbers are copied, the estimator itself is not kept.

        Parameters
        ----------
        estimator : object
            A fitted RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier, LGBMClassifier,
            XGBClassifier (trees), SVC with probabilities (``probability=True`` or inside CalibratedClassifierCV), or a
            Pipeline of a StandardScaler and one of them.
        features : sequence of str
            Names of the features in the order of the columns the estimator was fitted on.
        classes : sequence of int, optional
            Code of each of ``estimator.classes_``, in that order; default: ``estimator.classes_`` themselves, which
            must then be whole numbers.
        missing : bool
            Whether the estimator was trained with missing features and may be asked with them.
        **told
            ``nomenclature``, ``spec``, ``card``, ``extras``, ``temperature`` of the model.

        Raises
        ------
        InputError
            If the estimator is of another kind, not fitted, or the names do not fit it.
        """
        names = tuple(str(name) for name in features)
        convert.check_names_of(estimator, names)
        codes = convert.codes_of(estimator, classes)
        classifier = convert.classifier_of(estimator, missing=missing)
        return cls(names, codes, classifier, missing=missing, **told)

    def check_features(self, names: Sequence[str]) -> None:
        """Refuse features that are not those of the model, in its order.

        Raises
        ------
        InputError
            Naming the features that are missing, too many, or in another place.
        """
        given = tuple(names)
        if given == self.features:
            return
        lacking = [name for name in self.features if name not in set(given)]
        unknown = [name for name in given if name not in set(self.features)]
        told = [f"missing: {_some(lacking)}"] if lacking else []
        told += [f"unknown: {_some(unknown)}"] if unknown else []
        if not told:
            place = next(
                (k for k, pair in enumerate(zip(given, self.features, strict=False)) if len(set(pair)) > 1), -1
            )
            told = [f"another order or repeated, first at place {place}: {given[place]!r}"]
        raise InputError(
            "the features are not those the model was trained with",
            where="features",
            expected=_some(list(self.features)),
            got="; ".join(told),
            todo="compute the features by the model's own specification",
        )

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Give the probability of each class.

        Parameters
        ----------
        X : (n, features) array
            One sample per row, features in the order of the model.

        Returns
        -------
        (n, classes) array of float32
            The first largest of a row is the class that :meth:`predict` gives: for forests, the label scikit-learn's
            ``predict`` gives, ties and all; probabilities are within 1e-6 of scikit-learn's, unless the model is
            calibrated by a temperature.

        Raises
        ------
        InputError
            If X has another shape, is not finite, or holds NaN and the model was not trained with missing features.
        """
        values = self._checked(X)
        out = np.empty((len(values), len(self.classes)), np.float32)
        for start in range(0, len(values), BLOCK):
            block = slice(start, start + BLOCK)
            self._fill(np.ascontiguousarray(values[block]), out[block])
        return out

    def _fill(self, rows: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) with calibrated probabilities of C-contiguous ``rows`` (n, features)."""
        self.classifier.probabilities(rows, out)
        self._calibrate(out)

    def _calibrate(self, out: NDArray[np.float32]) -> None:
        """Apply the temperature to probabilities (n, classes), in place."""
        if self.temperature != 1:
            temper(out, 1 / self.temperature)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Give the code of the most probable class of each row of X, (n, features); the first one on a tie.

        For forests this is the label of scikit-learn's ``predict``. SVC with ``probability=True`` decides there by
        votes of pairs, which may differ from its own probabilities; here the probabilities always decide.
        """
        values = self._checked(X)
        best = np.empty(len(values), np.intp)
        for start in range(0, len(values), BLOCK):
            part = np.ascontiguousarray(values[start : start + BLOCK])
            probable = np.empty((len(part), len(self.classes)), np.float32)
            self.classifier.probabilities(part, probable)
            best[start : start + BLOCK] = probable.argmax(axis=1)
        return np.asarray(self.classes, np.int64)[best]

    def predict_features(self, X: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Give the probabilities of pixels: features first, pixels innermost, as blocks of a cube come.

        Parameters
        ----------
        X : (features, n) array
            A value that is NaN or infinite is missing.

        Returns
        -------
        (classes, n) array of float32
            NaN where a feature is missing; for a model trained with missing features, where all are.
        """
        values = np.asarray(X)
        if values.ndim != 2 or values.shape[0] != len(self.features) or values.dtype.kind != "f":
            raise _wrong_shape("X", f"({len(self.features)} features, n) of floats", values)
        out = np.empty((len(self.classes), values.shape[1]), np.float32)
        for start in range(0, values.shape[1], BLOCK):
            out[:, start : start + BLOCK] = self._block(values[:, start : start + BLOCK])
        return out

    def _block(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Classify a block of pixels (features, n), which may have missing features; (classes, n)."""
        probable = np.empty((values.shape[1], len(self.classes)), np.float32)
        needed = 1 if self.missing else len(self.features)
        if isinstance(self.classifier, ByColumns) and values.dtype == np.float32:
            found = self.classifier.by_columns(values, probable)
            self._calibrate(probable)
        else:
            rows = np.ascontiguousarray(values.T)
            valid = np.isfinite(rows)
            found = valid.sum(axis=1, dtype=np.int32)
            rows[~valid] = np.nan if self.missing else 0.0
            self._fill(rows, probable)
        probable[found < needed] = np.nan
        return probable.T

    def _checked(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Take X as floats of the right shape, refusing what scikit-learn would refuse."""
        values = np.asarray(X)
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.float64) if values.dtype.kind in "fiub" else values
        if values.ndim != 2 or values.shape[1] != len(self.features) or values.dtype.kind != "f":
            raise _wrong_shape("X", f"(n, {len(self.features)} features) of numbers", values)
        # A sum is finite unless a value is not, or the values are beyond what float32 holds: then look closely.
        with np.errstate(all="ignore"):
            suspicious = not np.isfinite(values.sum(dtype=np.float32))
        if suspicious:
            _refuse_values(values, missing=self.missing, names=self.features)
        return values

    @cached_property
    def digest(self) -> str:
        """Sha256 (hex) of all that the model is; what a product's record names."""
        return file.digest_of(self._parts())

    def save(self, path: str | Path) -> Path:
        """Write the model to a file ``*.tcmodel``, at once or not at all; the same model gives the same bytes.

        Raises
        ------
        InputError
            If the name does not end with ``.tcmodel``.
        StorageError
            If the disk refuses.
        """
        return file.write(Path(path), self._parts())

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model written by :meth:`save`; nothing in a file is ever run, whoever made it.

        Raises
        ------
        NotFoundError
            If there is no such file.
        VersionError
            If a newer TerraCube wrote it.
        IntegrityError
            If its content is not what it says: truncated, tampered with, or no model at all.
        HostileInputError
            If it tries to exhaust the machine.
        """
        return cls._from_parts(file.read(Path(path)))

    def _parts(self) -> file.Parts:
        """Take the model apart into JSON and arrays."""
        facts = {
            "kind": self.classifier.kind,
            "classifier": self.classifier.facts(),
            "features": list(self.features),
            "classes": list(self.classes),
            "nomenclature": self.nomenclature,
            "spec": self.spec,
            "card": self.card,
            "missing": self.missing,
            **({} if self.temperature == 1 else {"temperature": self.temperature}),
        }
        extras = {f"extra/{name}": np.asarray(values) for name, values in self.extras.items()}
        return file.Parts(facts, {**dict(self.classifier.arrays()), **extras})

    @classmethod
    def _from_parts(cls, parts: file.Parts) -> Model:
        """Put a model together again, doubting every number."""
        facts = convert.checked_facts(parts.facts)
        own = {name: values for name, values in parts.arrays.items() if not name.startswith("extra/")}
        extras = {name.removeprefix("extra/"): parts.arrays[name] for name in parts.arrays if name not in own}
        classifier = convert.classifier_from(facts.pop("kind"), facts.pop("classifier"), own)
        features, classes = tuple(facts.pop("features")), tuple(facts.pop("classes"))
        with file.blaming():
            return cls(features, classes, classifier, extras=extras, **facts)


def _check_names(names: tuple[str, ...]) -> None:
    """Refuse names that are empty, too long, unprintable, repeated, or too many."""
    bad = [name for name in names if not 0 < len(name) <= MAX_NAME or not name.isprintable()]
    if not 0 < len(names) <= MAX_FEATURES or bad or len(set(names)) < len(names):
        raise InputError(
            "the names of the features are not usable",
            where="features",
            expected=f"1 to {MAX_FEATURES} different names of at most {MAX_NAME} printable characters",
            got=f"{len(names)} names, {len(set(names))} different"
            + (f", such as {bad[0][:MAX_NAME]!r}" if bad else ""),
        )


def _check_codes(codes: tuple[int, ...]) -> None:
    """Refuse class codes that are no whole numbers of 32 bits, or are repeated."""
    good = all(isinstance(code, int) and abs(code) < 2**31 for code in codes)
    if not good or not 0 < len(codes) <= MAX_CLASSES or len(set(codes)) < len(codes):
        raise InputError(
            "the class codes are not usable",
            where="classes",
            expected=f"1 to {MAX_CLASSES} different whole numbers of 32 bits",
            got=_some([repr(code) for code in codes]),
        )


def _check_temperature(value: float) -> None:
    """Refuse a temperature that is no number, or would make all probabilities alike or certain."""
    if not (isinstance(value, int | float) and not isinstance(value, bool) and 1 / _HOTTEST <= value <= _HOTTEST):
        raise InputError(
            "the temperature of the probabilities is not usable",
            where="temperature",
            expected=f"a number from {1 / _HOTTEST:g} to {_HOTTEST:g}",
            got=repr(value)[:80],
        )


def _refuse_values(values: NDArray[np.floating[Any]], *, missing: bool, names: tuple[str, ...]) -> None:
    """Refuse infinite values, values beyond float32, and NaN unless the model knows what to do with it."""
    with np.errstate(all="ignore"):
        narrow = values.astype(np.float32, copy=False)
    faults = np.isinf(narrow) if missing else ~np.isfinite(narrow)
    if not faults.any():
        return
    row, column = (int(where) for where in np.argwhere(faults)[0])
    raise InputError(
        "a feature has no usable value",
        where=f"row {row}, feature {names[column]!r}",
        expected="a finite number" + (" or NaN" if missing else ", since the model was not trained with missing ones"),
        got=str(values[row, column]),
        todo="fill or leave out such rows, or use predict_features, which gives NaN for them",
    )


def _wrong_shape(where: str, expected: str, got: NDArray[Any]) -> InputError:
    return InputError(
        "the array of features has the wrong form", where=where, expected=expected, got=f"{got.shape} of {got.dtype}"
    )


def _some(names: list[str]) -> str:
    """List names, at most twelve of them."""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
