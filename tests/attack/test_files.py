"""Damaged and hostile data files: each is refused with a DataError, or read as finite numbers; no code runs from one.

A few hundred cases of each kind by default; `pytest --attack N`, or LOCALDFA_ATTACK=N, makes N. They are the same each time.
"""

import gzip
import io
import os
import pickle
import signal
import struct
import sys
import tarfile
import zipfile
from contextlib import contextmanager, suppress
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_data_hostile import ARRAY, IMAGES, LABELS, ROWS, Call, batch, damage, pickled_array, raw_idx, text

from localdfa import data as datasets
from localdfa import samples, spec
from localdfa.data.archives import unpack
from localdfa.data.cifar import parse_batch
from localdfa.data.idx import parse_idx
from localdfa.errors import DataError, LocalDFAError

pytestmark = pytest.mark.slow

CASES, SECONDS = 300, 20
# What Python's interpreter reports when a pickle names a function, or a program is started.
CODE = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")
seen: list[str] = []
watching = False


@sys.addaudithook
def _hook(event, _):
    if watching and event in CODE:
        seen.append(event)


@contextmanager
def watched():
    """Fail where code runs from a file, or nothing comes back for long."""
    global watching

    def late(*_):
        raise TimeoutError(f"no answer after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    seen.clear()
    watching = True
    try:
        yield
    finally:
        watching = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not seen


@pytest.fixture
def attack(attack_size):
    """Run a check of one drawn case as often as is asked for."""
    run = settings(
        max_examples=attack_size or CASES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda check: run(given(st.data())(check))()


def unless_refused(function, *arguments, error=DataError, **named):
    """The function's result, or None where it raises such an error, whose message is short."""
    try:
        with watched():
            return function(*arguments, **named)
    except error as refused:
        message = str(refused)
    assert 0 < len(message) < 1500
    return None


# --- npz --------------------------------------------------------------------------------------------------------------

N_TRAIN, N_TEST = 9, 5
NUMBERS = ("f2", "f4", "f8", "g", ">f8", ">f4", "i1", "u1", ">i2", "i8", "u8", "?")
ANYTHING = (*NUMBERS, "c8", "c16", "O", "U3", ">U2", "S2", "V8", "M8[s]", "m8[ns]", "f4,i4")
WRONG = (np.nan, np.inf, -np.inf, 1e300, -1e300, 3e38, 65504.0, -1.0, 2.0**53 + 2, 1 + 2.0**-52, -(2.0**-53), 0.5)
# Of a sample, and what the file says of it.
SHAPES = (
    ((6,), None), ((6,), "samples frames"), ((3, 4), "samples frames channels"), ((3, 4), "samples rows columns"),
    ((2, 3, 4), None), ((4, 4, 2), "samples rows columns channels"), ((1, 1, 1), None), ((5, 1), "samples, channels, frames"),
)  # fmt: skip
AXES = ("samples channels rows columns", "frames samples", "", "samples samples", "a b c", "x" * 5000)


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "trace"


def whole_arrays(draw, rng):
    """The arrays of a file that is right, or nearly so."""
    if draw(st.booleans(), "spike trains"):
        arrays = {}
        for part, n in (("train", N_TRAIN), ("test", N_TEST)):
            arrays |= {f"time_{part}": rng.uniform(0, 100, 40), f"neuron_{part}": rng.integers(0, 4, 40)}
            arrays |= {f"sample_{part}": rng.integers(0, n, 40)}
        extra = ("time_unit", draw(st.sampled_from([None, "ms", "s", "us", "µs"])) if rng.random() < 0.9 else "ms" * 99)
    else:
        shape, axes = draw(st.sampled_from(SHAPES))
        arrays = {f"x_{part}": rng.random((n, *shape)) for part, n in (("train", N_TRAIN), ("test", N_TEST))}
        extra = ("axes", axes if rng.random() < 0.9 else draw(st.sampled_from(AXES)))
    names = draw(st.sampled_from([np.arange(3), np.array(["a", "b", "c"]), np.array([1.0, 2.0, 5.0]), np.array([True, False])]))
    arrays |= {f"y_{part}": names[np.arange(n) % len(names)] for part, n in (("train", N_TRAIN), ("test", N_TEST))}
    return arrays if extra[1] is None else {**arrays, extra[0]: np.array(extra[1])}


def changed(array, draw, rng, trace):
    """An array with other values, of another type or shape, or of random bytes."""
    how = draw(st.sampled_from(["value", "value", "type", "any type", "bits", "bytes", "shape", "object"]))
    with np.errstate(all="ignore"):
        if how == "value" and array.dtype.kind in "fiu" and array.size:
            array = array.astype(array.dtype if array.dtype.kind == "f" else float)
            for _ in range(draw(st.integers(1, 3))):
                array.reshape(-1)[rng.integers(array.size)] = draw(st.sampled_from(WRONG))
        elif how in ("type", "any type"):
            with suppress(TypeError, ValueError):
                array = array.astype(draw(st.sampled_from(NUMBERS if how == "type" else ANYTHING)))
        elif how == "bits" and array.size and not array.dtype.hasobject:
            array = np.ascontiguousarray(array).copy()
            flat = array.reshape(-1).view(np.uint8) if array.dtype.itemsize else np.zeros(1, np.uint8)
            for _ in range(draw(st.integers(1, 4))):
                flat[rng.integers(flat.size)] = draw(st.sampled_from([0, 1, 127, 128, 240, 255]))
        elif how == "bytes":
            dtype = np.dtype(draw(st.sampled_from([d for d in ANYTHING if not np.dtype(d).hasobject])))
            array = np.frombuffer(rng.bytes(dtype.itemsize * array.size), dtype).reshape(array.shape)
        elif how == "shape":
            ways = [lambda a: a[:-1], lambda a: a[None], np.ravel, lambda a: a[:0], lambda a: a[..., None], lambda a: a.T]
            ways += [lambda a: np.repeat(a, 2, axis=-1), lambda a: a.reshape(-1)[:1].reshape(())]
            with suppress(IndexError, ValueError):
                array = draw(st.sampled_from(ways))(array)
        elif how == "object":
            array = np.array([Call(os.mkdir, str(trace))] * 2, object)
    return array


def npz(arrays, draw, rng):
    """The bytes of a file: its members, their headers and data, or the archive itself may be damaged."""
    buffer, inside = io.BytesIO(), rng.random() < 0.2
    with zipfile.ZipFile(buffer, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=True)
            content = member.getvalue()
            if inside and rng.random() < 0.3:
                start = draw(st.sampled_from([0, 8, 128]))
                content = content[:start] + (damage(content[start:], draw) if content[start:] else b"")
            archive.writestr(f"{key}.npy" if rng.random() < 0.99 else key, content)
    content = buffer.getvalue()
    return damage(content, draw) if rng.random() < 0.1 else content


def check_dataset(found, dtype):
    """What every data set that is read must be."""
    assert 2 <= found.n_classes == len(found.classes)
    assert all(name and name.isprintable() for name in found.classes)
    for x, y in ((found.x_train, found.y_train), (found.x_valid, found.y_valid), (found.x_test, found.y_test)):
        assert y.dtype == np.int64
        assert y.shape == (len(x),)
        assert ((y >= 0) & (y < found.n_classes)).all()
        if isinstance(x, datasets.Trains):
            sample, neuron, time = x.events()
            assert (np.isfinite(time) & (time >= 0)).all()
            assert ((neuron >= 0) & (neuron < found.n_features)).all()
            assert ((sample >= 0) & (sample < len(x))).all()
        else:
            assert x.dtype == dtype
            assert x.shape == (len(y), found.n_features)
            assert np.isfinite(x).all()


def test_npz_files(attack, attack_size, tmp_path, trace):
    cases = attack_size or CASES
    path, outcomes = tmp_path / "own.npz", {"read": 0, "used": 0}
    codes = ("current", "frames", "changes", "poisson", "latency", "trains")

    def check(data):
        draw, rng = data.draw, np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
        arrays = whole_arrays(draw, rng)
        inputs = [key for key in sorted(arrays) if key[:2] in ("x_", "ti")]
        for key in draw(st.sampled_from([[], inputs[:1], inputs[1:2], *([key] for key in sorted(arrays)), sorted(arrays)[:2]])):
            arrays[key] = changed(arrays[key], draw, rng, trace)
        if rng.random() < 0.05:
            del arrays[draw(st.sampled_from(sorted(arrays)))]
        if rng.random() < 0.05:
            arrays["more"] = np.zeros(2)
        path.write_bytes(npz(arrays, draw, rng))
        dtype = draw(st.sampled_from([np.float32, np.float64]))
        found = unless_refused(
            datasets.load, f"npz:{path}", dtype=dtype, whiten="x_train" in arrays and draw(st.booleans()), rng=rng,
            validation=draw(st.sampled_from([0.0, 0.0, 0.3])),
        )  # fmt: skip
        assert not trace.exists()
        if found is None:
            return
        outcomes["read"] += 1
        check_dataset(found, dtype)
        tables = {"network": {"neuron": "lif"}, "phases": {"free": 400.0}, "input": {"code": draw(st.sampled_from(codes))}}
        outcomes["used"] += (
            unless_refused(samples.load, spec.experiment({"data": f"npz:{path}", **tables}), error=LocalDFAError) is not None
        )

    attack(check)
    assert outcomes["read"] > cases / 5  # else the attack meets nothing but the first check
    assert outcomes["used"] > cases / 30


# --- idx --------------------------------------------------------------------------------------------------------------


def test_idx_files(attack):
    def check(data):
        draw = data.draw
        sizes = draw(
            st.one_of(st.just(IMAGES.shape), st.tuples(*[st.sampled_from([0, 1, 2, 3, 4, 255, 2**31, 2**32 - 1])] * 3))
        )
        magic = bytes(
            draw(st.sampled_from([(0, 0, 8, 3), (0, 0, 8, 1), (0, 0, 13, 3), (0, 0, 14, 3), (8, 0, 0, 3), (0, 0, 8, 255)]))
        )
        content = draw(st.sampled_from([raw_idx(IMAGES), magic + struct.pack(">3I", *sizes) + IMAGES.tobytes()]))
        blob = gzip.compress(damage(content, draw) if draw(st.booleans()) else content, mtime=0)
        blob = draw(st.sampled_from([blob, blob + blob, blob[: len(blob) // 2], content, gzip.compress(blob, mtime=0)]))
        blob = damage(blob, draw) if draw(st.booleans()) else blob
        found = unless_refused(parse_idx, blob, IMAGES.shape, "file")
        assert found is None or (found.shape == IMAGES.shape and found.dtype == np.uint8)

    attack(check)


# --- CIFAR ------------------------------------------------------------------------------------------------------------


def pickles(trace):
    """Pickles of any protocol, some of which would make a folder."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
        st.just(Call(os.mkdir, str(trace))),
    )
    values = st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
        max_leaves=6,
    )
    return st.builds(pickle.dumps, values, st.integers(0, pickle.HIGHEST_PROTOCOL))


def test_cifar_batches(attack, trace):
    whole = batch()
    pieces = [
        ARRAY,
        LABELS,
        pickled_array(np.zeros((1, 3072), np.uint8)),
        text("data"),
        text("labels"),
        b"}(",
        b"u",
        b"e",
        b".",
        b"R",
        b"b",
    ]

    def check(data):
        draw = data.draw
        part = st.one_of(
            pickles(trace), pickles(trace).map(lambda found: found[2:-1]), st.sampled_from(pieces), st.binary(max_size=8)
        )
        how = draw(st.sampled_from(["labels", "pixels", "splice", "head", "tail", "alone"]))
        at = draw(st.integers(0, len(whole)))
        blob = {
            "labels": lambda: batch(labels=draw(part)),
            "pixels": lambda: batch(data=draw(part)),
            "splice": lambda: whole[:at] + draw(part) + whole[draw(st.integers(0, len(whole))) :],
            "head": lambda: damage(whole[:200], draw) + whole[200:],
            "tail": lambda: whole[:-150] + damage(whole[-150:], draw),
            "alone": lambda: draw(part),
        }[how]()
        found = unless_refused(parse_batch, blob, ROWS, "labels", 10, "file")
        assert not trace.exists()
        if found is not None:
            images, labels = found
            assert images.shape == (ROWS, 3072)
            assert images.dtype == np.uint8
            assert labels.shape == (ROWS,)
            assert ((labels >= 0) & (labels < 10)).all()

    attack(check)


def test_cifar_archives(attack, tmp_path):
    """Whatever an archive holds, what is wanted of it is right or refused, and nothing else is written."""
    path, target, wanted = tmp_path / "a.tar.gz", tmp_path / "to", {"set/one": md5(b"first").hexdigest()}
    names = ("set/one", "set/two", "../evil", "/evil", "set/../../evil", "set", "x" * 200)
    kinds = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)

    def check(data):
        draw, buffer = data.draw, io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for _ in range(draw(st.integers(0, 4))):
                info = tarfile.TarInfo(draw(st.sampled_from(names)))
                info.type, info.linkname = (
                    draw(st.sampled_from(kinds)),
                    draw(st.sampled_from(("/etc/passwd", "../evil", "set/one"))),
                )
                content = draw(st.sampled_from([b"first", b"", b"other"]))
                info.size = len(content) if info.type == tarfile.REGTYPE else 0
                tar.addfile(info, io.BytesIO(content))
        content = buffer.getvalue()
        blob = gzip.compress(damage(content[:2048], draw) + content[2048:] if draw(st.booleans()) else content, mtime=0)
        path.write_bytes(damage(blob, draw) if draw(st.booleans()) else blob)
        unless_refused(unpack, path, wanted, target)
        found = sorted(tmp_path.rglob("*"))
        assert {file for file in found if file.is_file() or file.is_symlink()} <= {path, target / "set/one"}
        assert not Path("/evil").exists()
        one = target / "set/one"
        if one.exists():
            assert not one.is_symlink()
            assert one.read_bytes() == b"first"
            one.unlink()

    attack(check)
