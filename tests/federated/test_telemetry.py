"""Flower and Ray report nothing to anyone, whatever the environment said before."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SWITCHES = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
LOOK = """
import json, os, sys
import nasturtium.federated
loaded = "flwr" in sys.modules
from nasturtium.federated import LocalGrid, RelayStrategy, make_client_app, simulate
from flwr.supercore import telemetry
print(json.dumps({
    "environment": dict(os.environ), "loaded": loaded, "flwr": telemetry.FLWR_TELEMETRY_ENABLED,
    "ray": "ray" in sys.modules,
}))
"""


@pytest.fixture(scope="module", params=["unset", "switched on"])
def seen(request):
    """What a fresh process knows once it has imported everything of the package."""
    given = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    if request.param == "switched on":
        given |= {name: "1" if value == "0" else "0" for name, value in SWITCHES.items()}
    done = subprocess.run([sys.executable, "-c", LOOK], env=given, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_reporting_is_switched_off(seen):
    assert {name: seen["environment"][name] for name in SWITCHES} == SWITCHES


def test_it_is_off_before_flower_looks(seen):
    assert not seen["loaded"]
    assert seen["flwr"] == "0"


def test_ray_is_not_loaded(seen):
    assert not seen["ray"]
