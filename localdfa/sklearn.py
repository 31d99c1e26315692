"""Networks that learn by a local rule as estimators of scikit-learn, for its pipelines, searches and scores."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from localdfa import outputs, record, recording, registry, samples
from localdfa.core import blas
from localdfa.data import Dataset, Source, given
from localdfa.errors import SpecError, quoted
from localdfa.files import plain
from localdfa.progress import Progress
from localdfa.spec import checks, experiment, settings
from localdfa.train import shown
from localdfa.trainer import Trainer

# Tables of a spec that parameters of their own, or scikit-learn, stand for.
_NOT_IN_SPEC = {
    "data": "fit(X, y)", "seeds": "random_state", "condition": "one estimator each", "stage": "epochs and patience",
    "preprocess": "a pipeline", "record": "history_", "certify": "`localdfa certify`", "title": "a comment",
    "module": "localdfa.torch", "models": "an installed package",
}  # fmt: skip

# Parameters that `fit` alone reads, or that change nothing of what is learned.
_OF_FIT = frozenset({"epochs", "patience", "validation_fraction", "random_state", "verbose"})


class _Estimator(BaseEstimator):
    """What both estimators have in common; the parameters are described at each."""

    def __init__(
        self, hidden=(100,), *, neuron="tanh", output="softmax", rule="local", pathway=None, beta=None, epochs=50,
        batch_size=64, optimiser="rmsprop", learning_rate=None, validation_fraction=0.0, patience=None, precision="float64",
        sample_shape=None, spec=None, random_state=None, verbose=False,
    ):  # fmt: skip
        self.hidden = hidden
        self.neuron = neuron
        self.output = output
        self.rule = rule
        self.pathway = pathway
        self.beta = beta
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimiser = optimiser
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.precision = precision
        self.sample_shape = sample_shape
        self.spec = spec
        self.random_state = random_state
        self.verbose = verbose

    def _tables(self) -> dict[str, Any]:
        """The spec that the parameters stand for."""
        stage: dict[str, Any] = {"epochs": self.epochs}
        if self.patience is not None:
            stage |= {"patience": self.patience, "keep": "best"}
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        if not isinstance(self.hidden, Integral | Sequence | np.ndarray) or isinstance(self.hidden, str):
            raise SpecError(f"hidden: {quoted(self.hidden)}; allowed: a whole number, or a sequence of some, as (100, 50)")
        hidden = [self.hidden] if isinstance(self.hidden, Integral) else list(self.hidden)
        tables: dict[str, Any] = {
            "data": given.NAME, "seeds": [int(seed)], "rule": self.rule, "batch_size": self.batch_size,
            "precision": self.precision, "network": {"hidden": hidden, "neuron": self.neuron, "output": self.output},
            "optimiser": {"name": self.optimiser}, "stage": [stage], "preprocess": {"validation": self.validation_fraction},
        }  # fmt: skip
        for table, key, value in (
            ("feedback", "pathway", self.pathway),
            ("phases", "beta", self.beta),
            ("optimiser", "learning_rate", self.learning_rate),
        ):
            if value is not None:
                tables.setdefault(table, {})[key] = value
        return _with(tables, self.spec or {})

    def _begin(self, source: Source, whole: bool = False) -> Trainer:
        """A training of a network that is built anew; whole: on all samples, without any held out."""
        found = experiment(self._tables())
        ((name, setting),) = settings(found).items()
        self._check_output(setting)
        self._given = {key: value for key, value in self.get_params(deep=False).items() if key not in _OF_FIT}
        data = samples.load_samples(_undivided(found), source) if whole else samples.load(found, source)
        assert isinstance(data, Dataset)  # as samples without a module are
        for text in (*checks.doubtful(setting), *data.notes):
            warnings.warn(text, UserWarning, stacklevel=4)
        job = record.Job(Path(), name, found.seeds[0])
        self._experiment, self._shape = found, source.shape
        return Trainer(setting, samples.parts(data, setting), job, found.record)

    def _check_output(self, setting: Any) -> None:
        """Refuse an output that is taught something else than the estimator has."""
        wanted = isinstance(self, RegressorMixin)
        if setting.output.regression != wanted:
            kinds = "numbers" if wanted else "labels"
            allowed = outputs.named(regression=wanted)
            raise SpecError(f"output: {self.output!r} is not taught {kinds}; allowed: {allowed}")

    def _source(self, X: np.ndarray, y: np.ndarray, n_classes: int, classes: tuple[str, ...]) -> Source:
        shape = (X.shape[1],) if self.sample_shape is None else _whole("sample_shape", self.sample_shape)
        if int(np.prod(shape)) != X.shape[1]:
            raise SpecError(f"sample_shape: {shape} has {int(np.prod(shape))} numbers, and X has {X.shape[1]} features")
        return Source(X, y, X[:0], y[:0], n_classes, shape, scale=1.0, classes=classes)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A fit that leaves all of what it learns, or the estimator as it was: what was learned before is not lost, and does
        not get the classes of something else."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(self, source: Source) -> None:
        with blas.one_thread(), shown(bool(self.verbose)) as progress:
            trainer = self._begin(source)
            progress.start({trainer.job.condition: trainer.setting.epochs * trainer.n_train})
            progress.job(trainer.job.condition, trainer.seed)
            progress.epoch(trainer.measure())
            while not trainer.finished:
                trainer.train_epoch(progress)
                row = trainer.measure()
                trainer.next_stage()
                progress.epoch(row)
        self._keep(trainer)

    def _partial_fit(self, source: Source, anew: bool) -> None:
        with blas.one_thread():
            if anew:
                trainer = self._begin(source, whole=True)
                trainer.rows = []
            else:
                self._check_unchanged()
                trainer = self._trainer
                data = samples.load_samples(_undivided(self._experiment), source)
                trainer.learn_from(samples.parts(data, trainer.setting))
                trainer.go_on()
            trainer.train_epoch(Progress())
        self._keep(trainer)

    def _check_unchanged(self) -> None:
        """Refuse parameters that were set since the network was made, which it would not heed."""
        for key, before in self._given.items():
            if (now := getattr(self, key)) is not before and not np.array_equal(now, before):
                raise SpecError(
                    f"{key}: {quoted(now)}, but the network was made with {quoted(before)}; allowed: that, or `fit`, or a clone"
                )

    def _keep(self, trainer: Trainer) -> None:
        """Take over what is trained, without the samples."""
        trainer.parts = {}
        self._trainer = trainer
        self.history_ = plain(trainer.rows)
        self.n_epochs_ = trainer.epoch
        self.weights_ = registry.get("recorders", "weights").record(trainer.trained, self._experiment.record)

    def _drives(self, X: Any) -> np.ndarray:
        """The drive of the output units, (n, n_out)."""
        check_is_fitted(self)
        X, trainer = validate_data(self, X, dtype=[np.float64, np.float32], reset=False), self._trainer
        with blas.one_thread():
            part = samples.new(self._experiment, trainer.setting, X, self._shape)
            return recording.drives(trainer.setting, trainer.network, trainer.engine, part, trainer.seed, trainer.epoch)


def _whole(key: str, given: Any) -> tuple[int, ...]:
    """A sequence of whole numbers above 0."""
    numbers: list[Any] = list(given) if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str) else [None]
    if not all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) > 0 for n in numbers):
        raise SpecError(f"{key}: {quoted(given)}; allowed: a sequence of whole numbers above 0, as (1, 8, 8)")
    return tuple(map(int, numbers))


def _undivided(found: Any) -> Any:
    """The same experiment without a part for validation."""
    return found.model_copy(update={"preprocess": found.preprocess.model_copy(update={"validation": 0.0})})


def _with(tables: dict[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with further keys, which have to be none of those that parameters say."""
    if not isinstance(spec, Mapping):
        raise SpecError(f"spec: {quoted(spec)}; allowed: a dict of tables, as {{'phases': {{'nudging': 'one_sided'}}}}")
    merged = dict(tables)
    for table, entries in spec.items():
        if table in _NOT_IN_SPEC:
            raise SpecError(f"spec: {table!r} is not read here; in its place there is {_NOT_IN_SPEC[table]}")
        if table in tables and not isinstance(tables[table], Mapping):
            raise SpecError(f"spec: {table!r} is a parameter of its own")
        if not isinstance(entries, Mapping):
            raise SpecError(f"spec: {table!r}: {quoted(entries)}; allowed: a table of keys")
        if both := set(entries) & set(tables.get(table, {})):
            raise SpecError(f"spec: '{table}.{min(both)}' is a parameter of its own: {min(both - {'name'}, default=table)}")
        merged[table] = {**tables.get(table, {}), **entries}
    return merged


class LocalDFAClassifier(ClassifierMixin, _Estimator):
    """A network of rate or spiking neurons that learns to classify, under the local rule or one that it is compared with.

    It is trained as `localdfa.run` trains the same spec: the weights have the same bits. No run directory is left.

    Parameters
    ----------
    hidden : int or sequence, default=(100,)
        Widths of the hidden layers; with `sample_shape` also tables of convolutions, as ``{"channels": 16}``.
    neuron : str, default="tanh"
        Model of the hidden neurons: ``"relu"``, ``"lif"`` (which spikes), or another that ``localdfa list`` names.
    output : str, default="softmax"
        Output units and their loss, ``"softmax"`` or ``"logistic"``.
    rule : str, default="local"
        Learning rule: ``"local"``, ``"dfa"``, ``"fa"``, ``"bp"`` …
    pathway : str, default=None
        How the error reaches the hidden layers, as ``"direct"``; the rule's own if None.
    beta : float, default=None
        Nudging strength β of the local rule; what suits the neuron if None.
    epochs : int, default=50
        Passes through the training set.
    batch_size : int, default=64
        Samples that a weight update sums over.
    optimiser : str, default="rmsprop"
    learning_rate : float, default=None
        What suits optimiser and neuron if None.
    validation_fraction : float, default=0.0
        Part of the training set that `fit` keeps for validation, of each class alike; `partial_fit` learns from all samples.
    patience : int, default=None
        Stop after so many epochs without a smaller validation error, with the best weights; it needs `validation_fraction`.
    precision : {"float64", "float32"}, default="float64"
        Of weights and activities. float32 trains about twice as fast. Predictions of a sample may differ in the last digits of
        either with the samples beside it.
    sample_shape : tuple, default=None
        Shape of a sample before it is flattened, (channels, height, width), or (frames, channels).
    spec : dict, default=None
        Any other keys of a spec by table, as ``{"phases": {"nudging": "one_sided"}}`` (see ``localdfa explain``).
    random_state : int, RandomState or None, default=None
        The seed of weights, B and the order of samples; an int is the seed that ``seeds`` of a spec has.
    verbose : bool, default=False
        Whether to show on stderr, or in the notebook, how training goes.

    Attributes
    ----------
    classes_ : array, shape (n_classes,)
    n_features_in_ : int
    history_ : list of dict
        Metrics of `fit`, a row before training and after each epoch: ``train_error`` in percent, ``angle_to_bp`` in degrees by
        hidden layer, and so on. `partial_fit` measures nothing.
    n_epochs_ : int
        Passes so far.
    weights_ : dict of arrays
        W1, b1, B1 … by layer, W of shape (n_post, n_pre).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from localdfa.sklearn import LocalDFAClassifier
    >>> x, y = load_digits(return_X_y=True)
    >>> x_train, x_test, y_train, y_test = train_test_split(x / 16, y, random_state=0)
    >>> model = LocalDFAClassifier(hidden=(64,), epochs=10, random_state=0).fit(x_train, y_train)
    >>> bool(model.score(x_test, y_test) > 0.9)
    True
    >>> model.predict_proba(x_test).shape
    (450, 10)
    """

    def fit(self, X, y):
        """Train a new network.

        Parameters
        ----------
        X : array, shape (n_samples, n_features)
            Inputs; networks learn best from those in [0, 1], or of mean 0 and variance 1.
        y : array, shape (n_samples,)
            Labels: numbers or names, two classes or more.

        Returns
        -------
        The estimator itself.

        Raises
        ------
        ValueError
            X or y is not this.
        SpecError, NonFiniteError
            Parameters are not allowed, or do not go together; or training diverged.
        """
        with self._whole():
            X, y = self._validated(X, y, reset=True)
            self.classes_ = unique_labels(y)
            if len(self.classes_) < 2:
                raise ValueError(f"Classifier can't train when only one class is present: {self.classes_.tolist()[0]!r}")
            self._fit(self._coded(X, y))
        return self

    def partial_fit(self, X, y, classes=None):
        """Pass once through these samples, with the network of the calls before, or of `fit`.

        Parameters
        ----------
        X, y
            As of `fit`; y need not have all classes.
        classes : array, shape (n_classes,)
            All classes; needed in the first call, unless after `fit`.

        Returns
        -------
        The estimator itself.

        Raises
        ------
        ValueError
            As `fit`; or the first call names no classes, a later one names others, or y has a class that is none of them.
        """
        anew = not hasattr(self, "_trainer")
        with self._whole():
            X, y = self._validated(X, y, reset=anew)
            if anew and classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            if classes is not None:
                classes = unique_labels(classes)
                if not anew and not np.array_equal(classes, self.classes_):
                    raise ValueError(f"classes = {classes} is not the same as in the first call: {self.classes_}")
                self.classes_ = classes
            if len(unseen := np.setdiff1d(y, self.classes_)):
                raise ValueError(f"y has the label {unseen.tolist()[0]!r}, which is none of classes = {self.classes_}")
            self._partial_fit(self._coded(X, y), anew)
        return self

    def _validated(self, X, y, reset):
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], reset=reset, ensure_min_samples=1)
        check_classification_targets(y)
        return X, column_or_1d(y, warn=True)

    def _coded(self, X: np.ndarray, y: np.ndarray) -> Source:
        codes = np.searchsorted(self.classes_, y).astype(np.int64)
        return self._source(X, codes, len(self.classes_), tuple(map(str, self.classes_.tolist())))

    def predict(self, X):
        """The class with the largest output of each sample, (n_samples,); of several that are equal the first."""
        best = self._drives(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X):
        """Output activities of each sample, by class, divided by their sum: (n_samples, n_classes)."""
        drives = self._drives(X)
        activity = self._trainer.network.predict(drives).astype(np.float64)
        total = activity.sum(axis=1, keepdims=True)
        return np.divide(activity, total, out=np.full_like(activity, 1 / activity.shape[1]), where=total > 0)


class LocalDFARegressor(RegressorMixin, _Estimator):
    """A network of rate or spiking neurons that learns to fit numbers; parameters and attributes as of `LocalDFAClassifier`.

    The output units are linear, and their loss is half the squared error; ``score`` is R². Targets of mean 0 and variance 1 are
    learned best: `sklearn.compose.TransformedTargetRegressor` brings them there.

    Examples
    --------
    >>> import numpy as np
    >>> from localdfa.sklearn import LocalDFARegressor
    >>> x = np.random.default_rng(0).normal(size=(300, 3))
    >>> model = LocalDFARegressor(hidden=(32,), epochs=100, learning_rate=3e-3, random_state=0).fit(x, x[:, 0] - x[:, 1])
    >>> bool(model.score(x, x[:, 0] - x[:, 1]) > 0.9)
    True
    """

    def __init__(
        self, hidden=(100,), *, neuron="tanh", output="linear", rule="local", pathway=None, beta=None, epochs=50,
        batch_size=64, optimiser="rmsprop", learning_rate=None, validation_fraction=0.0, patience=None, precision="float64",
        sample_shape=None, spec=None, random_state=None, verbose=False,
    ):  # fmt: skip
        super().__init__(
            hidden, neuron=neuron, output=output, rule=rule, pathway=pathway, beta=beta, epochs=epochs, batch_size=batch_size,
            optimiser=optimiser, learning_rate=learning_rate, validation_fraction=validation_fraction, patience=patience,
            precision=precision, sample_shape=sample_shape, spec=spec, random_state=random_state, verbose=verbose,
        )  # fmt: skip

    def fit(self, X, y):
        """Train a new network; y: numbers, (n_samples,) or (n_samples, n_outputs). The rest as of `LocalDFAClassifier.fit`."""
        with self._whole():
            self._fit(self._validated(X, y, reset=True, least=2))
        return self

    def partial_fit(self, X, y):
        """Pass once through these samples, with the network of the calls before, or of `fit`; X, y as of `fit`."""
        anew = not hasattr(self, "_trainer")
        with self._whole():
            self._partial_fit(self._validated(X, y, reset=anew, least=1), anew)
        return self

    def _validated(self, X, y, reset, least):
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True, reset=reset, ensure_min_samples=least
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        shape: tuple[int, ...] = () if y.ndim == 1 else y.shape[1:]
        self._shape_of_y: tuple[int, ...]
        if not reset and shape != self._shape_of_y:
            raise ValueError(f"y has the shape {y.shape}, and the network has learned from {('n_samples', *self._shape_of_y)}")
        self._shape_of_y = shape
        return self._source(X, y.astype(np.float64).reshape(len(y), -1), 0, ())

    def predict(self, X):
        """The numbers of each sample: (n_samples,), or (n_samples, n_outputs)."""
        drives = self._drives(X)
        found = self._trainer.network.predict(drives)
        return found if self._shape_of_y else found[:, 0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
