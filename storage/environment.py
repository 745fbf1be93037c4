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
from typing import Any

PACKAGES = ("numpy", "polars", "safetensors", "optuna", "sqlalchemy", "alembic", "flwr", "tenseal", "cupy-cuda13x")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentEntry:
    """A description of the running environment and the hash of its canonical JSON."""

    sha256: str
    body: Mapping[str, Any]


def describe_environment() -> EnvironmentEntry:
    """Describe this process: interpreter, machine, versions, and the commit of the working directory if it has one."""
    body = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "nasturtium": _version("nasturtium"),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": _commit(),
    }
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return EnvironmentEntry(sha256=hashlib.sha256(canonical.encode()).hexdigest(), body=body)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "--verify", "HEAD"],  # noqa: S607 - the user's own git
            capture_output=True,
            check=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, no repository, or not one git trusts
    return answer.stdout.strip()
