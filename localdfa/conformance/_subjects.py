"""The models that are held to the tests, and small networks to try them in."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from localdfa import registry, spec
from localdfa.data import load
from localdfa.errors import SpecError
from localdfa.record import Job
from localdfa.samples import Part
from localdfa.spec import Setting
from localdfa.trainer import Trainer

if path := os.environ.get("LOCALDFA_SPEC"):
    spec.take_in_models(path)

# A network of spiking neurons that takes little time.
SPIKING: dict[str, Any] = {
    "network": {"hidden": [12, 8], "neuron": "lif"},
    "trace": {"tau_x": 10.0, "tau_z": 10.0},
    "phases": {"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"},
}


def of(family: str, fits: Callable[[Any], bool] = lambda model: True) -> list[str]:
    """The names of a family's models that fit; one that cannot even be imported is among them, so that its tests fail."""

    def there(name: str) -> bool:
        try:
            return fits(registry.get(family, name))
        except SpecError:
            return True

    return [name for name in registry.names(family) if there(name)]


def setting_of(**tables: Any) -> Setting:
    """The setting of an experiment without conditions."""
    return next(iter(spec.settings(spec.experiment(tables)).values()))


def trainer_of(folder: Path, samples: int = 24, **tables: Any) -> Trainer:
    """The network of an experiment before its training, with a few of the digits."""
    experiment = spec.experiment(tables)
    setting = next(iter(spec.settings(experiment).values()))
    data = load("digits", dtype=setting.precision)
    parts = {
        "train": Part(data.x_train[:samples], data.y_train[:samples], 10, setting.precision, data.shape),
        "valid": Part(data.x_train[:0], data.y_train[:0], 10, setting.precision, data.shape),
        "test": Part(data.x_test[:samples], data.y_test[:samples], 10, setting.precision, data.shape),
    }
    return Trainer(setting, parts, Job(folder, setting.rule, 0), experiment.record)


def require_parameters(model: Any) -> None:
    """Every parameter has a default within its bounds, bounds on both sides, and a word in the documentation."""
    for name, default in model._field_defaults.items():
        bounds = TypeAdapter(model.__annotations__[name])
        bounds.validate_python(default)
        for beyond in (np.inf, -np.inf, np.nan):
            try:
                bounds.validate_python(beyond)
            except ValidationError:
                continue
            raise AssertionError(f"{name}: {beyond} is within its bounds")
        assert name in (model.__doc__ or ""), f"{name} is not documented"
    assert set(model._field_defaults) == set(model._fields), "a parameter without a default"
    assert not refused(model()), "the defaults do not go together"


def refused(parameters: Any) -> str | None:
    """Why parameters do not go together; None where they do."""
    return parameters.refusal() if hasattr(parameters, "refusal") else None


def variants(model: Any) -> Iterator[Any]:
    """A model with its default parameters, and with each of them halved and doubled where its bounds and others allow that."""
    default = model()
    yield default
    for name, value in default._asdict().items():
        for other in (0.5 * value, 2.0 * value):
            try:
                TypeAdapter(model.__annotations__[name]).validate_python(other)
            except ValidationError:
                continue
            if other != value and not refused(changed := default._replace(**{name: other})):
                yield changed


def slope(f: Callable[[float], float], x: float, step: float = 1e-6) -> float | None:
    """The derivative of a function by central differences; None beside a kink."""
    left, right = (f(x) - f(x - step)) / step, (f(x + step) - f(x)) / step
    return 0.5 * (left + right) if abs(right - left) <= 1e-3 * (1 + abs(left) + abs(right)) else None
