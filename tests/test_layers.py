"""The tree is the architecture: imports run one way, between packages only through their faces, and in no cycle."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A package may import those of its set; the root is the face and may import the top.
MAY_IMPORT = {
    "core": set(),
    "storage": {"core"},
    "privacy": {"core"},
    "nas": {"core", "storage", "privacy"},
    "federated": {"core", "storage", "privacy"},
    "cli": {"core", "storage", "privacy", "nas", "federated"},
}
PACKAGES = tuple(MAY_IMPORT)
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@dataclass(frozen=True)
class Import:
    path: Path  # of the importing file
    line: int
    target: tuple[str, ...]  # absolute module path below the root package; empty for the root itself
    foreign: str | None  # the top-level name of an absolute import
    runtime: bool  # executed when the module is imported


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


@cache
def face_of(package: tuple[str, ...]) -> frozenset[str]:
    """The names in `__all__` of a package: some are called like the module they come from."""
    init = ROOT.joinpath(*package, "__init__.py")
    for node in ast.parse(init.read_text()).body if init.exists() else []:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def imports_of(path: Path) -> list[Import]:
    tree = ast.parse(path.read_text())
    package = path.relative_to(ROOT).parent.parts
    found: list[Import] = []

    def visit(node: ast.AST, runtime: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                continue  # nothing is imported in an expression, and they are most of a tree
            inner = runtime and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                inner = False
            if isinstance(child, ast.Import):
                names = [name.name.split(".")[0] for name in child.names]
                found.extend(Import(path, child.lineno, (), name, runtime) for name in names)
            elif isinstance(child, ast.ImportFrom):
                if child.level == 0:
                    found.append(Import(path, child.lineno, (), (child.module or "").split(".")[0], runtime))
                else:
                    base = package[: len(package) - child.level + 1]
                    target = (*base, *(child.module.split(".") if child.module else ()))
                    for name in child.names:
                        inside = ROOT.joinpath(*target, name.name)
                        is_module = (inside / "__init__.py").exists() or (
                            inside.with_suffix(".py").exists() and name.name not in face_of(target)
                        )
                        found.append(
                            Import(path, child.lineno, (*target, name.name) if is_module else target, None, runtime)
                        )
            visit(child, inner)

    visit(tree, True)
    return found


@cache
def all_imports() -> list[Import]:
    return [found for path in FILES for found in imports_of(path)]


def where(found: Import) -> str:
    return f"{found.path.relative_to(ROOT)}:{found.line}"


def test_the_packages_are_seen():
    assert len(FILES) > 60
    assert {module_of(path)[0] for path in FILES} == set(PACKAGES)


def test_arrows_run_one_way():
    wrong = [
        f"{where(found)} imports {'.'.join(found.target)}"
        for found in all_imports()
        if found.foreign is None
        and (home := module_of(found.path)[0]) != (target := found.target[0] if found.target else "the root")
        and target not in MAY_IMPORT[home]
    ]
    assert wrong == []


# Of `federated`: what both halves say to each other lies below them, and neither half knows the other.
HALVES = {
    "protocol": set(),
    "updates": {"protocol", "strategies", "compression", "adapters"},
    "site_data": {"agreement"},
    "coordinator": {"protocol", "updates", "strategies", "adapters"},
    "site": {"protocol", "updates", "strategies", "adapters", "agreement", "site_data"},
    "flower": set(),
    "transport": set(),
}


@pytest.mark.parametrize("package", HALVES)
def test_a_site_knows_no_coordinator_and_the_other_way_round(package):
    siblings = {path.name for path in (ROOT / "federated").iterdir() if (path / "__init__.py").exists()}
    wrong = [
        f"{where(found)} imports {'.'.join(found.target)}"
        for found in all_imports()
        if module_of(found.path)[:2] == ("federated", package)
        and found.target[:1] == ("federated",)
        and found.target[1:2]
        and found.target[1] in siblings - {package} - HALVES[package]
    ]
    assert wrong == []


def test_no_module_is_loaded_twice_under_a_bare_name():
    """`import core` or `from nasturtium.core import ...` inside the package would make a second registry of ops."""
    wrong = [where(found) for found in all_imports() if found.foreign in {*PACKAGES, "nasturtium"}]
    assert wrong == []


def test_packages_are_imported_through_their_face():
    """From another package only names of a package, never of a module inside it."""
    wrong = [
        f"{where(found)} imports {'.'.join(found.target)}"
        for found in all_imports()
        if found.foreign is None
        and found.target
        and found.target[0] != module_of(found.path)[0]
        and not (ROOT.joinpath(*found.target) / "__init__.py").exists()
    ]
    assert wrong == []


def test_no_cycles():
    graph: dict[str, set[str]] = {}
    for found in all_imports():
        if found.foreign is None and found.runtime:
            home, target = ".".join(module_of(found.path)), ".".join(found.target)
            if home != target:
                graph.setdefault(home, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        pytest.fail(f"modules import each other in a cycle: {' -> '.join(exc.args[1])}")


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        pytest.param("cupy", {"core/device.py"}, id="cupy"),
        pytest.param("llvmlite", set(), id="llvmlite"),  # by importlib, in core/compiler/llvm/engine.py
        pytest.param("tenseal", {"privacy/approximate_ckks_layout.py", "privacy/rlwe.py"}, id="tenseal"),
        pytest.param("PIL", {"core/data/images.py"}, id="pillow"),
        pytest.param("polars", {"core/data/table.py", "storage/frames.py"}, id="polars"),
        pytest.param("xgboost", {"federated/adapters/xgboost_model.py"}, id="xgboost"),
        pytest.param(
            "flwr",
            {
                "federated/agreement/messages.py",
                "federated/agreement/relay.py",
                "federated/protocol/answers.py",
                "federated/coordinator/buffered_rounds.py",
                "federated/site/client.py",
                "federated/coordinator/relay_strategy.py",
                "federated/protocol/courier.py",
                "federated/deployment/coordinator_engine.py",
                "federated/deployment/participant.py",
                "federated/deployment/site_engine.py",
                "federated/deployment/preparation.py",
                "federated/deployment/search_run.py",
                "federated/deployment/site_search.py",
                "federated/deployment/train_run.py",
                "federated/flower/bundle.py",
                "federated/flower/control.py",
                "federated/flower/link_grid.py",
                "federated/flower/runtime.py",
                "federated/flower/server_app.py",
                "federated/flower/site_executor.py",
                "federated/flower/supernode.py",
                "federated/protocol/gather.py",
                "federated/simulation/local_grid.py",
                "federated/protocol/key_messages.py",
                "federated/simulation/process_host.py",
                "federated/protocol/query_records.py",
                "federated/simulation/ray_grid.py",
                "federated/protocol/records.py",
                "federated/simulation/grids.py",
                "federated/simulation/virtual_nodes.py",
            },
            id="flwr",
        ),
    ],
)
def test_heavy_libraries_have_few_homes(library, homes):
    users = {str(found.path.relative_to(ROOT)) for found in all_imports() if found.foreign == library}
    assert users <= homes
