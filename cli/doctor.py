"""`nasturtium doctor`: what is wrong with this installation and its database, and what to do about it."""

from __future__ import annotations

import platform
from collections.abc import Generator, Sequence
from dataclasses import asdict
from importlib import metadata, util
from pathlib import Path
from typing import Annotated

import typer

from ..core import cuda_count
from ..storage import describe_environment
from ..storage.maintenance import Diagnosis, diagnose_database
from .options import Db, Json, option
from .output import print_json, stdout

FAILED = 1  # exit code
EXTRAS = {  # name -> a module that it installs
    "arrow": "pyarrow",
    "cmaes": "cmaes",
    "compiler": "llvmlite",
    "dp-sgd": "dp_accounting",
    "gpu": "cupy",
    "images": "PIL",
    "pandas": "pandas",
    "plot": "matplotlib",
    "postgres": "psycopg",
    "qmc": "scipy",
    "ray": "ray",
    "search": "optuna",
    "sklearn": "sklearn",
    "torch": "torch",
    "xgboost": "xgboost",
}
_DRIVER = Path("/proc/driver/nvidia/version")


def doctor(
    fix: Annotated[bool, option("--fix", help="Mend what can be mended without losing anything.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with this installation and its database, and say what to do.

    --fix marks runs whose process died as interrupted, makes the key of the ledger private, and removes files that dead
    processes left unfinished. Exit code 1 if anything fails; warnings are no failure. The JSON has the fields ok and
    checks, each with level (ok, warn or fail), code, message and hint.
    """
    checks = examine(db, fix=fix)
    failed = any(check.level == "fail" for check in checks)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            stdout().print(f"{check.level:<6}{check.code:<11}{check.message}", soft_wrap=True)
            if check.hint:
                stdout().print(f"{'':<17}hint: {check.hint}", soft_wrap=True)
    if failed:
        raise typer.Exit(FAILED)


def examine(db: str | Path | None = None, *, fix: bool = False) -> Sequence[Diagnosis]:
    """Everything `nasturtium doctor` looks at.

    Raises:
        ConfigError: `db` names no kind of database we know.
    """
    return [*_python(), *_processors(), *_extras(), *diagnose_database(db, fix=fix)]


def _python() -> Generator[Diagnosis]:
    where = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"
    yield Diagnosis(level="ok", code="python", message=f"nasturtium {_version('nasturtium')}, {where}")
    packages = describe_environment().body["packages"]
    said = ", ".join(f"{name} {version}" for name, version in packages.items())
    yield Diagnosis(level="ok", code="packages", message=said)
    missing = sorted({name for name in _required() if _version(name) is None})
    if missing:
        message = f"packages that nasturtium needs are missing: {', '.join(missing)}"
        yield Diagnosis(level="fail", code="packages", message=message, hint="pip install nasturtium")


def _processors() -> Generator[Diagnosis]:
    cores = describe_environment().body["cpus"]
    yield Diagnosis(level="ok", code="cpu", message=f"{platform.machine()}, {cores} cores")
    gpus = cuda_count()
    if gpus:
        yield Diagnosis(level="ok", code="gpu", message=f"{gpus} CUDA devices can be used: --device cuda:0")
    elif not _DRIVER.exists():
        yield Diagnosis(level="ok", code="gpu", message="none is found: everything runs on the CPU")
    elif util.find_spec("cupy") is None:
        message = "there is an NVIDIA driver, and CuPy is not installed"
        yield Diagnosis(level="warn", code="gpu", message=message, hint='pip install "nasturtium[gpu]"')
    else:
        message = "there are CuPy and an NVIDIA driver, and no device can be used"
        hint = "see nvidia-smi; CuPy and the driver must fit each other"
        yield Diagnosis(level="warn", code="gpu", message=message, hint=hint)


def _extras() -> Generator[Diagnosis]:
    there = [name for name, module in EXTRAS.items() if util.find_spec(module) is not None]
    absent = [name for name in EXTRAS if name not in there]
    message = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    hint = 'pip install "nasturtium[EXTRA]" for what you need' if absent else None
    yield Diagnosis(level="ok", code="extras", message=message, hint=hint)


def _required() -> list[str]:
    try:
        lines = metadata.requires("nasturtium") or []
    except metadata.PackageNotFoundError:
        return []
    names = [line for line in lines if "extra ==" not in line]
    return [
        "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in line).split()[0] for line in names
    ]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
