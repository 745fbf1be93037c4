"""The journal of attempts: nothing is claimed twice, over crashes and between processes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from nasturtium.privacy.errors import KeyFileError, MaskingError, ReplayedUpdateError
from nasturtium.privacy.masking.attempts import AttemptJournal


@pytest.fixture(params=["memory", "one-of-many", "file"])
def journal(request, tmp_path):
    if request.param == "one-of-many":
        return AttemptJournal(None).of("site-1")
    return AttemptJournal(None if request.param == "memory" else tmp_path / "attempts.db")


def test_rounds_and_attempts_go_on(journal):
    for round, attempt in [(1, 1), (1, 2), (2, 1), (5, 3), (6, 1)]:
        journal.claim("RUN", round, attempt)
        with pytest.raises(ReplayedUpdateError):
            journal.claim("RUN", round, attempt)


@pytest.mark.parametrize(
    ("round", "attempt"),
    [
        pytest.param(3, 2, id="the-same"),
        pytest.param(3, 1, id="an-earlier-attempt"),
        pytest.param(2, 9, id="an-earlier-round"),
    ],
)
def test_nothing_is_claimed_twice(journal, round, attempt):
    journal.claim("RUN", 3, 2)
    with pytest.raises(ReplayedUpdateError, match="has taken part in attempt 2 at round 3"):
        journal.claim("RUN", round, attempt)
    journal.claim("RUN", 3, 3)


def test_runs_do_not_touch_each_other(journal):
    journal.claim("ONE", 9, 9)
    journal.claim("TWO", 1, 1)
    with pytest.raises(ReplayedUpdateError):
        journal.claim("TWO", 1, 1)


def test_sites_in_one_memory_do_not_touch_each_other():
    shared = AttemptJournal(None)
    one, two = shared.of("site-1"), shared.of("site-2")
    one.claim("RUN", 1, 1)
    two.claim("RUN", 1, 1)
    one.reveal("RUN", 1, 1, b"survivors")
    two.reveal("RUN", 1, 1, b"others")
    two.leave("key")
    assert two.has_left("key")
    assert not one.has_left("key")
    with pytest.raises(ReplayedUpdateError):
        shared.of("site-1").claim("RUN", 1, 1)


def test_a_round_is_revealed_for_one_set_of_survivors(journal):
    journal.claim("RUN", 1, 1)
    journal.reveal("RUN", 1, 1, b"three sites")
    journal.claim("RUN", 1, 2)
    journal.reveal("RUN", 1, 2, b"three sites")
    journal.claim("RUN", 1, 3)
    with pytest.raises(MaskingError, match="for other survivors"):
        journal.reveal("RUN", 1, 3, b"two of them")
    journal.claim("RUN", 2, 1)
    journal.reveal("RUN", 2, 1, b"two of them")


@pytest.mark.parametrize("attempt", [(1, 1), (1, 3), (2, 2)])
def test_only_the_attempt_a_site_is_in_is_revealed(journal, attempt):
    journal.claim("RUN", 1, 2)
    with pytest.raises(MaskingError, match="is not the one this site is in"):
        journal.reveal("RUN", *attempt, b"")
    with pytest.raises(MaskingError, match="is not the one this site is in"):
        journal.reveal("OTHER", 1, 2, b"")


def test_a_killed_process_has_claimed_what_it_was_told_it_had(tmp_path):
    path = tmp_path / "attempts.db"
    code = (
        "import os, sys, pathlib; from nasturtium.privacy.masking.attempts import AttemptJournal\n"
        "AttemptJournal(pathlib.Path(sys.argv[1])).claim('RUN', 4, 2)\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    with pytest.raises(ReplayedUpdateError):
        AttemptJournal(path).claim("RUN", 4, 2)


def test_a_process_that_died_while_it_wrote_has_claimed_nothing(tmp_path):
    path = tmp_path / "attempts.db"
    AttemptJournal(path).claim("RUN", 1, 1)
    code = (
        "import os, sys, pathlib; from nasturtium.privacy.masking.attempts import AttemptJournal\n"
        "journal = AttemptJournal(pathlib.Path(sys.argv[1]))\n"
        "with journal._writing() as c:\n"
        "    c.execute('UPDATE attempt SET attempt = 7')\n"
        "    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    AttemptJournal(path).claim("RUN", 1, 2)


def test_of_many_threads_one_claims(tmp_path):
    path = tmp_path / "attempts.db"

    def claim(index: int) -> bool:
        try:
            AttemptJournal(path).claim("RUN", 1, 1)
        except ReplayedUpdateError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1


def test_the_file_is_its_owners(tmp_path):
    path = tmp_path / "attempts.db"
    before = os.umask(0)
    try:
        AttemptJournal(path).claim("RUN", 1, 1)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="its mode is 640"):
        AttemptJournal(path)


def test_what_is_no_journal_is_refused(tmp_path):
    junk, link, pipe = tmp_path / "junk", tmp_path / "link", tmp_path / "pipe"
    junk.write_bytes(b"not a database, but long enough to be taken for one" * 40)
    junk.chmod(0o600)
    link.symlink_to(tmp_path / "elsewhere")
    os.mkfifo(pipe, 0o600)
    for path in (junk, link, pipe, tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(KeyFileError):
            AttemptJournal(path)
    assert not (tmp_path / "elsewhere").exists()
