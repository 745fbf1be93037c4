"""The privacy ledger: every release that cost privacy, and the budgets they are held against.

Entries are only ever appended, each chained to the one before and signed; `chain.py` says what is hashed and what that
protects from. The verbs trust what they read of the database, but for the last entry, which they check before they add
to it: `verify` checks all, and belongs before a training that relies on a budget.

Figures stand in an entry's body as JSON numbers, an infinite one as the text "inf"; `spending.py` adds them up.
"""

import logging
import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from itertools import accumulate, repeat
from typing import Any, cast, get_args

from sqlalchemy import Select, func, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ..core import ConfigError, canonical_json
from .chain import (
    GENESIS,
    HINT,
    ExportForm,
    LedgerKind,
    LedgerRecord,
    LedgerReport,
    Link,
    check_chain,
    check_entry,
    entry_hash,
    read_export,
    seal,
    to_record,
    write_export,
)
from .clock import now_us
from .database import Database, serialise
from .errors import BudgetSpentError, IntegrityError
from .models import LedgerEntry, Meta
from .signing import SignedHead, SigningKey
from .spending import (
    PrivacyAccount,
    PrivacyBudget,
    PrivacySpent,
    Spend,
    add,
    check_budget,
    check_text,
    exceeds,
    remainder,
    rounds_within,
    subtract,
)

logger = logging.getLogger(__name__)

_CHUNK = 500  # rows; sqlite3 is half as fast where it makes thousands of tuples at once
_NOTHING = PrivacyBudget(epsilon=0.0, delta=0.0)
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_TABLE = LedgerEntry.__table__.c  # plain columns, for rows of mapped ones cost twice as much
_COLUMNS = (
    _TABLE.sequence,
    _TABLE.kind,
    _TABLE.subject,
    _TABLE.run_uid,
    _TABLE.body,
    _TABLE.recorded_us,
    _TABLE.previous,
    _TABLE.hash,
    _TABLE.signer,
    _TABLE.signature,
)


class Ledger:
    """The ledger of a database. Its verbs may be called from several threads and processes.

    A verb that is handed a `session` is part of the session's transaction, which the caller opened with
    `database.write(durable=True)`: so a round and its cost are recorded together or not at all. On PostgreSQL such a
    transaction takes `serialise`'s lock here; one that wrote rows others write, too, asks for it at its beginning.

    Args:
        database: stays the caller's, who closes it.
        clock: tells the time in microseconds UTC.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._clock = clock
        self._key: SigningKey | None = None
        self._instance: str | None = None

    @contextmanager
    def transaction(self, session: Session | None = None) -> Generator[Session]:
        """A durable transaction in which nobody else appends: what is read in it holds until it ends.

        Args:
            session: the caller's, whose transaction it then is; else it is one of its own.
        """
        if session is not None:
            serialise(session)
            yield session
            return
        with self._database.write(durable=True) as own:
            serialise(own)
            yield own

    def append(
        self,
        kind: LedgerKind,
        body: Mapping[str, Any],
        *,
        subject: str | None = None,
        run: str | None = None,
        session: Session | None = None,
    ) -> LedgerRecord:
        """Add an entry that is no budget and no spend.

        Args:
            kind: what it is about.
            body: JSON. Infinities become the texts "inf" and "-inf".
            subject: whose privacy it is about.
            run: ULID of the run it belongs to.
            session: a transaction to be part of, else it has its own.

        Raises:
            ConfigError: `body` is no JSON (it holds NaN, for one), or a name is none.
            IntegrityError: the last entry of the ledger is not as it was written.
        """
        if kind in {"budget", "spend"}:
            raise ConfigError(f"an entry of kind {kind} is not appended as it is", hint="use `set_budget` or `spend`")
        with self.transaction(session) as session:
            return self._append(session, kind, body, subject=subject, run=run)

    def set_budget(self, subject: str, *, epsilon: float, delta: float, run: str | None = None) -> LedgerRecord:
        """Say how much privacy `subject` may lose in all, from its first release on; what is set already stays.

        Args:
            subject: whose privacy.
            epsilon: > 0; may be infinite.
            delta: in [0, 1).
            run: ULID of the run that asked for it.

        Raises:
            ConfigError: a figure out of range.
        """
        budget = check_budget(epsilon, delta)
        with self.transaction() as session:
            known = _last_of(session, self._ledger(session), "budget", subject)
            if known is not None and _cost(known) == (budget.epsilon, budget.delta):
                return known
            body = {"epsilon": budget.epsilon, "delta": budget.delta}
            return self._append(session, "budget", body, subject=subject, run=run)

    def spend(self, spend: Spend, session: Session | None = None) -> LedgerRecord:
        """Record a release before it is made.

        Doing it twice is harmless where the release names its run: the entry that is there is returned. Without a run,
        a second one of the same mechanism is another release.

        Raises:
            BudgetSpentError: the total would exceed the budget of the subject; nothing is recorded.
            ConfigError: the accountant's total is less than what was recorded before, or the same mechanism has spent
                something else in that round.
            IntegrityError: the last entry of the ledger is not as it was written.
        """
        with self.transaction(session) as session:
            known = self._same(session, spend)
            if known is not None:
                return known
            before = self._spent(session, spend.subject)
            epsilon, delta = _total(before, spend)
            budget = self._budget(session, spend.subject)
            if budget is not None and exceeds(epsilon, delta, budget):
                raise BudgetSpentError(
                    f"{spend.mechanism}: a release of epsilon {spend.epsilon:g}, delta {spend.delta:g} would bring"
                    f" {spend.subject} to epsilon {epsilon:g}, delta {delta:g}; its budget is epsilon"
                    f" {budget.epsilon:g}, delta {budget.delta:g}",
                    hint="stop here, add more noise, or raise it: nasturtium privacy budget",
                )
            body = {
                "mechanism": spend.mechanism,
                "round": spend.round,
                "epsilon": float(spend.epsilon),
                "delta": float(spend.delta),
                "total": {"epsilon": epsilon, "delta": delta, "releases": before.releases + 1},
                "details": spend.details,
            }
            return self._append(session, "spend", body, subject=spend.subject, run=spend.run)

    def would_exceed(
        self,
        subject: str,
        epsilon: float,
        delta: float,
        *,
        total_epsilon: float | None = None,
        total_delta: float | None = None,
    ) -> bool:
        """Whether a release would be refused if it were recorded now: to be asked before a round is begun."""
        spend = Spend(
            subject=subject,
            mechanism="forecast",
            epsilon=epsilon,
            delta=delta,
            total_epsilon=total_epsilon,
            total_delta=total_delta,
        )
        with self._database.read() as session:
            budget = self._budget(session, subject)
            return budget is not None and exceeds(*_total(self._spent(session, subject), spend), budget)

    def budget(self, subject: str) -> PrivacyBudget | None:
        """What `subject` may lose: the last budget that was set; None: nobody set one."""
        with self._database.read() as session:
            return self._budget(session, subject)

    def spent(self, subject: str, session: Session | None = None) -> PrivacySpent:
        """What `subject` has lost."""
        with self._reading(session) as session:
            return self._spent(session, subject)

    def spent_with(
        self, subject: str, *, before: tuple[float, float], after: tuple[float, float], session: Session | None = None
    ) -> tuple[float, float]:
        """What `subject` will have lost once a run that cost it `before` costs it `after`, both (epsilon, delta).

        All else that it has lost is added to that (basic composition), and the sum is never less than what it has lost.
        Asked within a `transaction`, it still holds when it is recorded there.

        Source: Dwork and Roth 2014, theorem 3.16, https://doi.org/10.1561/0400000042.
        """
        spent = self.spent(subject, session)
        epsilon, delta = (
            max(total, add(subtract(total, old), new))
            for total, old, new in zip((spent.epsilon, spent.delta), before, after, strict=True)
        )
        return epsilon, min(1.0, delta)

    def remaining(self, subject: str) -> PrivacyBudget | None:
        """What `subject` has left to lose, nothing if it lost more than its budget; None: it has no budget."""
        return self.account(subject).remaining

    def rounds_left(self, subject: str, *, epsilon_per_round: float | None = None) -> int | None:
        """How many rounds of a new run like the last one the budget of `subject` lasts; None: no end is known.

        A new run pays again what the last one paid round by round, its delta with the first round where an accountant
        tells all rounds at one delta. Rounds after those add what the last one did, for an accountant's totals grow
        more slowly from round to round; of a run of one round nobody knows whether its delta was for all that might
        have followed, and each round is taken to pay it. There is none where a budget is overspent, or where not even
        a release like the last one fits. A run that goes on may have more: its delta is paid.

        Args:
            subject: whose privacy.
            epsilon_per_round: what every round of the new run costs, instead.
        """
        return self.account(subject, epsilon_per_round=epsilon_per_round).rounds_left

    def account(self, subject: str, *, epsilon_per_round: float | None = None) -> PrivacyAccount:
        """Where `subject` stands: its budget, what it has lost and has left, and a forecast; see `rounds_left`."""
        with self._database.read() as session:
            budget, spent = self._budget(session, subject), self._spent(session, subject)
            if budget is None:
                return PrivacyAccount(
                    subject=subject, budget=None, spent=spent, remaining=None, rounds_left=None, next_cost=None
                )
            last = _last_of(session, self._ledger(session), "spend", subject)
            costs = [] if last is None else self._last_run(session, subject, last)
        epsilon, delta = (0.0, 0.0) if last is None else _cost(last)
        if epsilon_per_round is not None:
            epsilon, costs = epsilon_per_round, costs or [_NOTHING]
            totals = accumulate(repeat(epsilon, len(costs)), add)
            costs = [PrivacyBudget(epsilon=total, delta=cost.delta) for total, cost in zip(totals, costs, strict=True)]
        remaining, next_cost = remainder(budget, spent), None
        if costs:
            next_cost = PrivacyBudget(epsilon=max(epsilon, costs[0].epsilon), delta=max(delta, costs[0].delta))
        refused = next_cost is not None and exceeds(next_cost.epsilon, next_cost.delta, remaining)
        refused = refused or exceeds(spent.epsilon, spent.delta, budget)
        return PrivacyAccount(
            subject=subject,
            budget=budget,
            spent=spent,
            remaining=remaining,
            rounds_left=0 if refused else rounds_within(remaining, costs) if costs else None,
            next_cost=next_cost,
        )

    def subjects(self) -> list[str]:
        """Everybody whose privacy the ledger speaks of, in order."""
        with self._database.read() as session:
            known = select(_TABLE.subject).where(_TABLE.subject.is_not(None)).distinct()
            return sorted(subject for subject in session.scalars(known) if subject is not None)

    def entries(
        self,
        *,
        subject: str | None = None,
        run: str | None = None,
        kind: LedgerKind | None = None,
        limit: int | None = None,
        session: Session | None = None,
    ) -> list[LedgerRecord]:
        """The entries, in order: all, or those of a subject, a run (its ULID) or a kind, or of these the last `limit`.

        Raises:
            IntegrityError: the body of one cannot be parsed. Nothing else is verified.
        """
        chosen = select(*_COLUMNS).order_by(_TABLE.sequence.desc()).limit(limit)
        for column, value in ((_TABLE.subject, subject), (_TABLE.run_uid, run), (_TABLE.kind, kind)):
            if value is not None:
                chosen = chosen.where(column == value)
        with self._reading(session) as session:
            ledger = self._ledger(session)
            return [to_record(ledger, Link(*row)) for row in reversed(session.execute(chosen).all())]

    def head(self) -> SignedHead | None:
        """The last entry, signed, for sites to keep; None: the ledger is empty.

        Raises:
            IntegrityError: it is not as it was written.
        """
        with self._database.read() as session:
            last = _last(session)
            return None if last is None else check_entry(self._ledger(session), last)

    def verify(
        self, head: SignedHead | Mapping[str, SignedHead] | None = None, *, signatures: bool = False
    ) -> LedgerReport:
        """Check the whole ledger, and that it goes on from every head that was kept; see `check_chain`.

        Args:
            head: a head that somebody kept, or several by who kept them.
            signatures: check the signature of every entry, not only those that stand for the others.

        Raises:
            IntegrityError: something is wrong; the message names the first entry that is, and says what.
        """
        with self._database.read() as session:
            ledger = self._ledger(session)
            return _verify(ledger, lambda: _links(session), _heads(head), signatures=signatures)

    def export(self, form: ExportForm = "json") -> str:
        """All entries as a text that can be verified without the database; see `write_export`."""
        with self._database.read() as session:
            ledger = self._ledger(session)
        return write_export(ledger, self.entries(), form)

    @staticmethod
    def verify_export(
        text: str, head: SignedHead | Mapping[str, SignedHead] | None = None, *, signatures: bool = False
    ) -> LedgerReport:
        """`verify` for what `export` wrote as JSON or NDJSON.

        Raises:
            FormatError: `text` is not such an export.
            IntegrityError: something is wrong with an entry.
        """
        ledger, links = read_export(text)
        return _verify(ledger, lambda: (link for link in links), _heads(head), signatures=signatures)

    def _reading(self, session: Session | None) -> AbstractContextManager[Session]:
        return self._database.read() if session is None else nullcontext(session)

    def _ledger(self, session: Session) -> str:
        if self._instance is None:
            self._instance = session.scalar(select(Meta.value).where(Meta.key == "instance"))
        if self._instance is None or not _ULID.fullmatch(self._instance):
            raise IntegrityError(
                f"database {self._database} has no identity, got {self._instance!r}", hint="restore it from a copy"
            )
        return self._instance

    def _append(
        self, session: Session, kind: LedgerKind, body: Mapping[str, Any], *, subject: str | None, run: str | None
    ) -> LedgerRecord:
        if kind not in get_args(LedgerKind):
            raise ConfigError(f"expected a kind of {', '.join(get_args(LedgerKind))}, got {kind!r}")
        if subject is not None:
            check_text("subject", subject)
        if run is not None and not _ULID.fullmatch(run):
            raise ConfigError(f"expected the ULID of a run, got {run!r:.60}")
        text = _to_text(body)
        ledger = self._ledger(session)
        last = _last(session)
        if last is not None:
            check_entry(ledger, last)
        key = self._signing_key()
        if last is not None and last.signer != key.public:
            logger.warning(
                "entry %d of the ledger gets another signer, %s, than entry %d before it, %s: the key file %s was"
                " exchanged, or moved away and made anew; put the old one back, or tell the sites of the new signer",
                last.sequence + 1,
                key.public[:16],
                last.sequence,
                last.signer[:16],
                self._database.key_file,
            )
        link = Link(
            sequence=1 if last is None else last.sequence + 1,
            kind=kind,
            subject=subject,
            run=run,
            body=text,
            recorded_us=self._clock(),
            previous=GENESIS if last is None else seal(last),
            hash="",
            signer=key.public,
            signature="",
        )
        link = link._replace(hash=entry_hash(ledger, link))
        link = link._replace(signature=key.sign_head(ledger, link.sequence, link.hash).signature)
        session.execute(insert(LedgerEntry).values(dict(zip((c.key for c in _COLUMNS), link, strict=True))))
        return to_record(ledger, link)

    def _signing_key(self) -> SigningKey:
        if self._key is None:
            self._key = SigningKey.open(self._database.key_file)
        return self._key

    def _budget(self, session: Session, subject: str) -> PrivacyBudget | None:
        record = _last_of(session, self._ledger(session), "budget", subject)
        if record is None:
            return None
        epsilon, delta = _cost(record)
        return PrivacyBudget(epsilon=epsilon, delta=delta)

    def _spent(self, session: Session, subject: str) -> PrivacySpent:
        record = _last_of(session, self._ledger(session), "spend", subject)
        if record is None:
            return PrivacySpent(epsilon=0.0, delta=0.0, releases=0)
        return _totals(record)

    def _same(self, session: Session, spend: Spend) -> LedgerRecord | None:
        """The entry of a release that was recorded already, which must be the same in its figures."""
        if spend.run is None:
            return None
        # The body is canonical JSON, where these two stand side by side; what else says so is sorted out below.
        said = canonical_json({"mechanism": spend.mechanism, "round": spend.round})[1:-1]
        chosen = select(*_COLUMNS).where(
            _TABLE.kind == "spend",
            _TABLE.subject == spend.subject,
            _TABLE.run_uid == spend.run,
            _TABLE.body.contains(said, autoescape=True),
        )
        ledger = self._ledger(session)
        for row in session.execute(chosen):
            record = to_record(ledger, Link(*row))
            if (record.body.get("mechanism"), record.body.get("round")) != (spend.mechanism, spend.round):
                continue
            total = _totals(record)
            known = (*_cost(record), total.epsilon, total.delta)
            given = (spend.epsilon, spend.delta, spend.total_epsilon, spend.total_delta)
            if any(new is not None and new != old for old, new in zip(known, given, strict=True)):
                raise ConfigError(
                    f"entry {record.sequence} of the ledger says that {spend.mechanism} has spent epsilon {known[0]:g},"
                    f" delta {known[1]:g} (in all {known[2]:g}, {known[3]:g}) in round {spend.round} of run"
                    f" {spend.run}, got epsilon {spend.epsilon:g}, delta {spend.delta:g}"
                    f" (in all {spend.total_epsilon}, {spend.total_delta})",
                    hint="give each release of a round a mechanism of its own",
                )
            return record
        return None

    def _last_run(self, session: Session, subject: str, last: LedgerRecord) -> list[PrivacyBudget]:
        """By how much the run of the release `last` raised the totals with its first round, its first two, and so on.

        A round may have several releases. Of releases that name no run, those of the last round are taken for one.
        """
        begin = None
        if last.run is not None:
            own = (_TABLE.subject == subject, _TABLE.kind == "spend", _TABLE.run_uid == last.run)
            begin = session.scalar(select(func.min(_TABLE.sequence)).where(*own))

        def belongs(record: LedgerRecord) -> bool:
            together = last.run is not None or last.body.get("round") == record.body.get("round") is not None
            return record.sequence == last.sequence or (record.run == last.run and together)

        found: list[LedgerRecord] = []  # newest first, back to the one before the run
        with session.execute(_of(subject, "spend").execution_options(yield_per=100)) as rows:
            for row in rows:
                found.append(to_record(last.ledger, Link(*row)))
                if not belongs(found[-1]) if begin is None else found[-1].sequence < begin:
                    break
        costs: list[PrivacyBudget] = []
        cost, before, number = _NOTHING, PrivacySpent(epsilon=0.0, delta=0.0, releases=0), None
        for record in reversed(found):
            total = _totals(record)
            if belongs(record):
                cost = PrivacyBudget(
                    epsilon=add(cost.epsilon, subtract(total.epsilon, before.epsilon)),
                    delta=add(cost.delta, subtract(total.delta, before.delta)),
                )
                again = bool(costs) and number == record.body.get("round") is not None
                costs[-1 if again else len(costs) :] = [cost]
                number = record.body.get("round")
            before = total
        return costs


def _verify(
    ledger: str, links: Callable[[], Generator[Link]], heads: Mapping[str, SignedHead], *, signatures: bool
) -> LedgerReport:
    try:
        with closing(links()) as found:
            return check_chain(ledger, found, heads=heads, signatures=signatures)
    except IntegrityError:
        if not signatures:  # an earlier entry may be the first that is wrong, which only its own signature tells
            with closing(links()) as found:
                check_chain(ledger, found, heads=heads, signatures=True)
        raise


def _heads(head: SignedHead | Mapping[str, SignedHead] | None) -> Mapping[str, SignedHead]:
    return {} if head is None else {"its keeper": head} if isinstance(head, SignedHead) else head


def _total(before: PrivacySpent, spend: Spend) -> tuple[float, float]:
    """What the subject will have lost with the release."""
    if spend.total_epsilon is None or spend.total_delta is None:
        return add(before.epsilon, spend.epsilon), min(1.0, add(before.delta, spend.delta))
    if spend.total_epsilon < before.epsilon or spend.total_delta < before.delta:
        raise ConfigError(
            f"expected totals of at least epsilon {before.epsilon:g}, delta {before.delta:g}, which"
            f" {spend.subject} has lost already, got {spend.total_epsilon:g} and {spend.total_delta:g}",
            hint="give the accountant all releases that the ledger has of this subject",
        )
    return float(spend.total_epsilon), float(spend.total_delta)


def _of(subject: str, kind: LedgerKind) -> Select[*tuple[Any, ...]]:
    """The entries of a subject and kind, newest first."""
    return select(*_COLUMNS).where(_TABLE.subject == subject, _TABLE.kind == kind).order_by(_TABLE.sequence.desc())


def _last_of(session: Session, ledger: str, kind: LedgerKind, subject: str) -> LedgerRecord | None:
    row = session.execute(_of(subject, kind).limit(1)).one_or_none()
    return None if row is None else to_record(ledger, Link(*row))


def _last(session: Session) -> Link | None:
    row = session.execute(select(*_COLUMNS).order_by(_TABLE.sequence.desc()).limit(1)).one_or_none()
    return None if row is None else Link(*row)


def _links(session: Session) -> Generator[Link]:
    """All rows in order."""
    last = None
    chosen = select(*_COLUMNS).order_by(_TABLE.sequence).execution_options(yield_per=_CHUNK)
    try:
        with session.execute(chosen) as result:
            for rows in result.partitions():
                yield from cast(Sequence[Link], rows)
                last = rows[-1].sequence
    except OperationalError as exc:
        if "decode" not in str(exc.orig):
            raise
        yield from _links_one_by_one(session, last)


def _links_one_by_one(session: Session, last: int | None) -> Generator[Link]:
    """The rows after `last`, each asked for alone: a text that cannot be decoded fails a chunk, and is to be named."""
    numbers = select(_TABLE.sequence).order_by(_TABLE.sequence)
    if last is not None:
        numbers = numbers.where(_TABLE.sequence > last)
    for number in session.scalars(numbers).all():
        try:
            row = session.execute(select(*_COLUMNS).where(_TABLE.sequence == number)).one()
        except OperationalError as exc:
            raise IntegrityError(f"entry {number} of the ledger: {exc.orig!s:.200}", hint=HINT) from exc
        yield Link(*row)


def _cost(record: LedgerRecord) -> tuple[float, float]:
    return _figure(record, record.body, "epsilon"), _figure(record, record.body, "delta")


def _totals(record: LedgerRecord) -> PrivacySpent:
    total = record.body.get("total")
    if not isinstance(total, dict) or type(cast(Mapping[str, Any], total).get("releases")) is not int:
        raise IntegrityError(f"entry {record.sequence} of the ledger: its total is {total!r:.100}, none", hint=HINT)
    fields = cast(Mapping[str, Any], total)
    return PrivacySpent(
        epsilon=_figure(record, fields, "epsilon"), delta=_figure(record, fields, "delta"), releases=fields["releases"]
    )


def _figure(record: LedgerRecord, fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    figure = math.inf if value == "inf" else value
    if not isinstance(figure, float) or math.isnan(figure):
        raise IntegrityError(
            f"entry {record.sequence} of the ledger: its {name} is {value!r:.60}, no figure", hint=HINT
        )
    return figure


def _to_text(body: Mapping[str, Any]) -> str:
    try:
        return canonical_json(_storable(body))
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigError(
            f"an entry's body must be JSON: {exc}",
            hint="use text, numbers but NaN, lists and objects with text as keys",
        ) from exc


def _storable(value: object) -> object:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        pairs = cast(Mapping[object, object], value)
        if not all(isinstance(key, str) for key in pairs):
            raise TypeError(f"a key that is no text in {list(pairs)!r:.100}")
        return {key: _storable(item) for key, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in cast(Sequence[object], value)]
    return value
