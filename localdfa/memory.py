"""Will it fit? What training needs at least, from a setting and the shape of its data alone, against what the machine has."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads

from localdfa import inputs, registry
from localdfa.core.spiking.tables import spiking_projections
from localdfa.errors import SpecError, quoted
from localdfa.geometry import lay_out, seen
from localdfa.spec import Setting
from localdfa.spec.derived import projected

# Rows of a forward pass when a whole set is evaluated, and blocks of a mini-batch in time.
CHUNK, _BLOCKS = 512, 16
# Where Linux keeps control groups, the limits that containers and batch systems set, and what it says of this process.
GROUPS, STATUS = Path("/sys/fs/cgroup"), Path("/proc/self/status")
# What a synapse of a sparse projection needs besides its weight: the number of its target, bytes.
_TARGET = 4


class _Version(NamedTuple):
    """Where a version of control groups keeps what: its controller of memory, and names of folders, files and entries."""

    controller: str
    root: str
    limit: str
    used: str
    cached: str


_VERSIONS = (
    _Version("", "", "memory.max", "memory.current", "inactive_file"),
    _Version("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class Need(NamedTuple):
    """What something needs of memory: the key of the spec that makes it so large, what it is, and how many bytes."""

    key: str
    what: str
    size: int


def require(setting: Setting, shape: tuple[int, ...], n_out: int, samples: int) -> None:
    """Refuse a setting that needs more memory than there is, before any of it is taken.

    shape: of a sample as the data have it; samples: in all parts of the data.

    Raises
    ------
    SpecError
        The message names the key, what is needed and what there is.
    """

    def value_of(key: str) -> str:
        value: Any = setting
        for name in key.split("."):
            value = getattr(value, name)
        if key == "network.projection":
            value = [table.model_dump(exclude_unset=True) for table in value]
        return f"{key}: {quoted(value)}"

    require_needs(list(needed(setting, shape, n_out, samples)), value_of)


def require_needs(needs: list[Need], named: Callable[[str], str]) -> None:
    """Refuse what needs more memory than there is. named: what a message calls a key, with its value.

    Raises
    ------
    SpecError
        The message has the key that makes it so large, what is needed and what there is.
    """
    there = available()
    total = sum(need.size for need in needs)
    if there is None or total <= there:
        return
    by_key: dict[str, int] = {}
    for need in needs:
        by_key[need.key] = by_key.get(need.key, 0) + need.size
    key = max(by_key, key=by_key.__getitem__)
    listed = ", ".join(f"{need.what} {_bytes(need.size)}" for need in sorted(needs, key=lambda need: -need.size) if need.size)
    raise SpecError(
        f"{named(key)} needs about {_bytes(total)} of memory ({listed}); allowed here: what fits into the "
        f"{_bytes(there)} that this process may still take"
    )


def needed(setting: Setting, shape: tuple[int, ...], n_out: int, samples: int) -> Iterator[Need]:
    """What training needs at the least, part by part."""
    whole, shape = shape, seen(setting, shape)
    n_in: int | tuple[int, ...] = shape
    if setting.spiking:
        n_in = inputs.n_in(registry.get("inputs", setting.input.code), shape, setting.input)
    sizes, geometry = lay_out(setting, n_in, n_out)
    item, tables = np.dtype(setting.precision).itemsize, {(t.pre, t.post): t for t in setting.network.projection}
    pairs, n_layers = projected(setting.network), len(sizes) - 1
    shapes = [geometry[q].synapses if q < len(geometry) and geometry[q] else (sizes[a], sizes[b])  # type: ignore[union-attr]
              for q, (a, b) in enumerate(pairs)]  # fmt: skip
    dense, weights, sparse = [], [], 0
    for q, (pair, (rows, columns)) in enumerate(zip(pairs, shapes, strict=True)):
        table, biases = tables.get(pair), columns if q < n_layers else 0
        dense.append(rows * columns + biases)
        if table is None or table.connect == "dense":
            weights.append(dense[-1])
            continue
        synapses = math.ceil(table.probability * rows * columns) if table.connect == "sparse" else min(rows, columns)
        weights.append(synapses + biases)
        sparse += synapses * _TARGET + rows * 8
    net: Any = SimpleNamespace(
        sizes=sizes, geometry=geometry, output=setting.output, synapses=lambda l: shapes[l],
        projections=[SimpleNamespace(pre=a, post=b) for a, b in pairs],
    )  # fmt: skip
    state, learned = registry.get("optimisers", setting.optimiser.name).n_state, sum(weights)
    feedback = 0  # of the stage that has most of it, and of the inputs
    for stage in setting.stage:
        of_stage = 0
        for rule in dict.fromkeys((setting.rule_of(stage), *stage.layer_rules.values())):
            pathway = registry.get("feedback", setting.pathway_of(rule))
            shapes_of = [pathway.shape(net, l) for l in range(len(setting.network.hidden))]
            # B that changes is kept as it was drawn, too, and the optimiser remembers what it learns.
            copies = 1 + setting.feedback_changes(rule) + state * pathway.learns()
            of_stage += copies * sum(a * b for a, b in filter(None, shapes_of))
        feedback = max(feedback, of_stage)
    feedback += sizes[0] * n_out * (setting.adversarial.gradient == "feedback")
    batch, rows = min(samples, setting.batch_size), min(samples, max(setting.batch_size, CHUNK))
    wide = "batch_size" if setting.batch_size > CHUNK else "network.hidden"
    yield Need("network.hidden", "weights", item * sum(weights[:n_layers]))
    yield Need("network.projection", "further weights", item * sum(weights[n_layers:]))
    yield Need("network.projection", "sparse projections", sparse)
    yield Need("network.hidden", "the best weights so far", item * learned * any(t.keep == "best" for t in setting.stage))
    yield Need("network.hidden", "feedback", item * feedback)
    yield Need("network.hidden", "the optimiser's state", item * state * learned)
    local = any(registry.get("rules", stage.rule or setting.rule).needs_phases for stage in setting.stage)
    if local and setting.spiking:
        threads = get_num_threads()
        summed = sum(int(weights[q]) for q in spiking_projections(net, setting))
        yield Need("network.hidden", "updates", item * summed * (1 + threads + (threads > 1)))
        yield Need(wide, "states of a mini-batch", 8 * rows * 3 * sum(sizes[1:]))
    elif local and setting.timed:
        yield Need("network.hidden", "updates", 8 * min(_BLOCKS, rows) * learned)
        yield Need(wide, "activities of a mini-batch", 8 * rows * sum(sizes))
    else:
        # Drives and activities, and while a mini-batch learns the signal and the change of each neuron.
        # Where drives are normalised there are also the normalised ones, before their gain.
        arrays = 5 if setting.network.batch_norm else 4
        yield Need(wide, "activities of a mini-batch", item * max(2 * rows, arrays * batch) * sum(sizes[1:]))
    if len(pairs) == n_layers:
        yield Need("network.hidden", "the updates that are compared", 3 * item * sum(dense))
    yield Need("data", "inputs", item * samples * (math.prod(whole) + 1))
    yield Need("augment.crop", "inputs once they are cropped", item * samples * (math.prod(shape) + 1) * (shape != whole))


def available() -> int | None:
    """Bytes that this process may still take: what is free, swap included, or less where a control group or `ulimit` limits it.

    None where the system does not say.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        entries = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.endswith("kB")}
        return min([entries["MemAvailable"] + entries.get("SwapFree", 0), *limits(), *own_limits()])
    except (OSError, ValueError, KeyError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def limits() -> Iterator[int]:
    """What the control groups of this process leave to it; caches of files can be given back."""
    for version in _VERSIONS:
        own, root = own_group(version.controller), GROUPS / version.root
        if own is None:
            continue
        folder = root / own.lstrip("/")
        for group in (folder, *folder.parents):
            try:
                limit = int((group / version.limit).read_text())  # "max" where there is none
                cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                yield max(0, limit - int((group / version.used).read_text()) + int(cached.get(version.cached, 0)))
            except (OSError, ValueError):
                pass
            if group == root:
                break


def own_limits() -> Iterator[int]:
    """What the limits of this process itself leave, of its address space (``ulimit -v``) and its data (``ulimit -d``)."""
    try:
        import resource  # which Windows has not

        lines = (line.split() for line in STATUS.read_text().splitlines())
        taken = {line[0]: 1024 * int(line[1]) for line in lines if line[-1:] == ["kB"]}
    except (ImportError, OSError, ValueError):
        return
    for limit, entry in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY and entry in taken:
            yield max(0, most - taken[entry])


def own_group(controller: str) -> str | None:
    """The control group of this process under a controller, a path below the root of these; None where there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    entries = (line.split(":", 2) for line in lines if line.count(":") > 1)
    return next((path for _, controllers, path in entries if controller in controllers.split(",")), None)


def _bytes(size: float) -> str:
    """A size in the unit that suits it."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.0f} EiB"
