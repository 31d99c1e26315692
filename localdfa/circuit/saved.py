"""A circuit on disk: what describes it, and where its simulation stands, so that it goes on to the same bits.

The file is a record of `localdfa.arrays`: a description in JSON, whose arrays stand beside it, and the arrays of the state.
Synapses are not in it, but for weights that are no longer those that were drawn. They are drawn again, from the same seed, and
are to have the same checksum.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import arrays
from localdfa.circuit import tables
from localdfa.circuit.description import Circuit
from localdfa.circuit.running import Simulation
from localdfa.circuit.values import plain
from localdfa.errors import LocalDFAError, RunError

# How the file is laid out; another layout has another number.
_LAYOUT = 2


def save(circuit: Circuit, path: Path) -> None:
    """Write a circuit and where it stands, whole or not at all; RunError names the file that cannot be written."""
    content: dict[str, np.ndarray] = {}

    def apart(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name = f"given_{len(content)}"
            content[name] = value
            return {"array": name}
        if isinstance(value, dict):
            return {key: apart(each) for key, each in value.items()}
        return [apart(each) for each in value] if isinstance(value, list) else value

    described = {"layout": _LAYOUT, "circuit": apart(tables.tables_of(circuit)), "time": circuit.time}
    if circuit.simulation:
        simulation = circuit.simulation
        described |= {"checksum": simulation.checksum(), "drawn": simulation.drawn(), "window": simulation.width}
        described["passes"] = circuit.passes
        content |= simulation.arrays()
        content |= {f"weights_{q}": weights for q, weights in circuit.learned.items()}
        content |= {f"rates_{name}": np.asarray(rates) for name, rates in circuit.rates.items()}
    content["description"] = np.frombuffer(json.dumps(described).encode(), np.uint8)
    arrays.save(path, "circuit", content)


def load(path: Path) -> Circuit:
    """The circuit that `save` has written.

    Raises
    ------
    RunError
        The file cannot be read, is none of these, or its synapses cannot be drawn as they were.
    """
    content = arrays.load(path, "circuit")
    try:
        described = json.loads(content.pop("description").tobytes())
        if described["layout"] != _LAYOUT:
            raise RunError(f"{path}: has layout {described['layout']}; allowed: {_LAYOUT}")

        def whole(value: Any) -> Any:
            if isinstance(value, dict) and value.keys() == {"array"}:
                return content[value["array"]]
            if isinstance(value, dict):
                return {key: whole(each) for key, each in value.items()}
            return [whole(each) for each in value] if isinstance(value, list) else value

        found = Circuit.of_tables(whole(described["circuit"]))
        if "checksum" not in described:
            return found
        found.learned = {q: content[f"weights_{q}"] for q in range(len(found.projections)) if f"weights_{q}" in content}
        found.rates = {name: plain(content[f"rates_{name}"]) for name in found.populations if f"rates_{name}" in content}
        simulation = Simulation(found, width=float(described["window"]))
        found.learned = {q: simulation.weights_of(q) for q in found.learned}
        if simulation.checksum() != described["checksum"]:
            raise RunError(
                f"{path}: its synapses are not drawn again as they were; allowed: the versions of localdfa and NumPy that "
                "wrote the file"
            )
        found.passes = int(described.get("passes", 0))  # which files of earlier versions do not have
        simulation.restore(float(described["time"]), described["drawn"], content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: cannot be read as a circuit: {error}") from None
    except LocalDFAError as error:
        raise RunError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    found.simulation = simulation
    return found
