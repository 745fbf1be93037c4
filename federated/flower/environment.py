"""What our Flower servers find in their environment: our settings of Flower, and nothing of the user's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

LOOPBACK = "127.0.0.1"


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """The entries that keep requests to loopback away from the proxy a site may have to use for everything else."""
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [each for each in listed.split(",") if each]
    value = ",".join(dict.fromkeys([*hosts, LOOPBACK, "localhost"]))
    return {"no_proxy": value, "NO_PROXY": value}


def child_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a Flower server of ours sees: our settings of Flower and nobody else's.

    Args:
        home: where it may write what it calls its home; never the user's.
        extra: more entries, which win.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLWR_")}
    here = str(Path(sys.executable).parent)
    return {
        **kept,
        **without_proxy(os.environ),
        # Flower starts its helpers by bare name.
        "PATH": os.pathsep.join([here, kept.get("PATH", os.defpath)]),
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PYTHONUNBUFFERED": "1",
        **(extra or {}),
    }
