"""The order of the layers, read off the imports: nothing may import from a later one when it is loaded."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bayesrepair

ROOT = Path(bayesrepair.__file__).parent

# Earlier may not import later. Modules of one line may import one another.
LAYERS = [
    ["numerics", "status", "progress"],
    ["rows", "row_weights", "model", "posterior", "noise", "number_noise"],
    ["fit"],
    ["target", "predictive", "datatree", "tree_groups", "summary", "ranking"],
    ["hashes", "arithmetic"],
    ["laplace", "latents", "nested_laplace"],
    ["glance"],
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
    ["in_sample"],
    ["pred_probs", "cross_fitting", "review"],
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


# Packages that take long to load and are not needed before something is sampled, smoothed, drawn or reported.
HEAVY = {"pymc", "pytensor", "torch", "bambi", "nutpie", "arviz", "arviz_stats", "scipy.stats", "sklearn", "matplotlib"}
HEAVY |= {"numba", "dask", "zarr", "pyarrow.dataset"}
COMPILES = {"pymc", "pytensor", "numba"}


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [("import bayesrepair", set()), ("from bayesrepair import from_pymc", COMPILES)],
    ids=["package", "bridge"],
)
def test_what_is_heavy_is_loaded_when_it_is_used(statement, allowed):
    shown = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(shown.stdout.split())
    assert "scipy.special" in loaded  # the names are those of sys.modules
    assert HEAVY & loaded == allowed


def test_every_public_name_is_listed_and_found():
    assert set(bayesrepair.__all__) <= set(dir(bayesrepair))
    for name in bayesrepair.__all__:
        assert getattr(bayesrepair, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'repairs_all'"):
        bayesrepair.repairs_all  # noqa: B018 - reading it is the test
