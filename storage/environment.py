"""Which machine, Python, packages and commit a run was made with: enough to explain why two runs differ.

Nothing here names a person, a host or a path, so two equal installations share one entry.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "polars", "safetensors", "optuna", "sqlalchemy", "alembic", "flwr", "tenseal", "cupy-cuda13x")
_CPUINFO = Path("/proc/cpuinfo")
_NVIDIA = Path("/proc/driver/nvidia/gpus")  # one folder a device, which tells its name without any library


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentEntry:
    """A description of the running environment and the hash of its canonical JSON."""

    sha256: str
    body: Mapping[str, Any]


def describe_environment() -> EnvironmentEntry:
    """Describe this process: interpreter, machine, versions, and the commit of the working directory if it has one.

    `dirty` tells that files of the commit were changed; None where there is no commit.
    """
    commit = _git("rev-parse", "--verify", "HEAD")
    body = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory(),
        "gpus": _gpus(),
        "nasturtium": _version("nasturtium"),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": commit,
        "dirty": None if commit is None else bool(_git("status", "--porcelain", "--untracked-files=no")),
    }
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return EnvironmentEntry(sha256=hashlib.sha256(canonical.encode()).hexdigest(), body=body)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str | None:
    """The processor's name; None where the system (other than Linux) does not tell."""
    return _field(_CPUINFO, "model name")


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> list[str]:
    """The names of NVIDIA's devices."""
    found = (_field(path, "Model") for path in sorted(_NVIDIA.glob("*/information")))
    return [name for name in found if name is not None]


def _field(path: Path, name: str) -> str | None:
    """What follows the first `name` in a file of `name : value` lines."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), None)


def _git(*words: str) -> str | None:
    """What git says of the working directory; None without git, a repository, or one that git trusts."""
    try:
        answer = subprocess.run(  # noqa: S603 - our own words
            ["git", "--no-optional-locks", *words],  # noqa: S607 - the user's own git
            capture_output=True,
            check=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
