"""The order of the layers, read off the imports: nothing may import from a later one when it is loaded."""

import ast
import subprocess
import sys
from pathlib import Path

import bayesrepair

ROOT = Path(bayesrepair.__file__).parent

# Earlier may not import later. Modules of one line may import one another.
LAYERS = [
    ["numerics", "status", "progress"],
    ["rows", "row_weights", "model", "posterior", "noise", "number_noise"],
    ["fit"],
    ["target", "predictive", "datatree", "tree_groups", "summary", "ranking"],
    ["hashes"],
    ["laplace", "latents", "nested_laplace"],
    ["check"],
    ["gaussian_check"],
    ["judgement"],
    ["edit"],
    ["oracles", "editors", "scores", "bridges", "softmax"],
    ["failures", "set_score", "moved"],
    ["streaming"],
    ["causes", "scored_rows", "top", "group_causes", "regime", "set_anchor", "set_path", "set_search"],
    ["receipt", "predictive_masses", "refit_distances", "verification", "ledger", "ledger_rows", "ledger_store"],
    ["choice", "repairs"],
    ["suspects"],
    ["pred_probs", "review"],
    ["fusion", "rehearsal"],
    ["evaluation"],
    ["reporting"],
    ["datasets"],
    ["tables", "reading"],
    ["diagnosis", "auditor"],
    ["cli", "demo", "__main__"],
]
LEVEL = {name: k for k, names in enumerate(LAYERS) for name in names}
ONLY_IN_BRIDGES = {"pymc", "pytensor", "bambi", "torch", "nutpie", "formulae"}


def loaded_imports(path):
    """Modules imported when the file is loaded; imports inside functions and for type checking do not count."""
    pending = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending.extend(ast.iter_child_nodes(node))


def modules():
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def layer(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_module_has_a_layer():
    assert {layer(path) for path in modules()} <= set(LEVEL)


def test_no_module_imports_a_later_layer():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        for name in loaded_imports(path)
        if name.startswith("bayesrepair.") and LEVEL.get(name.split(".")[1], 99) > LEVEL[layer(path)]
    ]
    assert not wrong


def test_only_bridges_import_the_packages_they_bridge():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        for name in loaded_imports(path)
        if layer(path) != "bridges" and name.split(".")[0] in ONLY_IN_BRIDGES
    ]
    assert not wrong


def test_import_starts_no_compiler_and_no_torch():
    code = "import bayesrepair, sys; print([m for m in ('pymc', 'torch', 'bambi', 'nutpie') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
