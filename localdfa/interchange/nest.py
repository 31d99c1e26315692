"""A circuit as a script for NEST, which runs on its own and has the same neurons and synapses."""

from pathlib import Path

from localdfa.circuit import Circuit, exported

ENDING = ".py"


def of_circuit(circuit: Circuit, path: Path) -> list[Path]:
    """Write the script, and beside it its arrays; see `localdfa.circuit.exported.export`."""
    return [path, exported.export(circuit, path, path.stem, "nest")]
