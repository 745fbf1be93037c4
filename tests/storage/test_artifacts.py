"""The store of files named by their content: what is added comes back, once, whole, and never as something else."""

import errno
import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.storage import DiskFullError, IntegrityError, StorageError
from nasturtium.storage.artifacts import MIN_AGE_SECONDS, ArtifactStore

HOUR = 3600
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def grow_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file be two hours old. Its inode cannot be dated back, so the clock goes on instead."""
    now = path.stat().st_ctime + 2 * HOUR
    monkeypatch.setattr("nasturtium.storage.artifacts.time.time", lambda: now)


def test_a_file_is_stored_under_its_hash(store, tmp_path):
    source = tmp_path / "some.bin"
    source.write_bytes(b"abc")
    stored = store.add(source)
    assert (stored.sha256, stored.size_bytes) == (ABC, 3)
    assert store.path(ABC) == store.root / "ba" / ABC
    assert list(store) == [ABC]
    assert ABC in store
    assert source.read_bytes() == b"abc"
    with store.open(ABC) as file:
        assert file.read() == b"abc"
    assert store.verify(ABC, size_bytes=3) == stored
    assert stat.S_IMODE(store.path(ABC).stat().st_mode) == 0o644
    assert store.drafts() == []


@given(contents=st.lists(st.binary(max_size=200), max_size=8))
def test_what_is_added_comes_back_once(tmp_path_factory, contents):
    store = ArtifactStore(tmp_path_factory.mktemp("law") / "store")
    stored = [store.add_bytes(content) for content in contents]
    assert [each.sha256 for each in stored] == [hashlib.sha256(content).hexdigest() for content in contents]
    assert list(store) == sorted({each.sha256 for each in stored})
    for content, each in zip(contents, stored, strict=True):
        assert store.path(each.sha256).read_bytes() == content
        assert store.verify(each.sha256) == each


def test_content_larger_than_a_chunk(store, tmp_path):
    source = tmp_path / "large"
    source.write_bytes(os.urandom(3 * 2**20 + 17))
    stored = store.add(source)
    assert stored.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert store.path(stored.sha256).read_bytes() == source.read_bytes()


def test_reading_makes_nothing(store):
    assert list(store) == []
    assert ABC not in store
    assert (store.clean(), store.drafts()) == (0, [])
    store.remove(ABC)
    with pytest.raises(IntegrityError, match="missing"):
        store.open(ABC)
    assert not store.root.exists()


def test_a_link_shares_the_disk_and_outlives_its_source(store, tmp_path):
    source = tmp_path / "weights"
    source.write_bytes(b"abc")
    for _ in range(2):  # the second finds the very file, which a rename onto itself would leave behind
        assert store.add(source, link=True).sha256 == ABC
        assert store.path(ABC).samefile(source)
        assert store.drafts() == []
    source.unlink()
    assert store.verify(ABC).size_bytes == 3


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM], ids=["other-disk", "no-links-there"])
def test_where_no_link_can_be_a_copy_is_made(store, tmp_path, monkeypatch, reason):
    def refuse(*paths: object, **options: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("os.link", refuse)
    source = tmp_path / "weights"
    source.write_bytes(b"abc")
    store.add(source, link=True)
    assert not store.path(ABC).samefile(source)
    assert store.verify(ABC).size_bytes == 3


def test_a_symbolic_link_is_not_linked_but_read(store, tmp_path):
    source, alias = tmp_path / "weights", tmp_path / "alias"
    source.write_bytes(b"abc")
    alias.symlink_to(source)
    assert store.add(alias, link=True).sha256 == ABC
    assert not store.path(ABC).is_symlink()


def test_what_is_there_already_is_kept_and_counts_as_new(store, monkeypatch):
    store.add_bytes(b"abc")
    path = store.path(ABC)
    os.utime(path, (1, 1))
    before = path.stat().st_ino
    store.add_bytes(b"abc")
    assert (path.stat().st_ino, path.stat().st_nlink) == (before, 1)
    assert path.stat().st_mtime > 1
    assert store.age_seconds(ABC) < HOUR
    grow_old(path, monkeypatch)
    assert store.age_seconds(ABC) > HOUR


@pytest.mark.parametrize("damage", [b"", b"ab", b"abcd"], ids=["empty", "short", "long"])
def test_what_has_another_size_is_replaced(store, damage):
    store.add_bytes(b"abc")
    store.path(ABC).write_bytes(damage)
    with pytest.raises(IntegrityError, match="altered"):
        store.verify(ABC, size_bytes=3, deep=False)
    store.add_bytes(b"abc")
    assert store.verify(ABC, size_bytes=3).size_bytes == 3


def test_a_changed_byte_is_found_where_all_is_read(store):
    store.add_bytes(b"abc")
    store.path(ABC).write_bytes(b"abd")
    assert store.verify(ABC, size_bytes=3, deep=False).size_bytes == 3
    with pytest.raises(
        IntegrityError, match=r"altered.*a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"
    ):
        store.verify(ABC)


@pytest.mark.parametrize("verb", ["path", "open", "verify", "remove", "age_seconds", "__contains__"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("../../etc/passwd", id="traversal"),
        pytest.param("a" * 63, id="short"),
        pytest.param("a" * 65, id="long"),
        pytest.param("A" * 64, id="upper"),
        pytest.param("a" * 63 + "/", id="slash"),
        pytest.param("a" * 63 + "\n", id="newline"),
        pytest.param("a" * 64 + "\n", id="newline-after"),
        pytest.param("٣" * 64, id="other-digits"),
        pytest.param("a" * 63 + "\0", id="nul"),
    ],
)
def test_what_is_no_hash_is_refused(store, verb, name):
    with pytest.raises(ConfigError, match="expected a SHA-256"):
        getattr(store, verb)(name)


def test_strangers_in_the_folder_are_not_listed(store):
    store.add_bytes(b"abc")
    (store.root / "README").touch()
    (store.root / "ba" / "notes.txt").touch()
    (store.root / "cd").mkdir()
    (store.root / "cd" / ABC).touch()  # in the wrong place
    assert list(store) == [ABC]


def test_only_old_drafts_are_cleaned(store, monkeypatch):
    store.add_bytes(b"abc")
    draft = store.root / ".draft-killed"
    draft.write_bytes(b"ab")
    assert store.clean() == 0
    os.utime(draft, (1, 1))  # as a link to an old file has it: it is new all the same
    assert store.clean() == 0
    assert store.drafts() == [draft]
    grow_old(draft, monkeypatch)
    assert store.clean() == 1
    assert list(store) == [ABC]
    assert MIN_AGE_SECONDS == HOUR


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_disk_that_refuses_leaves_nothing(store, tmp_path, monkeypatch, step):
    source = tmp_path / "some.bin"
    source.write_bytes(b"abc")

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr("nasturtium.storage.artifacts._read", refuse)
    else:
        monkeypatch.setattr(os if step == "fsync" else Path, step, refuse)
    with pytest.raises(DiskFullError, match="No space left") as caught:
        store.add(source)
    assert "free some disk space" in str(caught.value)
    assert list(store) == []
    assert store.drafts() == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda path: None, "No such file", id="missing"),
        pytest.param(Path.mkdir, "Is a directory", id="folder"),
    ],
)
@pytest.mark.parametrize("link", [False, True])
def test_a_source_that_cannot_be_read_is_an_error_of_ours(store, tmp_path, make, reason, link):
    make(tmp_path / "source")
    with pytest.raises(StorageError, match=reason):
        store.add(tmp_path / "source", link=link)
    assert store.drafts() == []


ADD = """
import sys
from pathlib import Path
from nasturtium.storage.artifacts import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    store.add_bytes(str(number).encode() * 1000)
"""


def test_processes_that_add_the_same_do_not_disturb_each_other(store):
    words = [sys.executable, "-c", ADD, str(store.root)]
    processes = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert len(list(store)) == 40
    for sha256 in store:
        store.verify(sha256)
    assert store.drafts() == []
