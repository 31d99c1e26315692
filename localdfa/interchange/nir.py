"""Circuits of LIF neurons as graphs of NIR, the Neuromorphic Intermediate Representation, and such graphs as circuits.

NIR's neurons are those of a circuit: τ dv/dt = v_leak − v + r I, a spike where v passes v_threshold, then v = v_reset (LIF);
with a synaptic current τ_syn dI/dt = −I + w_in S beside it (CubaLIF). Times are in s. Programs that read NIR go in steps of dt
and take a spike as an input of 1 for one step, so that I moves v by r I dt/τ. With ``r = τ/dt`` and ``w_in = τ_syn/dt`` a spike
through a weight w moves v by w, and as dt goes to 0 the steps become the circuit. dt is `STEP`, as of snnTorch's reader.

NIR has no refractory period, and a step no time for one: those up to `STEP` are left out, longer ones are refused. So it is
with delays, which become nodes of their own from `STEP` on. Abreu et al. 2024, doi:10.1038/s41467-024-52259-9.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import files
from localdfa.circuit import Circuit
from localdfa.circuit.running import Simulation
from localdfa.errors import SpecError
from localdfa.export import library
from localdfa.files import write_bytes

ENDING = ".nir"
# ms
STEP = 0.1
# The shortest that circuits have, ms, for what NIR has none of.
_T_REF, _DELAY = 0.1, 0.01
_READ = ("Input", "Output", "LIF", "CubaLIF", "Affine", "Linear", "Delay")


def of_circuit(circuit: Circuit, path: Path) -> list[Path]:
    """Write a circuit: a node for each population, an input for each source, weights for each projection.

    What a source sends is not written; it is what the program that reads the graph feeds in.

    Raises
    ------
    SpecError
        The circuit has something that NIR has not; the message names it.
    """
    nir, stream = library("nir", "nir"), io.BytesIO()
    nir.write(stream, _graph(circuit, nir))
    write_bytes(path, stream.getvalue())
    return [path]


def _graph(circuit: Circuit, nir: Any) -> Any:
    _require_known(circuit)
    simulation = Simulation(circuit)
    nodes, edges = dict[str, Any](), list[tuple[str, str]]()
    for name, p in circuit.populations.items():
        if p.model is None:
            nodes[name] = nir.Input({"input": np.array([p.size])})
    joined = [*simulation.synapses()]
    driven = dict[str, np.ndarray]()
    for name, values in simulation.neurons().items():
        longest = float(values["t_ref"].max())
        if longest > STEP:
            raise SpecError(f"population {name!r}.t_ref: {longest:g} ms; NIR has no refractory period; allowed: up to {STEP:g}")
        kinds = {tau for _, post, tau, *_ in joined if post == name}
        if len(kinds) > 1:
            raise SpecError(
                f"population {name!r}: projections with tau_syn = {', '.join(f'{tau:g}' for tau in sorted(kinds))} reach it; "
                f"NIR's neurons have one; allowed: one value for all"
            )
        tau, tau_syn = values["tau_m"].astype(float), max(kinds, default=0.0)
        common = {"r": tau / STEP, "v_threshold": values["v_th"].astype(float), "v_reset": values["v_reset"].astype(float)}
        current = np.array(circuit.currents.get(name, np.zeros(len(tau))), float)
        leak = values["drive"].astype(float)
        if kinds == {0.0}:  # the current comes with the weights, as not all programs have a v_leak
            leak, driven[name] = leak - current, current * STEP / tau
        if tau_syn:
            syn = np.full(len(tau), tau_syn)
            nodes[name] = nir.CubaLIF(tau_syn=syn / 1e3, tau_mem=tau / 1e3, v_leak=leak, w_in=syn / STEP, **common)
        else:
            nodes[name] = nir.LIF(tau=tau / 1e3, v_leak=leak, **common)
    for pre, post, tau_syn, i, j, weight, delay in joined:
        n_pre, n_post = circuit.populations[pre].size, circuit.populations[post].size
        if len(np.unique(delay)) > 1:
            raise SpecError(f"projection from {pre!r} to {post!r}.delay: several values; allowed for NIR: one")
        matrix = np.zeros((n_post, n_pre))
        np.add.at(matrix, (j, i), weight)
        if tau_syn:
            matrix *= (STEP / np.asarray(nodes[post].tau_mem * 1e3))[:, None]
        name, bias = f"{pre}_to_{post}", driven.pop(post, np.zeros(0))
        nodes[name] = nir.Affine(matrix, bias) if bias.any() else nir.Linear(matrix)
        late = float(delay[0]) if len(delay) else 0.0
        if late >= STEP:
            nodes[f"{name}_delay"] = nir.Delay(np.full(n_pre, late / 1e3))
            edges += [(pre, f"{name}_delay"), (f"{name}_delay", name), (name, post)]
        else:
            edges += [(pre, name), (name, post)]
    last = [name for name, p in circuit.populations.items() if p.model and not any(pre == name for pre, *_ in joined)]
    for name in last:
        output = "output" if len(last) == 1 else f"{name}_output"
        nodes[output] = nir.Output({"output": np.array([circuit.populations[name].size])})
        edges.append((name, output))
    return nir.NIRGraph(nodes, edges)


def _require_known(circuit: Circuit) -> None:
    """Refuse what NIR has no node for."""
    for name, p in circuit.populations.items():
        if p.model not in (None, "lif"):
            raise SpecError(f"population {name!r}.model: {p.model!r} has no node in NIR; allowed: 'lif'")
        if p.start is not None:
            raise SpecError(f"population {name!r}.start: NIR does not say where v begins; allowed: leave it out")
    for pulse in circuit.pulses:
        raise SpecError(f"current of {pulse.post.name!r}: changes at {pulse.begin:g} ms; allowed for NIR: constant ones")
    for noise in circuit.noises:
        raise SpecError(f"{noise.key}: has no node in NIR; allowed: a source of Poisson processes")
    reached: dict[str, set[str]] = {name: set() for name in circuit.populations}
    for projection in circuit.projections:
        reached[projection.pre.name].add(projection.post.name)
    there = set(circuit.populations)
    while first := {name for name in there if not any(name in reached[pre] for pre in there)}:
        there -= first
    if there:
        raise SpecError(f"circuit: {', '.join(sorted(there))} form a loop; allowed for NIR: circuits that lead forwards")


def read(path: str | Path, inputs: Mapping[str, tuple[Any, Any]], seed: int = 0, precision: str = "float64") -> Circuit:
    """The circuit that a file of NIR describes, of Input, Output, LIF, CubaLIF, Affine, Linear and Delay nodes.

    A spike is taken as an input of 1 for a step of `STEP`, as programs that go in steps do. The refractory period is the
    shortest of circuits, 0.1 ms, and so is the delay where there is no Delay, 0.01 ms: NIR has none.

    Parameters
    ----------
    path : str or Path
    inputs : dict
        What each Input sends: times, ms, and neurons, both (n_spikes,).
    seed, precision : int, str
        Of the circuit.

    Raises
    ------
    RunError
        The file is missing or damaged.
    SpecError
        It has nodes or joints that circuits have not; the message names them.
    LocalDFAError
        nir is not installed.
    """
    nir = library("nir", "nir")
    graph = files.read(Path(path), nir.read)
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    for name, kind in kinds.items():
        if kind not in _READ:
            raise SpecError(f"{path}: node {name!r} is a {kind}; allowed: {', '.join(_READ)}")
    sources = [name for name, kind in kinds.items() if kind == "Input"]
    if set(inputs) != set(sources):
        raise SpecError(f"inputs: {', '.join(inputs) or 'none'}; allowed: what each of {', '.join(sources)} sends")
    net, names = Circuit(seed, precision), {name: name.replace(".", "_") for name in kinds}
    for name in sources:
        net.trains(names[name], int(np.prod(graph.nodes[name].input_type["input"])), *inputs[name])
    for name, kind in kinds.items():
        if kind in ("LIF", "CubaLIF"):
            node = graph.nodes[name]
            net.population(
                names[name], node.v_threshold.size, tau_m=_level(1e3 * np.asarray(node.tau if kind == "LIF" else node.tau_mem)),
                v_rest=_level(node.v_leak), v_th=_level(node.v_threshold), v_reset=_level(node.v_reset), t_ref=_T_REF,
            )  # fmt: skip
    for name, kind in kinds.items():
        after = [post for pre, post in graph.edges if pre == name]
        if kind in ("Input", "LIF", "CubaLIF"):
            for post in after:
                if kinds[post] not in ("Affine", "Linear", "Delay", "Output"):
                    raise SpecError(f"{path}: {name!r} leads to {post!r}; allowed between: Affine, Linear")
        elif kind in ("Affine", "Linear"):
            for post in after:
                for pre in (pre for pre, own in graph.edges if own == name):
                    _project(net, graph, kinds, names, (pre, name, post), str(path))
    return net


def _project(
    net: Circuit, graph: Any, kinds: dict[str, str], names: dict[str, str], at: tuple[str, str, str], path: str
) -> None:
    """Add the synapses of a node of weights between two others."""
    pre, name, post = at
    if kinds[post] not in ("LIF", "CubaLIF"):
        raise SpecError(f"{path}: {name!r} leads to {post!r}, a {kinds[post]}; allowed behind weights: LIF, CubaLIF")
    weights, target, late = graph.nodes[name], graph.nodes[post], _DELAY
    if kinds[pre] == "Delay":
        delays = 1e3 * np.unique(graph.nodes[pre].delay)
        if len(delays) > 1:
            raise SpecError(f"{path}: node {pre!r} has several delays; allowed: one")
        late, pre = float(delays[0]), next(other for other, own in graph.edges if own == pre)
    if kinds[pre] not in ("Input", "LIF", "CubaLIF"):
        raise SpecError(f"{path}: {pre!r}, a {kinds[pre]}, leads to {name!r}; allowed: an Input, LIF or CubaLIF")
    matrix, bias, tau_syn = np.asarray(weights.weight, float), getattr(weights, "bias", np.zeros(1)), 0.0
    if kinds[post] == "LIF":
        strength = target.r * STEP / (1e3 * target.tau)
        if np.any(bias):
            net.current(names[post], np.broadcast_to(target.r * bias, (len(matrix),)))
    else:
        taus = 1e3 * np.unique(target.tau_syn)
        if len(taus) > 1 or np.any(bias):
            what = "several tau_syn" if len(taus) > 1 else f"a bias, of {name!r}, that its synaptic current would filter"
            raise SpecError(f"{path}: node {post!r} has {what}; allowed: {'one' if len(taus) > 1 else 'v_leak, or no bias'}")
        tau_syn = float(taus[0])
        strength = target.r * target.w_in * STEP / tau_syn
    net.project(names[pre], names[post], matrix=(matrix * strength[:, None]).T, delay=late, tau_syn=tau_syn)


def _level(values: Any) -> Any:
    """One number where all are alike, as circuits of one τ are faster."""
    found = np.asarray(values, float).ravel()
    return float(found[0]) if (found == found[0]).all() else found
