"""The audit log of a site: only added to, chained, on the disk before anything leaves; changes to it are found."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import canonical_json
from nasturtium.federated.errors import AuditError
from nasturtium.federated.site.audit import AuditEntry, AuditLog

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def fill(log: AuditLog, count: int) -> list[AuditEntry]:
    return [
        log.record("train", run="01RUN", round=i, attempt=1, bytes=100 + i, sha256="ab" * 32, holds=("update",))
        for i in range(1, count + 1)
    ]


def lines_of(log: AuditLog) -> list[bytes]:
    return b"".join(path.read_bytes() for path in sorted(log.folder.glob("*.jsonl"))).splitlines()


def test_entries_are_chained_and_read_newest_first(tmp_path):
    log = AuditLog(tmp_path / "log")
    assert (list(log.entries()), log.verify().entries) == ([], 0)
    written = fill(log, 5)
    log.record("", refused="policy", reason="min_rows: too few", now=NOON)
    report = log.verify()
    assert (report.entries, report.first, report.left, report.refused, report.bytes) == (6, 1, 5, 1, 515)
    newest = list(log.entries(2))
    assert [entry.number for entry in newest] == [6, 5]
    assert (newest[0].refused, newest[0].reason, newest[0].time) == ("policy", "min_rows: too few", NOON)
    assert newest[1] == written[-1]
    assert newest[0].previous == newest[1].hash
    assert (report.head, log.verify(written[2].hash)) == (newest[0].hash, report)
    assert json.loads(canonical_json(newest[0].to_dict()))["time"] == "2026-11-29T12:00:00.000+00:00"
    if os.name == "posix":
        assert {path.stat().st_mode & 0o777 for path in log.folder.iterdir()} == {0o600}


def test_rotation_goes_on_with_the_chain(tmp_path):
    log = AuditLog(tmp_path, max_bytes=1000)
    fill(log, 20)
    files = sorted(tmp_path.glob("*.jsonl"))
    assert len(files) > 5
    assert all(path.stat().st_size <= 1000 for path in files)
    assert log.verify().entries == 20
    assert [entry.round for entry in log.entries(20)] == list(range(20, 0, -1))
    assert AuditLog(tmp_path, max_bytes=1000).record("train").number == 21
    for path in files[:3]:  # put away
        path.unlink()
    report = log.verify()
    assert (report.first > 1, report.entries) == (True, 22 - report.first)


def test_a_new_log_object_goes_on(tmp_path):
    for number in range(1, 6):
        assert AuditLog(tmp_path).record("hello").number == number
    assert AuditLog(tmp_path).verify().entries == 5


def test_threads_and_other_writers_make_one_chain(tmp_path):
    logs = [AuditLog(tmp_path, max_bytes=3000), AuditLog(tmp_path, max_bytes=3000)]
    threads = [threading.Thread(target=fill, args=(logs[i % 2], 15)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logs[0].verify().entries == 60


@pytest.mark.skipif(os.name != "posix", reason="no lock between processes")
def test_processes_make_one_chain(tmp_path):
    code = (
        "import sys; from pathlib import Path; from nasturtium.federated.site.audit import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]))\nfor i in range(20): log.record('train', round=i)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert AuditLog(tmp_path).verify().entries == 60


def again(line: bytes, **changes) -> bytes:
    """A line with other values and the hash they have: what a forger would write."""
    import hashlib

    values = json.loads(line) | changes
    del values["hash"]
    return canonical_json(values | {"hash": hashlib.sha256(canonical_json(values).encode()).hexdigest()}).encode()


TAMPERED = [
    pytest.param(
        lambda lines: [*lines[:2], lines[2].replace(b"103", b"903"), *lines[3:]], "line 3 was changed", id="size"
    ),
    pytest.param(lambda lines: [lines[0], *lines[2:]], "entry 3, and does not follow entry 1", id="one-taken-out"),
    pytest.param(lambda lines: [lines[0], lines[0], *lines[1:]], "entry 1, and does not follow entry 1", id="twice"),
    pytest.param(lambda lines: [lines[1], lines[0], *lines[2:]], "does not follow entry 2", id="exchanged"),
    pytest.param(
        lambda lines: [again(lines[0], bytes=1), *lines[1:]], "line 2 is entry 2, and does not", id="rehashed"
    ),
    pytest.param(lambda lines: [again(lines[0], previous="1" * 64)], "does not follow the beginning", id="beginning"),
    pytest.param(lambda lines: [*lines[:3], again(lines[3], number=3)], "does not follow entry 3", id="number"),
    pytest.param(lambda lines: [*lines[:3], again(lines[3], number="4")], "not an entry of this version", id="type"),
    pytest.param(lambda lines: [*lines[:3], again(lines[3], time="noon")], "its time is none", id="time"),
    pytest.param(lambda lines: [*lines[:3], again(lines[3], more=1)], "not an entry of this version", id="field"),
    pytest.param(lambda lines: [*lines, b"{}"], "line 6 was changed", id="no-entry"),
    pytest.param(lambda lines: [*lines, b""], "line 6 was changed", id="empty-line"),
    pytest.param(lambda lines: [*lines, b"[" * 5000], "line 6 was changed", id="deep"),
    pytest.param(lambda lines: [*lines, b"\xff\x00"], "line 6 was changed: not text", id="bytes"),
    pytest.param(lambda lines: [lines[0].replace(b'"round":1', b'"round": 1'), *lines[1:]], "line 1 was", id="space"),
]


@pytest.mark.parametrize(("change", "match"), TAMPERED)
def test_a_change_is_found(change, match, tmp_path):
    log = AuditLog(tmp_path)
    fill(log, 5)
    path = tmp_path / "audit-000001.jsonl"
    path.write_bytes(b"\n".join(change(path.read_bytes().splitlines())) + b"\n")
    with pytest.raises(AuditError, match=match):
        AuditLog(tmp_path).verify()


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=60)
def test_any_byte_that_is_changed_is_found(place, byte, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    log = AuditLog(folder)
    fill(log, 3)
    head = log.verify().head
    path = folder / "audit-000001.jsonl"
    data = bytearray(path.read_bytes())
    place %= len(data)
    if data[place] == byte:
        return
    data[place] = byte
    path.write_bytes(data)
    with pytest.raises(AuditError):
        log.verify(head)


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_kept(tmp_path):
    log = AuditLog(tmp_path)
    fill(log, 5)
    head = log.verify().head
    path = tmp_path / "audit-000001.jsonl"
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:3]) + b"\n")
    assert log.verify().entries == 3
    with pytest.raises(AuditError, match="cut off or replaced"):
        log.verify(head)


def test_a_file_that_is_missing_is_found(tmp_path):
    log = AuditLog(tmp_path, max_bytes=1000)
    fill(log, 12)
    sorted(tmp_path.glob("*.jsonl"))[2].unlink()
    with pytest.raises(AuditError, match=r"does not follow .* a file is missing"):
        log.verify()


@pytest.mark.parametrize("cut", [1, 20, 200])
@pytest.mark.parametrize("entries", [1, 3])
def test_half_a_line_of_a_crash_is_taken_away(cut, entries, tmp_path):
    log = AuditLog(tmp_path)
    fill(log, entries)
    path = tmp_path / "audit-000001.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    report = log.verify()
    assert (report.entries, report.unfinished > 0) == (entries - 1, True)
    assert AuditLog(tmp_path).record("train", now=NOON).number == entries
    assert (log.verify().entries, log.verify().unfinished) == (entries, 0)


@pytest.mark.parametrize("rest", [b"", b'{"half'])
def test_a_crash_between_a_new_file_and_its_first_line(rest, tmp_path):
    log = AuditLog(tmp_path)
    fill(log, 2)
    (tmp_path / "audit-000002.jsonl").write_bytes(rest)
    assert AuditLog(tmp_path).record("train").number == 3
    assert AuditLog(tmp_path).verify().entries == 3


def test_a_changed_end_is_not_gone_on_from(tmp_path):
    log = AuditLog(tmp_path)
    fill(log, 2)
    path = tmp_path / "audit-000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"102", b"902"))
    with pytest.raises(AuditError, match=r"the end of the audit log .* was changed"):
        AuditLog(tmp_path).record("train")


def test_a_full_disk_leaves_the_log_whole(tmp_path, monkeypatch):
    log = AuditLog(tmp_path)
    fill(log, 2)

    def full(descriptor, data):
        half = len(data) // 2
        assert write(descriptor, data[:half]) == half
        raise OSError(errno.ENOSPC, "No space left on device")

    write = os.write
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(AuditError, match=r"No space left.*nothing leaves"):
        log.record("train")
    monkeypatch.undo()
    assert (log.verify().entries, log.verify().unfinished) == (2, 0)
    assert log.record("train").number == 3
    assert log.verify().entries == 3


def test_places_where_there_can_be_no_log(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder" / "audit-000001.jsonl").mkdir(parents=True)
    for name in ("file", "loop", "folder", "file/inside", "x" * 300):
        with pytest.raises(AuditError):
            AuditLog(tmp_path / name).record("train")


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "audit-000001.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuditError, match="no regular file"):
        AuditLog(tmp_path / "log").record("train")
    assert (tmp_path / "elsewhere").read_text() == ""


@given(text=st.text(), count=st.integers(0, 200))
@settings(max_examples=40)
def test_whatever_the_words_are_the_line_stays_short(text, count, tmp_path_factory):
    log = AuditLog(tmp_path_factory.mktemp("log"))
    log.record(text, run=text * 1000, holds=[text * 1000] * count, refused=text, reason=text * 1000)
    [line] = lines_of(log)
    assert len(line) < 2**18
    assert log.verify().entries == 1
