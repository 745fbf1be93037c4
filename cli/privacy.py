"""`nasturtium privacy`: budgets, what was spent of them, and whether the ledger says so unaltered."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core import ConfigError, FormatError
from ..storage import (
    Database,
    History,
    IntegrityError,
    Ledger,
    SignedHead,
    StorageError,
    UnknownRunError,
    open_database,
)
from .options import Db, FormatOption, Json, argument, chosen, option
from .output import Format, count, print_json, print_rows, print_table, printable, shorten, show, stderr, stdout

if TYPE_CHECKING:
    from ..storage import LedgerRecord, LedgerReport, PrivacyAccount, PrivacyBudget

ACCOUNT = (
    "subject",
    "budget_epsilon",
    "budget_delta",
    "spent_epsilon",
    "spent_delta",
    "releases",
    "left_epsilon",
    "left_delta",
    "rounds_left",
    "name",
)
ENTRY = ("sequence", "recorded", "kind", "subject", "run", "body", "signer")
BAR = 20  # columns
MIN_PREFIX = 4  # letters of a subject
DIGITS = 8  # of a hash, for people
SAID = 40  # columns, at most, of a mechanism, and of an entry that is neither a budget nor a release
_MAX_HEAD_BYTES = 65_536
_FINGERPRINT = re.compile("(hmac-sha256:)?[0-9a-f]{64}")
_HASH = re.compile(f"([0-9a-f]{{{DIGITS}}})[0-9a-f]{{{DIGITS},}}")

app = typer.Typer(
    no_args_is_help=True, suggest_commands=False, add_completion=False, help="Ask what privacy was spent."
)
Subject = Annotated[
    str | None, argument(metavar="[RUN_OR_SUBJECT]", help="A run, or (the beginning of) a fingerprint.")
]


class ExportFormat(StrEnum):
    """How to export a ledger."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


@app.callback()
def privacy() -> None:
    """Ask what privacy was spent of which budget, and verify the ledger that says so.

    A subject is the data whose privacy is meant: the fingerprint of a data set or of a site's data, or the beginning
    of one, or a run, which stands for the data it used, that of its sites with it.
    """


@app.command("show")
def show_accounts(
    subject: Subject = None,
    entries: Annotated[bool, option("--entries", help="Print the entries of the ledger instead.")] = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show what every subject may spend, has spent and has left, or the entries that say so."""
    with open_database(db, create=False) as database:
        ledger = Ledger(database)
        subjects = ledger.subjects() if subject is None else _resolve(database, ledger, subject)
        form = chosen(fmt, as_json=as_json)
        if entries:
            records = ledger.entries() if subject is None else _entries_of(ledger, subjects)
            _print_entries(records, History(database).data_names(), form)
            return
        accounts, names = [ledger.account(each) for each in subjects], History(database).data_names()
    if not accounts:
        stderr().print("no privacy was spent and no budget set here yet", soft_wrap=True)
    _print_accounts(accounts, names, form)


@app.command()
def verify(
    head: Annotated[
        list[Path] | None,
        option("--head", help="A signed head that somebody kept, or a folder of them; as often as may be."),
    ] = None,
    export: Annotated[
        Path | None, option("--export", help="Verify this export (JSON, NDJSON), not a database.")
    ] = None,
    signatures: Annotated[bool, option("--signatures", help="Check the signature of every single entry.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Check that no entry of the ledger was changed, left out or put in, and that it goes on from the heads kept.

    Another signer than before is told of, for it may be a new key of the same people; with heads, one who began after
    all of them is an error: nobody who kept one knows that signer.
    """
    heads = _read_heads(head or [])
    if export is not None:
        report = _verify_export(export, heads, signatures=signatures)
    else:
        with open_database(db, create=False) as database:
            report = Ledger(database).verify(heads, signatures=signatures)
    _tell_changes(report, heads)
    if as_json:
        print_json(
            {
                "ledger": report.ledger,
                "entries": report.entries,
                "head": report.head and asdict(report.head),
                "signers": [{"signer": signer, "since": since} for signer, since in report.signers.items()],
                "heads": len(heads),
            }
        )
        return
    lines = [f"ledger   {report.ledger}", f"entries  {report.entries:,}, all as they were written"]
    if report.head is not None:
        lines.append(f"head     {report.head.hash}")
    lines += [f"signer   {signer}, since entry {since:,}" for signer, since in report.signers.items()]
    if heads:
        lines.append(f"kept     {count(len(heads), 'head')}, from which the ledger goes on")
    stdout().print("\n".join(lines), soft_wrap=True)
    if not heads:
        stderr().print(
            "an end that was cut off, or rewritten by who has the key, shows only against a head kept elsewhere",
            soft_wrap=True,
        )


@app.command("export")
def export_ledger(
    fmt: Annotated[ExportFormat, option("--format", help="How to write it.")] = ExportFormat.JSON,
    output: Annotated[Path | None, option("--output", "-o", help="A file.", show_default="standard output")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write the whole ledger so that it can be verified without the database.

    An entry's hash is the SHA-256 of its canonical JSON (sorted keys, no blanks, ASCII) with the fields body, kind,
    ledger, previous, recorded_us, run, sequence, signer and subject, where body is an object, not the text that stands
    here. Its previous is the SHA-256 of the hash and the signature, as text, of the entry before; 64 zeros for the
    first. Its signature is Ed25519 by signer, of "nasturtium ledger head v1", a zero byte, the ledger, the sequence in
    eight bytes (big-endian) and the hash in 32. `nasturtium privacy verify --export FILE` checks all that.
    """
    with open_database(db, create=False) as database:
        text = Ledger(database).export("json" if as_json else fmt.value)
    if output is None:
        sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
        return
    try:
        output.write_text(text, encoding="utf-8", newline="")
    except OSError as exc:
        raise StorageError(
            f"cannot write {output}: {exc.strerror}", hint="check its folder and its permissions"
        ) from exc


@app.command("head")
def print_head(db: Db = None, as_json: Json = False) -> None:
    """Print the signed head of the ledger as JSON: kept elsewhere, it shows later whether anything was changed."""
    del as_json  # it is JSON in any case
    with open_database(db, create=False) as database:
        head = Ledger(database).head()
    if head is None:
        raise StorageError("the ledger is empty, so it has no head", hint="it begins with the first budget or release")
    sys.stdout.write(head.to_json() + "\n")


@app.command("budget")
def set_budget(
    subject: Annotated[str, argument(metavar="RUN_OR_SUBJECT", help="A run, or (the beginning of) a fingerprint.")],
    epsilon: Annotated[float, option("--epsilon", help="What may be spent in all; inf sets no bound.")],
    delta: Annotated[float, option("--delta", help="In [0, 1), and small: less than 1 / the number of people.")],
    new: Annotated[
        bool, option("--new", help="SUBJECT is not known here yet: 64 hexadecimal digits, or hmac-sha256: and those.")
    ] = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Say how much privacy a subject may lose in all. Rounds that would go over it are refused before they begin.

    A run sets the budgets of all subjects that it stands for, a fingerprint that of one; what changed is told on
    standard error.
    """
    if new and not _FINGERPRINT.fullmatch(subject):
        raise ConfigError(
            f"expected the whole fingerprint of somebody new, got {subject!r:.100}",
            hint="a data set's is 64 lower-case hexadecimal digits, that of a site's data is hmac-sha256: and 64 more;"
            " without --new, the beginning of a known one is enough",
        )
    with open_database(db, create=new) as database:
        ledger = Ledger(database)
        subjects = [subject] if new else _resolve(database, ledger, subject)
        before = [ledger.budget(each) for each in subjects]
        for each in subjects:
            ledger.set_budget(each, epsilon=epsilon, delta=delta)
        accounts, names = [ledger.account(each) for each in subjects], History(database).data_names()
    for account, old in zip(accounts, before, strict=True):
        stderr().print(_say_change(account, old, names), soft_wrap=True)
    if len(subjects) > 1:
        stderr().print(f"{subject} stands for {len(subjects)} subjects, and the budget of each is set", soft_wrap=True)
    _print_accounts(accounts, names, chosen(fmt, as_json=as_json))


def _resolve(database: Database, ledger: Ledger, ref: str) -> list[str]:
    """The subjects that `ref` names: one by (the beginning of) its name, or all of a run.

    Raises:
        UnknownRunError: neither a run nor a subject, or several subjects.
    """
    known = ledger.subjects()
    if ref in known:
        return [ref]
    past = History(database)
    try:
        run = past.find(ref)
    except UnknownRunError as exc:
        found = [each for each in known if ref in {each[: len(ref)], each.partition(":")[2][: len(ref)]}]
        if len(ref) < MIN_PREFIX or not found:
            raise UnknownRunError(
                f"neither a run nor a subject of the ledger answers to {ref!r} ({exc.message})",
                hint="list the subjects: nasturtium privacy show",
            ) from exc
        if len(found) > 1:
            raise UnknownRunError(
                f"several subjects start with {ref}: {', '.join(found)}", hint="give more letters"
            ) from exc
        return found
    data = past.dataset(run.uid)
    names = [] if data is None else [data.fingerprint]
    names += [each.fingerprint for each in past.datasets(run.uid).values()]
    names += [record.subject for record in ledger.entries(run=run.uid) if record.subject is not None]
    if not names:
        raise UnknownRunError(f"run {ref} names no data, so nobody's privacy", hint="name the subject instead")
    return list(dict.fromkeys(names))


def _entries_of(ledger: Ledger, subjects: Sequence[str]) -> list[LedgerRecord]:
    records = [record for subject in subjects for record in ledger.entries(subject=subject)]
    return sorted(records, key=lambda record: record.sequence)


def _say_change(account: PrivacyAccount, old: PrivacyBudget | None, names: Mapping[str, str]) -> str:
    """What a new budget changed, and whether more is spent already."""
    new = account.budget
    if new is None:
        return ""
    figures = f"epsilon {new.epsilon:g}, delta {new.delta:g}"
    if old is None:
        change = f"set to {figures}; it had none"
    elif old == new:
        change = f"{figures}, as it was"
    else:
        change = f"changed from epsilon {old.epsilon:g}, delta {old.delta:g} to {figures}"
    lines = [f"budget of {_subject(account.subject, names)}: {change}"]
    if math.isinf(new.epsilon) and old != new:
        lines.append("  its epsilon has no bound now: a release without noise is within it")
    over = _overspent(account)
    if over:
        lines.append(f"  already overspent: {' and '.join(over)}; every further release is refused")
    return "\n".join(lines)


def _overspent(account: PrivacyAccount) -> list[str]:
    budget, spent = account.budget, account.spent
    if budget is None:
        return []
    pairs = [("epsilon", spent.epsilon, budget.epsilon), ("delta", spent.delta, budget.delta)]
    return [f"{name} {used:g} of {whole:g}" for name, used, whole in pairs if used > whole]


def _subject(subject: str, names: Mapping[str, str]) -> str:
    """A subject for people: its name where the history knows one, and the beginning of its fingerprint."""
    short = _HASH.sub(r"\1…", subject)
    return f"{names[subject]} ({short})" if subject in names else short


def _row(account: PrivacyAccount, names: Mapping[str, str]) -> dict[str, Any]:
    budget, spent, left = account.budget, account.spent, account.remaining
    return {
        "subject": account.subject,
        "budget_epsilon": budget and budget.epsilon,
        "budget_delta": budget and budget.delta,
        "spent_epsilon": spent.epsilon,
        "spent_delta": spent.delta,
        "releases": spent.releases,
        "left_epsilon": left and left.epsilon,
        "left_delta": left and left.delta,
        "rounds_left": account.rounds_left,
        "name": names.get(account.subject),
    }


def _print_accounts(accounts: Sequence[PrivacyAccount], names: Mapping[str, str], form: Format) -> None:
    rows = [_row(account, names) for account in accounts]
    print_rows(rows, {name: name for name in ACCOUNT}, form, table=lambda: _print(accounts, names))


def _print(accounts: Sequence[PrivacyAccount], names: Mapping[str, str]) -> None:
    """Every subject in a few lines."""
    for account in accounts:
        budget, spent, left = account.budget, account.spent, account.remaining
        lines = [account.subject]
        if account.subject in names:
            lines.append(f"  data      {names[account.subject]}")
        if budget is None:
            lines.append("  budget    none, so nothing is refused")
        else:
            lines.append(f"  budget    epsilon {budget.epsilon:g}, delta {budget.delta:g}")
        in_all = count(spent.releases, "release")
        lines.append(f"  spent     epsilon {spent.epsilon:g}, delta {spent.delta:g} in {in_all}")
        if budget is not None and left is not None:
            lines.append(f"  left      {_bar(left.epsilon, budget.epsilon)} of epsilon: {left.epsilon:g}")
            if budget.delta > 0:
                lines.append(f"            {_bar(left.delta, budget.delta)} of delta: {left.delta:g}")
        if account.rounds_left is not None:
            lines.append(f"  forecast  {_forecast(account)}")
        stdout().print("\n".join(lines), soft_wrap=True)


def _forecast(account: PrivacyAccount) -> str:
    """How long a new run would last, or why it would not begin."""
    if account.rounds_left:
        return f"{count(account.rounds_left, 'more round')} of a new run at the cost of the last one"
    over, cost, left = _overspent(account), account.next_cost, account.remaining
    if over or cost is None or left is None:
        return f"no more rounds: overspent, {' and '.join(over)}"
    pairs = [("epsilon", cost.epsilon, left.epsilon), ("delta", cost.delta, left.delta)]
    missing = [f"{name} {each:g}, and {rest:g} is left" for name, each, rest in pairs if each > rest]
    return f"no more rounds: a new run like the last one begins with {'; and '.join(missing)}"


def _bar(left: float, whole: float) -> str:
    """What is left, drawn: [#####-----] 50%; only what is all there is full, only nothing is empty."""
    share = 1.0 if math.isinf(whole) else left / whole
    full = round(share * BAR)
    if 0 < share < 1:
        full = min(max(full, 1), BAR - 1)
    return f"[{'#' * full}{'-' * (BAR - full)}] {share:4.0%}"


def _print_entries(records: Sequence[LedgerRecord], names: Mapping[str, str], form: Format) -> None:
    rows = [{name: getattr(record, name) for name in ENTRY} for record in records]
    print_rows(rows, {name: name for name in ENTRY}, form, table=lambda: _print_chain(records, names))


def _print_chain(records: Sequence[LedgerRecord], names: Mapping[str, str]) -> None:
    """The entries for people: what was said, without its hashes, its figures rounded."""
    headings = ["entry", "kind", "subject", "said", "epsilon", "delta", "in all", "recorded"]
    rows = [
        [
            show(record.sequence),
            record.kind,
            "-" if record.subject is None else _subject(record.subject, names),
            *_said(record),
            show(record.recorded),
        ]
        for record in records
    ]
    print_table(headings, rows, optional=["kind", "in all", "recorded"], whole=["entry", "said", "epsilon", "delta"])


def _said(record: LedgerRecord) -> list[str]:
    """What an entry says, its epsilon, its delta, and both of all until then."""
    body = record.body
    try:
        if record.kind == "budget":
            return ["budget", _rounded(body["epsilon"]), _rounded(body["delta"]), "-"]
        if record.kind == "spend":
            where = "" if body["round"] is None else f", round {body['round']}"
            total = f"{_rounded(body['total']['epsilon'])}, {_rounded(body['total']['delta'])}"
            mechanism = f"{shorten(body['mechanism'], SAID)}{where}"
            return [mechanism, _rounded(body["epsilon"]), _rounded(body["delta"]), total]
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # it was altered: `verify` tells
    return [shorten(_HASH.sub(r"\1…", record.text), SAID), "-", "-", "-"]


def _rounded(figure: Any) -> str:
    return f"{float(figure):.4g}"


def _read_heads(paths: Sequence[Path]) -> dict[str, SignedHead]:
    """Heads by the file that holds them; a folder stands for the JSON files in it."""
    files = [file for path in paths for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]
    if paths and not files:
        raise ConfigError(f"there is no head in {paths[0]}", hint="a head is a .json file")
    return {str(file): _read_head(file) for file in files}


def _read_head(path: Path) -> SignedHead:
    try:
        return SignedHead.from_json(_read(path, limit=_MAX_HEAD_BYTES))
    except FormatError as exc:
        raise FormatError(
            f"{path} is no head of a ledger: {exc.message}", hint="nasturtium privacy head prints one"
        ) from exc


def _read(path: Path, *, limit: int = -1) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(limit)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise ConfigError(f"cannot read {path}: {reason}", hint="check the path") from exc


def _verify_export(path: Path, heads: Mapping[str, SignedHead], *, signatures: bool) -> LedgerReport:
    try:
        return Ledger.verify_export(_read(path), heads, signatures=signatures)
    except FormatError as exc:
        raise FormatError(
            f"{path} is no whole export of a ledger: {exc.message}",
            hint="write it again, as JSON or NDJSON: nasturtium privacy export -o FILE; and compare its size where it"
            " was copied",
        ) from exc


def _tell_changes(report: LedgerReport, heads: Mapping[str, SignedHead]) -> None:
    """Say where another signer goes on.

    Raises:
        IntegrityError: one does after all the heads that were kept.
    """
    if not report.changes:
        return
    last = report.changes[-1]
    others = "" if len(report.changes) == 1 else f", the last of {len(report.changes)} changes of signer"
    told = f"another signer goes on from entry {last:,}{others}: its key file was exchanged, or moved away"
    hint = "ask who writes the ledger for the new public key; if nobody exchanged it, somebody else wrote from there on"
    if heads and last > max(head.sequence for head in heads.values()):
        raise IntegrityError(f"{told}, after the last head that was kept", hint=hint)
    stderr().print(f"{told}\n  {hint}", soft_wrap=True)
