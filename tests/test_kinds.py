"""Kinds of data that modules of PyTorch alone read: what they have to be, and how guesses at them are judged."""

import dataclasses

import numpy as np
import pytest

from localdfa import data, outputs, record, registry
from localdfa.data import kinds
from localdfa.data.kinds import Fields, Graph, Links, Text, Views
from localdfa.errors import DataError

RNG = np.random.default_rng(0)
# A path of four nodes.
GRAPH = Graph(
    RNG.random((4, 3), np.float32), np.array([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]), np.array([0, 1, 1, 0]),
    np.array([0, 1]), np.array([], np.int64), np.array([3]), ("a", "b"),
)  # fmt: skip
# The same, of which one edge is held out.
LINKS = Links(
    GRAPH.features, GRAPH.edges[:, :4], GRAPH.labels, np.array([[0], [3]]), np.float32([0]), np.array([[2, 0], [3, 2]]),
    np.float32([1, 0]), GRAPH.classes,
)  # fmt: skip
FIELDS = Fields(
    *(part for n in (4, 0, 2) for part in (np.arange(2 * n).reshape(n, 2) % (2, 3), (np.arange(n) % 2).astype(np.float32))),
    sizes=(2, 3), names=("user", "film"),
)  # fmt: skip
VIEWS = Views(
    RNG.random((3, 12, 13, 3), np.float32), np.tile(np.eye(4, dtype=np.float32), (3, 1, 1)), 14.0, 2.0, 6.0, np.array([0]),
    np.array([], np.int64), np.array([1, 2]),
)  # fmt: skip
TEXT = Text(np.array([0, 1, 2, 1]), np.array([], np.int64), np.array([2, 2]), ("a", "b", "\n"))
ALL = (GRAPH, LINKS, FIELDS, VIEWS, TEXT)


def ids(case):
    return type(case).__name__


@pytest.mark.parametrize("right", ALL, ids=ids)
def test_data_of_a_kind_that_are_right_pass(right):
    kinds.check("mine", right)


def changed(array, at, value):
    array = array.copy()
    array[at] = value
    return array


POSES, IMAGES = VIEWS.poses, VIEWS.images
WRONG = [
    (
        GRAPH,
        "features",
        GRAPH.features.astype(float),
        r"features: float64 of shape \(4, 3\); allowed: float32 of shape \(nodes, f",
    ),
    (GRAPH, "features", changed(GRAPH.features, (1, 1), np.nan), "features: some are not finite"),
    (GRAPH, "features", [[1.0]], r"features: \[\[1.0\]\]; allowed: an array"),
    (GRAPH, "labels", np.array([0, 1, 2, 0]), "labels: from 0 to 2; allowed: 0 to 1"),
    (GRAPH, "labels", np.array([0, 1, 1]), r"labels: int64 of shape \(3,\); allowed: int64 of shape \(4,\)"),
    (GRAPH, "edges", changed(GRAPH.edges, (1, 1), 4), "edges: from 0 to 4; allowed: 0 to 3"),
    (GRAPH, "edges", np.array([[0, 1], [1, 1]]), "edges: one leads from node 1 to itself"),
    (GRAPH, "edges", np.tile(GRAPH.edges, 2), "edges: 6 of 12 are there twice"),
    (GRAPH, "edges", GRAPH.edges[:, :-1], "edges: some lead one way only"),
    (GRAPH, "test", np.array([1]), "train, valid, test: 1 is there twice"),
    (GRAPH, "valid", np.array([4]), "valid: from 4 to 4; allowed: 0 to 3"),
    (GRAPH, "train", np.array([], np.int64), r"train: int64 of shape \(0,\); allowed: int64 of shape \(some,\)"),
    (GRAPH, "classes", ("a", "a"), r"classes: \('a', 'a'\); allowed: at least 2, none twice"),
    (LINKS, "edges", np.tile(LINKS.edges, 2), "edges: 4 of 8 are there twice"),
    (LINKS, "edges", LINKS.edges[:, :0], "edges: there are none to learn from"),
    (LINKS, "labels", np.array([0, 1, 2, 0]), "labels: from 0 to 2; allowed: 0 to 1"),
    (LINKS, "pairs_test", LINKS.pairs_test[:1], r"pairs_test: int64 of shape \(1, 2\); allowed: int64 of shape \(2, pairs\)"),
    (LINKS, "pairs_test", np.array([[2, 0], [3, 4]]), "pairs_test: from 0 to 4; allowed: 0 to 3"),
    (LINKS, "pairs_test", np.array([[2, 1], [3, 1]]), "pairs_test: node 1 with itself; allowed: two nodes"),
    (
        LINKS,
        "pairs_test",
        np.array([[2, 1], [3, 0]]),
        ".* nodes 0 and 1 are there twice; allowed: each pair at most once",
    ),
    (LINKS, "pairs_valid", np.array([[3], [2]]), ".*nodes 2 and 3 are there twice"),
    (LINKS, "joined_test", np.float32([1]), r"joined_test: float32 of shape \(1,\); allowed: float32 of shape \(2,\)"),
    (LINKS, "joined_test", np.float32([1, 1]), "joined_test: all are 1; allowed: pairs with 0 and pairs with 1"),
    (LINKS, "joined_valid", np.float32([2]), "joined_valid: other numbers than 0 and 1"),
    (FIELDS, "x_test", np.array([[0, 3], [1, 0]]), "x_test: film has the category 3; allowed: 0 to 2"),
    (FIELDS, "x_train", FIELDS.x_train[:, :1], r"x_train: int64 of shape \(4, 1\); allowed: int64 of shape \(rows, 2\)"),
    (FIELDS, "x_valid", np.array([[0, -1]]), "x_valid: from -1 to 0; allowed: 0 to inf"),
    (FIELDS, "y_train", np.float32([0, 1, 2, 0]), "y_train: other numbers than 0 and 1"),
    (FIELDS, "y_test", np.float32([1, 1]), "y_test: all are 1; allowed: rows with 0 and rows with 1"),
    (FIELDS, "sizes", (2,), r"sizes: \(2,\); allowed: of each of the 2 fields"),
    (FIELDS, "sizes", [2, 3], r"sizes: \[2, 3\]; allowed: of each of the 2 fields"),
    (FIELDS, "names", ("film", "film"), "names: .*; allowed: at least 1, none twice"),
    (VIEWS, "images", 255 * IMAGES, "images: from .*; allowed: 0 to 1"),
    (VIEWS, "images", IMAGES[..., :1], r"images: float32 of shape \(3, 12, 13, 1\)"),
    (VIEWS, "poses", changed(POSES, (1, 0, 0), 1.1), "poses: not each is a rotation and a shift"),
    (VIEWS, "poses", changed(POSES, (1, 0, 0), -1), "poses: not each is a rotation and a shift"),
    (VIEWS, "poses", changed(POSES, (1, 3, 0), 1), "poses: not each is a rotation and a shift"),
    (VIEWS, "focal", 0.0, "focal: 0.0; allowed: above 0"),
    (VIEWS, "focal", "long", "focal, near, far: .*; allowed: numbers"),
    (VIEWS, "far", 2.0, "near, far: 2.0, 2.0; allowed: near from 0, far above near"),
    (TEXT, "train", np.array([0, 3]), "train: from 0 to 3; allowed: 0 to 2"),
    (TEXT, "test", np.array([0], np.int32), "test: int32 of shape"),
    (TEXT, "symbols", "ab\n", "symbols: .*; allowed: a tuple of text"),
]


@pytest.mark.parametrize(("right", "key", "value", "message"), WRONG, ids=[f"{ids(case[0])}-{case[1]}" for case in WRONG])
def test_data_of_a_kind_that_are_wrong_are_refused(right, key, value, message):
    with pytest.raises(DataError, match=f"^mine: {message}"):
        kinds.check("mine", dataclasses.replace(right, **{key: value}))


def test_a_file_of_ones_own_may_give_a_kind_which_networks_of_layers_do_not_read(monkeypatch):
    found = {"none": None, "graph": GRAPH, "bad": dataclasses.replace(GRAPH, test=np.array([1]))}
    monkeypatch.setattr(registry, "names", lambda family: list(found))
    monkeypatch.setattr(registry, "get", lambda family, name: lambda: found[name])
    assert data.read("graph") is GRAPH
    with pytest.raises(DataError, match=r"^graph is no set of samples for networks of layers, but Graph.*table \[module\]"):
        data.load("graph")
    with pytest.raises(DataError, match=r"^bad: train, valid, test: 1 is there twice"):
        data.read("bad")
    with pytest.raises(DataError, match=r"^none: its function gives None; allowed: a Source, or data of a kind"):
        data.read("none")


def test_samples_are_read_as_they_are_published():
    assert data.read("digits").scale == 16


# --- what judges predictions ------------------------------------------------------------------------------------------

GUESSED = [
    # Entropy of a quarter yes, in nats; variances of three colours; entropy of a text of one a to three b, in bits.
    (Fields, "log_loss", np.float32([1, 0, 0, 0]), 0.5623),
    (Views, "rmse", np.float32([[0, 1, 0.25], [1, 1, 0.75]]), np.sqrt((1 / 4 + 0 + 1 / 16) / 3)),
    (Text, "bits", np.array([0, 1, 1, 1]), 0.8113),
]


@pytest.mark.parametrize(("kind", "key", "target", "guessed"), GUESSED, ids=[case[1] for case in GUESSED])
def test_what_is_no_better_than_a_guess_is_said_not_to_be_learned(kind, key, target, guessed):
    judge = kind.output
    assert judge.measures[0].key == key
    assert judge.not_learned({key: 0.98 * guessed}, target) is None
    assert f"is {guessed:.3f}, that of" in judge.not_learned({key: guessed}, target)
    assert judge.not_learned({key: None}, target) is None


def test_percent_is_0_at_best():
    assert Fields.output.percent({"log_loss": 0.4, "auc": 0.9}) == pytest.approx(10)
    assert Views.output.percent({"rmse": 0.05}) == pytest.approx(5)
    assert Text.output.percent({"bits": 2.0}) == pytest.approx(75)
    assert [kind.output.percent(best) for kind, best in ((Fields, {"auc": 1}), (Views, {"rmse": 0}), (Text, {"bits": 0}))] == [
        0
    ] * 3


def test_every_measure_of_modules_is_among_those_that_rows_may_have():
    measures = outputs.measures()
    assert next(iter(measures)) == "error"
    for kind in (Fields, Views, Text):
        assert all(measures[measure.key] == measure for measure in kind.output.measures)


@pytest.mark.parametrize(
    ("key", "right", "wrong"),
    [("auc", 0.7, 1.1), ("ssim", -0.2, 1.2), ("log_loss", 3.0, -0.1), ("bits", 0.0, -1.0), ("rmse", 0.1, -0.1)],
)
def test_rows_hold_the_measures_of_modules_to_their_bounds(key, right, wrong):
    row = {"condition": "a", "rule": "bp", "seed": 0, "epoch": 0, "stage": 0, "train_psnr": -3.0}
    assert record._checked_row(row | {f"test_{key}": right})
    with pytest.raises(ValueError, match=f"test_{key}"):
        record._checked_row(row | {f"test_{key}": wrong})
