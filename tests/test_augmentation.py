"""Augmentation: crops and mirror images against a slow obvious version, what sees them and what does not, and the same bits."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import setting_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_train import StopAfter, assert_same_bits, tiny

from localdfa import memory, samples, train
from localdfa.augmentation import Augmentation
from localdfa.errors import SpecError
from localdfa.geometry import seen
from localdfa.network import NOISE, generator
from localdfa.record import Job
from localdfa.samples import Part
from localdfa.spec import Augment, experiment, settings
from localdfa.trainer import Trainer

LIF = {"network": {"hidden": [6], "neuron": "lif"}, "trace": {"tau_x": 10.0, "tau_z": 10.0}}
CROP = {"crop": 6, "padding": 1, "flip": True}


def with_ones(images):
    return np.concatenate([images.reshape(len(images), -1), np.ones((len(images), 1), images.dtype)], axis=1)


def naive(image, crop, padding, flip, top, left, mirrored):
    """One image (channels, height, width): a border of zeros around it, a part of that, and its mirror image."""
    channels, height, width = image.shape
    bordered = np.zeros((channels, height + 2 * padding, width + 2 * padding), image.dtype)
    bordered[:, padding : padding + height, padding : padding + width] = image
    rows, columns = (crop, crop) if crop else (height, width)
    part = bordered[:, top + padding : top + padding + rows, left + padding : left + padding + columns]
    return part[:, :, ::-1] if flip and mirrored else part


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    channels=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    crop=st.integers(0, 7),
    padding=st.integers(0, 3),
    flip=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_what_is_drawn_is_what_an_obvious_version_makes(seed, channels, height, width, crop, padding, flip, dtype):
    crop = min(crop, height, width)
    padding = min(padding, (crop or min(height, width)) - 1)
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(5, channels, height, width)).astype(dtype)
    augmentation = Augmentation(Augment(crop=crop, padding=padding, flip=flip), (channels, height, width))
    numbers = rng.integers(0, 5, 9)
    drawn = augmentation.draw(with_ones(images), numbers, np.random.default_rng(seed))
    again = np.random.default_rng(seed)
    rows, columns = (crop, crop) if crop else (height, width)
    top = again.integers(-padding, height + padding - rows + 1, 9)
    left = again.integers(-padding, width + padding - columns + 1, 9)
    mirrored = again.random(9, np.float32) < 0.5 if flip else np.zeros(9)
    expected = [naive(images[n], crop, padding, flip, *at) for n, *at in zip(numbers, top, left, mirrored, strict=True)]
    assert drawn.dtype == dtype
    np.testing.assert_array_equal(drawn, with_ones(np.array(expected)))
    middle = [naive(image, crop, 0, False, (height - rows) // 2, (width - columns) // 2, False) for image in images]
    np.testing.assert_array_equal(augmentation.central(with_ones(images)), with_ones(np.array(middle)))


def test_every_place_is_as_likely_and_half_are_mirrored():
    pixels = np.arange(1.0, 26).reshape(1, 1, 5, 5)
    augmentation = Augmentation(Augment(crop=3, flip=True), (1, 5, 5))
    drawn = augmentation.draw(with_ones(pixels), np.zeros(9000, np.int64), np.random.default_rng(0))
    mirrored = drawn[:, 0] > drawn[:, 1]
    assert abs(mirrored.mean() - 0.5) < 3 * 0.5 / np.sqrt(9000)
    _, counts = np.unique(drawn[:, 4], return_counts=True)  # the middle of each crop
    assert len(counts) == 9
    assert abs(counts - 1000).max() < 4 * np.sqrt(1000)


def test_a_network_sees_the_crop_and_mini_batches_alone_are_augmented(tmp_path):
    spec = tiny(augment=CROP, preprocess={"validation": 0.2, "whiten": True}, network={"hidden": [5]})
    setting = settings(spec)["local"]
    data = samples.load(spec)
    parts = samples.parts(data, setting)
    for name, x in (("train", data.x_train), ("valid", data.x_valid), ("test", data.x_test)):
        np.testing.assert_array_equal(parts[name].array, with_ones(x.reshape(-1, 1, 8, 8)[:, :, 1:7, 1:7]))
        assert parts[name].shape == (1, 6, 6) == seen(setting, data.shape)
    trainer = Trainer(setting, parts, Job(tmp_path, "local", 0))
    assert trainer.network.sizes == (36, 5, 10)
    learned = []
    trainer.engine.learn = lambda network, inputs, *others: learned.append(inputs) or learn(network, inputs, *others)
    learn = type(trainer.engine).learn.__get__(trainer.engine)
    batch = np.array([3, 1, 4])
    trainer.step(batch, generator(0, NOISE))
    augmentation = Augmentation(setting.augment, (1, 8, 8))
    expected = augmentation.draw(with_ones(data.x_train), batch, generator(0, NOISE))
    np.testing.assert_array_equal(learned[0], expected)
    assert not np.array_equal(learned[0], parts["train"].inputs[batch])


def test_what_conditions_have_in_common_is_kept_once():
    spec = tiny(condition=[
        {"name": "whole"}, {"name": "flip", "augment": {"flip": True}}, {"name": "crop", "augment": CROP},
        {"name": "softmax", "augment": {"crop": 6}, "network": {"output": "softmax"}},
    ])  # fmt: skip
    forms = samples.in_forms(settings(spec).values(), samples.load(spec), {})
    whole, flip, crop, softmax = (forms[samples.form_of(setting)]["train"] for setting in settings(spec).values())
    assert flip.inputs is whole.inputs is crop.whole is softmax.whole
    assert crop.inputs is softmax.inputs
    need = {name: {p.what: p.size for p in memory.needed(s, (1, 8, 8), 10, 100)} for name, s in settings(spec).items()}
    assert need["flip"]["inputs"] == need["crop"]["inputs"] == 4 * 100 * 65
    assert need["flip"]["inputs once they are cropped"] == 0
    assert need["crop"]["inputs once they are cropped"] == 4 * 100 * 37


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run with every kind of it, with dropout, and of none."""
    conditions = [
        {"name": "crop", "augment": CROP}, {"name": "padding", "augment": {"padding": 1}},
        {"name": "flip", "augment": {"flip": True}}, {"name": "none"},
    ]  # fmt: skip
    spec = tiny(
        network={"hidden": [6], "weights": "uniform", "dropout": 0.2}, rule="dfa", stage=[{"epochs": 2}], condition=conditions,
        record={"probe": 16, "activity": 8},
    )  # fmt: skip
    return spec, train.run(spec, tmp_path_factory.mktemp("augmented") / "run")


def test_training_with_it_is_another_one_and_what_is_kept_is_of_the_middle(trained):
    _, run = trained
    found = {job.condition: job for job in run.jobs}
    assert found["crop"].weights["W1"].shape == (6, 36)
    assert len({job.weights["W2"].tobytes() for job in run.jobs}) == 4
    rows = found["none"].activity
    middle = rows["x"].reshape(-1, 8, 8)[:, 1:7, 1:7]
    np.testing.assert_array_equal(found["crop"].activity["x"], middle.reshape(8, -1))
    np.testing.assert_array_equal(found["flip"].activity["x"], rows["x"])


def test_fields_are_drawn_of_each_condition_as_it_sees_images(trained):
    from localdfa.analysis import fields

    _, run = trained
    shown = [axes.images[0].get_array().shape for axes in fields.figure(run).axes if axes.images]
    assert shown == [(2 * 7 - 1, 3 * 7 - 1), *[(2 * 9 - 1, 3 * 9 - 1)] * 3]


def test_the_same_seed_gives_the_same_bits_also_where_it_was_cut(trained, tmp_path):
    spec, whole = trained
    with pytest.raises(KeyboardInterrupt):
        train.run(spec, tmp_path / "cut", progress=StopAfter(8))
    cut = train.resume(tmp_path / "cut")
    assert_same_bits(whole, cut)


def test_any_number_of_threads_draws_the_same(rng):
    numba = pytest.importorskip("numba")
    images, augmentation = with_ones(rng.normal(size=(40, 3, 9, 8))), Augmentation(Augment(padding=2, flip=True), (3, 9, 8))
    found, before = [], numba.get_num_threads()
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            found.append(augmentation.draw(images, np.arange(40), np.random.default_rng(1)).tobytes())
    finally:
        numba.set_num_threads(before)
    assert len({*found}) == 1


def test_without_it_nothing_changes(trained, tmp_path, rng):
    """The draws of dropout, too, are those of an experiment that says nothing of it."""
    spec, run = trained
    tables = spec.model_dump(exclude_unset=True, exclude={"condition"})
    plain = train.run(experiment(tables), tmp_path / "run").jobs[0]
    weights = {job.condition: job.weights for job in run.jobs}["none"]
    for name, array in plain.weights.items():
        np.testing.assert_array_equal(array, weights[name])
    part, state = Part(rng.random((4, 9)), np.arange(4), 10, np.float64, (1, 3, 3)), rng.bit_generator.state
    np.testing.assert_array_equal(part.draw(np.array([2, 0]), rng), part.array[[2, 0]])
    assert rng.bit_generator.state == state


@pytest.mark.parametrize(
    ("tables", "sizes"), [
        (LIF, (36, 6, 10)), ({"network": {"hidden": [{"channels": 2, "kernel": 3, "padding": 1, "pool": 2}]}}, (36, 18, 10)),
    ],
)  # fmt: skip
def test_spiking_neurons_and_convolutions_learn_from_crops(tables, sizes, tmp_path):
    spec = tiny(augment=CROP, **tables)
    setting = settings(spec)["local"]
    parts = samples.parts(samples.load(spec), setting)
    trainer = Trainer(setting, parts, Job(tmp_path, "local", 0))
    trainer.step(np.arange(8), generator(0, NOISE))
    assert trainer.network.sizes == sizes
    assert trainer.network.weights[1].any()


def test_the_certificate_trains_both_sides_on_the_same_crops():
    """Under a weak nudge the local rule in the core is DFA in PyTorch, epoch by epoch, where both see the same samples."""
    pytest.importorskip("torch")
    from localdfa.crosscheck import certificate

    spec = tiny(augment=CROP, precision="float64", phases={"beta": 1e-4}, optimiser={"name": "sgd", "learning_rate": 1e-3},
                network={"hidden": [5], "weights": "uniform", "input_dropout": 0.2}, stage=[{"epochs": 1}])  # fmt: skip
    setting = settings(spec)["local"]
    of = samples.parts(samples.load(spec), setting)
    witness = certificate._Witness(setting, 0, "cpu")
    *_, (epoch, _, row) = certificate._training(witness, of, 1, lambda _: None)
    assert epoch == 1
    assert max(row["weight_distance"]) < 1e-8


@pytest.mark.parametrize(
    ("tables", "message"), [
        ({"augment": {"crop": 9}}, r"augment\.crop: 9 is larger than images of 8 x 8; allowed: up to 8"),
        ({"augment": {"crop": 4, "padding": 4}}, r"augment\.padding: with 4 zeros .*an image of 8 x 8; allowed: less than 4"),
        ({"augment": {"padding": 8}}, r"augment\.padding: with 8 zeros .*allowed: less than 8"),
        ({"augment": {"flip": True}, "data": "diabetes", "network": {"output": "linear"}},
         r"augment: \{'flip': True\} needs images, samples of shape \(channels, height, width\), not \(10,\)"),
        ({"augment": {"crop": 4}, "network": {"hidden": [{"channels": 2, "kernel": 9, "padding": 2}]}},
         r"network\.hidden\[0\]\.kernel: 9 is larger than the padded input, 8 x 8"),
    ],
)  # fmt: skip
def test_what_the_data_do_not_allow_is_refused_before_a_folder_is_made(tables, message, tmp_path):
    with pytest.raises(SpecError, match=message):
        train.run(tiny(**tables), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("tables", "message"), [
        ({"augment": {"crop": -1}}, r"augment\.crop: -1 is not allowed"),
        ({"augment": {"crop": 2.5}}, r"augment\.crop: 2\.5"),
        ({"augment": {"flip": 1}}, r"augment\.flip: 1"),
        ({"augment": {"mirror": True}}, r"unknown key augment\.mirror: 'mirror' is not one of crop, padding, flip"),
        ({"augment": {"flip": True}, "input": {"code": "trains"}, **LIF},
         r"augment: \{'flip': True\} is done to images, and input\.code = 'trains' reads spike trains; allowed .*'poisson'"),
        ({"augment": {"padding": 1}, "input": {"code": "frames"}, **LIF}, r"augment: .*'frames' reads frames; allowed with it"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(tables, message):
    with pytest.raises(SpecError, match=message):
        setting_of(**tables)


def test_from_the_command_line(tmp_path):
    (tmp_path / "own.toml").write_text(
        'data = "digits"\nseeds = [0]\nbatch_size = 256\nnetwork.hidden = [6]\nrecord = { probe = 8, train = 64 }\n'
        "[augment]\ncrop = 6\nflip = true\n[[stage]]\nepochs = 1\n"
    )
    command = [sys.executable, "-m", "localdfa", "run", "own.toml", "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "crop = 6" in (tmp_path / "run" / "spec.toml").read_text()
    refused = subprocess.run([*command, "--force", "--set", "augment.crop=10"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "augment.crop: 10 is larger than images of 8 x 8; allowed: up to 8" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
