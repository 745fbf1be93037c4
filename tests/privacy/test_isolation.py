"""Who only adds never loads what decrypts, in no way and at no time; and who holds a secret does not show it."""

from __future__ import annotations

import ast
import copy
import json
import logging
import pickle
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nasturtium
from nasturtium import privacy
from nasturtium.privacy import (
    Aggregator,
    EncryptedSum,
    Identity,
    PackedAdder,
    PackedCipher,
    PlainAdder,
    PublicIdentity,
    SecretKey,
    Sitting,
    open_sum,
    protect,
)
from nasturtium.privacy.keys.identity_secret import SECRET_BYTES

ROOT = Path(nasturtium.__file__).parent
DECRYPTING_MODULES = {"approximate_ckks_secret", "packed_secret", "rlwe_secret"}
DECRYPTORS = {"ApproximateCkksCipher", "CkksSecretKey", "PackedCipher", "PlainCipher", "SecretKey"} | DECRYPTING_MODULES
SEALS_SECRETS = {"Decryptor", "Encryptor", "KeyGenerator", "SecretKey"}
VALUES = 9000  # more than a ciphertext has
SITTING = Sitting(run="01JRUN", round=3, attempt=2, layout="ab" * 32, values=VALUES)

# A coordinator: reads the members and their updates from its standard input and keeps everything it made.
COORDINATE = """
from nasturtium.privacy import Aggregator, Identity, PackedAdder, Preset, PublicIdentity, Sitting
given = json.load(sys.stdin)
members = {member.id: member for member in map(PublicIdentity.from_json, given["members"])}
adder = PackedAdder(Preset.named(given["preset"]), given["key_id"])
signer = Identity.generate("coordinator")
aggregator, unfinished = (
    Aggregator(adder, Sitting(**given["sitting"]), members=members, signer=signer) for _ in range(2)
)
for sender, update in given["updates"]:
    for each in (aggregator, unfinished):
        each.add(bytes.fromhex(update), sender=sender)
total = aggregator.finish()
"""
# Everything that can be reached from what the garbage collector knows: it does not know SEAL's objects themselves.
REACH = """
import gc
seen, names, found = set(), set(), gc.get_objects()
while found:
    thing = found.pop()
    if id(thing) not in seen:
        seen.add(id(thing))
        names.add(type(thing).__name__)
        found.extend(gc.get_referents(thing))
"""
PLANT_SEALS = """
from nasturtium.privacy.rlwe import make_context, seal
context = make_context(2)
planted = [{"generator": seal.KeyGenerator(context)}]
planted.append((planted[0]["generator"].secret_key(),))
planted.append({seal.Decryptor(context, planted[1][0]), seal.Encryptor(context, planted[1][0])})
"""
PLANT_OURS = """
from nasturtium.privacy import PackedCipher, Preset, SecretKey
adder.hidden = lambda cipher=PackedCipher(SecretKey.generate(), Preset.named(given["preset"])): cipher
"""


def run_fresh(code: str, result: str = "''", stdin: str = "") -> tuple[set[str], Any]:
    """The modules of ours that a fresh interpreter has once `code` has run, and the JSON value of `result`."""
    script = f"import json, sys\n{code}\nprint(json.dumps([sorted(sys.modules), {result}]))"
    done = subprocess.run([sys.executable, "-c", script], input=stdin, capture_output=True, text=True, check=True)
    modules, value = json.loads(done.stdout)
    return {name.removeprefix("nasturtium.privacy.") for name in modules if name.startswith("nasturtium.")}, value


@pytest.mark.parametrize(
    ("code", "loads_them"),
    [
        pytest.param("import nasturtium.privacy, nasturtium.federated", False, id="packages"),
        pytest.param(
            "from nasturtium.federated import FederationPlan, LocalGrid, RelayStrategy", False, id="coordinator"
        ),
        pytest.param("from nasturtium.federated import Site, make_client_app", False, id="site-without-key"),
        pytest.param(
            "from nasturtium.federated.deployment.released import open_release", False, id="who-is-given-a-model"
        ),
        pytest.param("from nasturtium.privacy import PackedCipher", True, id="site-with-key"),
        pytest.param("from nasturtium.federated import simulate", True, id="simulation"),
    ],
)
def test_only_who_decrypts_loads_the_decryptor(code, loads_them):
    modules, _ = run_fresh(code)
    assert bool(modules & DECRYPTING_MODULES) == loads_them


@pytest.fixture(scope="module")
def updates(key, preset, sites):
    """Three protected updates, as what a coordinator reads."""
    cipher = PackedCipher(key, preset)
    symbols = np.arange(VALUES, dtype=np.uint32) % preset.symbols
    return json.dumps(
        {
            "preset": preset.name,
            "key_id": key.key_id,
            "sitting": {name: getattr(SITTING, name) for name in Sitting.__slots__},
            "members": [site.public.to_json() for site in sites],
            "updates": [
                (site.public.id, protect(cipher, SITTING, symbols, signer=site).to_bytes().hex()) for site in sites[:3]
            ],
        }
    )


def test_a_running_coordinator_has_neither_a_key_nor_what_uses_one(key, preset, updates):
    result = "[total.to_bytes().hex(), signer.public.to_json(), sorted(names)]"
    modules, (total, coordinator, names) = run_fresh(COORDINATE + REACH, result, updates)
    assert {"aggregate", "packed", "rlwe"} <= modules
    assert not modules & DECRYPTING_MODULES
    assert {"Aggregator", "PackedSum", "SEALContext"} <= set(names)  # the search has been there
    assert not set(names) & (SEALS_SECRETS | DECRYPTORS)
    coordinator = PublicIdentity.from_json(coordinator)
    opened = open_sum(PackedCipher(key, preset), SITTING, bytes.fromhex(total), coordinator=coordinator)
    np.testing.assert_array_equal(opened.sums, np.arange(VALUES) % preset.symbols * 3)


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        pytest.param(PLANT_SEALS, SEALS_SECRETS, id="seal's"),
        pytest.param(PLANT_OURS, {"SecretKey", "PackedCipher"}, id="ours"),
    ],
)
def test_a_key_that_is_hidden_in_a_coordinator_would_be_found(updates, plant, expected):
    _, names = run_fresh(COORDINATE + plant + REACH, "sorted(names)", updates)
    assert set(names) & (SEALS_SECRETS | DECRYPTORS) == expected


def names_in(path: Path) -> tuple[set[str], set[Path]]:
    """The names a file imports or looks up anywhere in it, and the files of ours that its imports come from."""
    names: set[str] = set()
    files: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            imported = {alias.name for alias in node.names}
            names |= imported | set((node.module or "").split("."))
            if node.level and node.module == "privacy":
                homes = {privacy._HOMES[name].replace(".", "/") for name in imported}  # of a lazy package
                files |= {ROOT / "privacy" / f"{home}.py" for home in homes}
            elif node.level and node.module and node.module.split(".")[0] != "core":
                named = path.parents[node.level - 1] / node.module.replace(".", "/")
                files.add(named / "__init__.py" if named.is_dir() else named.with_name(f"{named.name}.py"))
    return names, files


@pytest.mark.parametrize(
    "start",
    [
        "federated/agreement/relay.py",
        "federated/coordinator/relay_strategy.py",
        "federated/coordinator/release.py",
        "federated/protocol/release.py",
        "federated/search/evaluator.py",
        "privacy/aggregate.py",
        "privacy/approximate_ckks.py",
        "privacy/keys/identity_secret.py",
        "privacy/masking/coordinator.py",
        "privacy/packed.py",
    ],
)
def test_no_file_behind_the_coordinator_names_a_decryptor(start):
    seen: set[Path] = set()
    open_files = {ROOT / start}
    while open_files:
        path = open_files.pop()
        seen.add(path)
        names, files = names_in(path)
        assert not names & (DECRYPTORS | SEALS_SECRETS), path.name
        open_files |= files - seen
    assert ROOT / "privacy/errors.py" in seen
    assert ROOT / "federated/site/site.py" not in seen


def test_boxes_are_opened_in_few_places():
    """A coordinator's identity opens what is sealed to it: a model that sites gave out, in one module, and no more."""
    packages = ("core", "privacy", "storage", "nas", "federated", "cli")
    files = {path for package in packages for path in (ROOT / package).rglob("*.py")}
    openers = {str(path.relative_to(ROOT)) for path in files if "unseal(" in path.read_text()}
    assert openers == {
        "privacy/keys/sealed.py",
        "privacy/keys/identity_secret.py",
        "privacy/keys/grant_secret.py",  # a site: the key
        "privacy/masking/site.py",  # a site: shares of masks
        "federated/site/checkpoint.py",  # a site: the state of another
        "federated/deployment/released.py",  # who was given a model, which may be the coordinator
    }


@pytest.mark.parametrize(
    "start", ["federated/simulation/sites.py", "privacy/packed_secret.py", "privacy/rlwe_secret.py"]
)
def test_a_file_that_names_a_decryptor_is_seen_to(start):
    assert names_in(ROOT / start)[0] & (DECRYPTORS | SEALS_SECRETS)


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


@pytest.fixture
def holders(key, preset, coordinator) -> dict[str, Any]:
    """Everything that holds a secret."""
    return {
        "key": key,
        "identity": coordinator,
        "cipher": PackedCipher(key, preset),
        "cipher-with-processes": PackedCipher(key, preset, workers=2),
        "aggregator": Aggregator(PlainAdder(preset), SITTING, members={}, signer=coordinator),
    }


@pytest.mark.parametrize("holder", ["key", "identity", "cipher", "cipher-with-processes", "aggregator"])
@pytest.mark.parametrize("copying", [pickle.dumps, copy.deepcopy], ids=["pickle", "copy"])
def test_a_secret_is_not_pickled_nor_copied(holders, holder, copying):
    with pytest.raises(TypeError, match="not pickled"):
        copying(holders[holder])


def failures(holders: dict[str, Any], sites: list[Identity], preset) -> list[BaseException]:
    """What goes wrong with secrets in hand."""
    key, identity, cipher = holders["key"], holders["identity"], holders["cipher"]
    data, secret = key.to_bytes(), identity.secret_bytes()
    update = protect(cipher, SITTING, np.ones(VALUES, np.uint8), signer=sites[0])
    adder = PackedAdder(preset, key.key_id)
    header = SITTING.header(adder, identity.public.id, summands=3)
    short = EncryptedSum.sign(header, b"", identity).to_bytes()
    of_another = EncryptedSum.sign(replace(header, key_id="00" * 16), b"", identity).to_bytes()
    attempts = [
        lambda: SecretKey.from_bytes(data[:-1]),
        lambda: SecretKey.from_bytes(data[:-1] + b"\xff"),
        lambda: SecretKey(np.frombuffer(data, np.uint64)[:-1]),
        lambda: pickle.dumps(key),
        lambda: Identity("no name", secret),
        lambda: Identity("name", secret[:-1]),
        lambda: Identity("name", secret + secret),
        lambda: identity.unseal(secret + data, b"context"),
        lambda: identity.sign("", secret),
        lambda: pickle.dumps(identity),
        lambda: cipher.decrypt(data, VALUES),
        lambda: cipher.encrypt(np.full(VALUES, 255, np.uint8)),
        lambda: protect(cipher, SITTING, np.ones(1, np.uint8), signer=identity),
        lambda: open_sum(cipher, SITTING, short, coordinator=identity.public),
        lambda: open_sum(cipher, SITTING, of_another, coordinator=identity.public),
        lambda: open_sum(cipher, SITTING, data, coordinator=identity.public),
        lambda: holders["aggregator"].add(update.to_bytes(), sender=sites[0].public.id),
        lambda: holders["aggregator"].finish(),
    ]
    caught: list[BaseException] = []
    for attempt in attempts:
        with pytest.raises(Exception) as failed:  # noqa: PT011
            attempt()
        caught.append(failed.value)
    return caught


def test_no_secret_is_in_a_text_a_log_or_an_exception(holders, sites, preset, caplog, capfd):
    with caplog.at_level(logging.DEBUG, logger=""):
        caught = failures(holders, sites, preset)
    texts = [form(holder) for holder in holders.values() for form in (repr, str, "{}".format)]
    texts += [str(record.__dict__) for record in caplog.records]
    for failure in caught:
        texts += ["".join(traceback.format_exception(failure)), repr(failure), repr(vars(failure))]
    texts += capfd.readouterr()
    everything = "\n".join(texts)
    for secret in (holders["key"].to_bytes(), holders["identity"].secret_bytes()):
        for piece in (secret[:16], secret[SECRET_BYTES // 2 : SECRET_BYTES // 2 + 16], secret[-16:]):
            for form in (piece.hex(), piece.hex(" "), repr(piece)[2:-1], str(list(piece))[1:-1]):
                assert form not in everything
    for number in np.frombuffer(holders["key"].to_bytes(), "<u8")[[0, 1, -1]]:
        assert str(number) not in everything
    assert holders["key"].key_id in everything  # which is how a key is spoken of
    assert holders["identity"].public.id in everything
