"""`SearchJob`: an architecture search across the sites, as whoever starts it writes it: `search.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast

from ...core import ConfigError, FormatError, parse_json, read_settings
from ...privacy import PublicIdentity
from ..agreement import Schema, Terms
from ..compression import Compression, compression_from_dict
from ..protocol.answers import MAX_QUESTIONS
from ..protocol.rounds import LocalTraining
from ..settings import check_known, check_number, check_text, check_texts, check_whole, check_word, read_table
from ..strategies import FederatedStrategy, strategy_from_dict
from ..updates.exchange import check_scheme, check_together
from .release_to import check_release_to, find_recipient, read_release_to
from .train_job import VERSION, Protection, RowTerms

MAX_SPACE_BYTES: Final = 2**22
_EXAMPLE: Final = "version = 1"
_TABLES: Final = ("search", "model", "training", "protection", "rows", "schema", "strategy", "compression")
_EVALUATE: Final = ("training", "supernet")
_CONTROL: Final = ("start", "equal")

SEARCH_TEMPLATE: Final = """\
# An architecture search across the sites: nasturtium federate start search.toml
version = 1
name = "search"
seed = 0
# release_to = "coordinator"    # who is given the model at the end, if most sites' policies name them; see train.toml

[search]
trials = 20                     # candidates
rounds = 9                      # the longest a candidate is trained; those that do not get on are stopped early
together = 4                    # candidates whose plans travel in one message, 1 to 64
attempts = 2                    # at a round with too few answers; then the trial has failed, and the search goes on
strategy = "predictor"          # nasturtium search strategies lists them
scheduler = "asha"              # what stops candidates early: asha, hyperband or none
objectives = ["val_accuracy"]   # the winner is chosen by the first; upload_bytes, parameters, macs may follow
# constraints = ["upload_bytes <= 50000"]
# space = "tabular"             # nasturtium search spaces, or a .toml or .json file, relative to this one
# evaluate = "supernet"         # candidates begin with shared weights, and are trained for one round
# stop_at = 0.95                # end when the first objective reaches this; or stop_after = 10 trials without gain

[model]
rounds = 20                     # of the best network at the end, which the sites keep

[training]                      # at every site, in every round, of what a candidate does not decide itself
epochs = 2
batch_size = 32
learning_rate = 2e-3
weight_decay = 1e-4
max_rows = 10000                # a site's weight is its rows over this, at most 1; no site tells how many it has

[protection]
scheme = "packed"               # encrypted; "plain" is for strategies that look at single updates
masked = true                   # not even the coordinator and a site in league read a single update
bits = 8                        # of a quantised change of a weight
min_sites = 3                   # no sum of fewer is formed
# participants = 10             # how many sites train in a round; without it, all

[strategy]
name = "fedavg"                 # nasturtium federate strategies lists them, and their parameters
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The `[search]` table. What its words name is known to whoever searches; here they are words.

    Attributes:
        trials: candidates to evaluate, >= 1.
        rounds: the longest a candidate is trained, >= 1; with a supernet, messages in which its paths are.
        together: candidates whose plans travel in one message, 1 to 64.
        attempts: at a round of a candidate with too few answers, before its trial has failed; >= 1.
        space: a name; None takes what fits the rows.
        strategy: that proposes candidates.
        scheduler: that stops them early.
        evaluate: by "training" each, or one round of it with the weights of a shared "supernet".
        objectives: what is searched for; the winner is chosen by the first.
        constraints: what every candidate must keep.
        stop_at: end when the first objective reaches this.
        stop_after: end after so many trials that made nothing better.
        seconds, upload_bytes: budgets of the whole search; None does not limit it.
        warm_start: earlier searches in the same space, whose trials the strategy may learn from.
        control: random search that the result is compared with: what the search "start"s with, or an "equal" number of
            trials.
    """

    trials: int = 20
    rounds: int = 9
    together: int = 4
    attempts: int = 2
    space: str | None = None
    strategy: str = "predictor"
    scheduler: str = "asha"
    evaluate: str = "training"
    objectives: tuple[str, ...] = ("val_accuracy",)
    constraints: tuple[str, ...] = ()
    stop_at: float | None = None
    stop_after: int | None = None
    seconds: float | None = None
    upload_bytes: float | None = None
    warm_start: tuple[str, ...] = ()
    control: str = "start"

    def __post_init__(self) -> None:
        check_whole("trials", self.trials, 1, 10**6)
        check_whole("rounds", self.rounds, 1, 10**6)
        check_whole("together", self.together, 1, MAX_QUESTIONS)
        check_whole("attempts", self.attempts, 1, 10**6)
        for name in ("strategy", "scheduler"):
            check_text(name, getattr(self, name))
        if self.space is not None:
            check_text("space", self.space)
        check_word("evaluate", self.evaluate, _EVALUATE)
        check_word("control", self.control, _CONTROL)
        for name in ("objectives", "constraints", "warm_start"):
            check_texts(name, getattr(self, name))
        if not self.objectives:
            raise ConfigError("objectives: expected at least one, got none")
        if self.stop_at is not None:
            check_number("stop_at", self.stop_at, -1e300, 1e300)
        if self.stop_after is not None:
            check_whole("stop_after", self.stop_after, 1)
        for name in ("seconds", "upload_bytes"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, float("inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalModel:
    """The `[model]` table: how the best network is trained in the end, as a run of its own that the sites keep.

    Attributes:
        rounds: training rounds, at least 1.
    """

    rounds: int = 20

    def __post_init__(self) -> None:
        check_whole("rounds", self.rounds, 1, 2**31 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchJob:
    """An architecture search. There is no noise in it: candidates are compared by exact counts over all sites.

    Attributes:
        name: of the search, in the history.
        seed: of proposals, weights and each site's shuffling; in [0, 2**63).
        release_to: who is given the model at the end; see `TrainJob`.
        search, model, training, protection, rows: see there.
        schema: what rows are, where that is public; None: what most sites have.
        strategy, compression: how updates become a sum; see `TrainJob`.
        space_document: of a space that is in a file, as JSON values; None: it has a name.

    Raises:
        ConfigError: a value does not fit, or two exclude each other.
    """

    name: str = "search"
    seed: int = 0
    release_to: str | None = None
    search: Candidates = field(default_factory=Candidates)
    model: FinalModel = field(default_factory=FinalModel)
    training: LocalTraining = field(default_factory=LocalTraining)
    protection: Protection = field(default_factory=Protection)
    rows: RowTerms = field(default_factory=RowTerms)
    schema: Mapping[str, Any] | None = None
    strategy: Mapping[str, Any] = field(default_factory=lambda: {"name": "fedavg"})
    compression: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    space_document: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_text("name", self.name)
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed: expected a whole number from 0, below 2**63, got {self.seed!r:.40}")
        strategy, compression = self.make_strategy(), self.make_compression()
        check_together(strategy, compression, private=False)
        check_scheme(strategy, compression, self.protection.scheme)
        if strategy.asynchronous:
            raise ConfigError(
                f"candidates are compared after rounds of all sites, and {strategy.name} waits for none of them",
                hint="choose another strategy, such as fedavg",
            )
        check_release_to(self.release_to)

    def recipient(self, coordinator: PublicIdentity) -> PublicIdentity | None:
        """Who is given the model; None: nobody.

        Args:
            coordinator: of the federation.
        """
        return find_recipient(self.release_to, coordinator)

    def make_strategy(self) -> FederatedStrategy:
        """The strategy."""
        return strategy_from_dict(self.strategy)

    def make_compression(self) -> Compression:
        """The compression."""
        return compression_from_dict(self.compression)

    def make_schema(self) -> Schema | None:
        """What rows are, if the job says so.

        Raises:
            FormatError: it says it in no way that is known.
        """
        return None if self.schema is None else Schema.from_dict(self.schema)

    def make_terms(self, schema: Schema) -> Terms:
        """What the sites have to agree on.

        Raises:
            ConfigError: there is no such way for these rows.
        """
        return self.rows.make_terms(schema)

    def to_dict(self) -> dict[str, Any]:
        """The job as JSON values, for the queue."""
        document = {name: value for name, value in asdict(self).items() if value is not None}
        search = cast(dict[str, Any], document["search"])
        document["search"] = {
            name: list(cast(tuple[str, ...], value)) if isinstance(value, tuple) else value
            for name, value in search.items()
            if value is not None
        }
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, where: str = "job") -> SearchJob:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: a key does not fit.
        """
        top = [each.name for each in fields(cls) if each.name not in _TABLES]
        if "privacy" in document:
            raise ConfigError(
                f"{where}: [privacy]: candidates are compared by counts over all sites, which are exact: no noise "
                "hides a site in a search",
                hint="search where the data has no privacy budget, then train the network found, with noise",
            )
        check_known(document, ["version", *top, *_TABLES], where)
        values: dict[str, Any] = {name: document[name] for name in top if name in document}
        kinds = {
            "search": Candidates,
            "model": FinalModel,
            "training": LocalTraining,
            "protection": Protection,
            "rows": RowTerms,
        }
        tables: dict[str, Any] = {
            name: read_table(kind, document[name], f"{where}: [{name}]")
            for name, kind in kinds.items()
            if document.get(name) is not None
        }
        for name in ("strategy", "compression", "schema"):
            if name in document and not isinstance(document[name], Mapping):
                raise ConfigError(f"{where}: [{name}]: expected a table, got {document[name]!r:.40}")
            tables |= {name: document[name]} if name in document else {}
        return read_table(cls, values, f"{where}:", **tables)

    @classmethod
    def load(cls, path: str | Path) -> SearchJob:
        """Read a file; a space in a file that it names is read as well.

        Raises:
            ConfigError: a file cannot be read, or a key does not fit.
        """
        document = read_settings(path, example=_EXAMPLE)
        version = document.pop("version", None)
        if version != VERSION or type(version) is not int:
            raise ConfigError(f"{path}: version: expected {VERSION}, got {version!r:.40}", hint=f"write: {_EXAMPLE}")
        if "space_document" in document:
            raise ConfigError(f"{path}: unknown key 'space_document'", hint="name the space's file as [search] space")
        search = document.get("search")
        space = cast(dict[str, Any], search).get("space") if isinstance(search, dict) else None
        if isinstance(space, str) and Path(space).suffix.lower() in {".json", ".toml"}:
            document["space_document"] = _read_space(Path(path).parent / space)
        document["release_to"] = read_release_to(document.get("release_to"), Path(path).parent)
        return cls.from_dict(document, where=str(path))


def _read_space(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() == ".toml":
        return read_settings(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SPACE_BYTES + 1)
        if len(data) > MAX_SPACE_BYTES:
            raise ValueError(f"expected at most {MAX_SPACE_BYTES} bytes")
        document = parse_json(data.decode())
    except (OSError, ValueError, FormatError) as exc:
        raise ConfigError(f"the space {path} cannot be read: {exc}", hint="see: nasturtium search spaces") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"the space {path} cannot be read: expected an object, got {document!r:.40}")
    return cast(dict[str, Any], document)
