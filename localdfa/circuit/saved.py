"""A circuit on disk: what describes it, and where its simulation stands, so that it goes on to the same bits.

The file is one of NumPy's, without pickles: a description in JSON, whose arrays stand beside it, and the arrays of the state.
Synapses are not in it, but for weights that have been learned. They are drawn again, from the same seed, and are to have the
same checksum.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from localdfa.circuit import tables
from localdfa.circuit.description import Circuit
from localdfa.circuit.running import Simulation
from localdfa.errors import LocalDFAError, RunError
from localdfa.files import writing

# How the file is laid out; another layout has another number.
_LAYOUT = 1


def save(circuit: Circuit, path: Path) -> None:
    """Write a circuit and where it stands, whole or not at all; RunError names the file that cannot be written."""
    arrays: dict[str, np.ndarray] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name = f"given_{len(arrays)}"
            arrays[name] = value
            return {"array": name}
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list) else value

    described = {"layout": _LAYOUT, "circuit": plain(tables.tables_of(circuit)), "time": circuit.time}
    if circuit.simulation:
        described |= {"checksum": circuit.simulation.checksum()}
        arrays |= circuit.simulation.arrays()
        arrays |= {f"learned_{q}": weights for q, weights in circuit.learned.items()}
    with writing(Path(path)) as stream:
        np.savez(stream, allow_pickle=False, description=np.frombuffer(json.dumps(described).encode(), np.uint8), **arrays)


def load(path: Path) -> Circuit:
    """The circuit that `save` has written.

    Raises
    ------
    RunError
        The file cannot be read, is none of these, or its synapses cannot be drawn as they were.
    """
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        described = json.loads(arrays.pop("description").tobytes())
        if described["layout"] != _LAYOUT:
            raise RunError(f"{path}: has layout {described['layout']}; allowed: {_LAYOUT}")

        def whole(value: Any) -> Any:
            if isinstance(value, dict) and value.keys() == {"array"}:
                return arrays[value["array"]]
            if isinstance(value, dict):
                return {key: whole(each) for key, each in value.items()}
            return [whole(each) for each in value] if isinstance(value, list) else value

        found = Circuit.of_tables(whole(described["circuit"]))
        if "checksum" not in described:
            return found
        found.learned = {q: arrays[f"learned_{q}"] for q in range(len(found.projections)) if f"learned_{q}" in arrays}
        simulation = Simulation(found)
        found.learned = {q: simulation.weights_of(q) for q in found.learned}
        if simulation.checksum() != described["checksum"]:
            raise RunError(
                f"{path}: its synapses are not drawn again as they were; allowed: the versions of localdfa and NumPy that "
                "wrote the file"
            )
        simulation.restore(float(described["time"]), arrays)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{path}: cannot be read as a circuit: {reason}") from None
    except LocalDFAError as error:
        raise RunError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    found.simulation = simulation
    return found
