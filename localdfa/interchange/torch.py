"""A trained network as a module of PyTorch, made of the layers of torch.nn alone."""

import io
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from localdfa import record, registry, trained
from localdfa.core.rate.normalisation import EPSILON, PACE
from localdfa.data import Dataset, Source
from localdfa.errors import SpecError, quoted
from localdfa.export import library
from localdfa.files import write_bytes
from localdfa.geometry import seen
from localdfa.network import Network
from localdfa.spec import Convolution, Setting
from localdfa.spec.modules import model_of

if TYPE_CHECKING:
    import torch
    from torch import nn

ENDING = ".pt2"
# What of torch.nn makes ŷ of the drive of the output, and its arguments; None is the drive itself.
_OUTPUTS: dict[str, tuple[str, tuple[int, ...]] | None] = {
    "logistic": ("Sigmoid", ()), "softmax": ("Softmax", (-1,)), "linear": None
}  # fmt: skip


def of_run(run: record.Run, job: record.Job, setting: Setting, path: Path, given: Source | None) -> list[Path]:
    """Write the program of a module, which ``torch.export.load(path).module()`` runs without localdfa."""
    if setting.module is not None and model_of(setting).reads is not Dataset:
        raise SpecError(
            f"module.name: {quoted(setting.computed_by)} reads data as a whole or as indices, and what is written reads "
            f"samples; allowed: safetensors, or run.module() in Python"
        )
    found = module(run, job, setting, given)
    import torch  # which is there, as `module` has found

    example = torch.zeros(2, *seen(setting, tuple(run.info["shape"])), dtype=getattr(torch, setting.precision))
    program = torch.export.export(found, (example,), dynamic_shapes=({0: torch.export.Dim("samples")},))
    stream = io.BytesIO()
    torch.export.save(program, stream)
    write_bytes(path, stream.getvalue())
    return [path]


def module(run: record.Run, job: record.Job, setting: Setting, given: Source | None = None) -> "nn.Module":
    """What a condition and seed ended with as a module, in evaluation mode: a ``Sequential``, or the module of its spec.

    Raises
    ------
    SpecError
        Something of the network has no counterpart in torch.nn; the message names its key.
    LocalDFAError
        PyTorch is not installed.
    """
    library("torch", "torch")
    trained.require_code(run, job, setting)
    if setting.module is not None:
        return trained.module(run, job, setting, given)
    _require_known(setting)
    return _sequential(trained.network(run, job, setting), setting).eval()


def _require_known(setting: Setting) -> None:
    """Refuse what torch.nn has no layer for."""
    name, network = setting.network.neuron, setting.network
    if setting.spiking:
        raise SpecError(f"network.neuron: {name!r} spikes; allowed as a module of PyTorch: rate neurons, and nir for spikes")
    if not hasattr(registry.get("neurons", name), "pytorch"):
        raise SpecError(
            f"network.neuron: {name!r} has no hook `pytorch`, its activity as a module of PyTorch; allowed: with such a hook "
            f"in its file (localdfa/neurons/__init__.py)"
        )
    if setting.timed:
        raise SpecError(f"neuron.tau: {setting.neuron['tau']} ms; a module of PyTorch answers at once; allowed: 0")
    if network.threshold:
        raise SpecError(f"network.threshold: {network.threshold} leaves events out; allowed as a module of PyTorch: 0")
    for l, layer in enumerate(network.hidden):
        if isinstance(layer, Convolution) and not layer.shared:
            raise SpecError(f"network.hidden[{l}].shared: false; torch.nn has no layer with a kernel a position; allowed: true")
    if network.output not in _OUTPUTS:
        raise SpecError(f"network.output: as a module of PyTorch {registry.unknown(network.output, list(_OUTPUTS))}")


def _sequential(network: Network, setting: Setting) -> "nn.Sequential":
    """hidden1, pool1, norm1, function1, dropout1, hidden2, … output, prediction: (m, *shape of a sample) → ŷ (m, n_out)."""
    import torch
    from torch import nn

    layers, spec = OrderedDict[str, nn.Module](), setting.network
    dtype, flat = getattr(torch, setting.precision), False
    if spec.input_dropout:
        layers["dropout0"] = nn.Dropout(spec.input_dropout)
    for l, ((n_pre, n_post), fields) in enumerate(zip(pairwise(network.sizes), network.geometry, strict=True)):
        hidden, norm = l < network.n_hidden, network.norm(l)
        project: nn.Linear | nn.Conv2d
        if fields is None:
            if not flat and (l > 0 or len(network.shape) > 1):
                layers[f"flatten{l + 1}"] = nn.Flatten()
            flat = True
            project = nn.Linear(n_pre, n_post, bias=norm is None, dtype=dtype)
        else:
            project = nn.Conv2d(
                fields.inputs, fields.channels, fields.kernel, padding=fields.padding, bias=norm is None, dtype=dtype
            )
        _fill(project.weight, network.W(l))
        layers[f"hidden{l + 1}" if hidden else "output"] = project
        if fields is not None and (fields.pool, fields.stride) != (1, 1):
            layers[f"pool{l + 1}"] = nn.MaxPool2d(fields.pool, fields.stride)
        bias = network.weights[l][-1]
        if norm is None:
            _fill(project.bias, bias)
        else:
            kind = nn.BatchNorm1d if fields is None else nn.BatchNorm2d
            layers[f"norm{l + 1}"] = own = kind(len(bias), EPSILON, PACE, dtype=dtype)
            for tensor, array in (
                (own.weight, norm.gain), (own.bias, bias), (own.running_mean, norm.mean), (own.running_var, norm.variance)
            ):  # fmt: skip
                _fill(tensor, array)
        if hidden:
            layers[f"function{l + 1}"] = network.neuron.pytorch()
            if spec.dropout:
                layers[f"dropout{l + 1}"] = nn.Dropout(spec.dropout)
    if (prediction := _OUTPUTS[spec.output]) is not None:
        made, arguments = prediction
        layers["prediction"] = getattr(nn, made)(*arguments)
    return nn.Sequential(layers)


def _fill(tensor: "torch.Tensor | None", array: np.ndarray) -> None:
    import torch

    assert tensor is not None
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)).reshape(tensor.shape))
