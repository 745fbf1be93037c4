"""The chain of the ledger's entries: what is hashed, how entries hang together, and how a wrong one is named.

An entry's `hash` is the SHA-256 of the canonical JSON (keys sorted, no spaces, ASCII) of

    {"body": ..., "kind": ..., "ledger": ..., "previous": ..., "recorded_us": ..., "run": ..., "sequence": ...,
     "signer": ..., "subject": ...}

and its `signature` is that of a `SignedHead` of the entry. `previous` is the *seal* of the entry before: the SHA-256 of
its hash followed by its signature, as hexadecimal text; 64 zeros for the first. So every column is covered: all but two
by the entry's own hash, `hash` and `signature` by the seal in the next entry, those of the last entry by its signature.

Threat model: whoever can write to the database but has no signing key can change nothing unseen, except cut entries
off the end; whoever has a key can also write a new end. Both are found by anybody who kept a signed head of what was
cut off or rewritten.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from json.encoder import encode_basestring_ascii as quote
from typing import Any, Final, Literal, NamedTuple, cast

from ..core import FormatError, check_header, parse_json
from .errors import IntegrityError
from .models import from_us, to_us
from .signing import SignedHead

LedgerKind = Literal["budget", "spend", "key", "consent", "config", "promotion", "head"]
ExportForm = Literal["json", "ndjson", "csv"]
GENESIS: Final = "0" * 64  # the `previous` of the first entry
EXPORT_FORMAT: Final = "nasturtium-ledger"
EXPORT_VERSION: Final = 1
_INTEGERS = {"sequence", "recorded_us"}
_NULLABLE = {"subject", "run"}
HINT: Final = "compare with a backup and with the heads that sites keep; what comes after this entry proves nothing"


class Link(NamedTuple):
    """An entry as its row holds it. Rows of databases and of exports may hold anything, whatever the types here say."""

    sequence: int
    kind: str
    subject: str | None
    run: str | None
    body: str
    recorded_us: int
    previous: str
    hash: str
    signer: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRecord:
    """One entry of the ledger."""

    ledger: str  # ULID of the database instance
    sequence: int  # from 1, without gaps
    kind: LedgerKind
    subject: str | None  # whose privacy: the fingerprint of a data set, ...
    run: str | None  # ULID
    body: Mapping[str, Any]
    text: str  # the body as it was hashed
    recorded: datetime  # UTC
    previous: str
    hash: str
    signer: str
    signature: str

    @property
    def head(self) -> SignedHead:
        """The signed head of the ledger as it was when this entry was its last."""
        return SignedHead(
            ledger=self.ledger,
            sequence=self.sequence,
            hash=self.hash,
            signer=self.signer,
            signature=self.signature,
        )

    def to_dict(self) -> dict[str, Any]:
        """The entry with all that is needed to verify it: the columns of the table, and which ledger it is of."""
        return {
            "ledger": self.ledger,
            "sequence": self.sequence,
            "kind": self.kind,
            "subject": self.subject,
            "run": self.run,
            "body": self.text,
            "recorded_us": to_us(self.recorded),
            "previous": self.previous,
            "hash": self.hash,
            "signer": self.signer,
            "signature": self.signature,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """What was found when a ledger was verified, and nothing was wrong."""

    ledger: str
    entries: int
    head: SignedHead | None  # None: it is empty
    signers: Mapping[str, int]  # public key -> the first entry that it signed
    changes: Sequence[int] = ()  # the entries from which on another signer than that of the entry before goes on


def entry_hash(ledger: str, link: Link) -> str:
    """The hash that the entry must have; its own `hash` and `signature` are not looked at."""
    return hashlib.sha256(_hashed(quote(ledger), *link[:7], link.signer).encode()).hexdigest()


def seal(link: Link) -> str:
    """What the entry after `link` has as `previous`."""
    return hashlib.sha256((link.hash + link.signature).encode()).hexdigest()


def to_record(ledger: str, link: Link) -> LedgerRecord:
    """The entry as a value.

    Raises:
        IntegrityError: its body is no JSON object, or its time is none.
    """
    try:
        body = parse_json(link.body)
        recorded = from_us(link.recorded_us)
    except (FormatError, TypeError, OverflowError) as exc:
        raise _wrong(link.sequence, f"its body or its time cannot be read ({exc})") from exc
    if not isinstance(body, dict):
        raise _wrong(link.sequence, "its body is no JSON object")
    return LedgerRecord(
        ledger=ledger,
        sequence=link.sequence,
        kind=cast(LedgerKind, link.kind),
        subject=link.subject,
        run=link.run,
        body=cast(dict[str, Any], body),
        text=link.body,
        recorded=recorded,
        previous=link.previous,
        hash=link.hash,
        signer=link.signer,
        signature=link.signature,
    )


def check_entry(ledger: str, link: Link) -> SignedHead:
    """The entry as a signed head, if its hash is that of its content and its signature that of its signer.

    Raises:
        IntegrityError: they are not. What is before the entry is not looked at.
    """
    for name, value in zip(Link._fields, link, strict=True):
        expected = int if name in _INTEGERS else str
        if type(value) is not expected and not (value is None and name in _NULLABLE):
            raise _wrong(link.sequence, f"its {name} is {value!r:.60}, expected {expected.__name__}")
    try:
        own = entry_hash(ledger, link)
    except UnicodeEncodeError:
        own = None
    if own != link.hash:
        to_record(ledger, link)
        raise _wrong(link.sequence, "its hash is not that of its content, so one of them was changed")
    return _check_signature(ledger, link)


def check_chain(
    ledger: str, links: Iterable[Link], *, heads: Mapping[str, SignedHead], signatures: bool
) -> LedgerReport:
    """Check that `links` are the entries of `ledger`, from the first to the last, as they were written.

    All hashes are checked, and the signatures of the last entry and of each after which another signer goes on: a
    signature stands for everything before it.

    Args:
        ledger: ULID of the database instance.
        links: in the order of their sequence; plain tuples of those columns will do.
        heads: who kept one -> the head that was kept.
        signatures: check the signature of every entry.

    Raises:
        IntegrityError: something is wrong; the message names the first entry that is, and says what.
    """
    for keeper, head in heads.items():
        _check_kept(ledger, keeper, head)
    kept = {head.sequence for head in heads.values()}
    found: dict[int, Link] = {}
    signers: dict[str, int] = {}
    changes: list[int] = []
    ledger_text, sealed, signer, last = quote(ledger), GENESIS, None, None
    number = 0
    for number, link in enumerate(links, 1):
        # Written out, for this is the hot loop: `entry_hash` and `seal`.
        sequence, kind, subject, run, body, recorded_us, previous, digest, by, signature = link
        try:
            hashed = _hashed(ledger_text, sequence, kind, subject, run, body, recorded_us, previous, by)
            if sequence != number or previous != sealed or hashlib.sha256(hashed.encode()).hexdigest() != digest:
                raise _blame(ledger, last, Link(*link), number)
            sealed = hashlib.sha256((digest + signature).encode()).hexdigest()
        except (TypeError, UnicodeEncodeError) as exc:  # a column that holds something else than its type
            raise _blame(ledger, last, Link(*link), number) from exc
        if by != signer or signatures:
            if last is not None:
                _check_signature(ledger, Link(*last))
            signers.setdefault(by, number)
            if by != signer and last is not None:
                changes.append(number)
            signer = by
        if number in kept:
            found[number] = Link(*link)
        last = link
    head = None if last is None else _check_signature(ledger, Link(*last))
    _compare(heads, found, number)
    return LedgerReport(ledger=ledger, entries=number, head=head, signers=signers, changes=tuple(changes))


def write_export(ledger: str, records: Iterable[LedgerRecord], form: ExportForm) -> str:
    """Entries as a text that can be verified without the database: their columns, the body as the text that was hashed.

    JSON is one document, `{"format": "nasturtium-ledger", "version": 1, "ledger": ..., "entries": [...]}`, NDJSON an
    entry a line, and CSV starts with the names of the columns.
    """
    rows = [record.to_dict() for record in records]
    if form == "json":
        header = {"format": EXPORT_FORMAT, "version": EXPORT_VERSION, "ledger": ledger}
        return json.dumps({**header, "entries": rows}, indent=2) + "\n"
    if form == "ndjson":
        return "".join(json.dumps(row) + "\n" for row in rows)
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["ledger", *Link._fields])
    writer.writerows([row[name] for name in ("ledger", *Link._fields)] for row in rows)
    return text.getvalue()


def read_export(text: str) -> tuple[str, list[Link]]:
    """The ledger's ULID and the entries of a JSON or NDJSON text of `write_export`.

    Raises:
        FormatError: not such an export, of a newer version, or with the entries of several ledgers or of none; or it
            ends early or is damaged.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    try:
        document = parse_json(text)
    except FormatError as exc:
        entries, ledgers = _read_lines(lines, exc), set[str]()
    else:
        if isinstance(document, dict) and "hash" in document:  # NDJSON of one entry
            entries, ledgers = [cast(object, document)], set[str]()
        else:
            header = check_header(cast(object, document), EXPORT_FORMAT, EXPORT_VERSION)
            entries, ledgers = header.get("entries"), {_field(header, "ledger")}
            if not isinstance(entries, list):
                raise FormatError(f"{EXPORT_FORMAT}: expected 'entries' as a list, got {type(entries).__name__}")
    entries = cast(list[object], entries)
    ledgers |= {_field(entry, "ledger") for entry in entries}
    if len(ledgers) != 1:
        raise FormatError(f"expected the entries of one ledger, got those of {len(ledgers)}")
    return ledgers.pop(), [Link(*(_field(entry, name) for name in Link._fields)) for entry in entries]


def _read_lines(lines: list[str], whole: FormatError) -> list[object]:
    """The entries of NDJSON; where not even the first line is JSON, the text was to be one document, and `whole` tells.

    Raises:
        FormatError: it ends early or is damaged.
    """
    if not lines:
        raise FormatError("the export is empty") from whole
    entries: list[object] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(parse_json(line))
        except FormatError as exc:
            what = f"line {number} is {exc.message}" if entries else f"it is {whole.message}"
            raise FormatError(f"the export ends early or is damaged: {what}") from exc
    return entries


def _field(entry: object, name: str) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        raise FormatError(f"an entry of the export is no object with {name!r}, got {entry!r:.60}")
    value = cast(dict[str, object], entry)[name]
    expected = int if name in _INTEGERS else str
    if type(value) is not expected and not (value is None and name in _NULLABLE):
        raise FormatError(f"an entry's {name!r}: expected {expected.__name__}, got {value!r:.100}")
    return value


def _hashed(
    ledger_text: str,
    sequence: int,
    kind: str,
    subject: str | None,
    run: str | None,
    body: str,
    recorded_us: int,
    previous: str,
    signer: str,
) -> str:
    """The canonical JSON that is hashed, put together: the body is such JSON already, and parsing it costs the most."""
    return (
        f'{{"body":{body},"kind":{quote(kind)},"ledger":{ledger_text},"previous":{quote(previous)},'
        f'"recorded_us":{recorded_us},"run":{"null" if run is None else quote(run)},"sequence":{sequence},'
        f'"signer":{quote(signer)},"subject":{"null" if subject is None else quote(subject)}}}'
    )


def _blame(ledger: str, last: Link | None, link: Link, number: int) -> IntegrityError:
    """Which of two neighbours is wrong: `link` that should follow `last`, or `last` itself."""
    if link.sequence != number:
        if type(link.sequence) is int and link.sequence > number:
            return _wrong(number, f"it is missing; entry {link.sequence} is the next there is")
        return _wrong(link.sequence, f"it stands where entry {number} is expected")
    sealed = GENESIS if last is None else seal(Link(*last))
    if last is not None and link.previous != sealed:
        try:
            _check_signature(ledger, Link(*last))
        except IntegrityError as exc:
            return exc
    try:
        check_entry(ledger, link)
    except IntegrityError as exc:
        return exc
    if last is None:
        return _wrong(number, f"its previous is {link.previous}, expected {GENESIS}")
    return _wrong(number - 1, f"it is not the one that entry {number} was chained to, so it was replaced later")


def _check_signature(ledger: str, link: Link) -> SignedHead:
    try:
        head = SignedHead(
            ledger=ledger, sequence=link.sequence, hash=link.hash, signer=link.signer, signature=link.signature
        )
        head.verify()
    except (FormatError, IntegrityError) as exc:
        raise _wrong(link.sequence, f"its signature is not that of its signer {link.signer!r:.18}") from exc
    return head


def _check_kept(ledger: str, keeper: str, head: SignedHead) -> None:
    try:
        head.verify()
    except IntegrityError as exc:
        raise IntegrityError(f"the head of entry {head.sequence} that {keeper} kept: {exc.message}") from exc
    if head.ledger != ledger:
        raise IntegrityError(
            f"the head that {keeper} kept is of ledger {head.ledger}, this is ledger {ledger}",
            hint="verify the database that the head is from",
        )


def _compare(heads: Mapping[str, SignedHead], found: Mapping[int, Link], entries: int) -> None:
    """Hold the heads that were kept against the entries of their sequence, in that order."""
    agreed = 0
    for keeper, head in sorted(heads.items(), key=lambda item: item[1].sequence):
        link = found.get(head.sequence)
        if link is None:
            raise _wrong(
                entries + 1, f"it is missing; the ledger ends before it, but {keeper} kept the head of {head.sequence}"
            )
        if link.hash != head.hash:
            since = head.sequence if agreed + 1 == head.sequence else f"{agreed + 1} to {head.sequence}"
            raise _wrong(since, f"rewritten after {keeper} kept the head of entry {head.sequence}")
        if link.signer != head.signer:
            raise _wrong(
                head.sequence, f"it is signed by {link.signer[:16]}, the head that {keeper} kept by {head.signer[:16]}"
            )
        agreed = head.sequence


def _wrong(sequence: int | str, what: str) -> IntegrityError:
    return IntegrityError(f"entry {sequence} of the ledger: {what}", hint=HINT)
