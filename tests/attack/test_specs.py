"""Specs from nowhere: whatever tables, text or overrides are given, a spec is valid or refused in a message of bounded length.

A few hundred of each by default, the same in each run; more with ``pytest --attack N``.
"""

import string
from contextlib import suppress
from types import SimpleNamespace
from typing import Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localdfa import memory, record, registry, spec
from localdfa.errors import SpecError
from localdfa.spec.tables import Condition

pytestmark = pytest.mark.slow

LONGEST = 25 * 2100


@pytest.fixture
def attack(attack_size):
    """Runs a function on so many examples of a strategy."""
    how = hypothesis_settings(
        max_examples=attack_size or 300, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    return lambda strategy, check: how(given(strategy)(check))()


def tables_of(model):
    """The table in a type such as list[Stage], or None."""
    if hasattr(model, "model_fields"):
        return model
    return next(filter(None, map(tables_of, getattr(model, "__args__", ()))), None)


NAMES = sorted(
    {
        name
        for package in ("neurons", "outputs", "feedback", "rules", "optimisers", "inputs")
        for name in registry.names(package)
    }
    | {"logistic", "softmax", "spikes", "zero", "uniform", "constant", "sparse", "one_to_one", "dense", "held", "live"}
    | {"two_compartment", "centered", "one_sided", "online", "after", "carried", "drive", "float64", "continuous", "digits"}
)
PARAMETERS = sorted(
    {key for package in ("neurons", "optimisers") for name in registry.names(package)
     for key in registry.get(package, name)._fields}
)  # fmt: skip
numbers = st.one_of(
    st.integers(-3, 300), st.integers(), st.floats(), st.floats(0, 200), st.sampled_from([10**400, 1e-300, 1e300, 0.01, 2**63])
)
words = st.one_of(st.sampled_from(NAMES), st.text(max_size=12), st.just("x" * 100_000))
scalars = st.one_of(numbers, words, st.booleans())
junk = st.recursive(
    st.one_of(scalars, st.none(), st.just(SimpleNamespace())),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)


def deep(leaf, depth):
    for i in range(depth):
        leaf = {"a": leaf} if i % 2 else [leaf]
    return leaf


odd = st.one_of(junk, st.builds(deep, scalars, st.integers(1, 400)))


@st.composite
def table(draw, model, depth=0):
    """A few of a model's keys, most of them right."""
    keys = draw(st.lists(st.sampled_from([*model.model_fields]), max_size=3, unique=True))
    found = {key: draw(value(key, model.model_fields[key], depth)) for key in keys}
    if draw(st.integers(0, 19)) == 0:
        found[draw(st.one_of(words, st.sampled_from(PARAMETERS)))] = draw(odd)
    return found


@st.composite
def value(draw, key, field, depth):
    luck, annotation = draw(st.integers(0, 19)), field.annotation
    inner, is_list = tables_of(annotation), str(annotation).startswith("list")
    if luck == 0:
        return draw(odd)
    if key == "neuron" and "dict" in str(annotation):
        return draw(st.dictionaries(st.sampled_from(PARAMETERS), numbers, max_size=2))
    if inner is Condition:
        changes = draw(st.lists(table(spec.Setting, 1), max_size=3)) if depth == 0 else []
        return [{"name": draw(st.sampled_from("abAB")), **change} for change in changes]
    if inner is not None and not is_list:
        return draw(table(inner, depth + 1))
    if inner is not None:
        widths = st.integers(1, 40) if key == "hidden" else st.nothing()
        return draw(st.lists(st.one_of(widths, table(inner, depth + 1)), max_size=3))
    if luck < 4:
        return draw(st.lists(numbers, max_size=4) if is_list else scalars)
    if named := get_args(annotation) if get_origin(annotation) is Literal else NAMES if annotation is str else ():
        return draw(st.sampled_from(named))
    if annotation is bool or field.is_required() or is_list:
        return draw(st.booleans()) if annotation is bool else draw(st.integers(0, 3)) if field.is_required() else field.default
    return draw(st.one_of(st.integers(1, 50), st.floats(0, 1), st.floats(1, 500)) if "float" in str(annotation) else numbers)


def judged(make):
    """What `make` returns is a whole experiment, or it raises a SpecError of bounded length."""
    found, message = None, ""
    try:
        found = make()
    except SpecError as error:
        message = str(error)
    if found is None:
        assert 0 < len(message) < LONGEST
        return None
    for setting in spec.settings(found).values():
        list(spec.checks.doubtful(setting))
        with suppress(SpecError):  # a convolution, or a code, that does not fit on these samples
            assert sum(part.size for part in memory.needed(setting, (1, 8, 8), 10, 1797)) > 0
    assert len(repr(found)) < 2000
    return found


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_tables(attack, tmp_path):
    path = tmp_path / "again.toml"

    def check(tables):
        found = judged(lambda: spec.experiment(tables))
        if found is not None:
            path.write_text(record.to_toml(found), encoding="utf-8")
            again = spec.load(str(path))
            assert record.to_toml(again) == record.to_toml(found)
            assert [s.phases for s in spec.settings(again).values()] == [s.phases for s in spec.settings(found).values()]

    attack(st.one_of(table(spec.Experiment), odd), check)


def test_text(attack, tmp_path):
    """Bundled specs with pieces cut out, doubled or put in."""
    path, texts = tmp_path / "mine.toml", [file.read_text(encoding="utf-8") for file in spec.bundled().values()]
    pieces = st.one_of(
        st.text(max_size=8), st.sampled_from(["[", "]", "{", "}", "[[", '"', "'''", "=", ".", "\n", "\0", "1e400", "nan", "#"]),
        st.builds(lambda n: "[" * n, st.integers(1, 3000)), st.builds(lambda n: "a." * n, st.integers(1, 3000)),
    )  # fmt: skip
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), pieces, st.booleans()), min_size=1, max_size=4)

    def check(given):
        text, changes = given
        for where, length, piece, double in changes:
            at = int(where * len(text))
            cut = text[at : at + length]
            text = text[:at] + (cut * 2 if double else piece) + text[at + length :]
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        judged(lambda: spec.load(str(path)))

    attack(st.tuples(st.sampled_from(texts), edits), check)


def test_overrides(attack):
    keys = [
        f"{key}.{inner}" for key, field in spec.Experiment.model_fields.items()
        for inner in getattr(tables_of(field.annotation), "model_fields", {})
    ]  # fmt: skip
    key = st.one_of(
        st.sampled_from([*keys, *spec.Experiment.model_fields, *PARAMETERS]), st.text(string.printable, max_size=10),
        st.builds(lambda n: ".".join(["a"] * n), st.integers(1, 2000)), st.just("k" * 300_000),
    )  # fmt: skip
    text = st.one_of(
        st.builds(str, scalars.filter(lambda v: not isinstance(v, int) or abs(v) < 10**4000)),
        st.builds(repr, st.lists(numbers.filter(lambda v: not isinstance(v, int) or abs(v) < 10**4000), max_size=3)),
        st.text(max_size=20), st.builds(lambda n: "[" * n + "]" * n, st.integers(1, 3000)), st.just("[{epochs = 1}]"),
        st.builds(lambda n: "{a=" * n + "1" + "}" * n, st.integers(1, 600)),
    )  # fmt: skip
    one = st.one_of(st.builds("{}={}".format, key, text), st.text(max_size=30))

    def check(overrides):
        judged(lambda: spec.load("quickstart", overrides))

    attack(st.lists(one, min_size=1, max_size=3), check)
