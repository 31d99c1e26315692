"""A circuit as a script for another simulator: the arrays that it reads, and the files."""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

from localdfa.circuit.description import Circuit
from localdfa.circuit.running import Simulation
from localdfa.errors import SpecError
from localdfa.files import write_bytes, writing


def write(circuit: Circuit, path: Path, script: Callable[..., str]) -> list[Path]:
    """Write what `script` makes of a circuit, and beside it its arrays.

    script: of the circuit, its synapses and arrays as `_parts` says, and of title, version, the name of the file of arrays,
    data, and seed, the text.

    Raises
    ------
    SpecError
        A current is not constant, the simulator has no terms for a part of the circuit, or script and arrays would have one
        name; nothing is written.
    RunError
        A file cannot be written.
    """
    for pulse in circuit.pulses:
        raise SpecError(f"current of {pulse.post.name!r}: changes at {pulse.changes:g} ms; allowed in a script: constant ones")
    data = path.with_suffix(".npz")
    if data == path:
        raise SpecError(f"path: {path}; its arrays are written under this name; allowed: a script with another ending, as .py")
    synapses, arrays = _parts(circuit, Simulation(circuit))
    head = {"title": path.stem, "version": metadata.version("localdfa"), "data": data.name, "seed": circuit.seed}
    text = script(circuit, synapses, arrays, **head)
    with writing(data) as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    write_bytes(path, text.encode())
    return [path, data]


def _parts(circuit: Circuit, simulation: Simulation) -> tuple[list[tuple[str, str, float]], dict[str, np.ndarray]]:
    """From which population to which there are synapses, with what tau_syn; and all arrays that a script reads.

    These are NAME.v, NAME.tau_m and so on of neurons, NAME.noise_rate_0 of their first noise, NAME.times or NAME.rate of
    sources, and Q.i, Q.j, Q.weight, Q.delay of the Q-th synapses.
    """
    synapses, found = [], dict[str, np.ndarray]()
    for name, values in simulation.neurons().items():
        found |= {f"{name}.{each}": value for each, value in values.items() if each not in ("baseline", "gain")}
        for n, noise in enumerate(each for each in circuit.noises if each.post.name == name):
            found |= {f"{name}.noise_rate_{n}": np.asarray(noise.rate), f"{name}.noise_weight_{n}": np.asarray(noise.weight)}
    for p in circuit.populations.values():
        if p.trains is not None:
            found |= {f"{p.name}.times": p.trains[0], f"{p.name}.neurons": p.trains[1]}
        elif p.rate is not None:
            found[f"{p.name}.rate"] = np.broadcast_to(np.asarray(simulation.rates[p.name]), p.size)
    for q, (pre, post, tau, i, j, weight, delay) in enumerate(simulation.synapses()):
        synapses.append((pre, post, tau))
        found |= {f"{q}.i": i, f"{q}.j": j, f"{q}.weight": weight, f"{q}.delay": delay}
    return synapses, found
