"""`nasturtium keys`: a consortium of four folders and a coordinator, as people would walk through it, and go wrong."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from nasturtium.cli.app import run
from nasturtium.cli.schema import DIALECT, SCHEMAS
from nasturtium.privacy.keys import files as key_files

NAMES = ("a", "b", "c", "d")
LEFT = ("a", "b", "d")  # without c
IDENTITIES = tuple(f"{name}/identity.pub.json" for name in NAMES)
WORDS = "correct horse battery"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv("NASTURTIUM_PASSPHRASE", raising=False)
    monkeypatch.setattr(key_files, "_COST", 2**14)


class Terminal(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def keys(command):
    """Run a command of `nasturtium keys` in the name of a folder; what it prints as JSON, held against its schema."""

    def call(name: str, *words: object, folder: str = "") -> dict:
        where = ["--keys", folder] if folder else []
        answer = command("keys", name, *words, *where, "--json")
        assert answer.code == 0, answer.err
        document = json.loads(answer.out)
        jsonschema.Draft202012Validator({"$schema": DIALECT, **SCHEMAS[f"keys {name}"]}).validate(document)
        return document

    return call


@pytest.fixture
def parties(keys):
    """Four sites and a coordinator that have identities, and a draft."""
    for name in (*NAMES, "hub"):
        keys("init", name, folder=name)
    return keys("propose", *IDENTITIES[1:], "--coordinator", "hub/identity.pub.json", folder="a")


@pytest.fixture
def federation(keys, parties):
    """The parties under the key of epoch 1."""
    agree(keys, parties)
    return keys


def agree(keys, roster: dict, names=NAMES, file: str = "roster-1.json", grant: str = "grant-1.json") -> dict:
    for name in names:
        roster = keys("sign", file, "--fingerprint", roster["fingerprint"], folder=name)
    issued = keys("issue", file, "-o", grant, folder=names[0])
    for name in (*names[1:], "hub"):
        assert keys("receive", grant, folder=name) == issued
    return issued


def test_a_consortium_agrees_on_a_key_and_revokes_a_site(keys, parties):
    assert (parties["epoch"], parties["issuer"], parties["complete"]) == (1, "a", False)
    first = agree(keys, parties)
    assert first["roster"]["complete"]
    for name in (*NAMES, "hub"):
        [folder] = keys("verify", folder=name)
        assert folder["in_force"] == first
        assert folder["key_ids"] == ([] if name == "hub" else [first["key_id"]])

    draft = keys("rotate", "--without", "c", "-o", "next.json", folder="b")
    assert (draft["epoch"], draft["previous"]) == (2, first["roster"]["sha256"])
    assert keys("show", folder="a")["in_force"] == first
    second = agree(keys, draft, LEFT, "next.json", "next-grant.json")
    assert second["key_id"] != first["key_id"]
    for name in (*LEFT, "hub"):
        [folder] = keys("verify", folder=name)
        assert folder["in_force"] == second
        assert folder["key_ids"] == ([] if name == "hub" else sorted([first["key_id"], second["key_id"]]))


def test_copies_signed_apart_are_gathered(keys, parties):
    for name in NAMES:
        shutil.copy("roster-1.json", f"{name}.json")
        signed = keys("sign", f"{name}.json", "--fingerprint", parties["fingerprint"], folder=name)
        assert [member["name"] for member in signed["members"] if member["signed"]] == [name]
    assert not keys("show", "roster-1.json")["complete"]
    assert keys("issue", "roster-1.json", "a.json", "b.json", "c.json", "d.json", folder="a")["roster"]["complete"]
    assert [each["is"] for each in keys("verify", "grant-1.json")] == ["grant"]


def test_people_are_told_what_to_do_next(command):
    answer = command("keys", "init", "hospital-a")
    assert answer.code == 0
    assert "fingerprint  " in answer.out
    assert "the mode of the files is all that protects them" in answer.out
    assert "send nasturtium.keys/identity.pub.json to the member that proposes the roster, and nothing" in answer.err
    for name in ("b", "c"):
        command("keys", "init", f"hospital-{name}", "--keys", name)
    answer = command("keys", "propose", *IDENTITIES[1:3])
    assert "coordinator  none" in answer.out
    assert "nasturtium keys sign roster-1.json" in answer.err
    told = command("keys", "show", "roster-1.json").out
    assert "signed by 0 of 3 members" in told
    fingerprint = json.loads(command("keys", "show", "roster-1.json", "--json").out)["fingerprint"]
    answer = command("keys", "sign", "roster-1.json", "--fingerprint", fingerprint)
    members = json.loads(command("keys", "show", "roster-1.json", "--json").out)["members"]
    [first, second] = [member["name"] for member in members if not member["signed"]]
    assert f"not signed yet by {first}, {second}: pass roster-1.json on to {first}, who signs next" in answer.err
    assert "hospital-a gathers them: nasturtium keys issue roster-1.json COPY" in answer.err
    for name in ("b", "c"):
        answer = command("keys", "sign", "roster-1.json", "--fingerprint", fingerprint, "--keys", name)
    assert "pass roster-1.json on to hospital-a, who can make the key: nasturtium keys issue roster-1" in answer.err
    assert "all is whole: no key is in force yet" in command("keys", "verify").out
    answer = command("keys", "issue", "roster-1.json")
    assert "nasturtium keys receive grant-1.json" in answer.err
    [key_id] = [path.stem for path in Path("nasturtium.keys").glob("*.key") if path.stem != "identity"]
    for name in ("b", "c"):
        answer = command("keys", "receive", "grant-1.json", "--keys", name)
        assert f"in force from now on: epoch 1, key {key_id}" in answer.out
    assert f"all is whole: epoch 1 is in force, key {key_id}" in command("keys", "verify", "--keys", "b").out
    assert "all is whole, and signed by all" in command("keys", "verify", "grant-1.json").out
    command("keys", "init", "hub", "--keys", "hub")
    answer = command("keys", "receive", "grant-1.json", "--keys", "hub")
    assert answer.code == 1
    assert "the grant of epoch 1 names no coordinator, and hub is not a member" in answer.err


README = Path(__file__).parents[2] / "cli" / "README.md"


def test_the_walk_of_the_readme_works_as_it_is_written(tmp_path, monkeypatch, capsys):
    """Each command in the working directories of those whose it is; what it writes is then sent to all."""
    section = README.read_text().split("## The keys of a federation")[1].split("\n## ")[0]
    commands = re.findall(r"^    nasturtium (keys \S.*?)(?:  |$)", section, re.MULTILINE)
    verbs = [words.split()[1] for words in commands]
    assert verbs == ["init", "propose", "sign", "issue", "receive", "verify", "rotate", "sign", "issue", "receive"]
    members, everybody = [f"hospital-{name}" for name in NAMES], [*(f"hospital-{name}" for name in NAMES), "hub"]
    for party in everybody:
        tmp_path.joinpath(party).mkdir()
    for verb, words in zip(verbs, commands, strict=True):
        if verb == "rotate":
            members.remove(words.split()[-1])
        whose = {"propose": members[:1], "rotate": members[1:2], "sign": members, "issue": members[:1]}
        for party in whose.get(verb, [*(members[1:] if verb == "receive" else members), "hub"]):
            monkeypatch.chdir(tmp_path / party)
            monkeypatch.setattr("sys.stdin", Terminal("y\n"))
            code = run((words.replace("hospital-a", party) if verb == "init" else words).split())
            assert code == 0, capsys.readouterr().err
            if verb == "init":
                shutil.copy("nasturtium.keys/identity.pub.json", f"{party.removeprefix('hospital-')}.pub.json")
            for other in everybody:
                for file in Path().glob("*.json"):
                    if other != party:
                        shutil.copy(file, tmp_path / other)
    capsys.readouterr()
    for party in (*members, "hub"):
        assert run(["keys", "verify", "--keys", str(tmp_path / party / "nasturtium.keys")]) == 0
        assert "all is whole: epoch 2 is in force" in capsys.readouterr().out


@pytest.mark.parametrize(
    "tell",
    [
        pytest.param(lambda text: text, id="as-shown"),
        pytest.param(lambda text: text.replace(" ", ""), id="in-one"),
        pytest.param(lambda text: text.upper().replace(" ", ":"), id="with-colons"),
    ],
)
def test_a_fingerprint_is_told_in_several_ways(keys, parties, tell):
    keys("sign", "roster-1.json", "--fingerprint", tell(parties["fingerprint"]), folder="a")
    signed = {member["name"]: member["signed"] for member in keys("show", "roster-1.json")["members"]}
    assert [name for name, done in signed.items() if done] == ["a"]


def test_a_member_whose_key_was_exchanged_is_not_signed_for(command, keys, parties):
    """The coordinator gives c another b: the fingerprint c is told is not that of the file it got."""
    keys("init", "b", folder="fake")
    swapped = ["fake/identity.pub.json", *IDENTITIES[2:]]
    keys("propose", *swapped, "--coordinator", "hub/identity.pub.json", "-o", "swapped.json", folder="a")
    before = Path("swapped.json").read_bytes()
    answer = command("keys", "sign", "swapped.json", "--fingerprint", parties["fingerprint"], "--keys", "c")
    assert (answer.code, answer.out) == (1, "")
    assert "not the one you were told" in answer.err
    real = keys("show", "swapped.json")["fingerprint"]
    assert real not in answer.err
    assert real.replace(" ", "") not in answer.err
    answer = command("keys", "sign", "swapped.json", "--fingerprint", parties["fingerprint"], "--keys", "b")
    assert (answer.code, answer.out) == (1, "")
    assert "another key under the name b" in answer.err
    assert Path("swapped.json").read_bytes() == before
    assert keys("show", folder="c")["signed"] is None


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 130)])
def test_at_a_terminal_one_is_asked(command, federation, monkeypatch, typed, code):
    shutil.rmtree("c")
    federation("init", "c", folder="c")
    federation("init", "e", folder="e")
    added = ["--add", "c/identity.pub.json", "--add", "e/identity.pub.json"]
    draft = federation("rotate", "--without", "b", "--without", "c", *added, "-o", "next.json", folder="a")
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    answer = command("keys", "sign", "next.json", "--keys", "a")
    assert answer.code == code
    assert draft["fingerprint"] in answer.err
    changes = [line.split() for line in answer.err.splitlines() if line.startswith(("member", "coordinator", "gone"))]
    assert changes == [
        ["member", "a"],
        ["member", "c", "NEW", "KEY"],
        ["member", "d"],
        ["member", "e", "new"],
        ["coordinator", "hub"],
        ["gone", "b"],
    ]
    signed = federation("show", "next.json")["members"]
    assert [member["name"] for member in signed if member["signed"]] == (["a"] if code == 0 else [])


def test_a_coordinator_loads_nothing_that_decrypts(command, keys, parties):
    agree(keys, parties)
    Path("hub/grant-1.json").unlink()
    code = """
import sys
from nasturtium.cli.app import run
for words in (["receive", "grant-1.json"], ["verify"], ["show"]):
    assert run(["keys", *words, "--keys", "hub"]) == 0
print(*(name for name in sys.modules if name.startswith("nasturtium.privacy") and name.endswith("_secret")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "nasturtium.privacy.keys.identity_secret"


# Passphrases.


def test_a_passphrase_comes_from_the_environment(command, keys, monkeypatch):
    monkeypatch.setenv("NASTURTIUM_PASSPHRASE", WORDS)
    assert keys("init", "a", folder="a")["protected"]
    keys("verify", folder="a")
    monkeypatch.setenv("NASTURTIUM_PASSPHRASE", "wrong horse battery")
    answer = command("keys", "verify", "--keys", "a")
    assert (answer.code, answer.out) == (1, "")
    assert "a/identity.key cannot be opened with this passphrase" in answer.err
    assert "wrong horse" not in answer.err
    monkeypatch.delenv("NASTURTIUM_PASSPHRASE")
    answer = command("keys", "verify", "--keys", "a")
    assert answer.code == 2
    assert "NASTURTIUM_PASSPHRASE" in answer.err
    keys("show", folder="a")  # needs none


@pytest.mark.parametrize("words", ["", "short"])
def test_a_passphrase_that_protects_nothing_makes_no_identity(command, monkeypatch, words):
    """As that of a variable which was to be filled from a file that is not there."""
    monkeypatch.setenv("NASTURTIUM_PASSPHRASE", words)
    answer = command("keys", "init", "a")
    assert (answer.code, answer.out) == (2, "")
    assert "expected a passphrase of 8" in answer.err
    assert list(Path.cwd().iterdir()) == []


def test_a_passphrase_for_keys_that_have_none_is_refused(command, keys, monkeypatch):
    keys("init", "a", folder="a")
    monkeypatch.setenv("NASTURTIUM_PASSPHRASE", WORDS)
    answer = command("keys", "verify", "--keys", "a")
    assert answer.code == 1
    assert "is under no passphrase, and one was given" in answer.err
    assert "unset NASTURTIUM_PASSPHRASE" in answer.err


def test_a_passphrase_is_asked_for_without_echo(command, keys, monkeypatch):
    asked: list[str] = []
    answers = [WORDS, WORDS, WORDS, "one thing", "another thing"]

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        return answers.pop(0)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", getpass)
    assert keys("init", "a", "--passphrase", folder="a")["protected"]
    keys("verify", folder="a")
    assert asked == ["New passphrase, at least 8 letters: ", "The same again: ", "Passphrase of a: "]
    answer = command("keys", "init", "b", "--passphrase", "--keys", "b")
    assert answer.code == 2
    assert "the two passphrases differ" in answer.err
    assert not Path("b").exists()


@pytest.mark.parametrize(
    ("typed", "code", "again"),
    [(["no", WORDS], 0, 1), (["no", "no", WORDS], 0, 2), (["no", "no", "no", WORDS], 1, 2)],
    ids=["second", "third", "never"],
)
def test_a_passphrase_may_be_typed_three_times(command, monkeypatch, typed, code, again):
    monkeypatch.setenv("NASTURTIUM_PASSPHRASE", WORDS)
    command("keys", "init", "a", "--keys", "a")
    monkeypatch.delenv("NASTURTIUM_PASSPHRASE")
    monkeypatch.setattr("sys.stdin", Terminal())
    typed = [*typed]
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.pop(0))
    answer = command("keys", "verify", "--keys", "a")
    assert answer.code == code
    assert typed == ([WORDS] if code else [])
    assert answer.err.count("that is not the passphrase: try again") == again
    assert ("cannot be opened with this passphrase" in answer.err) == (code != 0)


def test_without_a_terminal_nobody_is_asked(command):
    answer = command("keys", "init", "a", "--passphrase")
    assert answer.code == 2
    assert "there is no terminal" in answer.err
    assert list(Path.cwd().iterdir()) == []


# What goes wrong.

PUBLIC = "b/identity.pub.json"
OTHERS = IDENTITIES[1:3]
HUB = "hub/identity.pub.json"
SAME = ("--fingerprint", "ab" * 32)


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        pytest.param(2, "Missing argument", ["init"], id="no-name"),
        pytest.param(2, "expected the name", ["init", "hospital a", "--keys", "new"], id="bad-name"),
        pytest.param(2, "expected the name", ["init", "../a", "--keys", "new"], id="name-with-a-path"),
        pytest.param(1, "there is an identity in a already", ["init", "a", "--keys", "a"], id="second-identity"),
        pytest.param(1, "cannot use the folder", ["init", "a", "--keys", "roster-1.json"], id="folder-is-a-file"),
        pytest.param(1, "no identity in nasturtium.keys", ["show"], id="no-folder"),
        pytest.param(1, "no identity in nasturtium.keys", ["verify"], id="verify-no-folder"),
        pytest.param(2, "cannot read absent.json", ["show", "absent.json"], id="absent-file"),
        pytest.param(2, "cannot read a: Is a directory", ["show", "a"], id="folder-as-a-file"),
        pytest.param(2, "it is not text", ["show", "binary"], id="binary-file"),
        pytest.param(1, "not valid JSON", ["show", "empty"], id="empty-file"),
        pytest.param(1, "neither an identity, a roster nor a grant", ["show", "other.json"], id="foreign-file"),
        pytest.param(1, "neither an identity, a roster nor a grant", ["show", "a/identity.key"], id="private-file"),
        pytest.param(1, "not valid JSON", ["show", "cut.json"], id="file-cut-off"),
        pytest.param(1, "changed.json: a signature", ["show", "changed.json"], id="identity-changed"),
        pytest.param(2, "Missing argument", ["propose", "--keys", "a"], id="propose-nobody"),
        pytest.param(1, "sums of fewer than three sites", ["propose", PUBLIC, "--keys", "a"], id="propose-two"),
        pytest.param(
            1, "roster-1.json is no identity", ["propose", "roster-1.json", "--keys", "a"], id="propose-roster"
        ),
        pytest.param(1, "the same name", ["propose", PUBLIC, *OTHERS, "--keys", "a"], id="propose-twice"),
        pytest.param(1, "no member is called 'x'", ["propose", *OTHERS, "--issuer", "x", "--keys", "a"], id="issuer"),
        pytest.param(
            1, "b is the coordinator", ["propose", *OTHERS, "--coordinator", PUBLIC, "--keys", "a"], id="coordinator"
        ),
        pytest.param(1, "roster-1.json is there already", ["propose", *OTHERS, "--keys", "a"], id="draft-is-there"),
        pytest.param(1, "cannot write", ["propose", *OTHERS, "-o", "no/such/x", "--keys", "a"], id="no-output-folder"),
        pytest.param(
            2, "in the folder of the keys", ["propose", *OTHERS, "-o", "a/x", "--keys", "a"], id="in-the-folder"
        ),
        pytest.param(1, "no grant is in force", ["rotate", "--keys", "a"], id="rotate-before-the-first"),
        pytest.param(2, "--fingerprint", ["sign", "roster-1.json", "--keys", "a"], id="sign-without-a-fingerprint"),
        pytest.param(1, "not the one you", ["sign", "roster-1.json", "--keys", "a", *SAME], id="sign-another"),
        pytest.param(
            1, "not the one you", ["sign", "roster-1.json", "--keys", "a", "--fingerprint", ""], id="sign-empty"
        ),
        pytest.param(
            1, "hub is not a member", ["sign", "roster-1.json", "--keys", "hub", *SAME], id="coordinator-signs"
        ),
        pytest.param(1, "is no roster", ["sign", PUBLIC, "--keys", "a", *SAME], id="sign-an-identity"),
        pytest.param(1, "no roster was signed here", ["issue", "roster-1.json", "--keys", "a"], id="issue-unsigned"),
        pytest.param(
            1, "roster-1.json is no grant", ["receive", "roster-1.json", "--keys", "b"], id="receive-a-roster"
        ),
        pytest.param(1, "is not signed by 4 of its 4", ["verify", "roster-1.json"], id="verify-a-draft"),
    ],
)
def test_what_goes_wrong_is_said(command, parties, code, said, words):
    Path("binary").write_bytes(b"\xff\xfe")
    Path("empty").touch()
    Path("other.json").write_text('{"format": ["x"]}')
    Path("cut.json").write_text(Path("roster-1.json").read_text()[:300])
    Path("changed.json").write_text(Path(PUBLIC).read_text().replace('"name":"b"', '"name":"x"'))
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for form in ([], ["--json"]):
        answer = command("keys", *words, *form)
        assert (answer.code, answer.out) == (code, "")
        assert said in answer.err
        assert "Traceback" not in answer.err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param("an old roster", ["sign", "roster-1.json", "--keys", "a"], id="sign-an-old-roster"),
        pytest.param("an old roster", ["sign", "roster-1.json", "--keys", "a", "--replace"], id="replace-an-old-one"),
        pytest.param("not copies of one roster", ["issue", "roster-1.json", "--keys", "a"], id="issue-an-old-one"),
        pytest.param("epoch 2 is in force", ["receive", "grant-1.json", "--keys", "b"], id="receive-an-old-grant"),
        pytest.param("epoch 2 is in force", ["receive", "grant-1.json", "--keys", "hub"], id="follow-an-old-grant"),
        pytest.param("you were taken out", ["receive", "next-grant.json", "--keys", "c"], id="receive-after-leaving"),
        pytest.param("hub is the coordinator", ["rotate", "--add", HUB, "--keys", "a"], id="add-the-coordinator"),
        pytest.param("sums of fewer than three", ["rotate", "--without", "d", "--keys", "a"], id="rotate-to-two"),
        pytest.param("no member is called 'c'", ["rotate", "--without", "c", "--keys", "a"], id="who-is-gone"),
        pytest.param("--issuer", ["rotate", "--without", "a", "--keys", "b"], id="issuer-goes"),
    ],
)
def test_what_was_replaced_is_not_used_again(command, federation, said, words):
    roster = federation("show", "roster-1.json")
    draft = federation("rotate", "--without", "c", "-o", "next.json", folder="a")
    agree(federation, draft, LEFT, "next.json", "next-grant.json")
    if words[0] == "sign":
        words = [*words, "--fingerprint", roster["fingerprint"]]
    answer = command("keys", *words)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err


def test_damage_in_a_folder_is_found(command, federation):
    assert command("keys", "verify", "--keys", "b").code == 0
    [key] = [path for path in Path("b").glob("*.key") if path.stem != "identity"]
    content = key.read_bytes()
    key.unlink()
    answer = command("keys", "verify", "--keys", "b")
    assert (answer.code, "is not in b" in answer.err) == (1, True)
    key.write_bytes(content)
    key.chmod(0o644)
    answer = command("keys", "verify", "--keys", "b")
    assert (answer.code, "its mode is 644" in answer.err) == (1, True)


def test_a_grant_that_is_lost_is_found_and_received_again(command, federation):
    """Its key was not retired, and the one of the member that was taken out is not in force again."""
    draft = federation("rotate", "--without", "c", folder="b")
    second = agree(federation, draft, LEFT, "roster-2.json", "grant-2.json")
    Path("b/grant-2.json").unlink()
    for words in (["verify"], ["show"], ["rotate"]):
        answer = command("keys", *words, "--keys", "b")
        assert (answer.code, answer.out) == (1, "")
        assert "a key of epoch 2 is here and its grant is missing: receive it again" in answer.err
    assert federation("receive", "grant-2.json", folder="b") == second
    told = command("keys", "verify", "--keys", "b").out
    assert f"all is whole: epoch 2 is in force, key {second['key_id']}" in told
    assert told.count("retired key") == 1
    assert f"retired key  {second['key_id']}" not in told


def test_a_key_that_no_grant_names_is_not_called_retired(command, federation):
    """As a crash leaves it, after the key was written and before its grant was."""
    draft = federation("rotate", folder="b")
    second = agree(federation, draft, file="roster-2.json", grant="grant-2.json")
    for name in ("grant-2.json", "received.json"):
        Path("b", name).unlink()
    told = command("keys", "verify", "--keys", "b").out
    assert f"unused key   {second['key_id']}, which no grant here names" in told
    assert "retired" not in told


def test_the_identity_of_another_party_is_found(command, federation):
    federation("init", "e", folder="e")
    for name in ("identity.key", "identity.pub.json"):
        shutil.copy(Path("e", name), Path("b", name))
    answer = command("keys", "verify", "--keys", "b")
    assert (answer.code, answer.out) == (1, "")
    assert "the identity in b is that of e" in answer.err
    assert "not in the roster of epoch 1" in answer.err
