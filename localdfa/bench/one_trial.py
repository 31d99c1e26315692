"""One trial of a circuit, which all threads of a side share: what is simulated, and ours and peers in turn.

Each side draws its synapses itself, by the same rule, so that spikes are not the same and rates are: they are compared first.
"""

import math
import statistics
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from localdfa import memory, spec, toml
from localdfa.bench import trials
from localdfa.bench.compare import spread
from localdfa.bench.worker import Worker
from localdfa.circuit import Circuit
from localdfa.circuit.build import expected_synapses, taus_of
from localdfa.circuit.values import drawn
from localdfa.errors import LocalDFAError

# The networks that are timed where none are named.
NETWORKS = ("cuba", "brunel", "20000-2", "20000-10", "50000-1", "100000-0.5")
_BUNDLED = ("cuba", "brunel")
# Mean rates of two sides differ by this fraction at most: those of cuba in a second have an sd of 6 % over seeds, so that two
# differ by 8 %; and a clock makes every interval a little longer.
RATE = 0.25
# Numbers of synapses by this fraction and so many of their standard deviations.
SYNAPSES, DEVIATIONS = 0.001, 6
# The most that a synapse takes while a peer builds or runs, bytes: a fifth more than was measured with 16 million on a thread.
# And what its process takes besides.
_BYTES = {"brian2": 20, "nest": 60, "annarchy": 90}
_PROCESS = 400e6


def tables_of(name: str) -> dict[str, Any]:
    """The tables of a network: of a bundled circuit, or NEURONS-PERCENT, excitation and inhibition with so many synapses.

    The latter is the network of `localdfa.bench.trials`, in which each neuron hears of so many in a hundred.

    Raises
    ------
    LocalDFAError
        It is neither.
    """
    if name in _BUNDLED:
        return toml.read(spec.circuits()[name])
    size, _, percent = name.partition("-")
    try:
        neurons, probability = int(size), float(percent) / 100
    except ValueError:
        neurons, probability = 0, 0.0
    if not (20 <= neurons <= 10**7 and 1e-6 <= probability <= 1):
        raise LocalDFAError(
            f"--networks {name}: allowed: {', '.join(_BUNDLED)}, or NEURONS-PERCENT with at least 20 neurons and up to "
            "100 % of them connected, as 20000-2"
        )
    more = trials.scale(neurons, probability)
    own = {"v_th": 1.0, "v_reset": 0.0, **trials.BALANCED, "start": {"distribution": "uniform", "low": 0.0, "high": 1.0}}
    return {
        "seed": 1,
        "population": [{"name": "exc", "size": neurons - neurons // 5, **own}, {"name": "inh", "size": neurons // 5, **own}],
        "projection": [
            {"pre": pre, "post": post, "probability": probability, "weight": jump / more, "tau_syn": tau, "delay": trials.DELAY}
            for pre, (tau, jump) in zip(("exc", "inh"), trials.JUMPS, strict=True)
            for post in ("exc", "inh")
        ],
        "input": [{"post": post, "current": trials.DRIVE * more} for post in ("exc", "inh")],
    }  # fmt: skip


def smaller(tables: dict[str, Any]) -> dict[str, Any]:
    """The same network with so few neurons that it is built and simulated at once."""
    sizes = {p["name"]: p["size"] for p in tables["population"]}
    few = {name: max(4, size * 200 // sum(sizes.values())) for name, size in sizes.items()}

    def of(projection: dict[str, Any]) -> dict[str, Any]:
        if "in_degree" not in projection:
            return projection
        pre = projection["pre"]
        return projection | {"in_degree": projection["in_degree"] * few[pre] // sizes[pre]}

    return tables | {
        "population": [p | {"size": few[p["name"]]} for p in tables["population"]],
        "projection": [of(projection) for projection in tables["projection"]],
    }  # fmt: skip


class Cells(NamedTuple):
    """A population, all of whose neurons have the same parameters, times in ms: drive is what v relaxes to, start v (size,)."""

    name: str
    size: int
    tau_m: float
    t_ref: float
    v_th: float
    v_reset: float
    drive: float
    start: np.ndarray


class Joint(NamedTuple):
    """Synapses of one weight and delay from one population to another, drawn by a probability or a number to each neuron; noise
    has a rate, Hz, in the place of `pre`. tau: of the synaptic current, ms, 0 if v jumps."""

    pre: str
    post: str
    weight: float
    tau: float
    delay: float = 0.0
    probability: float = 0.0
    in_degree: int = 0
    rate: float = 0.0


class Plain(NamedTuple):
    """A network as a peer builds it. taus: of all synaptic currents, ms; neurons: how many there are."""

    cells: list[Cells]
    joints: list[Joint]
    noises: list[Joint]
    taus: list[float]
    neurons: int

    def rate(self, spikes: int, duration: float) -> float:
        """The mean rate of a neuron, Hz, of so many spikes of all in a time, ms."""
        return 1e3 * spikes / (self.neurons * duration)


def plain(tables: dict[str, Any]) -> Plain:
    """The network of tables in which values are numbers, but for where v starts."""
    circuit: Any = Circuit.of_tables(tables)
    cells = []
    for p in circuit.populations.values():
        own = {name: float(p.parameters[name]) for name in ("tau_m", "t_ref", "v_th", "v_reset")}
        drive = float(p.rest) + float(circuit.currents.get(p.name, np.zeros(1))[0])
        start = drawn(own["v_reset"] if p.start is None else p.start, np.random.default_rng(0), p.size)
        cells.append(Cells(p.name, p.size, **own, drive=drive, start=np.broadcast_to(start, p.size)))
    joints = []
    for q in circuit.projections:
        of_pairs = {"in_degree": int(q.given)} if q.kind == "in_degree" else {"probability": float(q.given)}
        joints.append(Joint(q.pre.name, q.post.name, float(q.weight), q.tau_syn, float(q.delay), **of_pairs))
    noises = [Joint("", n.post.name, float(n.weight), n.tau_syn, rate=float(n.rate)) for n in circuit.noises]
    return Plain(cells, joints, noises, taus_of(circuit).tolist(), sum(c.size for c in cells))


def room(peer: str, tables: dict[str, Any], threads: list[int]) -> int:
    """About how much memory a peer takes, bytes, at its peak."""
    synapses = sum(map(expected_synapses, Circuit.of_tables(tables).projections))
    # Each number of threads has a process of its own, of which Brian2's have their network only while they run.
    return int((1 if peer == "brian2" else len(threads)) * _BYTES[peer] * synapses + len(threads) * _PROCESS)


def fitting(tables: dict[str, Any], peers: list[str], threads: list[int]) -> tuple[list[str], dict[str, str]]:
    """The peers for which there is memory, one beside the other, and why the others are left out."""
    there, able, refused = memory.available(), [], dict[str, str]()
    taken = 0
    for peer in peers:
        size = room(peer, tables, threads)
        if there is not None and taken + size > there:
            refused[peer] = f"needs about {size / 1e9:.1f} GB of memory, of {max(0, there - taken) / 1e9:.1f} GB that are left"
        else:
            able.append(peer)
            taken += size
    return able, refused


def alternate(name: str, duration: float, threads: list[int], peers: list[str], turns: int) -> dict[str, Any]:
    """Seconds that each side takes for `duration` ms of a network on each number of threads, in turn, with ratios turn by turn.

    A peer is left out, and it is said why, where memory does not suffice, or where it does not simulate the same.
    """
    tables = tables_of(name)
    able, refused = fitting(tables, peers, threads)
    of_module = {(side, n): (f"{side}_circuit", tables, duration, n) for side in ("ours", *able) for n in threads}
    with Worker(*of_module["ours", threads[0]]) as worker:
        worker.call("warm")  # kernels that are compiled now are on disk from here on, and cost neither time nor memory
    with ExitStack() as stack:
        workers, facts = {}, {}
        for key, given in of_module.items():
            if key[0] in refused:
                continue
            workers[key] = stack.enter_context(Worker(*given))
            facts[key] = {"built": workers[key].call("build")}
            workers[key].call("turn")
            facts[key] |= workers[key].call("facts")
            if reason := _otherwise(facts["ours", threads[0]], facts[key]):
                refused[key[0]] = reason
        workers = {key: worker for key, worker in workers.items() if key[0] not in refused}
        seconds: dict[tuple[str, int], list[float]] = {key: [] for key in workers}
        for _ in range(turns):
            for key, worker in workers.items():
                seconds[key].append(worker.call("turn"))
    return {
        "network": name, "neurons": sum(p["size"] for p in tables["population"]), "duration": duration, "left_out": refused,
        "sides": [
            {
                "side": side, "threads": n, **facts[side, n], "seconds": taken, "median": statistics.median(taken),
                "times_ours": _ratio(taken, seconds["ours", n]),
                "speedup": _ratio(seconds[side, threads[0]], taken),
            }
            for (side, n), taken in seconds.items()
        ],
    }  # fmt: skip


def _ratio(theirs: list[float], ours: list[float]) -> dict[str, float]:
    """How many times as long the first take as the second, turn by turn."""
    return spread([a / b for a, b in zip(theirs, ours, strict=True)])


def _otherwise(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """In what a side differs from ours, if it does."""
    for what, most in (
        ("synapses", SYNAPSES * ours["synapses"] + DEVIATIONS * math.sqrt(ours["synapses"])),
        ("rate", RATE * ours["rate"]),
    ):
        if not abs(theirs[what] - ours[what]) <= most:
            unit = " Hz" if what == "rate" else ""
            return f"does not simulate the same: {what} {theirs[what]:,.6g}{unit}, ours {ours[what]:,.6g}{unit}"
    return ""
