"""The shape of the code: data flow one way, light imports, nothing executed from a file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import localdfa

PACKAGE = Path(localdfa.__file__).parent
ROOT = PACKAGE.parent
# spec → network → simulate/train → record → measure → analysis: what each part must not import.
FORBIDDEN = {
    "errors": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli", "data"],
    "files": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli", "data"],
    "arrays": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli", "data"],
    "data": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli", "rules", "neurons"],
    "spec": ["network", "core", "train", "record", "measure", "analysis", "cli", "data"],
    "neurons": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli", "feedback", "rules"],
    "inputs": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli", "feedback", "rules", "neurons"],
    "topology": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli", "rules", "neurons", "data"],
    "geometry": ["network", "core", "train", "record", "measure", "analysis", "cli", "rules", "neurons", "data"],
    "engines": ["train", "record", "measure", "analysis", "cli", "data", "crosscheck"],
    "optimisers": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli"],
    "outputs": ["spec", "network", "train", "record", "measure", "analysis", "cli", "data", "feedback", "rules"],
    "core": ["spec", "train", "record", "measure", "analysis", "cli", "rules", "data"],
    "feedback": ["spec", "network", "train", "record", "measure", "analysis", "cli", "rules"],
    "registry": ["spec", "network", "core", "train", "record", "measure", "analysis", "cli", "data", "rules", "neurons"],
    "recorders": ["spec", "network", "core", "engines", "train", "record", "measure", "analysis", "cli", "data"],
    "recording": ["train", "record", "analysis", "cli", "data"],
    "conformance": ["analysis", "cli", "crosscheck", "bench"],
    "rules": ["spec", "network", "train", "record", "measure", "analysis", "cli", "data"],
    "network": ["core", "train", "record", "measure", "analysis", "cli", "data"],
    "measure": ["train", "record", "analysis", "cli", "data"],
    "record": ["network", "core", "train", "measure", "analysis", "cli", "data"],
    "train": ["analysis", "cli", "crosscheck"],
    "crosscheck": ["cli", "bench"],
    # An independent witness shares the spec, the weights and B with the core, and no code of the rules.
    "crosscheck/pytorch": [
        "core",
        "rules",
        "feedback",
        "neurons",
        "optimisers",
        "network",
        "measure",
        "train",
        "record",
        "analysis",
        "cli",
        "data",
    ],
    "crosscheck/brian": [
        "core",
        "rules",
        "feedback",
        "neurons",
        "optimisers",
        "network",
        "train",
        "record",
        "analysis",
        "data",
    ],
    "analysis": ["crosscheck", "network", "core", "train", "data", "rules", "neurons", "cli"],
}


def files_of(part):
    folder = ROOT / "analysis" if part == "analysis" else PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{part}.py"]


def imports(path):
    """Modules of localdfa that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "localdfa":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("localdfa."))


@pytest.mark.parametrize("part", FORBIDDEN)
def test_data_flows_one_way(part):
    assert files_of(part)
    for path in files_of(part):
        assert not set(imports(path)) & set(FORBIDDEN[part]), path


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
    heavy = {"torch", "brian2", "sklearn", "matplotlib.pyplot", "pooch", "pandas"}
    assert not loaded_by("import localdfa, localdfa.train") & heavy
    assert not loaded_by("import localdfa.cli") & (heavy | {"numba", "scipy", "matplotlib"})
