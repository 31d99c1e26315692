"""A circuit as a script for Brian2, which goes in steps."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import registry
from localdfa.circuit.build import taus_of
from localdfa.circuit.description import Circuit
from localdfa.errors import SpecError
from localdfa.interchange import _scripts

ENDING = "_brian2.py"

# The shortest step that a script has by default, ms.
_SHORTEST = 1e-3

_HEAD = '''"""{title}, for Brian2: written by localdfa {version}. It needs brian2 and numpy, and the file {data} beside it.

Spikes are written to spikes.npz, NAME_times in ms and NAME_neurons. Brian2 goes in steps: each spike, and what it causes, is
late by up to one. Noise, and sources with rates, have the same statistics as in localdfa, but other events.
"""

import argparse
from pathlib import Path

import brian2 as b
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--duration", type=float, default=1000.0, help="ms")
parser.add_argument("--dt", type=float, default={step}, help="ms")
parser.add_argument("--seed", type=int, default={seed})
parser.add_argument("--target", default="auto", choices=["auto", "numpy", "cython"], help="what Brian2 makes its code for")
parser.add_argument("--out", default="spikes.npz")
given = parser.parse_args()
ms, Hz = b.ms, b.Hz
b.prefs.codegen.target = given.target
b.defaultclock.dt = given.dt * ms
b.seed(given.seed)
arrays = np.load(Path(__file__).with_name("{data}"), allow_pickle=False)
groups, others = {{}}, []
'''
_TAIL = """
monitors = {name: b.SpikeMonitor(group) for name, group in groups.items()}
b.Network(*groups.values(), *others, *monitors.values()).run(given.duration * ms)
spikes = {}
for name, monitor in monitors.items():
    spikes[name + "_times"], spikes[name + "_neurons"] = np.asarray(monitor.t / ms), np.asarray(monitor.i)
np.savez(given.out, **spikes)
for name, group in groups.items():
    print(f"{name}: {1e3 * len(spikes[name + '_times']) / len(group) / given.duration:.3g} Hz")
"""


def of_circuit(circuit: Circuit, path: Path) -> list[Path]:
    """Write a script for Brian2, which runs on its own, and beside it its arrays; errors are those of `_scripts.write`."""
    _require(circuit)
    return _scripts.write(circuit, path, _script)


def _require(circuit: Circuit) -> None:
    """Refuse, with SpecError, what is not known in Brian2's terms."""
    for p in circuit.populations.values():
        if p.model and registry.get("neurons", p.model).adapts and p.model != "alif":
            raise SpecError(
                f"population {p.name!r}: how the threshold of {p.model!r} adapts is not known in Brian2; allowed: alif"
            )


def _step(circuit: Circuit) -> float:
    """The step that a script has by default, ms: 0.1, or so little that no neuron of a source sends twice in one.

    Raises
    ------
    SpecError
        One does so within less than a microsecond.
    """
    step = 0.1
    for p in circuit.populations.values():
        if p.trains is None:
            continue
        times, who = p.trains
        order = np.lexsort((times, who))
        between = np.diff(times[order])[np.diff(who[order]) == 0]
        shortest = float(between.min(initial=np.inf))
        if shortest < _SHORTEST:
            raise SpecError(
                f"source {p.name!r}: a neuron sends twice within {shortest:g} ms, and Brian2's once a step; allowed: "
                f"{_SHORTEST:g} ms apart, or more"
            )
        while step > shortest:
            step = round(step / 10, 6)
    return step


def _script(circuit: Circuit, synapses: list[tuple[str, str, float]], arrays: dict[str, np.ndarray], **head: Any) -> str:
    """The script.

    synapses: of each projection its populations and tau_syn; arrays: all that the script reads, as `_scripts` has them;
    head: what the first lines say, `title`, `version`, `data` and `seed`.
    """
    taus = taus_of(circuit)
    text = [_HEAD.format(**head | {"seed": head["seed"] % 2**32, "step": _step(circuit)})]
    text += [_neurons(circuit, name, taus) for name, p in circuit.populations.items() if p.model]
    for p in circuit.populations.values():
        if p.trains is not None:
            given = f'arrays["{p.name}.neurons"], arrays["{p.name}.times"] * ms'
            text.append(f'groups["{p.name}"] = b.SpikeGeneratorGroup({p.size}, {given})')
        elif p.rate is not None:
            text.append(f'groups["{p.name}"] = b.PoissonGroup({p.size}, arrays["{p.name}.rate"] * Hz)')
    text += [_synapses(q, pre, post, tau, taus) for q, (pre, post, tau) in enumerate(synapses)]
    return "\n".join(text) + _TAIL


def _neurons(circuit: Circuit, name: str, taus: np.ndarray) -> str:
    """The neurons of a population, and their noise."""
    p = circuit.populations[name]
    model, noises = registry.get("neurons", str(p.model)), [n for n in circuit.noises if n.post.name == name]
    currents = "".join(f" + I_{r}" for r in range(len(taus))) if model.linear else ""
    flow = f"-v + drive{currents}" if model.linear else re.sub(r"\bI\b", "drive", model.equation)
    lines = [f"dv/dt = ({flow}) / tau_m : 1 (unless refractory)"]
    lines += [f"dI_{r}/dt = -I_{r} / ({tau!r} * ms) : 1" for r, tau in enumerate(map(float, taus)) if model.linear]
    lines += ["dtheta/dt = -theta / tau_a : 1"] if model.adapts else []
    times = ["tau_m", "t_ref"] + ["tau_a"] * model.adapts
    numbers = ["drive", "v_th", "v_reset"] + ["step"] * model.adapts
    lines += [f"{each} : second (constant)" for each in times] + [f"{each} : 1 (constant)" for each in numbers]
    for n in range(len(noises)):
        lines += [f"noise_rate_{n} : Hz (constant)", f"noise_weight_{n} : 1 (constant)"]
    threshold, reset = "v >= v_th" + " + theta" * model.adapts, "v = v_reset" + "; theta += step" * model.adapts
    equations = "\n    ".join(lines)
    found = [
        f'\ngroup = b.NeuronGroup({p.size}, """\n    {equations}\n""", threshold="{threshold}", reset="{reset}", '
        f'refractory="t_ref", method="{"exact" if model.linear else "rk4"}")'
    ]
    for each in ["v", *numbers, *times]:
        found.append(f'group.{each} = arrays["{name}.{each}"]' + " * ms" * (each in times))
    for n, noise in enumerate(noises):
        found.append(f'group.noise_rate_{n} = arrays["{name}.noise_rate_{n}"] * Hz')
        found.append(f'group.noise_weight_{n} = arrays["{name}.noise_weight_{n}"]')
        events = f"noise_weight_{n} * poisson(noise_rate_{n} * dt)"
        code = f"{_onto(noise.tau_syn, taus)} += {events}" + " * int(not_refractory)" * (noise.tau_syn == 0)
        found.append(f'group.run_regularly("{code}", when="synapses")')
    return "\n".join([*found, f'groups["{name}"] = group'])


def _synapses(q: int, pre: str, post: str, tau: float, taus: np.ndarray) -> str:
    """The synapses from one population to another with one time constant."""
    # What comes in a refractory period is lost, unless it goes to a current.
    code = f"{_onto(tau, taus)}_post += w" + " * int(not_refractory_post)" * (tau == 0)
    return "\n".join(
        [
            f'\nsynapses = b.Synapses(groups["{pre}"], groups["{post}"], "w : 1", on_pre="{code}")',
            f'synapses.connect(i=arrays["{q}.i"], j=arrays["{q}.j"])',
            f'synapses.w = arrays["{q}.weight"]',
            f'synapses.delay = arrays["{q}.delay"] * ms',
            "others.append(synapses)",
        ]
    )


def _onto(tau: float, taus: np.ndarray) -> str:
    """What an event of this time constant adds to."""
    return f"I_{int(np.searchsorted(taus, tau))}" if tau else "v"
