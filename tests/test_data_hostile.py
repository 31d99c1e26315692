"""Files made to do harm, and files merely damaged: each gives a DataError that names the file, or a valid array."""

import gzip
import io
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localdfa.data import load
from localdfa.data.cifar import parse_batch
from localdfa.data.idx import parse_idx
from localdfa.data.pickled import parse_pickle
from localdfa.errors import DataError

FUZZ = settings(max_examples=300, deadline=None)
MIB = 2**20


@pytest.fixture
def little_memory():
    """Fail where more than 32 MiB are allocated at any one time."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MIB


def damage(data, draw):
    """Change a few bytes of a file, and perhaps cut it or add to it."""
    damaged = bytearray(data)
    for index, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=4)):
        damaged[index] = byte
    kept = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    return bytes(damaged[:kept]) + draw(st.binary(max_size=3))


def unless_refused(start, function, *arguments):
    """The function's result, or None where it raises a DataError, whose message must start as given."""
    try:
        return function(*arguments)
    except DataError as error:
        message = str(error)
    assert message.startswith(start)
    return None


# --- idx --------------------------------------------------------------------------------------------------------------

IMAGES = (np.arange(24) * 10).astype(np.uint8).reshape(4, 2, 3)


def raw_idx(array, magic=None):
    return (magic or bytes([0, 0, 8, array.ndim])) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx(array, magic=None):
    return gzip.compress(raw_idx(array, magic), mtime=0)


def test_idx_round_trip():
    for array in (IMAGES, np.arange(5, dtype=np.uint8)):
        np.testing.assert_array_equal(parse_idx(idx(array), array.shape, "file"), array)


def header(*sizes, rest=24):
    return gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", *sizes) + bytes(rest))


IDX_REFUSED = {
    "empty": (b"", r"truncated at byte 0 of the decompressed data, expected 40 bytes"),
    "not gzip": (raw_idx(IMAGES), r"corrupt gzip stream at or before byte \d+"),
    "magic": (idx(IMAGES, b"\x01\0\x08\x03"), "byte 0: not an idx file"),
    "type": (idx(IMAGES, b"\0\0\x0d\x03"), "byte 2: type 0x0d, expected 0x08"),
    "dimensions": (idx(IMAGES, b"\0\0\x08\xff"), "byte 3: 255 dimensions, expected 3"),
    "huge": (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "byte 4: dimension 0 is 4294967295, expected 4"),
    "swapped": (header(4, 3, 2), "byte 8: dimension 1 is 3, expected 2"),
    "zero": (header(4, 2, 0), "byte 12: dimension 2 is 0, expected 3"),
    "short": (header(4, 2, 3, rest=23), "truncated at byte 39 of the decompressed data, expected 40 bytes"),
    "long": (header(4, 2, 3, rest=25), "data continues after byte 40"),
    "cut stream": (idx(IMAGES)[:-9], "corrupt gzip stream at or before byte"),
    "wrong checksum": (idx(IMAGES)[:-8] + b"\0" * 8, "corrupt gzip stream at or before byte"),
    "trailing rubbish": (idx(IMAGES) + b"rubbish", "corrupt gzip stream at or before byte"),
    "second member": (idx(IMAGES) + idx(IMAGES), "data continues after byte 40"),
}


@pytest.mark.parametrize(("blob", "message"), IDX_REFUSED.values(), ids=IDX_REFUSED.keys())
def test_idx_refusals(blob, message):
    with pytest.raises(DataError, match=f"^some/file: {message}"):
        parse_idx(blob, IMAGES.shape, "some/file")


@pytest.mark.usefixtures("little_memory")
def test_idx_bomb_is_not_decompressed():
    bomb = gzip.compress(raw_idx(IMAGES) + bytes(64 * MIB), compresslevel=1)
    tracemalloc.reset_peak()
    with pytest.raises(DataError, match="data continues"):
        parse_idx(bomb, IMAGES.shape, "file")


@FUZZ
@given(st.data())
def test_damaged_idx(data):
    inside = data.draw(st.booleans(), "inside the compression")
    blob = gzip.compress(damage(raw_idx(IMAGES), data.draw)) if inside else damage(idx(IMAGES), data.draw)
    array = unless_refused("file: ", parse_idx, blob, IMAGES.shape, "file")
    if array is not None:
        assert array.shape == IMAGES.shape
        assert array.dtype == np.uint8


# --- CIFAR pickles ----------------------------------------------------------------------------------------------------

ROWS = 3
PIXELS = np.random.default_rng(0).integers(0, 256, size=(ROWS, 3072), dtype=np.uint8)


def text(value):
    return b"U" + bytes([len(value)]) + value.encode("latin-1") + b"q\x01"


def listed(*items):
    return b"](" + b"".join(items) + b"e"


DTYPE = b"cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87R"


def pickled_array(array, shape=None, dtype=DTYPE, fortran=b"\x89"):
    rows, columns = shape or array.shape
    content = array.tobytes()
    state = b"(K\x01" + b"M" + struct.pack("<H", rows) + b"M" + struct.pack("<H", columns) + b"\x86" + dtype + fortran
    return EMPTY_ARRAY + state + b"T" + struct.pack("<i", len(content)) + content + b"tb"


ARRAY = pickled_array(PIXELS)
LABELS = listed(b"K\x00", b"K\x01", b"K\x09")


def batch(data=ARRAY, labels=LABELS, start=b"\x80\x02", end=b"."):
    """A batch as Python 2 wrote it."""
    names = listed(*[text("a.png")] * ROWS)
    items = text("batch_label") + text("one") + text("labels") + labels + text("data") + data + text("filenames") + names
    return start + b"}q\x00(" + items + b"u" + end


def parse(blob):
    return parse_batch(blob, ROWS, "labels", 10, "some/file")


def test_batch_round_trip():
    images, labels = parse(batch())
    np.testing.assert_array_equal(images, PIXELS)
    assert labels.tolist() == [0, 1, 9]
    assert labels.dtype == np.int64


@pytest.mark.filterwarnings("ignore")  # numpy has moved what these old pickles name
def test_the_batches_made_here_are_what_python_reads():
    loaded = pickle.loads(batch(), encoding="bytes")
    np.testing.assert_array_equal(loaded[b"data"], PIXELS)


BATCH_REFUSED = {
    "empty": (b"", r"byte 0: 1 bytes announced, 0 left"),
    "protocol": (batch(start=b"\x80\x05"), r"byte 0: not a pickle of protocol 2"),
    "no stop": (batch(end=b""), r"byte \d+: 1 bytes announced, 0 left"),
    "trailing": (batch() + b"x", r"byte \d+: 1 bytes follow the end"),
    "no dictionary": (b"\x80\x02].", "byte 3: the file does not end with one dictionary"),
    "two values": (b"\x80\x02]}.", "byte 4: the file does not end with one dictionary"),
    "open mark": (b"\x80\x02(}.", "byte 4: the file does not end with one dictionary"),
    "no data": (b"\x80\x02}.", r"'data' must be an array of bytes of shape \(3, 3072\)"),
    "data is a list": (batch(data=b"]"), "'data' must be an array"),
    "fewer rows": (batch(data=pickled_array(PIXELS[:2])), "'data' must be an array"),
    "one label short": (batch(labels=listed(b"K\x00", b"K\x01")), "'labels' must be a list of 3 labels"),
    "label high": (batch(labels=listed(b"K\x00", b"K\x0a", b"K\x00")), r"labels\[1\] = 10: a label must lie in 0 .. 9"),
    "label low": (batch(labels=listed(b"K\x00", b"J" + b"\xff" * 4, b"K\x00")), r"labels\[1\] = -1"),
    "label text": (batch(labels=listed(b"K\x00", text("x"), b"K\x00")), "'labels' must be integers"),
    "label bool": (batch(labels=listed(b"K\x00", b"\x89", b"K\x00")), "'labels' must be integers"),
    "shape": (
        batch(data=pickled_array(PIXELS, (ROWS, 3073))),
        r"byte \d+: an array of shape \(3, 3073\) with 9216 bytes",
    ),
    "no rows": (batch(data=pickled_array(PIXELS[:0])), r"byte \d+: an array of shape \(0, 3072\) with 0 bytes"),
    "fortran": (batch(data=pickled_array(PIXELS, fortran=b"K\x01")), r"byte \d+: not the state of an array"),
    "object dtype": (batch(data=ARRAY.replace(b"U\x02u1", b"U\x02O8")), r"byte \d+: a call that does not occur"),
    "dtype state": (batch(data=ARRAY.replace(b"U\x01|", b"U\x01>")), r"byte \d+: a state that does not occur"),
    "two arrays": (batch(data=b"(" + ARRAY + ARRAY + b"t"), r"byte \d+: a second array"),
    "other class": (
        batch(data=EMPTY_ARRAY.replace(b"ndarray", b"recarray")),
        r"byte \d+: the global name 'numpy recarray'",
    ),
    "no newline": (b"\x80\x02cnumpy" + b"x" * 1000, r"byte 2: the global name 'numpyx+' does not occur"),
    "key not text": (b"\x80\x02}(K\x01K\x02u.", "byte 8: a dictionary needs pairs"),
    "key unhashable": (b"\x80\x02}(]K\x02u.", "byte 7: a dictionary needs pairs"),
    "odd items": (b"\x80\x02}(" + text("a") + b"u.", "byte 9: a dictionary needs pairs"),
    "items to a list": (b"\x80\x02](" + text("a") + b"Nu.", "byte 10: no dict on the stack"),
    "append to a dictionary": (b"\x80\x02}(Ne.", "byte 5: no list on the stack"),
    "append to nothing": (b"\x80\x02(Ne.", "byte 4: no list on the stack"),
    "no mark": (b"\x80\x02]e.", "byte 3: no mark was set"),
    "empty stack": (b"\x80\x02\x85.", "byte 2: the stack is empty"),
    "call of nothing": (b"\x80\x02R.", "byte 2: the stack is empty"),
    "build nothing": (b"\x80\x02Nb.", "byte 3: a state that does not occur"),
    "huge string": (b"\x80\x02T\xff\xff\xff\x7fabc", "byte 2: 2147483647 bytes announced, 3 left"),
    "negative string": (b"\x80\x02T\xff\xff\xff\xffabc", "byte 2: -1 bytes announced, 3 left"),
    "cut integer": (b"\x80\x02J\x01", "byte 2: 4 bytes announced, 1 left"),
}


@pytest.mark.parametrize(("blob", "message"), BATCH_REFUSED.values(), ids=BATCH_REFUSED.keys())
def test_batch_refusals(blob, message):
    with pytest.raises(DataError, match=f"^some/file: {message}"):
        parse(blob)


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("function", "argument"), [(os.system, "touch {}"), (eval, "open({!r}, 'w')"), (os.mkdir, "{}")])
def test_calls_are_not_made(tmp_path, function, argument, protocol):
    trace = tmp_path / "trace"
    blob = pickle.dumps({"data": Call(function, argument.format(str(trace)))}, protocol)
    with pytest.raises(DataError, match=r"^some/file: byte \d+: "):
        parse(blob)
    assert not trace.exists()


COMMAND = b"U\x05touch"
CODE = {
    "global": b"cos\nsystem\n" + COMMAND + b"\x85R.",
    "builtin": b"cbuiltins\neval\n" + COMMAND + b"\x85R.",
    "python 2 builtin": b"c__builtin__\nexec\n" + COMMAND + b"\x85R.",
    "numpy loader": b"cnumpy\nload\n" + COMMAND + b"\x85R.",
    "allowed name called otherwise": b"cnumpy\ndtype\n" + COMMAND + b"\x85R.",
    "array called": b"cnumpy\nndarray\nM\xff\xff\x85\x85R.",
    "inst": b"(" + COMMAND + b"ios\nsystem\n.",
    "obj": b"(cos\nsystem\n" + COMMAND + b"o.",
    "newobj": b"cos\nsystem\n" + COMMAND + b"\x85\x81.",
    "stack global": b"\x8c\x02os\x8c\x06system\x93" + COMMAND + b"\x85R.",
    "extension registry": b"\x82\x01.",
    "persistent": b"Pabc\n.",
    "binary persistent": COMMAND + b"Q.",
    "instance state": b"}}b.",
    "text of a literal": b"S'\\x41'\n.",
    "memo": b"}q\x00h\x00.",
    "duplicate": b"}2.",
    "huge integer": b"\x8b\xff\xff\xff\x7f.",
    "digits": b"L" + b"9" * 100_000 + b"L\n.",
    "8-byte length": b"\x8e" + b"\xff" * 7 + b"\x7f.",
    "frame": b"\x95" + b"\xff" * 8,
}


@pytest.mark.parametrize("code", CODE.values(), ids=CODE.keys())
@pytest.mark.usefixtures("little_memory")
def test_code_is_refused_at_its_byte(code):
    with pytest.raises(DataError, match=r"^some/file: byte \d+: "):
        parse(b"\x80\x02" + code)


BOMBS = {
    "deep tuples": b"\x80\x02N" + b"\x85" * 100_000 + b".",
    "deep lists": b"\x80\x02" + b"](" * 50_000 + b"e" * 50_000 + b".",
    "deep key": b"\x80\x02}(N" + b"\x85" * 100_000 + b"Nu.",
    "deep argument": b"\x80\x02cnumpy\ndtype\nN" + b"\x85" * 100_000 + b"R.",
    "memo index": b"\x80\x02}r\xff\xff\xff\xffr\xfe\xff\xff\xff.",
}


@pytest.mark.parametrize("blob", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.usefixtures("little_memory")
def test_bombs_do_not_explode(blob):
    with pytest.raises(DataError, match=r"^some/file: "):
        parse(blob)


def test_opcodes_are_bounded():
    with pytest.raises(DataError, match="file: byte 1000000: more than 1000000 opcodes"):
        parse_pickle(b"\x80\x02" + b"N" * 1_000_010, "file")


@FUZZ
@given(st.data())
def test_damaged_batch(data):
    start = data.draw(st.sampled_from([0, len(batch()) - 100]), "from")  # the pixels are most of the file
    whole = batch()
    blob = whole[:start] + damage(whole[start : start + 400], data.draw) + whole[start + 400 :]
    if result := unless_refused("some/file: ", parse, blob):
        images, labels = result
        assert images.shape == (ROWS, 3072)
        assert images.dtype == np.uint8
        assert labels.shape == (ROWS,)
        assert ((labels >= 0) & (labels < 10)).all()


@FUZZ
@given(st.lists(st.sampled_from([bytes([byte]) for byte in b"}]NK\x00JMUT(\x85\x86\x87teuqrRb\x80\x89."]), max_size=60))
def test_any_program_of_known_opcodes_ends(opcodes):
    result = unless_refused("file: byte ", parse_pickle, b"\x80\x02" + b"".join(opcodes), "file")
    assert result is None or isinstance(result, dict)


# --- npz --------------------------------------------------------------------------------------------------------------

OWN = {
    "x_train": np.linspace(0, 1, 12).reshape(6, 2),
    "y_train": np.arange(6) % 2,
    "x_test": np.linspace(0, 1, 4).reshape(2, 2),
    "y_test": np.arange(2),
}


def npz_bytes():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **OWN)
    return buffer.getvalue()


def members(**contents):
    """A zip archive of the valid arrays, where some files have other contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in OWN.items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{key}.npy", contents.get(key, file.getvalue()))
    return buffer.getvalue()


def npy(shape, descr="<f8", data=b""):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


NPZ_REFUSED = {
    "empty": (b"", "not a .npz file: write one with numpy.savez"),
    "text": (b"hello", "not a .npz file: write one with numpy.savez"),
    "npy": (npy((2,), data=bytes(16)), "not a .npz file: write one with numpy.savez"),
    "pickle": (pickle.dumps([1]), "not a .npz file: write one with numpy.savez"),
    "cut": (
        npz_bytes()[:-30],
        "the file is damaged or was not written to its end (File is not a zip file); write the file again",
    ),
    "huge shape": (members(x_train=npy((10**6, 10**9))), "x_train is damaged"),
    "overflowing shape": (members(x_train=npy((2**62, 2**62))), "x_train is damaged"),
    "negative shape": (members(x_train=npy((-1, 2))), "x_train is damaged"),
    "short": (members(x_train=npy((6, 2), data=bytes(95))), "x_train is damaged"),
    "objects": (members(x_train=npy((1, 1), "|O", pickle.dumps([Call(os.system, "false")]))), "x_train holds Python objects"),
    "nested header": (members(x_train=npy("(" * 5000)), "x_train is damaged"),
    "raw bytes": (members(x_train=b"hello"), "x_train is not an array"),
}


@pytest.mark.parametrize(("blob", "message"), NPZ_REFUSED.values(), ids=NPZ_REFUSED.keys())
def test_hostile_npz(tmp_path, blob, message):
    path = tmp_path / "own.npz"
    path.write_bytes(blob)
    with pytest.raises(DataError) as error:
        load(f"npz:{path}")
    assert str(error.value).startswith(f"{path}: {message}")


def test_npz_pickles_are_not_run(tmp_path):
    path, trace = tmp_path / "own.npz", tmp_path / "trace"
    np.savez(path, **{**OWN, "x_test": np.array([[Call(os.mkdir, str(trace))]], dtype=object)})
    with pytest.raises(DataError, match=r"x_test holds Python objects, .*: save x_test\.astype\(float\) in its place"):
        load(f"npz:{path}")
    assert not trace.exists()


def test_npz_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr("localdfa.data.npz._LARGEST", 1000)
    path = tmp_path / "own.npz"
    path.write_bytes(members(x_train=npy((6, 200), data=bytes(9600))))
    with pytest.raises(DataError, match="bytes decompressed, more than the limit of 1000"):
        load(f"npz:{path}")


def test_npz_with_an_array_twice(tmp_path):
    path = tmp_path / "own.npz"
    path.write_bytes(members())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_test.npy", npy((1,)))
    with pytest.raises(DataError, match="an array too many, 'one of them twice'"):
        load(f"npz:{path}")


@FUZZ
@given(st.data())
def test_damaged_npz(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(damage(npz_bytes(), data.draw))
    if loaded := unless_refused(f"{path}: ", load, f"npz:{path}"):
        assert np.isfinite(loaded.x_train).all()
        assert len(loaded.x_train) == len(loaded.y_train)


# --- spike trains in npz ----------------------------------------------------------------------------------------------

EVENTS = {
    "time_train": np.array([3.0, 0.0, 12.5]),
    "neuron_train": np.array([1, 0, 2]),
    "sample_train": np.array([0, 2, 0]),
    "y_train": np.array([0, 1, 1]),
    "time_test": np.array([7.0]),
    "neuron_test": np.array([2]),
    "sample_test": np.array([1]),
    "y_test": np.array([1, 0]),
}
TRAINS_REFUSED = {
    "missing": ({"sample_test": None}, "the array sample_test is missing; needed are time_train, neuron_train"),
    "too many": ({"x_train": np.ones((3, 3))}, "an array too many, 'x_train'; only time_train"),
    "negative time": ({"time_train": [3.0, 0.0, -1.5]}, r"time_train[2] = -1.5: a time must be finite and at least 0"),
    "nan": ({"time_train": [3.0, np.nan, 1.0]}, "time_train[1] = nan: a time must be finite"),
    "infinite": ({"time_test": [np.inf]}, "time_test[0] = inf: a time must be finite"),
    "beyond float64": ({"time_test": np.array([np.finfo(np.longdouble).max])}, "time_test[0] = "),
    "text": ({"time_train": ["a", "b", "c"]}, "time_train has the dtype <U1: times must be real numbers"),
    "complex": ({"time_train": [1j, 2, 3]}, "time_train has the dtype complex128"),
    "two-dimensional": ({"time_train": np.ones((3, 1))}, "time_train has the shape (3, 1): it must be (n_spikes,)"),
    "zero-dimensional": ({"time_test": 1.0}, "time_test has the shape (): it must be (n_spikes,)"),
    "lengths": ({"neuron_train": [1, 0]}, "neuron_train has 2 entries and time_train 3: both need one a spike"),
    "neuron float": (
        {"neuron_train": [1.0, 0.5, 2.0]},
        "neuron_train has the dtype float64: indices must be integers below 2^53",
    ),
    "neuron text": ({"neuron_train": ["1", "0", "2"]}, "neuron_train has the dtype <U1: indices must be integers"),
    "unit": ({"time_unit": "minutes"}, "time_unit = 'minutes': the unit of time_train and time_test; allowed: 's', 'ms', 'us'"),
    "unit of bytes": ({"time_unit": b"ms"}, "time_unit = ''"),
    "two units": ({"time_unit": ["ms", "s"]}, "time_unit = ''"),
    "axes": ({"axes": "samples features"}, "an array too many, 'axes'; only time_train"),
    "beyond float64 in ms": (
        {"time_train": [1.0, 2.0, 1e308], "time_unit": "s"},
        "time_train[2] = 1e+308: a time must be finite",
    ),
    "neuron negative": (
        {"neuron_train": [1, -1, 2]},
        "neuron_train[1] = -1: the index of an input neuron must lie in 0 .. 999999",
    ),
    "neuron huge": ({"neuron_train": [1, 2**60, 2]}, f"neuron_train[1] = {2**60}: the index of an input neuron must lie in"),
    "neuron unsigned": ({"neuron_test": np.array([2**64 - 1], np.uint64)}, "neuron_test has the dtype uint64: indices must"),
    "neuron of the test alone": ({"neuron_test": [3]}, "neuron_test[0] = 3: the index of one of training must lie in 0 .. 2"),
    "sample out of range": (
        {"sample_train": [0, 3, 0]},
        "sample_train[1] = 3: the index of a sample, of which y_train has 3, must",
    ),
    "sample negative": ({"sample_test": [-1]}, "sample_test[0] = -1: the index of a sample"),
    "labels float": ({"y_train": [0.0, 1.5, 1.0]}, "y_train has the dtype float64: labels must be whole numbers"),
    "labels shape": ({"y_train": [[0, 1, 1]]}, "y_train has the shape (1, 3): it must be (3,)"),
    "label of the test alone": ({"y_test": [1, 2]}, "y_test[1] = 2 never occurs in y_train, whose labels are 0, 1"),
    "one class": ({"y_train": [0, 0, 0]}, "y_train: every label is 0: there must be two classes"),
    "no samples": ({"y_test": np.empty(0, int)}, "y_test is empty"),
    "no spikes": ({f"{k}_train": np.empty(0, int) for k in ("time", "neuron", "sample")}, "time_train is empty"),
}


def trains_file(path, **changes):
    np.savez(path, **{key: value for key, value in {**EVENTS, **changes}.items() if value is not None})
    return path


@pytest.mark.parametrize(("changes", "message"), TRAINS_REFUSED.values(), ids=TRAINS_REFUSED.keys())
def test_hostile_trains(tmp_path, changes, message):
    path = trains_file(tmp_path / "own.npz", **changes)
    with pytest.raises(DataError) as error:
        load(f"npz:{path}")
    assert str(error.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(("unit", "factor"), [("s", 1e3), ("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), (None, 1.0)])
def test_times_are_in_the_unit_that_the_file_names(tmp_path, unit, factor):
    indices = {"neuron_train": np.array([1.0, 0.0, 2.0]), "sample_train": np.array([0, 2, 0], np.float32)}
    data = load(f"npz:{trains_file(tmp_path / 'own.npz', time_unit=unit, **indices)}")
    assert data.time_unit == unit
    sample, neuron, time = data.x_train.events()
    assert (sample.tolist(), neuron.tolist()) == ([0, 0, 2], [1, 2, 0])
    np.testing.assert_array_equal(time, np.array([3.0, 12.5, 0.0]) * factor)


def test_pickles_in_trains_are_not_run(tmp_path):
    trace = tmp_path / "trace"
    path = trains_file(tmp_path / "own.npz", sample_test=np.array([Call(os.mkdir, str(trace))], dtype=object))
    with pytest.raises(DataError, match=r"sample_test holds Python objects, .*: save sample_test\.astype\(int\)"):
        load(f"npz:{path}")
    assert not trace.exists()


def test_trains_cannot_be_whitened(tmp_path):
    path = trains_file(tmp_path / "own.npz")
    with pytest.raises(DataError, match="whiten = true goes with arrays of numbers; these are spike trains"):
        load(f"npz:{path}", whiten=True)


@FUZZ
@given(st.data())
def test_damaged_trains(tmp_path_factory, data):
    buffer = io.BytesIO()
    np.savez(buffer, **EVENTS)
    path = tmp_path_factory.getbasetemp() / "damaged-trains.npz"
    path.write_bytes(damage(buffer.getvalue(), data.draw))
    if loaded := unless_refused(f"{path}: ", load, f"npz:{path}"):
        sample, neuron, time = loaded.x_train.events()
        assert (np.isfinite(time) & (time >= 0)).all()
        assert len(loaded.x_train) == len(loaded.y_train)
        assert len(sample) == 0 or (
            sample.max() < len(loaded.y_train) and 0 <= neuron.min() <= neuron.max() < loaded.n_features
        )
