"""Estimators of scikit-learn: its own checks, its pipelines and searches, and the bits of `localdfa.run`."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import localdfa
from localdfa.errors import SpecError
from localdfa.sklearn import LocalDFAClassifier, LocalDFARegressor

# As quick as scikit-learn's checks allow, which ask for some accuracy.
QUICK = {"hidden": (16,), "epochs": 8, "batch_size": 8, "learning_rate": 0.01}


@parametrize_with_checks([LocalDFAClassifier(**QUICK), LocalDFARegressor(**QUICK)])
@pytest.mark.filterwarnings("ignore::UserWarning")  # of large inputs, which these are
def test_scikit_learn_finds_nothing_wrong(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return train_test_split(x / 16, y, random_state=0, test_size=0.3)


def test_the_accuracy_is_that_of_other_networks(digits):
    x_train, x_test, y_train, y_test = digits
    ours = LocalDFAClassifier(hidden=(64,), epochs=20, learning_rate=1e-3, random_state=0).fit(x_train, y_train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        theirs = MLPClassifier((64,), activation="tanh", max_iter=20, random_state=0).fit(x_train, y_train)
    assert ours.score(x_test, y_test) > theirs.score(x_test, y_test) - 0.03
    assert ours.score(x_test, y_test) > 0.93
    assert ours.predict_proba(x_test).sum(axis=1) == pytest.approx(1)
    rows = ours.history_
    assert [row["epoch"] for row in rows] == list(range(21))
    assert 100 * (1 - ours.score(x_train, y_train)) == pytest.approx(rows[-1]["train_error"])


CASES = {
    "local": ({}, {}),
    "one-sided": (
        {"beta": 0.3, "spec": {"phases": {"nudging": "one_sided"}}},
        {"phases": {"nudging": "one_sided", "beta": 0.3}},
    ),
    "bp, float32": ({"rule": "bp", "precision": "float32", "optimiser": "adam"}, {"rule": "bp", "precision": "float32",
                                                                                   "optimiser": {"name": "adam"}}),
    "fa": ({"rule": "fa", "pathway": "sign_symmetric", "neuron": "relu"},
           {"rule": "fa", "feedback": {"pathway": "sign_symmetric"}, "network": {"neuron": "relu"}}),
    "best": (
        {"validation_fraction": 0.2, "patience": 1, "epochs": 9, "learning_rate": 0.02},
        {"preprocess": {"validation": 0.2}, "stage": [{"epochs": 9, "patience": 1, "keep": "best"}],
         "optimiser": {"learning_rate": 0.02}},
    ),
    "convolution": (
        {"hidden": [{"channels": 2, "kernel": 3}], "sample_shape": (1, 8, 8), "epochs": 1},
        {"network": {"hidden": [{"channels": 2, "kernel": 3}]}, "stage": [{"epochs": 1}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_those_of_a_run_of_the_same_spec(case, digits, tmp_path):
    x_train, x_test, y_train, y_test = digits
    parameters, tables = CASES[case]
    model = LocalDFAClassifier(**{"hidden": (12, 10), "epochs": 2, "random_state": 7, **parameters}).fit(x_train, y_train)
    network = {"hidden": [12, 10], "output": "softmax", **tables.get("network", {})}
    whole = {"precision": "float64", "stage": [{"epochs": 2}], "seeds": [7], **tables, "network": network}
    shape = parameters.get("sample_shape", (64,))
    data = (x_train.reshape(-1, *shape), y_train, x_test.reshape(-1, *shape), y_test)
    run = localdfa.run(whole, tmp_path / "run", data=data, progress=False)
    job = run.jobs[0]
    for name, array in job.weights.items():
        np.testing.assert_array_equal(array, model.weights_[name])
    np.testing.assert_array_equal(model.predict(x_test), run.predict(x_test))
    columns = set(job.metrics[-1]) - {"seconds", "test_error", "test_loss"}
    assert [model.history_[-1][key] for key in columns] == [job.metrics[-1][key] for key in columns]
    assert not (tmp_path / "runs").exists()


def test_partial_fit_goes_through_the_data_once(digits):
    x, _, y, _ = digits
    model = LocalDFAClassifier(hidden=(32,), random_state=0, learning_rate=1e-3)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(x[:100], y[:100])
    for _ in range(12):
        for rows in np.array_split(np.arange(len(x)), 4):
            model.partial_fit(x[rows], y[rows], classes=range(10))
    assert model.n_epochs_ == 48
    assert model.score(x, y) > 0.9
    assert model.history_ == []
    with pytest.raises(ValueError, match="y has the label 10, which is none of classes"):
        model.partial_fit(x[:3], [1, 10, 2])
    with pytest.raises(ValueError, match="is not the same as in the first call"):
        model.partial_fit(x[:3], [1, 2, 3], classes=[1, 2, 3])
    whole = LocalDFAClassifier(hidden=(32,), random_state=0, epochs=1).fit(x, y)
    once = LocalDFAClassifier(hidden=(32,), random_state=0).partial_fit(x, y, classes=range(10))
    np.testing.assert_array_equal(whole.weights_["W1"], once.weights_["W1"])


@pytest.mark.parametrize("made", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_a_copy_predicts_and_goes_on_alike(made, digits):
    x, x_test, y, _ = digits
    model = LocalDFAClassifier(hidden=(8,), random_state=0, epochs=1, rule="fa", pathway="sign_symmetric").fit(x, y)
    again = made(model)
    np.testing.assert_array_equal(again.predict_proba(x_test), model.predict_proba(x_test))
    assert len(pickle.dumps(model)) < x.nbytes  # the samples are not in it
    for each in (model, again):
        each.partial_fit(x, y)
    for name, array in model.weights_.items():
        np.testing.assert_array_equal(array, again.weights_[name])
    with pytest.raises(NotFittedError):
        clone(model).predict(x_test)


def test_pipelines_and_searches(digits):
    x, x_test, y, y_test = digits
    model = make_pipeline(StandardScaler(), LocalDFAClassifier(hidden=16, epochs=3, random_state=0))
    names = {"localdfaclassifier__rule": ["local", "bp"], "localdfaclassifier__learning_rate": [1e-5, 5e-3]}
    search = GridSearchCV(model, names, cv=2, error_score="raise").fit(x[:600], y[:600])
    assert search.best_params_["localdfaclassifier__learning_rate"] == 5e-3
    assert search.score(x_test, y_test) > 0.8


def test_a_regressor_fits_one_number_and_several():
    x, y = load_diabetes(return_X_y=True)
    x, y = StandardScaler().fit_transform(x), (y - y.mean()) / y.std()
    model = LocalDFARegressor(hidden=(16,), epochs=30, random_state=0, learning_rate=1e-3).fit(x, y)
    assert model.predict(x).shape == (442,)
    assert model.score(x, y) > 0.45
    both = model.fit(x, np.stack([y, -y], axis=1))
    assert both.predict(x).shape == (442, 2)
    assert both.score(x, np.stack([y, -y], axis=1)) > 0.45


@pytest.mark.slow
def test_spiking_neurons_are_trained_as_in_a_run(digits, tmp_path):
    x, x_test, y, _ = digits
    x, y = x[:256], y[:256]
    model = LocalDFAClassifier(hidden=(12,), neuron="lif", epochs=2, random_state=3, precision="float32").fit(x, y)
    tables = {"network": {"hidden": [12], "neuron": "lif", "output": "softmax"}, "stage": [{"epochs": 2}], "seeds": [3]}
    run = localdfa.run(tables, tmp_path / "run", data=(x, y), progress=False)
    np.testing.assert_array_equal(model.weights_["W1"], run.jobs[0].weights["W1"])
    again = pickle.loads(pickle.dumps(model))
    for each in (model, again):
        each.partial_fit(x, y)
    np.testing.assert_array_equal(model.weights_["W1"], again.weights_["W1"])
    np.testing.assert_array_equal(model.predict(x_test), again.predict(x_test))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rule": "lcoal"}, "did you mean 'local'"),
        ({"output": "linear"}, "output: 'linear' is not taught labels; allowed: 'logistic', 'softmax'"),
        ({"spec": {"network": {"hidden": [3]}}}, "'network.hidden' is a parameter of its own"),
        ({"spec": {"rule": "bp"}}, "'rule' is a parameter of its own"),
        ({"spec": {"preprocess": {"whiten": True}}}, "in its place there is a pipeline"),
        ({"spec": {"phases": {"nudgeing": 1}}}, "nudging"),
        ({"spec": [1]}, "allowed: a dict of tables"),
        ({"sample_shape": (1, 3, 3)}, r"sample_shape: \(1, 3, 3\) has 9 numbers, and X has 64 features"),
        ({"patience": 3}, "validation"),
    ],
)
def test_parameters_that_are_not_allowed_are_named(parameters, words, digits):
    x, _, y, _ = digits
    with pytest.raises(SpecError, match=words):
        LocalDFAClassifier(**parameters).fit(x, y)
    with pytest.raises(SpecError, match=r"output: 'softmax' is not taught numbers; allowed: 'linear'"):
        LocalDFARegressor(output="softmax").fit(x, y)


def test_a_regressor_is_given_as_many_numbers_as_before():
    x = np.random.default_rng(0).normal(size=(60, 4))
    for first, then in ((x[:, :2], x[:, 3]), (x[:, 0], x[:, :2])):
        model = LocalDFARegressor(hidden=(8,), random_state=0).partial_fit(x, first)
        before = model.weights_["W2"].copy()
        with pytest.raises(ValueError, match=r"y has the shape .*, and the network has learned from \('n_samples'"):
            model.partial_fit(x, then)
        np.testing.assert_array_equal(model.weights_["W2"], before)
        assert model.predict(x[:2]).shape == first[:2].shape
        model.fit(x, then)
        assert model.predict(x[:2]).shape == then[:2].shape


def test_a_fit_that_fails_leaves_the_network_that_there_was():
    x = np.random.default_rng(0).normal(size=(60, 4))
    names = np.where(x[:, 0] > 0, "p", "n")
    for model in (LocalDFAClassifier(hidden=(8,), epochs=3), LocalDFARegressor(hidden=(8,), epochs=3)):
        y, other = (names, np.arange(60) % 3) if isinstance(model, LocalDFAClassifier) else (x[:, 0], x[:, :2])
        model.set_params(rule="nope", random_state=0)
        for fit in (model.fit, lambda x, y, model=model: model.partial_fit(x, y, *([["p", "n"]] if y is names else []))):
            with pytest.raises(SpecError, match="nope"):
                fit(x, y)
            with pytest.raises(NotFittedError):
                model.predict(x)
        expected = model.set_params(rule="dfa").fit(x, y).predict(x)
        with pytest.raises(SpecError, match="nope"):
            model.set_params(rule="nope").fit(x[:, :3], other)
        np.testing.assert_array_equal(model.predict(x), expected)
        assert model.n_features_in_ == 4


def test_adversarial_examples_of_later_samples_have_their_range():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), np.arange(60) % 2
    model = LocalDFAClassifier(hidden=(4,), rule="bp", spec={"adversarial": {"strength": 0.1}}, random_state=0)
    model.partial_fit(np.ones((4, 4)), y[:4], classes=[0, 1])
    assert model._trainer._adversary.step == 0
    model.partial_fit(x, y).partial_fit(x[:2], y[:2])
    assert model._trainer._adversary.step == pytest.approx(0.1 * (max(x.max(), 1) - x.min()))


def test_partial_fit_learns_from_all_samples_and_from_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), np.arange(60) % 2
    whole, divided = (
        LocalDFAClassifier(hidden=(4,), random_state=0, validation_fraction=part).partial_fit(x, y, classes=[0, 1])
        for part in (0.0, 0.5)
    )
    np.testing.assert_array_equal(whole.weights_["W1"], divided.weights_["W1"])
    divided.partial_fit(x[:1], y[:1])
    fitted = LocalDFARegressor(hidden=(4,), random_state=0).partial_fit(x[:1], [1.0]).partial_fit(x[:1], [2.0])
    assert fitted.n_epochs_ == 2


def test_parameters_that_a_network_would_not_heed_are_refused_in_partial_fit():
    x, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 2
    model = LocalDFAClassifier(hidden=(4,), random_state=0, epochs=1).fit(x, y)
    model.set_params(epochs=3, hidden=(4,)).partial_fit(x, y)
    with pytest.raises(SpecError, match="rule: 'bp', but the network was made with 'local'; allowed: that, or `fit`"):
        model.set_params(rule="bp").partial_fit(x, y)
    model.fit(x, y)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden": None}, "hidden: None; allowed: a whole number"),
        ({"hidden": 4.0}, "hidden: 4.0; allowed: a whole number"),
        ({"sample_shape": 4}, "sample_shape: 4; allowed: a sequence of whole numbers"),
        ({"sample_shape": "ab"}, "sample_shape: 'ab'; allowed"),
        ({"sample_shape": (-1, -2, 2)}, "sample_shape: .*; allowed: a sequence of whole numbers above 0"),
    ],
)
def test_widths_and_shapes_are_whole_numbers(changed, message):
    with pytest.raises(SpecError, match=message):
        LocalDFAClassifier(**{"hidden": (4,), **changed}).fit(np.eye(4), [0, 1, 0, 1])
