"""What a site imports: neither a search nor a dashboard, neither Ray nor a plot."""

from __future__ import annotations

import subprocess
import sys

# A site's whole day: it reads its configuration and its rows, and answers a round.
SITE = """
import sys
from pathlib import Path
from nasturtium.federated.site import audit, client, config, policy, policy_guard, site
from nasturtium.federated.site_data import sources
from nasturtium.federated.deployment.dry_run import run_dry

folder = Path(sys.argv[1])
(folder / "data.csv").write_text("age,label\\n" + "".join(f"{i},{'no' if i % 2 else 'yes'}\\n" for i in range(60)))
(folder / "site.toml").write_text(config.SiteConfig.template("hospital-a"))
mine = config.SiteConfig.load(folder / "site.toml")
assert run_dry(mine).messages
audit.AuditLog(folder / "log").record("train")
print("\\n".join(sorted(sys.modules)))
"""
HEAVY = (
    "optuna",
    "ray",
    "fastapi",
    "starlette",
    "uvicorn",
    "matplotlib",
    "pandas",
    "torch",
    "sklearn",
    "alembic",
    "sqlalchemy",
    "flwr.simulation",
    "flwr.superlink",
    "nasturtium.nas",
    "nasturtium.cli",
    "nasturtium.storage.migrate",
    "nasturtium.federated.simulation.simulate",
    "nasturtium.federated.coordinator.recorder",
)


def test_a_site_imports_no_search_no_dashboard_and_no_ray(tmp_path):
    done = subprocess.run([sys.executable, "-c", SITE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not [name for name in HEAVY if name in loaded]


def test_what_answers_flower_is_light_too():
    """But for FastAPI, which Flower's own client of its Runtime API imports and does not run."""
    code = (
        "import sys; from nasturtium.federated.flower import site_executor, supernode; "
        "from nasturtium.federated import transport; transport.Tunnel; print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not [name for name in HEAVY if name in loaded and name not in {"fastapi", "starlette"}]


def test_a_configuration_alone_needs_no_flower():
    """So that `init` and `--help` are there at once."""
    code = "import sys; from nasturtium.federated.site.config import SiteConfig; print('flwr' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
