"""Folders of keys: a consortium of four and a coordinator, what a crash leaves, and that epochs never go back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from nasturtium.core import ConfigError
from nasturtium.privacy.errors import KeyFileError, RosterError
from nasturtium.privacy.keys import files as key_files
from nasturtium.privacy.keys.folder import KeyFolder
from nasturtium.privacy.keys.folder_secret import SiteFolder
from nasturtium.privacy.keys.grant import KeyGrant
from nasturtium.privacy.keys.grant_secret import issue_key
from nasturtium.privacy.keys.roster import Roster

WORDS = "correct horse battery"
NAMES = ("site-0", "site-1", "site-2", "site-3")
LEFT = ("site-0", "site-1", "site-3")  # without site-2
posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and signals are POSIX's")


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(key_files, "_COST", 2**14)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four sites and a coordinator under the key of epoch 1; only copied."""
    root = tmp_path_factory.mktemp("made")
    for name in NAMES:
        SiteFolder.create(root / name, name)
    KeyFolder.create(root / "hub", "hub")
    grant_to(root, first_roster(root))
    return root


@pytest.fixture
def root(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def sites(root, names=NAMES) -> list[SiteFolder]:
    return [SiteFolder(root / name) for name in names]


def first_roster(root) -> Roster:
    members = [site.public() for site in sites(root)]
    return Roster.draft(members, issuer="site-0", coordinator=KeyFolder(root / "hub").public())


def sign_all(root, roster: Roster, names=NAMES, **options) -> Roster:
    for site in sites(root, names):
        roster = site.sign(roster, **options)
    return roster


def grant_to(root, roster: Roster, names=NAMES, **options) -> KeyGrant:
    """Sign, issue and receive."""
    complete = sign_all(root, roster, names, **options)
    grant = SiteFolder(root / names[0]).issue(complete)
    for site in sites(root, names[1:]):
        site.receive(grant)
    KeyFolder(root / "hub").follow(grant)
    return grant


def content(root) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# Identities.


@pytest.mark.parametrize("words", [None, WORDS], ids=["open", "passphrase"])
def test_an_identity_is_made_and_found_again(tmp_path, words):
    folder = KeyFolder.create(tmp_path / "keys", "site", words)
    assert folder.identity(words).public == folder.public() == KeyFolder(tmp_path / "keys").public()
    assert folder.protected == (words is not None)
    assert {path.name for path in folder.path.iterdir()} == {".gitignore", "identity.key", "identity.pub.json"}
    if os.name == "posix":
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder.path / "identity.key").stat().st_mode) == 0o600


def test_a_second_identity_is_refused_and_the_first_stays(root):
    before = content(root)
    with pytest.raises(KeyFileError, match="there is an identity"):
        KeyFolder.create(root / "site-0", "other")
    assert content(root) == before


def test_git_ignores_a_new_folder_but_not_one_that_was_in_use(tmp_path):
    (tmp_path / "project").mkdir(mode=0o700)
    (tmp_path / "project" / "code.py").touch()
    KeyFolder.create(tmp_path / "project", "site")
    assert not (tmp_path / "project" / ".gitignore").exists()
    KeyFolder.create(tmp_path / "keys", "site")
    assert (tmp_path / "keys" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        pytest.param("../site", None, "expected the name", id="name"),
        pytest.param("site", "short", "expected a passphrase", id="passphrase"),
        pytest.param("site", "", "expected a passphrase", id="empty-passphrase"),
    ],
)
def test_nothing_is_made_where_an_argument_is_wrong(tmp_path, name, words, message):
    with pytest.raises(ConfigError, match=message):
        KeyFolder.create(tmp_path / "keys", name, words)
    assert not (tmp_path / "keys").exists()


def test_a_folder_without_an_identity_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(KeyFileError, match=r"no identity in .*keys init NAME"):
            KeyFolder(path)
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="cannot use the folder"):
        KeyFolder.create(tmp_path / "file", "site")


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o720])
def test_a_folder_that_others_can_write_to_is_refused(root, mode):
    (root / "site-0").chmod(mode)
    with pytest.raises(KeyFileError, match="others than its owner can write"):
        KeyFolder(root / "site-0")
    (root / "new").mkdir()
    (root / "new").chmod(mode)
    with pytest.raises(KeyFileError, match="others than its owner can write"):
        KeyFolder.create(root / "new", "site")
    assert list((root / "new").iterdir()) == []


def test_a_missing_public_file_is_made_again(root):
    folder = KeyFolder(root / "site-0")
    before = content(root)
    (folder.path / "identity.pub.json").unlink()
    with pytest.raises(KeyFileError, match="No such file"):
        folder.public()
    folder.identity()
    assert content(root) == before


def test_a_public_file_of_somebody_else_is_found(root):
    shutil.copy(root / "site-1" / "identity.pub.json", root / "site-0" / "identity.pub.json")
    with pytest.raises(KeyFileError, match="of two identities"):
        KeyFolder(root / "site-0").identity()
    (root / "site-0" / "identity.pub.json").write_text("{}")
    with pytest.raises(KeyFileError, match=r"identity\.pub\.json is damaged"):
        KeyFolder(root / "site-0").identity()


def test_damage_that_makes_another_key_is_found(root):
    """Any 64 bytes are an identity, so a flipped bit must not become a new one."""
    path = root / "site-0" / "identity.key"
    document = json.loads(path.read_text())
    for place in (0, 70, -2):  # signing key, sealing key, name
        digits = [*document["content"]]
        digits[place] = f"{int(digits[place], 16) ^ 1:x}"
        path.write_text(json.dumps({**document, "content": "".join(digits)}))
        with pytest.raises(KeyFileError, match=r"identity\.key is damaged"):
            KeyFolder(root / "site-0").identity()


# The way to a shared key.


def test_all_members_have_the_key_and_the_coordinator_has_not(made):
    keys = {site.aggregation_key().to_bytes() for site in sites(made)}
    assert len(keys) == 1
    [key_id] = {folder.grant().key_id for folder in (*sites(made), KeyFolder(made / "hub"))}
    assert [site.key_ids() for site in sites(made)] == [(key_id,)] * 4
    assert KeyFolder(made / "hub").key_ids() == ()
    secret = keys.pop().hex()
    assert all(secret not in path.read_text() for path in (made / "hub").iterdir())
    for folder in (*sites(made), KeyFolder(made / "hub")):
        folder.verify()


def test_under_a_passphrase_all_private_files_are(tmp_path):
    folders = [SiteFolder.create(tmp_path / name, name, WORDS) for name in NAMES]
    roster = Roster.draft([folder.public() for folder in folders], issuer="site-0")
    for folder in folders:
        roster = folder.sign(roster, WORDS)
    grant = folders[0].issue(roster, WORDS)
    [key, *_] = [folder.receive(grant, WORDS) for folder in folders[1:]]
    for folder in folders:
        assert key_files.is_protected(folder.path / f"{grant.key_id}.key", "aggregation key")
        assert folder.aggregation_key(WORDS).key_id == key.key_id
        folder.verify(WORDS)
        for words in (None, "wrong horse battery"):
            for call in (folder.identity, folder.aggregation_key, folder.verify):
                with pytest.raises(KeyFileError):
                    call(words)


def test_before_anything_was_signed_or_received_there_is_no_key(tmp_path):
    folder = SiteFolder.create(tmp_path / "site", "site")
    assert (folder.signed_roster(), folder.grant(), folder.key_ids()) == (None, None, ())
    folder.verify()
    with pytest.raises(KeyFileError, match="no aggregation key"):
        folder.aggregation_key()


def test_what_was_not_signed_here_is_not_issued_or_received(root):
    grant = sites(root)[0].grant()
    for name in NAMES:
        for path in (*(root / name).glob("*-1.json"), root / name / "received.json"):
            path.unlink()
    with pytest.raises(RosterError, match="no roster was signed here"):
        sites(root)[1].receive(grant)
    with pytest.raises(RosterError, match="no roster was signed here"):
        sites(root)[0].issue(grant.roster)


def test_a_grant_is_issued_once_and_received_as_often_as_one_likes(root):
    before = content(root)
    issuer, member, *_ = sites(root)
    grant = issuer.grant()
    assert issuer.issue(grant.roster) == grant
    member.receive(grant)
    KeyFolder(root / "hub").follow(grant)
    assert content(root) == before


def test_a_second_key_for_an_epoch_is_refused(root):
    """Of an issuer that lost its grant, or gives different keys to different members."""
    issuer, member, *_ = sites(root)
    second, _ = issue_key(issuer.identity(), issuer.grant().roster)
    before = content(root)
    for receive in (member.receive, KeyFolder(root / "hub").follow):
        with pytest.raises(RosterError, match="a second key for epoch 1"):
            receive(second)
    assert content(root) == before


def test_only_the_coordinator_that_is_named_follows(root):
    other = KeyFolder.create(root / "other", "hub")
    grant = sites(root)[0].grant()
    for folder in (other, KeyFolder(root / "site-1")):
        with pytest.raises(RosterError, match="not the coordinator"):
            folder.follow(grant)


# Signing.


def test_one_signs_only_what_names_oneself(root):
    stranger = KeyFolder.create(root / "other", "other")
    draft = sites(root)[0].grant().roster.successor()
    with pytest.raises(RosterError, match="other is not a member"):
        stranger.sign(draft)
    assert stranger.signed_roster() is None
    swapped = KeyFolder.create(root / "swapped", "site-1").public()
    draft = sites(root)[0].grant().roster.successor(without=["site-1"], add=[swapped])
    with pytest.raises(RosterError, match="another key under the name site-1"):
        sites(root)[1].sign(draft)


def test_an_old_roster_or_another_history_is_not_signed(root):
    first = sites(root)[0].grant().roster
    grant_to(root, first.successor())
    site = sites(root)[0]
    before = content(root)
    cases = [
        (first, "an old roster: epoch 1"),
        (Roster.draft(first.members, issuer="site-1"), "an old roster: epoch 1"),
        (first.successor(issuer="site-1"), "another roster for epoch 2"),
        (another_history(root).successor(), "does not continue the one of epoch 2"),
    ]
    for roster, message in cases:
        for replace in (False, True):
            with pytest.raises(RosterError, match=message):
                site.sign(roster, replace=replace)
    assert content(root) == before


def another_history(root) -> Roster:
    """A complete roster of epoch 2 that follows another first one."""
    roster = Roster.draft([site.public() for site in sites(root)], issuer="site-2")
    for _ in range(2):
        for site in sites(root):
            roster = roster.signed(site.identity())
        if roster.epoch == 1:
            roster = roster.successor()
    return roster


def test_a_draft_that_was_wrong_is_replaced_only_if_that_is_meant(root):
    first = sites(root)[0].grant().roster
    wrong, right = first.successor(without=["site-2"]), first.successor(issuer="site-1")
    site = sites(root)[0]
    site.sign(wrong)
    with pytest.raises(RosterError, match="another roster for epoch 2"):
        site.sign(right)
    site.sign(right, replace=True)
    assert site.signed_roster().sha256 == right.sha256
    assert site.grant().roster == first
    grant_to(root, right, ("site-1", "site-0", "site-2", "site-3"))
    assert site.grant().roster.sha256 == right.sha256


def test_a_grant_for_the_draft_that_was_replaced_is_refused(root):
    first = sites(root)[0].grant().roster
    wrong, right = first.successor(without=["site-2"]), first.successor()
    complete = sign_all(root, wrong, LEFT)
    grant = sites(root)[0].issue(complete)
    sites(root)[1].sign(right, replace=True)
    with pytest.raises(RosterError, match="for another roster"):
        sites(root)[1].receive(grant)


# Rotation.


def test_a_site_is_revoked(root):
    first = sites(root)[0].grant()
    second = grant_to(root, first.roster.successor(without=["site-2"]), LEFT)
    for site in sites(root, LEFT):
        assert site.aggregation_key().key_id == second.key_id != first.key_id
        assert site.retired_key(first.key_id).key_id == first.key_id
        assert site.key_ids() == tuple(sorted((first.key_id, second.key_id)))
        assert site.retired_key_ids() == (first.key_id,)
        site.verify()
    revoked = SiteFolder(root / "site-2")
    with pytest.raises(RosterError, match="you are not in the roster of epoch 2: you were taken out"):
        revoked.receive(second)
    assert revoked.aggregation_key().key_id == first.key_id
    third = grant_to(root, second.roster.successor(add=[revoked.public()]))  # and it comes back
    assert {site.aggregation_key().key_id for site in sites(root)} == {third.key_id}


def test_until_the_next_key_is_received_the_last_one_is_used(root):
    first = sites(root)[0].grant()
    sign_all(root, first.roster.successor())
    assert {site.aggregation_key().key_id for site in sites(root)} == {first.key_id}


def test_an_old_grant_that_is_sent_again_is_refused(root):
    first = sites(root)[0].grant()
    grant_to(root, first.roster.successor())
    before = content(root)
    for receive in (sites(root)[1].receive, KeyFolder(root / "hub").follow):
        with pytest.raises(RosterError, match="an old grant: it is of epoch 1, and epoch 2 is in force"):
            receive(first)
    assert content(root) == before


@pytest.mark.parametrize("name", ["site-1", "hub"])
def test_a_grant_that_is_lost_puts_no_old_key_in_force(root, name):
    """The newest one goes; what counts is only found again by receiving it, and nothing else takes its place."""
    first = sites(root)[0].grant()
    second = grant_to(root, first.roster.successor(without=["site-2"]), LEFT)
    folder = KeyFolder(root / "hub") if name == "hub" else SiteFolder(root / name)
    receive = folder.receive if isinstance(folder, SiteFolder) else folder.follow
    before = content(root)
    (folder.path / "grant-2.json").unlink()
    said = "epoch 2 was in force here" if name == "hub" else "a key of epoch 2 is here"
    message = f"{said} and its grant is missing: receive it again"
    for call in (folder.grant, folder.verify, *([folder.aggregation_key] if name != "hub" else [])):
        with pytest.raises(KeyFileError, match=message):
            call()
    with pytest.raises(RosterError, match="an old grant: it is of epoch 1, and epoch 2 is in force"):
        receive(first)
    other, _ = issue_key(SiteFolder(root / "site-0").identity(), second.roster)
    with pytest.raises(RosterError, match="a second key for epoch 2"):
        receive(other)
    receive(second)
    folder.verify()
    assert content(root) == before


def test_all_grants_lost_are_not_a_fresh_folder(root):
    (root / "site-1" / "grant-1.json").unlink()
    with pytest.raises(KeyFileError, match="a key of epoch 1 is here and its grant is missing"):
        sites(root)[1].verify()


def test_a_grant_that_names_no_coordinator_says_so(root):
    grant = sites(root)[0].grant()
    identities = [site.identity() for site in sites(root)]
    roster = Roster.draft([each.public for each in identities], issuer="site-0")
    for each in identities:
        roster = roster.signed(each)
    other, _ = issue_key(identities[0], roster)
    assert other.roster.coordinator is None
    assert grant.roster.coordinator is not None
    with pytest.raises(RosterError, match="the grant of epoch 1 names no coordinator, and hub is not a member"):
        KeyFolder(root / "hub").follow(other)


def test_epochs_are_numbers_not_texts(root):
    grant = sites(root)[0].grant()
    for _ in range(9):
        grant = grant_to(root, grant.roster.successor())
    assert grant.roster.epoch == 10
    assert sites(root)[1].grant() == grant
    assert sites(root)[1].aggregation_key().key_id == grant.key_id
    for site in sites(root):
        site.verify()


# Damage.


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        pytest.param("grant-1.json", lambda data: data[:-20], r"grant-1\.json is damaged", id="grant-cut-off"),
        pytest.param("grant-1.json", lambda data: b"\xff", r"grant-1\.json is not text", id="grant-garbage"),
        pytest.param("roster-1.json", lambda data: b"", r"roster-1\.json is damaged", id="roster-empty"),
        pytest.param("roster-1.json", lambda data: b"{}", r"roster-1\.json is damaged", id="roster-foreign"),
        pytest.param("received.json", lambda data: b"{}", r"received\.json is damaged", id="received-foreign"),
        pytest.param("received.json", lambda data: b"\xff", r"received\.json is not text", id="received-garbage"),
        pytest.param("received.json", lambda data: data.replace(b":1,", b":0,"), "is damaged", id="received-epoch"),
        pytest.param("identity.key", lambda data: data[:100], "not a key file", id="identity-cut-off"),
        pytest.param("KEY", lambda data: data[:100], "not a key file", id="key-cut-off"),
        pytest.param("KEY", lambda data: data.replace(b'"content":"', b'"content":"00', 1), "damaged", id="key-long"),
        pytest.param("KEY", None, "is not in", id="key-missing"),
    ],
)
def test_damage_is_found(root, name, damage, message):
    site = SiteFolder(root / "site-0")
    [key_id] = site.key_ids()
    path = site.path / name.replace("KEY", f"{key_id}.key")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(KeyFileError, match=message):
        site.verify()


@pytest.mark.parametrize("when", ["in-force", "only-signed"])
def test_the_identity_of_somebody_else_is_found(root, when):
    KeyFolder.create(root / "other", "other")
    site = SiteFolder(root / "site-1")
    for name in ("identity.key", "identity.pub.json"):
        shutil.copy(root / "other" / name, site.path / name)
    if when == "only-signed":
        for path in (site.path / "grant-1.json", site.path / "received.json"):
            path.unlink()
    with pytest.raises(KeyFileError, match=r"that of other, id [0-9a-f]{32}, who is not in the roster of epoch 1"):
        site.verify()


def test_a_passphrase_can_be_tried(tmp_path):
    folder = KeyFolder.create(tmp_path / "keys", "site", WORDS)
    assert folder.opens(WORDS)
    assert not folder.opens("wrong horse battery")
    (folder.path / "identity.key").write_text("{}")
    with pytest.raises(KeyFileError, match="not a key file"):
        folder.opens(WORDS)


def test_a_key_under_the_name_of_another_is_refused(root):
    first = sites(root)[0].grant()
    second = grant_to(root, first.roster.successor())
    site = SiteFolder(root / "site-0")
    shutil.copy(site.path / f"{first.key_id}.key", site.path / f"{second.key_id}.key")
    with pytest.raises(KeyFileError, match="damaged, or another key"):
        site.aggregation_key()


@pytest.mark.parametrize("key_id", ["", "../identity", "ab" * 16 + "\n", "AB" * 16, "ab" * 17])
def test_what_is_no_id_of_a_key_is_no_file(root, key_id):
    with pytest.raises(KeyFileError, match="expected the id of a key"):
        SiteFolder(root / "site-0").retired_key(key_id)


# Crashes and races.

KILL = """
import os, signal, sys
from pathlib import Path
from nasturtium.privacy.keys import files as key_files
from nasturtium.privacy.keys.folder_secret import SiteFolder
from nasturtium.privacy.keys.grant import KeyGrant
key_files._COST = 2**14
left = int(sys.argv[1])
def dying(call):
    def wrapped(*args, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return wrapped
root = Path(sys.argv[2])
grant = KeyGrant.from_json((root / "grant.json").read_text()) if (root / "grant.json").exists() else None
for name in ("open", "fsync", "link", "replace", "unlink"):
    setattr(os, name, dying(getattr(os, name)))
if grant is None:
    SiteFolder.create(root / "new", "site")
else:
    SiteFolder(root / "site-1").receive(grant)
"""


def killed(step: int, root) -> bool:
    """Whether the process was killed before the call number `step` of those that change files."""
    done = subprocess.run([sys.executable, "-c", KILL, str(step), str(root)], check=False, capture_output=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@posix
def test_a_process_killed_while_it_makes_an_identity_leaves_none_or_a_whole_one(tmp_path):
    """At its every step; afterwards, the same command or the next one works."""
    made = 0
    for step in range(0, 100, 3):
        root = tmp_path / str(step)
        root.mkdir()
        done = not killed(step, root)
        if (root / "new" / "identity.key").exists():
            made += 1
            folder = KeyFolder(root / "new")
        else:
            folder = KeyFolder.create(root / "new", "site")
        assert folder.identity().public == folder.public()
        secret = (folder.path / "identity.key").stat()
        assert stat.S_IMODE(secret.st_mode) == 0o600
        assert all(not path.stat().st_mode & 0o077 for path in folder.path.iterdir())
        if done:
            break
    assert done
    assert made > 1, "no step between the identity and its public file was tried"


@posix
def test_a_process_killed_while_it_receives_a_key_has_the_old_one_or_the_new(root):
    first = sites(root)[0].grant()
    second = sites(root)[0].issue(sign_all(root, first.roster.successor()))
    (root / "grant.json").write_text(second.to_json())
    shutil.copytree(root / "site-1", root / "before")
    seen = []
    for step in range(0, 100, 3):
        shutil.rmtree(root / "site-1")
        shutil.copytree(root / "before", root / "site-1")
        done = not killed(step, root)
        site = SiteFolder(root / "site-1")
        site.verify()
        seen.append(site.aggregation_key().key_id)
        assert all(not path.stat().st_mode & 0o077 for path in site.path.iterdir() if path.name.endswith(".key"))
        site.receive(second)
        assert site.aggregation_key().key_id == second.key_id
        if done:
            break
    assert done
    assert seen[0] == first.key_id
    assert seen[-1] == second.key_id


def test_threads_that_make_an_identity_at_once_have_one(tmp_path):
    made = []

    def create(number: int) -> None:
        with suppress(KeyFileError):
            made.append(KeyFolder.create(tmp_path / "keys", f"site-{number}").public())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(16)))
    assert made == [KeyFolder(tmp_path / "keys").identity().public]


def test_the_folder_of_a_coordinator_loads_nothing_that_decrypts(made):
    code = f"""
import sys
from pathlib import Path
from nasturtium.privacy.keys.folder import KeyFolder
folder = KeyFolder(Path({str(made / "hub")!r}))
folder.verify()
folder.follow(folder.grant())
print([name for name in sys.modules if name.startswith("nasturtium.privacy") and name.endswith("_secret")])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "['nasturtium.privacy.keys.identity_secret']\n"
