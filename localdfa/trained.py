"""What a run has trained, one condition and seed of it: the network or the module, and what a module predicts."""

from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa import handover, record, samples
from localdfa.data import Dataset, Source
from localdfa.data.kinds import Fields
from localdfa.errors import DataError, RunError, SpecError, quoted, resuming
from localdfa.network import WEIGHTS, Network, generator
from localdfa.spec import Setting
from localdfa.spec.modules import model_of

if TYPE_CHECKING:
    from torch import nn

# Samples that a module sees at once.
_CHUNK = 1024


def chosen(run: record.Run, condition: str | None, seed: int | None) -> tuple[record.Job, Setting]:
    """The job of a condition and seed that is finished, and its setting.

    condition: may be None where there is one; seed: None for the first.

    Raises
    ------
    SpecError
        There is no such condition or seed, or there are several conditions and none is named.
    RunError
        It is not finished.
    """
    names, seeds = list(run.settings), run.experiment.seeds
    if condition is None and len(names) > 1:
        raise SpecError(f"{run.folder}: which condition? There are {', '.join(names)}, as condition = {names[0]!r}")
    condition, seed = names[0] if condition is None else condition, seeds[0] if seed is None else seed
    job = next((job for job in run.jobs if (job.condition, job.seed) == (condition, seed)), None)
    if job is None:
        raise SpecError(
            f"{run.folder}: no condition {condition!r} with the seed {seed!r}; conditions are {', '.join(names)}, seeds "
            f"{', '.join(map(str, seeds))}"
        )
    if job.last is None or not job.keeps("weights"):
        raise RunError(
            f"{run.folder}: condition {condition!r}, seed {seed} is not finished; to finish it: {resuming(run.folder)}"
        )
    return job, run.settings[condition]


def require_code(run: record.Run, job: record.Job, setting: Setting) -> None:
    """Refuse what a loop of one's own has trained, whose module this project does not know."""
    if setting.module is None and not setting.of_layers:
        raise RunError(
            f"{run.folder}: condition {job.condition!r} is of a module of PyTorch that a loop of your own has trained, whose "
            f"tensors are job.weights; load them into one of its kind"
        )


def network(run: record.Run, job: record.Job, setting: Setting) -> Network:
    """The network of layers that a condition and seed ended with.

    Raises
    ------
    RunError, SpecError
        As `handover.trained`.
    """
    return handover.trained(setting, job, tuple(run.info["shape"]))


def module(run: record.Run, job: record.Job, setting: Setting, given: Source | None) -> "nn.Module":
    """The module of PyTorch that a condition and seed with ``[module]`` ended with, in evaluation mode, on the CPU.

    given: the arrays of a script that it has learned from, whose shape a module is built for.

    Raises
    ------
    RunError, DataError
        The weights are those of another module; or the data that it is built for cannot be had.
    """
    return _module(job, setting, samples.load(run.experiment, given))


def _module(job: record.Job, setting: Setting, data: samples.Data) -> "nn.Module":
    """As `module`, of data that are loaded."""
    import torch

    weights = job.weights
    assert setting.module is not None
    with torch.random.fork_rng():
        # What a module draws and keeps beside its tensors is what it was in training.
        torch.manual_seed(int(generator(job.seed, WEIGHTS).integers(2**62)))
        model = model_of(setting)
        found = model(model.Parameters(**setting.module.parameters), data).to(getattr(torch, setting.precision))
    own = {name: torch.from_numpy(array) for name, array in weights.items() if not name.startswith("B:")}
    try:
        found.load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{job.folder / 'weights.npz'}: of another module than {setting.computed_by!r}: {reason}") from None
    return found.eval().requires_grad_(False)


def module_outputs(run: record.Run, job: record.Job, setting: Setting, x: Any, given: Source | None) -> np.ndarray:
    """What a module predicts of new samples, (n, n_out): probabilities of the classes, or (n, 1) that of yes.

    x: as `localdfa.results.Run.predict` takes it; of rows of categories whole numbers (n, n_fields).

    Raises
    ------
    SpecError
        The module reads data of a kind that has no samples apart from one another.
    DataError
        x is not what it reads.
    """
    import torch

    reads, shape = model_of(setting).reads, tuple(run.info["shape"])
    if reads not in (Dataset, Fields):
        raise SpecError(
            f"{run.folder}: condition {job.condition!r}: a module that reads {reads.__name__} predicts on the data that it was "
            f"trained with, as a whole; what it says of them is in job.outcome. Allowed with predict: modules that read "
            f"samples, or rows of categories"
        )
    data = samples.load(run.experiment, given)
    model, dtype = _module(job, setting, data), getattr(torch, setting.precision)
    if isinstance(data, Fields):
        inputs = torch.from_numpy(_categories(x, data))
    else:
        part = samples.new(run.experiment, setting, x, shape, given)
        inputs = torch.from_numpy(part.array[:, :-1].reshape(-1, *shape)).to(dtype)
    try:
        with torch.no_grad():
            drive = torch.cat([model(rows) for rows in inputs.split(_CHUNK)])
    except Exception as error:  # whatever the code of a module raises
        raise SpecError(f"module.name: {quoted(setting.computed_by)} cannot read x: {type(error).__name__}: {error}") from error
    return (drive.sigmoid()[:, None] if reads is Fields else drive.softmax(1)).numpy()


def _categories(x: Any, data: Fields) -> np.ndarray:
    """Rows of categories as a module reads them, int64 (n, n_fields)."""
    found = np.asarray(x)
    n_fields = len(data.sizes)
    if found.ndim != 2 or found.shape[1] != n_fields or found.dtype.kind not in "iu":
        raise DataError(
            f"x: {found.dtype} of shape {found.shape}; allowed: whole numbers of shape (n, {n_fields}), the category in each "
            f"of {', '.join(data.names)}"
        )
    wrong = (found < 0) | (found >= np.array(data.sizes))
    if wrong.any():
        row, k = (int(i) for i in np.argwhere(wrong)[0])
        raise DataError(f"x[{row}, {k}] = {found[row, k]}: a category of {data.names[k]!r} lies in 0 .. {data.sizes[k] - 1}")
    return found.astype(np.int64)
