"""The shape of the code: data flow one way, light imports, nothing executed from a file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import localdfa

PACKAGE = Path(localdfa.__file__).parent
ROOT = PACKAGE.parent
# Spec → network → engine → update → record → measure → analysis. A module imports from layers below its own, and within its own
# part; parts of one layer do not know each other. What is imported only for the names of types does not count.
LAYERS = [
    ["errors", "orders"],
    ["files", "registry", "toml"],
    ["arrays", "folder", "interface"],
    ["neurons", "optimisers", "inputs", "weights"],
    ["core"],
    ["outputs"],
    ["feedback", "rules", "data", "recorders"],
    ["spec"],
    ["topology", "export"],
    ["geometry"],
    ["network"],
    ["memory", "adversary", "augmentation", "modules", "torch"],
    ["engines", "record", "samples"],
    ["measure", "analysis", "handover"],
    ["recording", "circuit", "trained"],
    ["interchange"],
    ["progress", "pynn"],
    ["display", "tensorboard"],
    ["training"],
    ["trainer", "module_trainer", "results"],
    ["jobs"],
    ["side_by_side", "searching", "loops"],
    ["train"],
    ["sklearn"],
    ["watch", "papers"],
    ["crosscheck"],
    ["bench", "conformance"],
    ["cli"],
    ["__init__", "__main__"],
]
LAYER_OF = {part: k for k, layer in enumerate(LAYERS) for part in layer}
# An independent witness shares the spec, the weights and B with the core, and no code of the models.
WITNESSES = {
    "crosscheck/pytorch": {"errors", "registry", "spec", "crosscheck"},
    "crosscheck/brian.py": {"errors", "registry", "spec", "inputs", "neurons"},
    "crosscheck/brian_circuits.py": set(),
    "crosscheck/exact.py": set(),
    "crosscheck/counters.py": set(),
}


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0] if path.is_relative_to(PACKAGE) else "analysis"


def imports(path):
    """Modules of localdfa that a file imports, anywhere in it but for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "localdfa":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("localdfa."))


def test_every_module_has_its_layer():
    assert {part_of(path) for path in PACKAGE.rglob("*.py")} - {"sims"} | {"analysis"} == set(LAYER_OF)


@pytest.mark.parametrize("part", LAYER_OF)
def test_data_flows_one_way(part):
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "analysis").rglob("*.py")]:
        if part_of(path) == part:
            above = {other for other in imports(path) if other in LAYER_OF and LAYER_OF[other] >= LAYER_OF[part]}
            assert above <= {part}, path


@pytest.mark.parametrize("witness", WITNESSES)
def test_a_witness_shares_no_code_of_the_models(witness):
    path = PACKAGE / witness
    for file in path.rglob("*.py") if path.is_dir() else [path]:
        assert set(imports(file)) & set(LAYER_OF) <= WITNESSES[witness], file


# Its entries are the machine code that the package has compiled itself, in a folder that only its user can write to.
COMPILED = PACKAGE / "core" / "kernel_cache.py"


def test_nothing_read_from_a_file_is_executed():
    for path in sorted({*PACKAGE.rglob("*.py"), *(ROOT / "analysis").rglob("*.py")} - {COMPILED}):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve"} & set(names), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile"), path


def loaded_by(statement):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{statement}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_imports_stay_light():
    heavy = {"torch", "brian2", "sklearn", "matplotlib.pyplot", "pooch", "pandas", "pyNN", "neo"}
    assert not loaded_by("import localdfa, localdfa.train") & heavy
    assert not loaded_by("import localdfa.cli") & (heavy | {"numba", "scipy", "matplotlib"})


def test_modules_are_there_once_they_are_asked_for():
    """The reference names them, as localdfa.data.load; nothing else that a script asks for by mistake is one."""
    names = ("circuit.Result", "data.load", "spec.load", "registry.add", "interchange.export", "analysis.names")
    assert "localdfa.circuit" in loaded_by("import localdfa\n" + "\n".join(f"localdfa.{name}" for name in names))
    assert not hasattr(localdfa, "_version")
    with pytest.raises(AttributeError, match="module 'localdfa' has no attribute 'circuits'"):
        _ = localdfa.circuits


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by their names alone; two of one name would stop it, but only where both are asked for."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
