"""The wheel: everything of ours under `nasturtium/`, nothing beside it; and what it asks of others, which is little."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nasturtium
from nasturtium.cli.doctor import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OPTIONAL = PROJECT["project"]["optional-dependencies"]
FOR_DEVELOPERS = {"lint", "nvrtc", "parity", "test"}
# Neither a site nor a coordinator needs them.
HEAVY = {
    "optuna",
    "scipy",
    "dp-accounting",
    "ray",
    "torch",
    "matplotlib",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "pillow",
}


def source_packages() -> set[str]:
    folders = ("core", "storage", "privacy", "nas", "federated", "cli")
    found = {path.parent for folder in folders for path in (ROOT / folder).rglob("__init__.py")}
    return {"nasturtium", *("nasturtium." + ".".join(path.relative_to(ROOT).parts) for path in found)}


def closure(*extras: str) -> set[str]:
    """The distributions that installing this checkout with some extras brings; of what is not here, only the name."""
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in OPTIONAL[extra])]
    todo, seen = [Requirement(line) for line in lines], set[tuple[str, str]]()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras} - {extra for seen_name, extra in seen if seen_name == name}:
            seen.add((name, extra))
            if name == "nasturtium":
                below = [Requirement(line) for line in OPTIONAL.get(extra, ())]
            else:
                below = [Requirement(line) for line in _requires(name)]
            todo += [each for each in below if each.marker is None or each.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def test_every_package_is_listed():
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == source_packages()


def test_the_version_is_the_projects():
    assert nasturtium.__version__ == PROJECT["project"]["version"]


def test_the_face_is_complete():
    for name in nasturtium.__all__:
        assert getattr(nasturtium, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        nasturtium.nonsense  # noqa: B018


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, nasturtium; print([m for m in ('numpy', 'flwr', 'optuna', 'sqlalchemy') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_plain_install_is_light():
    assert not closure() & HEAVY
    assert closure("search") - closure() - {"nasturtium"} == {"optuna", "colorlog", "tqdm", "llvmlite"}


def test_every_extra_that_is_named_is_there():
    """In messages, in the code that raises them, and in READMEs."""
    texts = [path.read_text() for folder in nasturtium_folders() for path in folder.rglob("*.py")]
    texts += [path.read_text() for path in (ROOT / "README.md", ROOT / "DECISIONS.md", *ROOT.glob("*/README.md"))]
    listed = re.compile(r"(?:nasturtium|'\.)\[([a-z0-9,-]+)\]")
    raised = re.compile(r"""(?:MissingExtraError\([^()]*(?:\([^()]*\))?[^()]*|Extra\()"([a-z0-9-]+)"\s*(?:\)|, \()""")
    named = {extra for text in texts for found in listed.findall(text) for extra in found.split(",")}
    named |= {extra for text in texts for extra in raised.findall(text)}
    assert {"search", "dp-sgd", "plot", "ray", "torch", "cmaes", "gpu"} <= named
    assert named <= set(OPTIONAL) | {"extra"}


def test_the_doctor_looks_for_every_extra():
    assert set(EXTRAS) == set(OPTIONAL) - FOR_DEVELOPERS - {"gp"}  # which is torch and qmc


def test_the_test_extra_has_what_tests_import():
    """Beside what they skip without."""
    brought = closure("test") | {"nasturtium"}
    homes = packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "tests").rglob("*.py")
        if "benchmarks" not in path.parts and "conformance" not in path.parts
        for name in imported(path)
        if name in homes and not {canonicalize_name(each) for each in homes[name]} & brought
    }
    assert missing == set()


def imported(path: Path) -> set[str]:
    """Top-level names of the absolute imports of a module that are made as soon as it is."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def nasturtium_folders() -> list[Path]:
    return [ROOT / folder for folder in ("core", "storage", "privacy", "nas", "federated", "cli")]


# Behind a face that says which extra it is, or run by somebody else.
BEHIND = re.compile(r"cli\.(__main__|plots\..*)|nas\.runner\.(mirror|optuna_tables)|storage\.migrations\.env")
BARE = """
import importlib, json, sys
absent, names = json.loads(sys.argv[1]), json.loads(sys.argv[2])
sys.modules.update(dict.fromkeys(absent))  # so that importing them fails, and nothing finds them
from nasturtium.core import MissingExtraError
told, broken = {}, {}
for name in names:
    try:
        importlib.import_module(name)
    except MissingExtraError as exc:
        told[name] = exc.extra
    except BaseException as exc:
        broken[name] = repr(exc)
print(json.dumps([told, broken]))
"""


def test_every_module_imports_without_extras_or_says_which():
    here = closure()
    absent = [
        name
        for name, homes in packages_distributions().items()
        if name.isidentifier() and not {canonicalize_name(home) for home in homes} & (here | {"nasturtium"})
    ]
    assert {"optuna", "scipy", "matplotlib"} <= set(absent)
    modules = [
        "nasturtium." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for folder in nasturtium_folders()
        for path in sorted(folder.rglob("*.py"))
    ]
    names = [name for name in modules if not BEHIND.fullmatch(name.removeprefix("nasturtium."))]
    command = [sys.executable, "-c", BARE, json.dumps(absent), json.dumps(names)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    told, broken = json.loads(answer.stdout)
    assert broken == {}
    assert {name for name, extra in told.items() if extra == "search"} == {
        name for name in told if name.startswith("nasturtium.nas.")
    }
    assert {"nasturtium.nas.search", "nasturtium.nas.strategies", "nasturtium.nas.predictor"} <= set(told)
    assert set(told.values()) <= {"search", "sklearn", "torch", "xgboost", "compiler"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The files of the checkout, so that building does not touch it."""
    pytest.importorskip("setuptools", minversion="77", reason="building a wheel needs setuptools 77")
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    source = tmp_path_factory.mktemp("source")
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    return source


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """A wheel built from them."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_nasturtium_alone(names):
    assert {name.split("/")[0] for name in names} == {
        "nasturtium",
        f"nasturtium-{nasturtium.__version__}.dist-info",
    }


def code_and_data(source: Path) -> set[str]:
    """All that an installation needs, as paths in the checkout."""
    data = {"py.typed", "core/data/digits.npz", "core/data/digits.LICENSE.md"}
    for folder in ("core", "storage", "privacy", "nas", "federated", "cli"):
        for pattern in ("*.py", "*.cu"):
            data |= {path.relative_to(source).as_posix() for path in (source / folder).rglob(pattern)}
    return data


def test_the_wheel_has_every_module_and_data_file(source, names):
    assert {f"nasturtium/{name}" for name in code_and_data(source)} <= names
    assert not [name for name in names if name.startswith("nasturtium/tests")]
    assert any(name.endswith("LICENSE") for name in names)


def test_the_source_distribution_has_all_that_a_wheel_is_built_from(source, tmp_path):
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=source, check=True, capture_output=True)
    [built] = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    assert code_and_data(source) | {"core/accelerate.c", "pyproject.toml", "README.md", "LICENSE"} <= there


@pytest.mark.soak
@pytest.mark.skipif(os.name != "posix", reason="the day is a shell's")
def test_a_site_lives_on_a_plain_install(wheel, tmp_path):
    """A fresh environment with nothing but what the wheel asks for: a site's whole day, with real servers."""
    made = subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    python = tmp_path / "venv" / "bin" / "python"
    got = subprocess.run([python, "-m", "pip", "install", "-q", wheel], capture_output=True, text=True)
    if got.returncode:
        pytest.skip(f"no packages to be had: {got.stderr[-300:]}")
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True)
    assert not {canonicalize_name(each["name"]) for each in json.loads(listed.stdout)} & HEAVY
    day = subprocess.run(
        [sys.executable, Path(__file__).with_name("site_day.py"), python.with_name("nasturtium")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert day.returncode == 0, day.stdout + day.stderr
    assert json.loads(day.stdout.splitlines()[-1]) == {"state": "completed", "gained": 3, "audited": 3}
    for words in ("search --data digits", "federate search --data digits", "search strategies"):
        answer = subprocess.run(
            [python.with_name("nasturtium"), *words.split()], cwd=tmp_path, capture_output=True, text=True
        )
        assert answer.returncode == 1
        assert answer.stderr.splitlines()[-1] == 'hint: pip install "nasturtium[search]"'
        assert "Traceback" not in answer.stderr
