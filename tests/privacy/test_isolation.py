"""Who only adds never loads what decrypts: neither by an import of its own nor by a package on the way."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nasturtium
from nasturtium.privacy import CkksCipher, EncryptedSum, EncryptedUpdate

ROOT = Path(nasturtium.__file__).parent
DECRYPTORS = {"CkksCipher", "PlainCipher", "SecretKey", "ckks_secret"}
AGGREGATE = """
from nasturtium.privacy import Aggregator, CkksAdder, EncryptedUpdate, PublicContext
context, data = (bytes.fromhex(line) for line in sys.stdin.read().split())
head = EncryptedUpdate.from_bytes(data).header
adder = CkksAdder(PublicContext(head.key_id, context))
aggregator = Aggregator(adder, run=head.run, round=head.round, layout=head.layout, values=head.values)
aggregator.add(data, sender=head.sender)
total = aggregator.finish(min_summands=1).to_bytes()
"""


def run_fresh(code: str, result: str = "''", stdin: str = "") -> tuple[set[str], str]:
    """The modules that are loaded in a fresh interpreter once `code` has run, and the text `result`."""
    script = f"import json, sys\n{code}\nprint(json.dumps([sorted(sys.modules), {result}]))"
    done = subprocess.run([sys.executable, "-c", script], input=stdin, capture_output=True, text=True, check=True)
    modules, text = json.loads(done.stdout)
    return set(modules), text


@pytest.mark.parametrize(
    ("code", "loads_it"),
    [
        pytest.param("import nasturtium.privacy", False, id="privacy"),
        pytest.param("import nasturtium.federated", False, id="federated"),
        pytest.param("import nasturtium.federated.strategy", False, id="strategy"),
        pytest.param(
            "from nasturtium.federated import FederationPlan, LocalGrid, RelayStrategy", False, id="coordinator"
        ),
        pytest.param("from nasturtium.federated import Site, make_client_app", False, id="site-without-key"),
        pytest.param("from nasturtium.privacy import CkksCipher", True, id="site-with-key"),
        pytest.param("from nasturtium.federated import simulate", True, id="simulation"),
    ],
)
def test_only_who_decrypts_loads_the_decryptor(code, loads_it):
    modules, _ = run_fresh(code)
    assert ("nasturtium.privacy.ckks_secret" in modules) == loads_it


def test_adding_does_not_load_the_decryptor(key, header):
    cipher = CkksCipher(key)
    about = {name: getattr(header, name) for name in header.__slots__}
    about |= {"scheme": cipher.scheme, "key_id": cipher.key_id}
    update = EncryptedUpdate(type(header)(**about), cipher.encrypt(np.arange(header.values)))
    given = f"{key.public().serialised.hex()} {update.to_bytes().hex()}"
    modules, total = run_fresh(AGGREGATE, "total.hex()", stdin=given)
    assert "nasturtium.privacy.ckks" in modules
    assert "nasturtium.privacy.ckks_secret" not in modules
    opened = cipher.decrypt(EncryptedSum.from_bytes(bytes.fromhex(total)).body, header.values)
    np.testing.assert_array_equal(opened, np.arange(header.values))


def imports_of(path: Path) -> tuple[set[str], set[Path]]:
    """The names a file imports anywhere in it, and the files of its own package they come from."""
    names: set[str] = set()
    files: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names} | set((node.module or "").split("."))
            if node.level == 1 and node.module:
                files.add(path.parent / f"{node.module}.py")
    return names, files


@pytest.mark.parametrize("start", ["federated/strategy.py", "privacy/aggregate.py", "privacy/ckks.py"])
def test_no_file_behind_the_coordinator_names_a_decryptor(start):
    seen: set[Path] = set()
    open_files = {ROOT / start}
    while open_files:
        path = open_files.pop()
        seen.add(path)
        names, files = imports_of(path)
        assert not names & DECRYPTORS, path.name
        open_files |= files - seen
    assert ROOT / "federated/site.py" not in seen


@pytest.mark.parametrize("package", ["privacy", "federated"])
def test_every_public_name_is_there_however_often_it_is_asked_for(package):
    """A name must not be hidden by the module it comes from once that is loaded."""
    code = f"import nasturtium.{package} as p\nkinds = [type(getattr(p, n)).__name__ for n in p.__all__ * 2]"
    _, kinds = run_fresh(code, "kinds")
    assert "module" not in kinds


@pytest.mark.parametrize("package", ["privacy", "federated"])
def test_a_name_that_is_not_there_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = getattr(__import__(f"nasturtium.{package}", fromlist=["x"]), "nothing")  # noqa: B009
