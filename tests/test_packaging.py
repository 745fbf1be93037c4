"""The wheel: everything of ours under `nasturtium/`, nothing beside it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import nasturtium

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def source_packages() -> set[str]:
    folders = ("core", "storage", "privacy", "nas", "federated", "cli")
    found = {path.parent for folder in folders for path in (ROOT / folder).rglob("__init__.py")}
    return {"nasturtium", *("nasturtium." + ".".join(path.relative_to(ROOT).parts) for path in found)}


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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from the files of the checkout, without touching it."""
    pytest.importorskip("setuptools", minversion="77", reason="building a wheel needs setuptools 77")
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    source = folder / "source"
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_nasturtium_alone(wheel):
    assert {name.split("/")[0] for name in wheel} == {
        "nasturtium",
        f"nasturtium-{nasturtium.__version__}.dist-info",
    }


def test_the_wheel_has_every_module_and_data_file(wheel):
    folders = ("core", "storage", "privacy", "nas", "federated", "cli")
    modules = {
        f"nasturtium/{path.relative_to(ROOT).as_posix()}"
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    data = {"nasturtium/py.typed", "nasturtium/core/data/digits.npz", "nasturtium/core/data/digits.LICENSE.md"}
    assert modules | data <= wheel
    assert not [name for name in wheel if name.startswith("nasturtium/tests")]
    assert any(name.endswith("LICENSE") for name in wheel)
