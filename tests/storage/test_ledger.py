"""The privacy ledger: any change is found and named, no budget is overspent, many may write at once."""

import base64
import csv
import hashlib
import io
import json
import re
from fractions import Fraction
from math import inf, nan, nextafter

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, select, text

from nasturtium.core import ConfigError, FormatError
from nasturtium.storage import BudgetSpentError, IntegrityError, StorageError, open_database
from nasturtium.storage.chain import GENESIS, Link, check_chain, entry_hash, seal
from nasturtium.storage.ledger import Ledger
from nasturtium.storage.signing import SignedHead, SigningKey
from nasturtium.storage.spending import PrivacyBudget, PrivacySpent, Spend, add, rounds_within

from .together import run_together

RUN = "01KB5ZZZZZZZZZZZZZZZZZZZZZ"
OTHER_RUN = "01KB5YYYYYYYYYYYYYYYYYYYYY"
SUBJECT = "sha256:11"
TEXTS = ("kind", "subject", "run_uid", "body", "previous", "hash", "signer", "signature")
COLUMNS = ("sequence", "recorded_us", *TEXTS)
same_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@pytest.fixture
def ledger(database):
    ticks = iter(range(1_700_000_000_000_000, 2_000_000_000_000_000, 1_000_003))
    return Ledger(database, clock=lambda: next(ticks))


@pytest.fixture
def written(ledger):
    """A ledger of six entries."""
    ledger.append("key", {"scheme": "ckks", "members": ["site-1", "Zürich"]}, run=RUN)
    ledger.set_budget(SUBJECT, epsilon=8, delta=1e-5)
    for number in (1, 2, 3):
        ledger.spend(release(round=number, epsilon=0.5, delta=1e-7, details={"noise_multiplier": 1.1}))
    ledger.append("config", {"noise": None}, subject="keyed:22")
    return ledger


def release(**changes):
    return Spend(**{"subject": SUBJECT, "run": RUN, "round": 1, "mechanism": "gaussian"} | changes)


def allow_changes(database):
    """What an attacker with rights on the table does first."""
    with database.write() as session:
        if database.path is None:
            session.execute(text("ALTER TABLE nst_ledger DISABLE TRIGGER USER"))
            return
        named = text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'nst_ledger'")
        for name in session.scalars(named).all():
            session.execute(text(f"DROP TRIGGER {name}"))


def change(database, sequence, column, value):
    """Put a value, text as its bytes, into a column of an entry."""
    target = ":value"
    if isinstance(value, bytes):
        if database.path is None:
            value = value.decode()
        else:
            target = "CAST(:value AS TEXT)"
    with database.write() as session:
        session.execute(
            text(f"UPDATE nst_ledger SET {column} = {target} WHERE sequence = :sequence"),
            {"value": value, "sequence": sequence},
        )


def rows(database):
    with database.read() as session:
        found = session.execute(text("SELECT * FROM nst_ledger ORDER BY sequence"))
        return [dict(row) for row in found.mappings()]


def put(database, link):
    names = ("sequence", "kind", "subject", "run_uid", "body", "recorded_us", "previous", "hash", "signer", "signature")
    values = ", ".join(f":{name}" for name in names)
    with database.write() as session:
        session.execute(
            text(f"INSERT INTO nst_ledger ({', '.join(names)}) VALUES ({values})"), dict(zip(names, link, strict=True))
        )


def remove(database, condition):
    allow_changes(database)
    with database.write() as session:
        session.execute(text(f"DELETE FROM nst_ledger WHERE {condition}"))


def links(database):
    return [
        Link(**{("run" if name == "run_uid" else name): value for name, value in row.items()}) for row in rows(database)
    ]


def named(call):
    """The entry that the error of a call names."""
    with pytest.raises(IntegrityError) as caught:
        call()
    found = re.match(r"entry (-?\d+) of the ledger: .", caught.value.message)
    assert found, caught.value.message
    assert caught.value.hint
    return int(found[1])


def flip(value, bit):
    if isinstance(value, int):
        return value ^ (1 << bit % 63)
    data = bytearray(value.encode())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(data)


def test_an_entry_comes_back_as_it_was_appended(ledger):
    record = ledger.append(
        "consent", {"text": "ja\0 \ud800", "till": inf, "n": [1, -inf, None]}, subject=SUBJECT, run=RUN
    )
    assert (record.sequence, record.kind, record.subject, record.run) == (1, "consent", SUBJECT, RUN)
    assert record.body == {"text": "ja\0 \ud800", "till": "inf", "n": [1, "-inf", None]}
    assert record.recorded.timestamp() == 1_700_000_000
    assert record.previous == GENESIS
    second = ledger.append("config", {})
    assert second.previous == hashlib.sha256(f"{record.hash}{record.signature}".encode()).hexdigest()
    assert ledger.entries() == [record, second]
    assert ledger.head() == second.head
    record.head.verify()


def test_entries_are_chosen_by_subject_run_and_kind(written):
    numbers = {
        "all": [1, 2, 3, 4, 5, 6],
        "kind": [3, 4, 5],
        "run": [1, 3, 4, 5],
        "both": [2, 3, 4, 5],
        "last": [5, 6],
        "none": [],
    }
    asked = {
        "all": written.entries(),
        "kind": written.entries(kind="spend"),
        "run": written.entries(run=RUN),
        "both": written.entries(subject=SUBJECT),
        "last": written.entries(limit=2),
        "none": written.entries(run=OTHER_RUN),
    }
    assert {name: [record.sequence for record in found] for name, found in asked.items()} == numbers
    assert written.subjects() == ["keyed:22", SUBJECT]


def test_an_empty_ledger_is_in_order(ledger):
    assert ledger.head() is None
    assert ledger.entries() == []
    assert ledger.subjects() == []
    report = ledger.verify()
    assert (report.entries, report.head, report.signers) == (0, None, {})


def test_a_whole_ledger_is_in_order(written, database):
    key = SigningKey.open(database.key_file).public
    report = written.verify(signatures=True)
    assert (report.entries, report.head, report.signers) == (6, written.head(), {key: 1})
    heads = {record.sequence: record.head for record in written.entries()}
    assert written.verify(heads) == written.verify(heads[3]) == report
    written.append("config", {})
    assert written.verify(heads).entries == 7


@pytest.mark.parametrize(
    ("kind", "body", "changes", "message"),
    [
        pytest.param("key", {"a": nan}, {}, "must be JSON", id="nan"),
        pytest.param("key", {"a": [{"b": nan}]}, {}, "must be JSON", id="nan-inside"),
        pytest.param("key", {"a": {1: 2}}, {}, "must be JSON", id="key-no-text"),
        pytest.param("key", {"a": b"x"}, {}, "must be JSON", id="bytes"),
        pytest.param("key", {"a": object()}, {}, "must be JSON", id="object"),
        pytest.param("other", {}, {}, "'other'", id="kind"),
        pytest.param("spend", {}, {}, "use `set_budget` or `spend`", id="spend"),
        pytest.param("budget", {}, {}, "use `set_budget` or `spend`", id="budget"),
        pytest.param("key", {}, {"run": "1"}, "the ULID of a run", id="run"),
        pytest.param("key", {}, {"run": RUN.lower()}, "the ULID of a run", id="run-lower-case"),
        pytest.param("key", {}, {"subject": ""}, "a subject", id="subject-empty"),
        pytest.param("key", {}, {"subject": "a\0"}, "a subject", id="subject-nul"),
        pytest.param("key", {}, {"subject": "\x1b[31m"}, "a subject", id="subject-escape"),
        pytest.param("key", {}, {"subject": "\ud800"}, "a subject", id="subject-surrogate"),
        pytest.param("key", {}, {"subject": "a" * 501}, "a subject", id="subject-long"),
    ],
)
def test_what_cannot_be_recorded_is_refused(sqlite_database, kind, body, changes, message):
    ledger = Ledger(sqlite_database)
    with pytest.raises(ConfigError, match=message):
        ledger.append(kind, body, **changes)
    assert ledger.entries() == []


def test_a_body_too_deep_is_refused(sqlite_database):
    body = {}
    for _ in range(100_000):
        body = {"a": body}
    with pytest.raises(ConfigError, match="must be JSON"):
        Ledger(sqlite_database).append("key", body)


@same_database
@given(sequence=st.integers(1, 6), column=st.sampled_from(COLUMNS), bit=st.integers(0, 4095))
def test_any_flipped_bit_is_found_and_its_entry_named(written, database, sequence, column, bit):
    allow_changes(database)
    was = rows(database)[sequence - 1][column]
    assume(was is not None)
    changed = flip(was, bit)
    if isinstance(changed, int):
        assume(column != "sequence" or not 1 <= changed <= 6)
    elif database.path is None:
        assume(max(changed) < 128 and min(changed) > 0)  # PostgreSQL's texts hold nothing else
    now = changed if column == "sequence" else sequence
    change(database, sequence, column, changed)
    try:
        assert named(written.verify) in {sequence, now}
        assert named(lambda: written.verify(signatures=True)) in {sequence, now}
    finally:
        change(database, now, column, was.encode() if isinstance(was, str) else was)
    assert written.verify().entries == 6


@pytest.mark.parametrize("name", Link._fields)
def test_every_single_bit_of_a_chain_is_covered(name):
    key, ledger, chain = SigningKey(bytes(range(32))), RUN, []
    for number in (1, 2, 3):
        link = Link(number, "spend", "s", RUN, '{"a":0.5}', 1_700_000_000_000_000, GENESIS, "", key.public, "")
        link = link._replace(previous=seal(chain[-1]) if chain else GENESIS)
        link = link._replace(hash=entry_hash(ledger, link))
        chain.append(link._replace(signature=key.sign_head(ledger, number, link.hash).signature))
    assert check_chain(ledger, chain, heads={}, signatures=False).entries == 3
    for at, link in enumerate(chain):
        value = getattr(link, name)
        for bit in range(63 if isinstance(value, int) else 8 * len(value)):
            changed = flip(value, bit)
            if isinstance(changed, bytes):
                changed = changed.decode("latin-1")
            broken = [*chain[:at], link._replace(**{name: changed}), *chain[at + 1 :]]
            found = named(lambda broken=broken: check_chain(ledger, broken, heads={}, signatures=False))
            assert found in ({at + 1, changed} if name == "sequence" else {at + 1})


@pytest.mark.parametrize("column", TEXTS)
def test_a_text_turned_into_bytes_is_found(sqlite_database, column):
    ledger = Ledger(sqlite_database)
    for _ in range(3):
        ledger.append("key", {"a": 1}, subject=SUBJECT, run=RUN)
    allow_changes(sqlite_database)
    with sqlite_database.write() as session:
        session.execute(text(f"UPDATE nst_ledger SET {column} = CAST({column} AS BLOB) WHERE sequence = 2"))
    assert named(ledger.verify) == 2


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"a":1', '{"noise": null}', '{"a":1,"a":2}', "NaN", "[" * 10_000])
def test_a_replaced_body_is_found(written, database, body):
    allow_changes(database)
    for sequence in (6, 3, 1):
        change(database, sequence, "body", body.encode())
        assert named(written.verify) == sequence


@pytest.mark.parametrize("column", TEXTS)
def test_a_text_that_cannot_be_decoded_is_named_but_not_before_what_is_wrong_before_it(sqlite_database, column):
    ledger = Ledger(sqlite_database)
    for _ in range(4):
        ledger.append("key", {}, subject=SUBJECT, run=RUN)
    allow_changes(sqlite_database)
    change(sqlite_database, 3, column, b"\xff\xfe")
    assert named(ledger.verify) == 3
    change(sqlite_database, 2, "recorded_us", 5)
    assert named(ledger.verify) == 2


@pytest.mark.parametrize("columns", [("subject", "run_uid"), ("kind",), ("previous", "hash"), ("hash", "signature")])
def test_columns_taken_from_another_entry_are_found(written, database, columns):
    allow_changes(database)
    theirs = rows(database)[3]
    change(database, 4, "hash", b"00" * 32)  # it is unique
    for column in columns:
        change(database, 3, column, (theirs[column] or "").encode() + (b"x" if column in {"subject", "kind"} else b""))
    assert named(written.verify) == 3


@pytest.mark.parametrize("sequence", [1, 2, 5])
def test_an_entry_left_out_is_named(written, database, sequence):
    remove(database, f"sequence = {sequence}")
    assert named(written.verify) == sequence


def test_an_entry_left_out_is_named_where_the_others_are_renumbered(written, database):
    remove(database, "sequence = 3")
    for sequence in (4, 5, 6):
        change(database, sequence, "sequence", sequence - 1)
    assert named(written.verify) == 3


def test_an_end_that_was_cut_off_shows_against_a_head_that_was_kept(written, database):
    kept = {"site-1": written.entries()[2].head, "site-2": written.head()}
    remove(database, "sequence > 4")
    assert written.verify().entries == 4  # without a head, nobody can tell
    assert written.verify(kept["site-1"]).entries == 4
    with pytest.raises(IntegrityError, match=r"entry 5 .* is missing; .*before it, but site-2 kept the head of 6"):
        written.verify(kept)
    remove(database, "sequence > 0")
    assert named(lambda: written.verify(kept["site-1"])) == 1


@pytest.mark.parametrize("new_key", [True, False], ids=["new-key", "same-key"])
def test_an_end_that_was_rewritten_shows_against_a_head_that_was_kept(written, database, new_key):
    kept = {f"site-{record.sequence}": record.head for record in written.entries()}
    remove(database, "sequence > 3")
    if new_key:
        database.key_file.rename(database.key_file.with_name("old-key"))
    forged = Ledger(database)
    for number in (2, 3, 4):
        forged.spend(release(round=number, epsilon=0.001, delta=0))
    report = forged.verify(signatures=True)
    assert report.entries == 6
    assert list(report.signers.values()) == ([1, 4] if new_key else [1])
    for sequence in (1, 2, 3):
        assert forged.verify(kept[f"site-{sequence}"]) == report
    with pytest.raises(IntegrityError, match="entry 1 to 6 of the ledger: rewritten after its keeper kept the head"):
        forged.verify(kept["site-6"])
    with pytest.raises(IntegrityError, match="entry 4 of the ledger: rewritten after site-4 kept the head of entry 4"):
        forged.verify(kept)


def test_a_single_entry_that_was_rewritten_with_the_key_is_named(written, database):
    allow_changes(database)
    key, ledger = SigningKey.open(database.key_file), written.head().ledger
    link = links(database)[3]
    link = link._replace(body=link.body.replace("0.5", "0.1"))
    link = link._replace(hash=entry_hash(ledger, link))
    link = link._replace(signature=key.sign_head(ledger, 4, link.hash).signature)
    remove(database, "sequence = 4")
    put(database, link)
    assert named(written.verify) == 4


@pytest.mark.parametrize("signatures", [True, False])
def test_an_end_that_was_rewritten_without_the_key_is_found_where_it_begins(written, database, signatures):
    ledger, chain = written.head().ledger, links(database)
    remove(database, "sequence > 2")
    before = chain[1]
    for link in chain[2:]:
        link = link._replace(body=link.body.replace("0.5", "0.1"), previous=seal(before))
        before = link._replace(hash=entry_hash(ledger, link))
        put(database, before)
    assert named(lambda: written.verify(signatures=signatures)) == 3
    with pytest.raises(IntegrityError, match="entry 6 "):  # nothing is added to that
        written.append("config", {})
    with pytest.raises(IntegrityError, match="entry 6 "):
        written.head()


def test_entries_of_several_signers_are_in_order(written, database):
    first = SigningKey.open(database.key_file).public
    database.key_file.unlink()
    Ledger(database).append("config", {})
    written.append("config", {})  # it still has the first key
    second = SigningKey.open(database.key_file).public
    assert written.verify().signers == {first: 1, second: 7}
    assert written.verify(signatures=True).changes == (7, 8)
    allow_changes(database)
    change(database, 7, "signature", b"00" * 64)
    assert named(written.verify) == 7


def test_a_head_of_another_ledger_is_refused(written, tmp_path):
    with open_database(tmp_path / "other.db") as other:
        stranger = Ledger(other)
        stranger.append("key", {})
        head = stranger.head()
    with pytest.raises(IntegrityError, match=f"is of ledger {head.ledger}, this is ledger {written.head().ledger}"):
        written.verify(head)


def test_a_head_that_was_damaged_is_refused(written):
    head = written.head()
    broken = SignedHead.from_json(head.to_json().replace(head.hash, "ab" * 32))
    with pytest.raises(IntegrityError, match="the head of entry 6 that site-1 kept: the signature"):
        written.verify({"site-1": broken})


def test_a_head_signed_by_somebody_else_is_refused(written):
    head = written.head()
    other = SigningKey(bytes(32)).sign_head(head.ledger, head.sequence, head.hash)
    with pytest.raises(IntegrityError, match="entry 6 of the ledger: it is signed by"):
        written.verify(other)


@pytest.mark.parametrize("statement", ["UPDATE nst_ledger SET kind = 'key'", "DELETE FROM nst_ledger"])
def test_entries_can_only_be_appended(written, database, statement):
    before = rows(database)
    with pytest.raises(StorageError, match="append-only"), database.write() as session:
        session.execute(text(statement))
    assert rows(database) == before


def test_a_spend_is_part_of_the_callers_transaction(ledger, database):
    def fail():
        with database.write(durable=True) as session:
            ledger.spend(release(epsilon=1, delta=0), session)
            raise RuntimeError("the round could not be recorded")

    with pytest.raises(RuntimeError, match="the round"):
        fail()
    assert ledger.entries() == []
    with database.write(durable=True) as session:
        ledger.append("key", {}, session=session)
        record = ledger.spend(release(epsilon=1, delta=0), session)
        record.head.verify()
    assert [each.sequence for each in ledger.entries()] == [1, 2]
    assert ledger.verify(record.head).entries == 2


def test_a_spend_over_the_budget_is_refused_and_nothing_recorded(ledger, database):
    ledger.set_budget(SUBJECT, epsilon=1, delta=1e-5)
    ledger.spend(release(epsilon=0.75, delta=5e-6))
    before = rows(database)
    for cost in ({"epsilon": 0.2500001, "delta": 0}, {"epsilon": 0, "delta": 5.1e-6}, {"epsilon": inf, "delta": 0}):
        assert ledger.would_exceed(SUBJECT, **cost)
        with pytest.raises(BudgetSpentError, match=f"{SUBJECT} to epsilon .*; its budget is epsilon 1, delta 1e-05"):
            ledger.spend(release(round=2, **cost))
    assert rows(database) == before
    assert not ledger.would_exceed(SUBJECT, 0.25, 5e-6)
    assert not ledger.would_exceed("keyed:22", inf, 0.5)
    ledger.spend(release(round=2, epsilon=0.25, delta=5e-6))
    assert ledger.spent(SUBJECT) == PrivacySpent(epsilon=1.0, delta=1e-5, releases=2)
    assert ledger.remaining(SUBJECT) == PrivacyBudget(epsilon=0.0, delta=0.0)


def test_a_refused_spend_takes_the_callers_transaction_along(ledger, database):
    ledger.set_budget(SUBJECT, epsilon=1, delta=0)

    def round_and_spend():
        with database.write(durable=True) as session:
            ledger.append("config", {}, session=session)
            ledger.spend(release(epsilon=2, delta=0), session)

    with pytest.raises(BudgetSpentError):
        round_and_spend()
    assert len(ledger.entries()) == 1


costs = st.one_of(st.floats(0, 2), st.sampled_from([0.1, 0.2, 0.3, 0.7, inf]))
spends = st.lists(st.tuples(costs, st.floats(0, 1e-5), st.sampled_from("ab")), max_size=12)


def exactly(figure):
    return Fraction(10**400) if figure == inf else Fraction(repr(figure))


@settings(same_database, max_examples=25)
@given(spends=spends, epsilon=st.floats(0.1, 5), delta=st.floats(0, 5e-5))
def test_no_spends_go_over_a_budget(sqlite_database, spends, epsilon, delta):
    ledger, database = Ledger(sqlite_database), sqlite_database
    prefix = f"{len(rows(database))}:"  # an example of its own
    totals = {prefix + name: (Fraction(0), Fraction(0)) for name in "ab"}
    for subject in totals:
        ledger.set_budget(subject, epsilon=epsilon, delta=delta)
    for number, (cost, risk, name) in enumerate(spends):
        subject, before = prefix + name, rows(database)
        after = (totals[subject][0] + exactly(cost), totals[subject][1] + exactly(risk))
        fits = after[0] <= exactly(epsilon) and after[1] <= exactly(delta)
        spend = release(subject=subject, round=number, epsilon=cost, delta=risk)
        refused = ledger.would_exceed(subject, cost, risk)
        assert refused or fits
        try:
            record = ledger.spend(spend)
        except BudgetSpentError:
            assert refused
            assert rows(database) == before
        else:
            assert not refused
            assert rows(database)[:-1] == before
            assert ledger.spend(spend) == record
            totals[subject] = after
        spent = ledger.spent(subject)
        assert totals[subject][0] <= exactly(spent.epsilon) <= exactly(epsilon)
        assert totals[subject][1] <= exactly(spent.delta) <= exactly(delta)
    ledger.verify()


@given(a=st.floats(0, 1e300), b=st.floats(0, 1e300))
def test_a_sum_is_never_less_than_its_figures_as_written(a, b):
    exact = Fraction(repr(a)) + Fraction(repr(b))
    assert Fraction(repr(add(a, b))) >= exact
    assert add(a, b) <= nextafter(float(exact), inf)


def test_tenths_add_up(ledger):
    ledger.set_budget(SUBJECT, epsilon=0.3, delta=0)
    for number in (1, 2, 3):
        ledger.spend(release(round=number, epsilon=0.1, delta=0))
    assert ledger.spent(SUBJECT).epsilon == 0.3
    assert ledger.would_exceed(SUBJECT, 1e-300, 0)


def test_the_last_budget_counts(ledger):
    assert ledger.budget(SUBJECT) is None
    assert ledger.remaining(SUBJECT) is None
    ledger.spend(release(epsilon=3, delta=1e-6))  # nothing was said yet
    ledger.set_budget(SUBJECT, epsilon=2, delta=1e-5, run=RUN)
    assert ledger.remaining(SUBJECT) == PrivacyBudget(epsilon=0.0, delta=9e-6)
    assert ledger.would_exceed(SUBJECT, 0, 0)
    again = ledger.set_budget(SUBJECT, epsilon=2.0, delta=1e-5)
    assert (again.sequence, again.run) == (2, RUN)
    ledger.set_budget(SUBJECT, epsilon=inf, delta=1e-5)
    assert ledger.budget(SUBJECT) == PrivacyBudget(epsilon=inf, delta=1e-5)
    ledger.spend(release(round=2, epsilon=inf, delta=1e-6))
    assert ledger.spent(SUBJECT) == PrivacySpent(epsilon=inf, delta=2e-6, releases=2)
    assert ledger.remaining(SUBJECT) == PrivacyBudget(epsilon=inf, delta=8e-6)
    assert '"epsilon":"inf"' in ledger.entries(kind="spend")[-1].text
    assert ledger.verify().entries == 4


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0, 0), (-1, 0), (nan, 0), (1, 1), (1, -1e-9), (1, nan), (-inf, 0), (1, inf)]
)
def test_a_budget_out_of_range_is_refused(sqlite_database, epsilon, delta):
    with pytest.raises(ConfigError, match="expected"):
        Ledger(sqlite_database).set_budget(SUBJECT, epsilon=epsilon, delta=delta)
    assert Ledger(sqlite_database).entries() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": -1},
        {"epsilon": nan},
        {"delta": 1.0},
        {"delta": nan},
        {"total_epsilon": 1.0},
        {"total_delta": 1e-5},
        {"total_epsilon": 0.4, "total_delta": 1e-5},
        {"total_epsilon": nan, "total_delta": 1e-5},
        {"total_epsilon": 1.0, "total_delta": 1e-8},
        {"total_epsilon": 1.0, "total_delta": 1.1},
        {"total_epsilon": 1.0, "total_delta": nan},
        {"mechanism": ""},
        {"round": -1},
        {"round": 1.0},
        {"round": True},
        {"subject": "a\nb"},
    ],
    ids=str,
)
def test_a_release_out_of_range_is_refused(changes):
    with pytest.raises(ConfigError, match="expected"):
        release(**{"epsilon": 0.5, "delta": 1e-7} | changes)


def test_an_accountants_total_counts_instead_of_the_sum(ledger):
    ledger.set_budget(SUBJECT, epsilon=2, delta=1e-5)
    for number, total in enumerate((1.0, 1.4, 1.7), 1):
        ledger.spend(release(round=number, epsilon=1, delta=1e-5, total_epsilon=total, total_delta=1e-5))
    assert ledger.spent(SUBJECT) == PrivacySpent(epsilon=1.7, delta=1e-5, releases=3)
    assert ledger.would_exceed(SUBJECT, 1, 1e-5, total_epsilon=2.1, total_delta=1e-5)
    assert not ledger.would_exceed(SUBJECT, 1, 1e-5, total_epsilon=2, total_delta=1e-5)
    for figures in ({"total_epsilon": 1.6, "total_delta": 1e-5}, {"total_epsilon": 1.8, "total_delta": 9e-6}):
        with pytest.raises(ConfigError, match=r"at least epsilon 1.7, delta 1e-05, which sha256:11 has lost already"):
            ledger.spend(release(round=4, epsilon=1, delta=1e-6, **figures))
    assert len(ledger.entries()) == 4
    ledger.spend(release(round=4, epsilon=0.1, delta=0))  # what comes without a total is added to the last one
    assert ledger.spent(SUBJECT).epsilon == 1.8


@pytest.mark.parametrize(
    ("spent", "before", "after", "expected"),
    [
        pytest.param((0.0, 0.0), (0.0, 0.0), (0.5, 1e-7), (0.5, 1e-7), id="the-first-release"),
        pytest.param((0.5, 1e-7), (0.5, 1e-7), (0.7, 1e-7), (0.7, 1e-7), id="of-the-only-run"),
        pytest.param((0.8, 2e-7), (0.5, 1e-7), (0.7, 1e-7), (1.0, 2e-7), id="beside-another-run"),
        pytest.param((0.3, 1e-7), (0.0, 0.0), (0.1, 1e-7), (0.4, 2e-7), id="after-another-run"),
        pytest.param((0.5, 1e-7), (0.5, 1e-7), (0.4, 1e-8), (0.5, 1e-7), id="never-less"),
        pytest.param((inf, 0.0), (1.0, 0.0), (2.0, 1e-7), (inf, 1e-7), id="all-was-lost"),
        pytest.param((0.5, 1e-7), (0.5, 1e-7), (inf, 1e-7), (inf, 1e-7), id="all-is-lost"),
        pytest.param((0.5, 0.75), (0.0, 0.0), (0.5, 0.75), (1.0, 1.0), id="delta-is-a-chance"),
    ],
)
def test_a_run_is_added_to_all_else_that_was_lost(sqlite_database, spent, before, after, expected):
    ledger = Ledger(sqlite_database)
    if any(spent):
        ledger.spend(release(epsilon=spent[0], delta=spent[1]))
    assert ledger.spent_with(SUBJECT, before=before, after=after) == expected


def test_a_transaction_sees_what_was_recorded_in_it_and_others_see_it_once_it_ends(ledger):
    with ledger.transaction() as session:
        ledger.spend(release(epsilon=0.5, delta=0), session)
        with ledger.transaction(session) as joined:
            assert joined is session
        assert ledger.spent(SUBJECT, session).epsilon == 0.5
        assert ledger.spent_with(SUBJECT, before=(0, 0), after=(0.25, 0), session=session) == (0.75, 0.0)
        assert len(ledger.entries(run=RUN, session=session)) == 1
        assert (ledger.spent(SUBJECT).epsilon, ledger.entries()) == (0.0, [])
    assert ledger.spent(SUBJECT).epsilon == 0.5


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"epsilon": 0.6}, id="epsilon"),
        pytest.param({"delta": 0}, id="delta"),
        pytest.param({"total_epsilon": 0.6, "total_delta": 1e-7}, id="total"),
    ],
)
def test_a_release_is_recorded_once(ledger, changes):
    spend = release(epsilon=0.5, delta=1e-7)
    first = ledger.spend(spend)
    ledger.spend(release(round=2, epsilon=0.5, delta=1e-7))
    assert ledger.spend(spend) == first
    with pytest.raises(ConfigError, match=r"entry 1 .* gaussian has spent epsilon 0.5"):
        ledger.spend(release(**{"epsilon": 0.5, "delta": 1e-7} | changes))
    assert len(ledger.entries()) == 2


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"mechanism": 'gaus%","round":1,"'}, id="mechanism"),
        pytest.param({"mechanism": "Gaussian"}, id="mechanism-in-another-case"),
        pytest.param({"round": 11}, id="round"),
        pytest.param({"round": None}, id="no-round"),
        pytest.param({"run": OTHER_RUN}, id="run"),
        pytest.param({"subject": "keyed:22"}, id="subject"),
    ],
)
def test_another_release_is_another_entry(ledger, changes):
    misleading = {"mechanism": "gaussian", "round": 11}
    ledger.spend(release(round=1, epsilon=0.5, delta=0, details=misleading))
    other = release(epsilon=0.25, delta=0, **changes)
    record = ledger.spend(other)
    assert record.sequence == 2
    assert ledger.spend(other) == record


def test_releases_without_a_run_cannot_be_told_apart_and_all_count(ledger):
    for _ in range(3):
        ledger.spend(release(run=None, round=None, epsilon=0.5, delta=0))
    assert ledger.spent(SUBJECT) == PrivacySpent(epsilon=1.5, delta=0.0, releases=3)


def test_the_forecast_is_that_of_a_new_run_like_the_last_one(ledger):
    assert ledger.rounds_left(SUBJECT) is None
    ledger.set_budget(SUBJECT, epsilon=1, delta=1e-5)
    assert ledger.rounds_left(SUBJECT) is None  # nothing was spent: who knows
    assert ledger.rounds_left(SUBJECT, epsilon_per_round=0.1) == 10
    ledger.spend(release(round=1, epsilon=0.3, delta=0))
    assert ledger.rounds_left(SUBJECT) == 2
    ledger.spend(release(round=2, epsilon=0.1, delta=0))
    ledger.spend(release(round=2, mechanism="counts", epsilon=0.1, delta=1e-6))
    assert ledger.rounds_left(SUBJECT) == 2
    assert ledger.rounds_left(SUBJECT, epsilon_per_round=0.01) == 10  # by then delta is spent: the first is free of it
    ledger.set_budget(SUBJECT, epsilon=inf, delta=0.5)
    assert ledger.rounds_left(SUBJECT) == 500_000
    account = ledger.account(SUBJECT)
    assert (account.budget, account.spent) == (ledger.budget(SUBJECT), ledger.spent(SUBJECT))
    assert (account.remaining, account.rounds_left) == (ledger.remaining(SUBJECT), ledger.rounds_left(SUBJECT))


@pytest.mark.parametrize(
    ("budget", "rounds"),
    [
        pytest.param((10, 3e-6), 15, id="steps-of-the-last-round"),
        pytest.param((3.5, 3e-6), 2, id="as-the-run-was"),
        pytest.param((2.75, 3e-6), 0, id="the-first-round-costs-most"),
        pytest.param((10, 2e-6), 15, id="one-more-delta"),
        pytest.param((10, 1e-6), 0, id="no-delta-left"),
        pytest.param((10, 1.5e-6), 0, id="less-than-a-delta-left"),
        pytest.param((10, 0), 0, id="delta-overspent"),
        pytest.param((1, 0.5), 0, id="epsilon-overspent"),
        pytest.param((inf, 1e-6), 0, id="no-delta-left-of-any-epsilon"),
        pytest.param((inf, 2e-6), None, id="no-end"),
    ],
)
def test_a_new_run_pays_its_delta_and_its_dear_first_rounds_again(ledger, budget, rounds):
    for number, total in enumerate((1, 1.5, 2), 1):
        ledger.spend(release(round=number, epsilon=1, delta=1e-6, total_epsilon=total, total_delta=1e-6))
    ledger.set_budget(SUBJECT, epsilon=budget[0], delta=budget[1])
    assert ledger.rounds_left(SUBJECT) == rounds
    assert ledger.account(SUBJECT).next_cost == PrivacyBudget(epsilon=1.0, delta=1e-6)


def test_the_forecast_looks_at_the_last_run_alone_and_at_all_of_its_rounds(ledger):
    ledger.set_budget(SUBJECT, epsilon=10, delta=0.5)
    ledger.spend(release(run=OTHER_RUN, epsilon=2, delta=0))
    ledger.spend(release(epsilon=1, delta=0))
    ledger.spend(release(run=OTHER_RUN, round=2, epsilon=2, delta=0))
    ledger.spend(release(round=2, epsilon=0.5, delta=0))
    assert ledger.rounds_left(SUBJECT) == 8  # 4.5 are left for 1, 1.5, 2, ...
    ledger.spend(release(run=None, round=3, epsilon=0.25, delta=0))
    ledger.spend(release(run=None, round=3, mechanism="counts", epsilon=0.25, delta=0))
    assert ledger.rounds_left(SUBJECT) == 8  # 4 are left for 0.5, 1, ...
    ledger.spend(release(run=None, round=None, epsilon=1, delta=0))
    ledger.spend(release(run=None, round=None, epsilon=2, delta=0))
    assert ledger.rounds_left(SUBJECT) == 0  # 1 is left, and the last one cost 2


def test_a_forecast_of_tenths_is_that_of_decimal_figures(ledger):
    ledger.set_budget(SUBJECT, epsilon=0.3, delta=0)
    assert ledger.rounds_left(SUBJECT, epsilon_per_round=0.1) == 3
    assert rounds_within(PrivacyBudget(epsilon=0.3, delta=0.0), [PrivacyBudget(epsilon=0.1, delta=0.0)]) == 3


def check_offline(rows):
    """Verify exported entries by what is documented, with nothing of ours."""
    previous = "0" * 64
    for number, row in enumerate(rows, 1):
        names = ("kind", "ledger", "previous", "recorded_us", "run", "sequence", "signer", "subject")
        content = {"body": json.loads(row["body"]), **{name: row[name] for name in names}}
        hashed = json.dumps(content, sort_keys=True, separators=(",", ":"))
        assert row["sequence"] == number
        assert row["previous"] == previous
        assert row["hash"] == hashlib.sha256(hashed.encode()).hexdigest()
        message = (
            b"nasturtium ledger head v1\0" + row["ledger"].encode() + number.to_bytes(8) + bytes.fromhex(row["hash"])
        )
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(row["signer"]))
        key.verify(bytes.fromhex(row["signature"]), message)
        previous = hashlib.sha256((row["hash"] + row["signature"]).encode()).hexdigest()


def parse_csv(exported):
    return [
        {name: int(value) if name in {"sequence", "recorded_us"} else value or None for name, value in row.items()}
        for row in csv.DictReader(io.StringIO(exported))
    ]


@pytest.mark.parametrize(
    ("form", "parse"),
    [
        ("json", lambda exported: json.loads(exported)["entries"]),
        ("ndjson", lambda exported: [json.loads(line) for line in exported.splitlines()]),
        ("csv", parse_csv),
    ],
)
def test_an_export_is_verified_without_the_database(written, form, parse):
    exported = parse(written.export(form))
    assert len(exported) == 6
    check_offline(exported)
    if form != "csv":
        assert Ledger.verify_export(written.export(form), written.head()) == written.verify()


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_a_changed_export_is_found(written, form):
    exported = written.export(form)
    assert named(lambda: Ledger.verify_export(exported.replace("0.5", "0.4", 1))) == 3
    with pytest.raises(FormatError):
        Ledger.verify_export(exported[:-20])
    head = written.head()
    shorter = json.loads(written.export())["entries"][:4]
    lines = "\n".join(json.dumps(entry) for entry in shorter)
    assert Ledger.verify_export(lines).entries == 4
    assert named(lambda: Ledger.verify_export(lines, head)) == 5


@pytest.mark.parametrize(
    ("form", "what"), [("json", r"it is not valid JSON: .* line \d{2}"), ("ndjson", "line 3 is not valid JSON")]
)
def test_an_export_that_ends_early_says_so_and_where(written, form, what):
    exported = written.export(form)
    with pytest.raises(FormatError, match=f"the export ends early or is damaged: {what}"):
        Ledger.verify_export(exported[: len(exported) * 5 // 12])


def test_another_signer_than_that_of_the_last_entry_is_warned_of_once(written, database, caplog):
    first = SigningKey.open(database.key_file).public
    written.append("config", {})
    Ledger(database).append("config", {})
    assert caplog.messages == []
    database.key_file.rename(database.key_file.with_name("moved-away"))
    changed = Ledger(database)
    changed.append("config", {})
    changed.append("config", {})
    Ledger(database).append("config", {})
    second = SigningKey.open(database.key_file).public
    [message] = caplog.messages
    assert f"entry 9 of the ledger gets another signer, {second[:16]}, than entry 8 before it, {first[:16]}" in message
    assert str(database.key_file) in message
    assert changed.verify().changes == (9,)


def test_exports_of_one_and_of_no_entry(ledger):
    assert Ledger.verify_export(ledger.export()) == ledger.verify()
    assert ledger.export("ndjson") == ""
    ledger.append("key", {})
    for form in ("json", "ndjson"):
        assert Ledger.verify_export(ledger.export(form)) == ledger.verify()


@pytest.mark.parametrize(
    "exported",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"hash": 1}',
        '{"format": "nasturtium-ledger", "version": 2}',
        '{"format": "nasturtium-ledger", "version": 1, "ledger": "x"}',
        '{"format": "nasturtium-ledger", "version": 1, "ledger": "x", "entries": [1]}',
        '{"format": "nasturtium-ledger", "version": 1, "ledger": null, "entries": []}',
        "ledger,sequence\n",
        "\ud800",
    ],
)
def test_what_is_no_export_is_refused(exported):
    with pytest.raises(FormatError):
        Ledger.verify_export(exported)


def test_an_export_of_other_types_is_refused(sqlite_database):
    ledger = Ledger(sqlite_database)
    ledger.append("key", {}, subject=SUBJECT)
    for name in ("sequence", "body", "recorded_us", "signature", "signer", "kind", "ledger", "subject"):
        for value in ("1", 1.0, True, None, [], "\ud800"):
            document = json.loads(ledger.export())
            document["entries"][0][name] = value
            with pytest.raises((FormatError, IntegrityError)):
                Ledger.verify_export(json.dumps(document))


def test_the_secret_key_never_reaches_the_database(written, database):
    secret = load_pem_private_key(database.key_file.read_bytes(), None).private_bytes_raw()
    pem_lines = database.key_file.read_text().splitlines()[1:-1]
    with database.read() as session:
        metadata = MetaData()
        metadata.reflect(session.connection())
        dump = repr([session.execute(select(table)).all() for table in metadata.sorted_tables]).encode()
    if database.path is not None:
        dump += b"".join(file.read_bytes() for file in database.path.parent.glob(f"{database.path.name}*"))
    assert SigningKey.open(database.key_file).public.encode() in dump
    for form in (secret, secret.hex().encode(), base64.b64encode(secret), *(line.encode() for line in pem_lines)):
        assert form not in dump


def test_a_database_without_an_identity_has_no_ledger(sqlite_database):
    with sqlite_database.write() as session:
        session.execute(text("UPDATE nst_meta SET value = 'mine' WHERE key = 'instance'"))
    with pytest.raises(IntegrityError, match="no identity, got 'mine'"):
        Ledger(sqlite_database).append("key", {})


def test_entries_moved_to_another_ledger_are_found(written, database):
    with database.write() as session:
        session.execute(text("UPDATE nst_meta SET value = :run WHERE key = 'instance'"), {"run": RUN})
    assert named(Ledger(database).verify) == 1


IMPORTS = """
from nasturtium.storage import open_database
from nasturtium.storage.ledger import Ledger
from nasturtium.storage.spending import Spend
import cryptography.hazmat.primitives.asymmetric.ed25519
"""
APPEND = f"""
with open_database(target) as database:
    ledger = Ledger(database)
    for number in range(10):
        ledger.spend(Spend(subject="shared", run={RUN!r}, round=number, mechanism=name, epsilon=0.125, delta=0))
        ledger.append("config", {{"writer": name, "number": number}})
"""


def test_many_processes_make_one_chain(database, database_url):
    run_together(IMPORTS, APPEND, database_url, [f"writer-{number}" for number in range(8)])
    ledger = Ledger(database)
    report = ledger.verify(signatures=True)
    assert report.entries == 160
    assert len(report.signers) == 1
    assert ledger.spent("shared") == PrivacySpent(epsilon=10.0, delta=0.0, releases=80)
