"""Circuits and trained networks of LIF neurons as graphs of NIR, the Neuromorphic Intermediate Representation, and back.

NIR's neurons are those of a circuit: τ dv/dt = v_leak − v + r I, a spike where v passes v_threshold, then v = v_reset (LIF);
with a synaptic current τ_syn dI/dt = −I + w_in S beside it (CubaLIF). Times are in s. Programs that read NIR go in steps of dt
and take a spike as an input of 1 for one step, so that I moves v by r I dt/τ. With ``r = τ/dt`` and ``w_in = τ_syn/dt`` a spike
through a weight w moves v by w, and as dt goes to 0 the steps become the circuit. dt is `STEP`, as of snnTorch's reader.

NIR has no refractory period, and a step no time for one: those up to `STEP` are left out, longer ones are refused. So it is
with delays, which become nodes of their own from `STEP` on. Abreu et al. 2024, doi:10.1038/s41467-024-52259-9.

What a run has trained is the circuit of its free phase, with W γ/τ for the weights of spikes, γ the gain and τ that of the
membrane or the synapse, and constant currents for baseline and biases. An input code that sends currents gives each step the
input itself. What the output reads follows as weights: its mean over the steps is the output's drive.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import files, record, registry, trained
from localdfa.circuit import Circuit
from localdfa.circuit.running import Simulation
from localdfa.data import Source
from localdfa.errors import SpecError
from localdfa.export import library
from localdfa.files import write_bytes
from localdfa.network import Network
from localdfa.spec import Setting

ENDING = ".nir"
# ms
STEP = 0.1
# The shortest that circuits have, ms, for what NIR has none of.
_T_REF, _DELAY = 0.1, 0.01
_READ = ("Input", "Output", "LIF", "CubaLIF", "Affine", "Linear", "Delay")
# What may follow nodes of these kinds, besides an Output.
_BEHIND = {
    **dict.fromkeys(("Input", "LIF", "CubaLIF"), ("Affine", "Linear", "Delay")),
    **dict.fromkeys(("Affine", "Linear"), ("LIF", "CubaLIF")),
    "Delay": ("Affine", "Linear"),
}


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


def of_run(run: record.Run, job: record.Job, setting: Setting, path: Path, given: Source | None) -> list[Path]:
    """Write the network that a condition and seed ended with, of LIF neurons: nodes ``input``, ``hidden_1`` … ``output``.

    Raises
    ------
    SpecError
        The network has something that NIR has not; the message names its key.
    """
    trained.require_code(run, job, setting)
    _require_network(setting)
    nir, stream = library("nir", "nir"), io.BytesIO()
    network = trained.network(run, job, setting)
    if network.start is not None:
        raise SpecError("network.start: v begins a trial above its reset, and NIR does not say where; allowed: 'reset'")
    nir.write(stream, _of_network(network, setting, nir))
    write_bytes(path, stream.getvalue())
    return [path]


def _require_network(setting: Setting) -> None:
    """Refuse what NIR has no node for."""
    if setting.module is not None or not setting.spiking:
        what = f"module.name: {setting.computed_by!r}" if setting.module else f"network.neuron: {setting.network.neuron!r}"
        raise SpecError(f"{what} does not spike; allowed for NIR: 'lif'; and as a program of PyTorch: torch")
    if setting.network.neuron != "lif":
        raise SpecError(f"network.neuron: {setting.network.neuron!r} has no node in NIR; allowed: 'lif'")
    if any(not isinstance(layer, int) for layer in setting.network.hidden):
        raise SpecError("network.hidden: convolutions of spikes are not written; allowed for NIR: layers of so many neurons")
    if registry.get("outputs", setting.network.output).spiking:
        raise SpecError(
            f"network.output: {setting.network.output!r} is of output neurons that NIR has no node for; "
            "allowed: outputs that read rates"
        )


def _of_network(network: Network, setting: Setting, nir: Any) -> Any:
    """The graph of a network of layers."""
    # Parameters as the spec has them: the network's own may be of float32, in which 0.1 is more than 0.1.
    p, code = registry.get("neurons", setting.network.neuron)(**setting.neuron), registry.get("inputs", setting.input.code)
    if p.t_ref > STEP:
        raise SpecError(f"neuron.t_ref: {float(p.t_ref):g} ms; NIR has no refractory period; allowed: up to {STEP:g}")
    names, last = ["input", *(f"hidden_{l + 1}" for l in range(network.n_hidden))], network.n_hidden + 1
    net, weights, currents = Circuit(precision="float64"), [], np.zeros((last + 1, max(network.sizes)))
    if code.spikes:
        net.trains(names[0], network.sizes[0], [], [])
    for k in range(1, last):
        net.population(
            names[k], network.sizes[k], tau_m=float(p.tau_m), v_th=float(p.v_th), v_reset=float(p.v_reset), t_ref=float(p.t_ref)
        )
        currents[k, : network.sizes[k]] = p.baseline
    for joint, array in zip(network.projections, network.weights, strict=True):
        dense = joint.dense(np.asarray(array, float), network.sizes[joint.post])
        if joint.biased:
            currents[joint.post, : network.sizes[joint.post]] += dense[-1]
        weights.append(dense[: network.sizes[joint.pre]])
    # Inputs that are currents, and what the output reads, are no synapses of the circuit.
    apart = [joint.post == last or (joint.pre == 0 and not code.spikes) for joint in network.projections]
    led = {joint.post for joint, other in zip(network.projections, apart, strict=True) if not other}
    for joint, matrix, other in zip(network.projections, weights, apart, strict=True):
        if not other:
            unit = code.unit(setting.input) if joint.pre == 0 else float(p.gain)
            net.project(
                names[joint.pre],
                names[joint.post],
                matrix=matrix * unit / (joint.tau or float(p.tau_m)),
                delay=joint.delay,
                tau_syn=joint.tau,
            )
    for k in led:
        net.current(names[k], currents[k, : network.sizes[k]])
    graph = _graph(net, nir)
    # Ends of the circuit's graph, which nir adds also where there are none, are not those of the network.
    nodes = {name: node for name, node in graph.nodes.items() if name in names}
    nodes |= {name: node for name, node in graph.nodes.items() if type(node).__name__ in ("Affine", "Linear", "Delay")}
    edges = [(pre, post) for pre, post in graph.edges if pre in nodes and post in nodes]
    if not code.spikes:
        nodes["input"] = nir.Input({"input": np.array([network.sizes[0]])})
    nodes["output"] = nir.Output({"output": np.array([network.sizes[last]])})
    for joint, matrix, other in zip(network.projections, weights, apart, strict=True):
        if not other:
            continue
        post = "output" if joint.post == last else names[joint.post]
        scale = float(p.gain) / STEP if joint.post == last else STEP / float(p.tau_m)
        bias = currents[joint.post, : network.sizes[joint.post]] * (1 if joint.post == last else scale) * joint.biased
        if joint.pre == 0 and joint.post != 1:
            raise SpecError("projection: one from the inputs passes a layer by, as no node says; allowed for NIR: leave it out")
        name = f"{names[joint.pre]}_to_{post}"
        nodes[name] = nir.Affine(matrix.T * scale, bias)
        edges += [(names[joint.pre], name), (name, post)]
    return nir.NIRGraph(nodes, edges)


def _graph(circuit: Circuit, nir: Any) -> Any:
    _require_known(circuit)
    simulation = Simulation(circuit)
    nodes, edges = dict[str, Any](), list[tuple[str, str]]()
    for name, p in circuit.populations.items():
        if p.model is None:
            nodes[name] = nir.Input({"input": np.array([p.size])})
    joined = [*simulation.synapses()]
    driven = dict[str, np.ndarray]()
    for name, parameters in simulation.neurons().items():
        values = {**parameters, **{key: _as_said(parameters[key]) for key in ("t_ref", "tau_m", "v_th", "v_reset")}}
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
        name, bias = _free(f"{pre}_to_{post}", nodes), driven.pop(post, np.zeros(0))
        nodes[name] = nir.Affine(matrix, bias) if bias.any() else nir.Linear(matrix)
        late = float(delay[0]) if len(delay) else 0.0
        if late >= STEP:
            line = _free(f"{name}_delay", nodes)
            nodes[line] = nir.Delay(np.full(n_pre, late / 1e3))
            edges += [(pre, line), (line, name), (name, post)]
        else:
            edges += [(pre, name), (name, post)]
    last = [name for name, p in circuit.populations.items() if p.model and not any(pre == name for pre, *_ in joined)]
    for name in last:
        output = _free("output" if len(last) == 1 else f"{name}_output", nodes)
        nodes[output] = nir.Output({"output": np.array([circuit.populations[name].size])})
        edges.append((name, output))
    return nir.NIRGraph(nodes, edges)


def _as_said(values: np.ndarray) -> np.ndarray:
    """Numbers in float64 as they are written in the precision of a circuit, of float32 with no digits but those."""
    found, place = np.unique(values, return_inverse=True)
    return np.array([float(str(value)) for value in found])[place]


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """A name for a node that no other has: populations keep theirs."""
    while name in taken:
        name += "_"
    return name


def _require_known(circuit: Circuit) -> None:
    """Refuse what NIR has no node for."""
    for name, p in circuit.populations.items():
        if p.model not in (None, "lif"):
            raise SpecError(f"population {name!r}.model: {p.model!r} has no node in NIR; allowed: 'lif'")
        if p.start is not None:
            raise SpecError(f"population {name!r}.start: NIR does not say where v begins; allowed: leave it out")
    for pulse in circuit.pulses:
        raise SpecError(f"current of {pulse.post.name!r}: changes at {pulse.changes:g} ms; allowed for NIR: constant ones")
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

    Weights that lead to an Output, as those of what a run has trained do, are a readout, and no part of a circuit.
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
    joints = [(name, post) for name in kinds for pre, post in graph.edges if pre == name and kinds[post] != "Output"]
    for name, post in joints:  # all of them first: what leads to weights is then what circuits have
        if kinds[post] not in (allowed := _BEHIND.get(kinds[name], ())):
            raise SpecError(f"{path}: {name!r} leads to {post!r}, a {kinds[post]}; allowed behind it: {', '.join(allowed)}")
    for name, post in joints:
        if kinds[name] in ("Affine", "Linear"):
            _project(net, graph, kinds, names, (name, post), str(path))
    return net


def _project(net: Circuit, graph: Any, kinds: dict[str, str], names: dict[str, str], at: tuple[str, str], path: str) -> None:
    """Add the synapses of a node of weights to neurons, from all that leads to it, and its bias, once."""
    name, post = at
    weights, target = graph.nodes[name], graph.nodes[post]
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
    for before in _before(graph, name):
        late = [(before, _DELAY)]
        if kinds[before] == "Delay":
            delays = 1e3 * np.unique(graph.nodes[before].delay)
            if len(delays) > 1:
                raise SpecError(f"{path}: node {before!r} has several delays; allowed: one")
            late = [(pre, float(delays[0])) for pre in _before(graph, before)]
        for pre, delay in late:
            net.project(names[pre], names[post], matrix=(matrix * strength[:, None]).T, delay=delay, tau_syn=tau_syn)


def _before(graph: Any, name: str) -> list[str]:
    """The nodes that lead to one, in the order of the edges."""
    return [pre for pre, post in graph.edges if post == name]


def _level(values: Any) -> Any:
    """One number where all are alike, as circuits of one τ are faster."""
    found = np.asarray(values, float).ravel()
    return float(found[0]) if (found == found[0]).all() else found
