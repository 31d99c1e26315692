"""A circuit as a script for NEST, with the models of it that keep spike times between the steps of its grid."""

from pathlib import Path
from typing import Any

import numpy as np

from localdfa.circuit.description import Circuit
from localdfa.errors import SpecError, quoted
from localdfa.interchange import _scripts

ENDING = "_nest.py"

# Steps, ms, the coarsest of which that has all delays and refractory periods is the script's; NEST counts time in the last.
_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_HEAD = '''"""{title}, for NEST: written by localdfa {version}. It needs nest and numpy, and the file {data} beside it.

Spikes are written to spikes.npz, NAME_times in ms and NAME_neurons. Neurons are NEST's precise ones, whose spikes lie between
the steps of its grid; delays and refractory periods are multiples of the step. A membrane whose time constant is the capacity
as well makes units of currents those of v. Noise, and sources with rates, have the same statistics as in localdfa, but other
events.
"""

import argparse
from pathlib import Path

import nest
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--duration", type=float, default=1000.0, help="ms")
parser.add_argument("--dt", type=float, default={step}, help="ms")
parser.add_argument("--seed", type=int, default={seed})
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--out", default="spikes.npz")
given = parser.parse_args()
arrays = np.load(Path(__file__).with_name("{data}"), allow_pickle=False)
for name in arrays.files:
    if name.endswith((".delay", ".t_ref")):
        steps = arrays[name] / given.dt
        if (np.abs(steps - np.rint(steps)) > 1e-6).any() or (steps < 0.5).any():
            parser.error(f"--dt {{given.dt:g}}: {{name}} has other values than multiples of it")
nest.set_verbosity("M_ERROR")
nest.ResetKernel()
nest.set(resolution=given.dt, rng_seed=given.seed, local_num_threads=given.threads)
groups, sent = {{}}, {{}}


def join(pre, post, weight, delay):
    given_by_synapse = {{"weight": np.broadcast_to(weight, len(post)), "delay": np.broadcast_to(delay, len(post))}}
    nest.Connect(pre, post, "one_to_one", given_by_synapse)


def numbers(group):
    return np.array(group.tolist())
'''
_TAIL = """
recorders = {name: nest.Create("spike_recorder") for name in groups if name not in sent}
for name, recorder in recorders.items():
    nest.Connect(groups[name], recorder)
# A recorder hears of a spike a step later.
nest.Simulate((np.ceil(given.duration / given.dt - 1e-9) + 1) * given.dt)
for name, recorder in recorders.items():
    events = recorder.get("events")
    order = np.argsort(events["times"], kind="stable")
    sent[name] = events["times"][order], events["senders"][order] - groups[name][0].global_id
spikes = {}
for name, (times, neurons) in sent.items():
    within = times < given.duration
    spikes[name + "_times"], spikes[name + "_neurons"] = times[within], neurons[within]
    print(f"{name}: {1e3 * within.sum() / len(groups[name]) / given.duration:.3g} Hz")
np.savez(given.out, **spikes)
"""


def of_circuit(circuit: Circuit, path: Path) -> list[Path]:
    """Write a script for NEST, which runs on its own, and beside it its arrays; errors are those of `_scripts.write`."""
    _require(circuit)
    return _scripts.write(circuit, path, _script)


def _require(circuit: Circuit) -> None:
    """Refuse, with SpecError, what NEST has no precise model of."""
    for p in circuit.populations.values():
        if p.model not in (None, "lif"):
            raise SpecError(
                f"population {p.name!r}: NEST has no model with exact spike times that does what {p.model!r} does; allowed: "
                "lif, or a script for brian2"
            )
        if p.trains is not None and (p.trains[0] == 0).any():
            raise SpecError(f"source {p.name!r}: sends at 0 ms, which NEST's generators cannot; allowed: times above 0")


def _script(circuit: Circuit, synapses: list[tuple[str, str, float]], arrays: dict[str, np.ndarray], **head: Any) -> str:
    """The script.

    synapses: of each projection its populations and tau_syn; arrays: all that the script reads, as `_scripts` has them;
    head: what the first lines say, `title`, `version`, `data` and `seed`.

    Raises
    ------
    SpecError
        A population gets what no precise model of NEST gets together, or times are no multiples of NEST's.
    """
    # NEST's seeds are below 2³², and not 0.
    text = [_HEAD.format(**head | {"step": _step(circuit, synapses, arrays), "seed": head["seed"] % (2**32 - 1) + 1})]
    for p in circuit.populations.values():
        if p.model:
            text.append(_neurons(circuit, p.name, synapses, arrays))
        elif p.trains is not None:
            text.append(
                f'\ngroup = groups["{p.name}"] = nest.Create("spike_generator", {p.size}, {{"precise_times": True}})\n'
                f'times, neurons = sent["{p.name}"] = arrays["{p.name}.times"], arrays["{p.name}.neurons"]\n'
                "for i in np.unique(neurons):\n    group[int(i)].spike_times = times[neurons == i]"
            )
        else:
            text.append(
                f'\ngroups["{p.name}"] = nest.Create("parrot_neuron_ps", {p.size})\n'
                f'processes = nest.Create("poisson_generator_ps", {p.size}, {{"rate": arrays["{p.name}.rate"].tolist()}})\n'
                f'join(processes, groups["{p.name}"], 1.0, given.dt)'
            )
    for q, (pre, post, _) in enumerate(synapses):
        text.append(
            f'\ni, j = arrays["{q}.i"], arrays["{q}.j"]\n'
            f'pre, post = numbers(groups["{pre}"])[i], numbers(groups["{post}"])[j]\n'
            f'join(pre, post, arrays["{q}.weight"].astype(float), arrays["{q}.delay"])'
        )
    return "\n".join(text) + _TAIL


def _neurons(circuit: Circuit, name: str, synapses: list[tuple[str, str, float]], arrays: dict[str, np.ndarray]) -> str:
    """The neurons of a population, and their noise."""
    noises = [each for each in circuit.noises if each.post.name == name]
    given = [(tau, arrays[f"{q}.weight"]) for q, (_, post, tau) in enumerate(synapses) if post == name]
    given += [(noise.tau_syn, np.asarray(noise.weight)) for noise in noises]
    taus = {"ex": sorted({tau for tau, w in given if (w > 0).any()}), "in": sorted({tau for tau, w in given if (w < 0).any()})}
    there = {*taus["ex"], *taus["in"]}
    if (0 in there and len(there) > 1) or max(map(len, taus.values())) > 1:
        raise SpecError(
            f"population {quoted(name)}: gets weights above 0 with tau_syn {_listed(taus['ex'])} and below 0 with "
            f"{_listed(taus['in'])} ms; NEST's precise models allow: 0 for all, or one time constant for weights above 0 and "
            "one for those below; or write a script for brian2"
        )
    model = "iaf_psc_exp_ps" if there - {0} else "iaf_psc_delta_ps"
    # With C_m = tau_m a current is what v relaxes to, above E_L; E_L here has the constant current in it.
    names = {
        "C_m": "tau_m",
        "tau_m": "tau_m",
        "t_ref": "t_ref",
        "V_th": "v_th",
        "V_reset": "v_reset",
        "E_L": "drive",
        "V_m": "v",
    }
    lines = [f'\ngroup = groups["{name}"] = nest.Create("{model}", {circuit.populations[name].size})']
    lines += [f"group.tau_syn_{sign} = {of[0]!r}" for sign, of in taus.items() if of and of[0]]
    own = ", ".join(f'{key}=arrays["{name}.{each}"].astype(float).tolist()' for key, each in names.items())
    lines.append(f"group.set({own})")
    for n in range(len(noises)):
        rate, count = f'arrays["{name}.noise_rate_{n}"].ravel().tolist()', arrays[f"{name}.noise_rate_{n}"].size
        lines += [
            f'processes = nest.Create("poisson_generator_ps", {count}, {{"rate": {rate}}})',
            f'join(np.resize(numbers(processes), len(group)), group, arrays["{name}.noise_weight_{n}"], given.dt)',
        ]
    return "\n".join(lines)


def _listed(taus: list[float]) -> str:
    return " and ".join(f"{tau:g}" for tau in taus) or "none"


def _step(circuit: Circuit, synapses: list[tuple[str, str, float]], arrays: dict[str, np.ndarray]) -> float:
    """The coarsest step, ms, of which all delays and refractory periods are multiples."""
    times = {f"delay from {pre!r} to {post!r}": np.unique(arrays[f"{q}.delay"]) for q, (pre, post, _) in enumerate(synapses)}
    times |= {f"t_ref of {p.name!r}": np.unique(arrays[f"{p.name}.t_ref"]) for p in circuit.populations.values() if p.model}
    for step in _STEPS:
        off = {key: some[np.abs(some / step - np.rint(some / step)) > 1e-6] for key, some in times.items()}
        off = {key: some for key, some in off.items() if some.size}
        if not off:
            return step
    key, some = next(iter(off.items()))
    raise SpecError(f"{key}: {float(some[0])!r} ms; NEST allows multiples of {_STEPS[-1]:g} ms")
