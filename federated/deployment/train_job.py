"""`TrainJob`: one model to be trained across the sites, as whoever starts it writes it: `train.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, cast

from ...core import ConfigError, FormatError, parse_json, read_settings
from ...privacy import MAX_CLIENTS, MIN_SUMMANDS, PublicIdentity
from ..adapters import FederatedModel, read_model
from ..agreement import Schema, Terms
from ..compression import Compression, compression_from_dict
from ..protocol.rounds import LocalTraining
from ..settings import check_flag, check_known, check_number, check_text, check_whole, check_word, read_table
from ..strategies import FederatedStrategy, strategy_from_dict
from ..updates.exchange import check_scheme, check_together
from .release_to import check_release_to, find_recipient, read_release_to

VERSION: Final = 1
MAX_SPEC_BYTES: Final = 2**22
Scheme = Literal["packed", "plain"]
SCHEMES: Final[tuple[Scheme, ...]] = ("packed", "plain")
_EXAMPLE: Final = "version = 1"
_LARGEST: Final = 2.0**63
_TABLES: Final = ("training", "protection", "privacy", "rows", "schema", "strategy", "compression", "adapter")

JOB_TEMPLATE: Final = """\
# One model to be trained across the sites: nasturtium federate start train.toml
version = 1
name = "federated"
rounds = 20
seed = 0
# model = "model.json"          # a network as JSON, relative to this file; without it a small default one
# release_to = "coordinator"    # who is given the model in the end, if most sites' policies name them; or the
#                               # identity.pub.json of somebody else, relative to this file. Without it: nobody

[training]                      # at every site, in every round
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

# [adapter]                     # a model that is no network of ours, by the name that sites have it under
# name = "sklearn-mlp"          # further keys are its options; see federated/adapters/README.md
# hidden = [64, 32]

# [privacy]                     # differential privacy of each site, over all rounds
# epsilon = 8.0
# delta = 1e-5
# clip = 1.0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """The `[protection]` table.

    Attributes:
        scheme: "packed" encrypts, "plain" does not.
        masked: whether updates are masked under the encryption.
        bits: of a quantised change, 1 to 16.
        min_sites: no sum of fewer updates is formed; at least 3.
        participants: how many sites train in a round; None: all that are there.
    """

    scheme: Scheme = "packed"
    masked: bool = True
    bits: int = 8
    min_sites: int = MIN_SUMMANDS
    participants: int | None = None

    def __post_init__(self) -> None:
        check_word("scheme", self.scheme, SCHEMES)
        check_flag("masked", self.masked)
        check_whole("bits", self.bits, 1, 16)
        check_whole("min_sites", self.min_sites, MIN_SUMMANDS, MAX_CLIENTS)
        if self.participants is not None:
            check_whole("participants", self.participants, self.min_sites, MAX_CLIENTS)
        if self.masked and self.scheme == "plain":
            raise ConfigError("masked: masks go under the encryption, and the scheme is plain", hint="masked = false")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseBudget:
    """The `[privacy]` table: what each site may lose over all rounds.

    Attributes:
        epsilon, delta: of differential privacy; epsilon > 0, delta in (0, 1).
        clip: largest L2 norm of a site's change in a round; > 0.
    """

    epsilon: float
    delta: float = 1e-5
    clip: float = 1.0

    def __post_init__(self) -> None:
        check_number("epsilon", self.epsilon, 0, float("inf"))
        check_number("delta", self.delta, 0, 1)
        check_number("clip", self.clip, 0, 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTerms:
    """The `[rows]` table: how rows are prepared; see `agreement.Terms`."""

    fill: str = "mean"
    standardise: str | None = None
    measure: str = "moments"

    def make_terms(self, schema: Schema) -> Terms:
        """What sites have to agree on.

        Raises:
            ConfigError: there is no such way for these rows.
        """
        return Terms(
            schema=schema,
            fill=cast(Any, self.fill),
            standardise=cast(Any, self.standardise),
            measure=cast(Any, self.measure),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """A model to be trained.

    Attributes:
        name: of the run, in the history.
        rounds: training rounds, at least 1.
        seed: of the weights and of each site's shuffling; in [0, 2**63).
        model: the network, or an `AdapterSpec`, as JSON; None: a small default one, once it is known what the rows are.
        adapter: the name and the options of a model that this machine has as well as the sites; see `adapters`. One it
            does not have stands in `model`, with its tensors.
        model_run: ULID of the run that found the network; None: none did.
        release_to: who is given the model in the end, if the sites do so: "coordinator", or the public identity of
            somebody else as JSON; None: nobody, and the sites alone have it.
        training, protection, privacy, rows: see there; without `privacy` no noise is added.
        strategy, compression: their names and parameters; see `strategies.STRATEGIES`, `compression.COMPRESSIONS`.
        schema: what rows are, where that is public; None: what most sites have.

    Raises:
        ConfigError: a value does not fit, or two exclude each other.
    """

    name: str = "federated"
    rounds: int = 20
    seed: int = 0
    model: str | None = None
    model_run: str | None = None
    release_to: str | None = None
    training: LocalTraining = field(default_factory=LocalTraining)
    protection: Protection = field(default_factory=Protection)
    privacy: NoiseBudget | None = None
    rows: RowTerms = field(default_factory=RowTerms)
    schema: Mapping[str, Any] | None = None
    strategy: Mapping[str, Any] = field(default_factory=lambda: {"name": "fedavg"})
    compression: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    adapter: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_whole("rounds", self.rounds, 1, 2**31 - 1)
        if not 0 <= self.seed < _LARGEST or type(self.seed) is not int:
            raise ConfigError(f"seed: expected a whole number from 0, below 2**63, got {self.seed!r:.40}")
        strategy, compression = self.make_strategy(), self.make_compression()
        check_together(strategy, compression, private=self.privacy is not None)
        check_scheme(strategy, compression, self.protection.scheme)
        if self.privacy is not None and self.protection.scheme == "plain":
            raise ConfigError("noise hides a site in the sum, not in an update in the clear", hint='scheme = "packed"')
        if self.adapter is not None:
            if self.model is not None:
                raise ConfigError("model and adapter exclude each other", hint="leave out one of them")
            check_text("adapter: name", self.adapter.get("name"))
        if self.spec is not None and self.schema is not None:
            self.make_schema()
        check_release_to(self.release_to)

    @property
    def spec(self) -> FederatedModel | None:
        """The model, if the job says all of it.

        Raises:
            FormatError: it is none.
        """
        return None if self.model is None else read_model(self.model)

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

        Args:
            schema: of the job, or what most sites have.

        Raises:
            ConfigError: there is no such way for these rows.
        """
        return self.rows.make_terms(schema)

    def to_dict(self) -> dict[str, Any]:
        """The job as JSON values, for the queue."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, where: str = "job") -> TrainJob:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: a key does not fit.
        """
        top = [each.name for each in fields(cls) if each.name not in _TABLES]
        check_known(document, ["version", *top, *_TABLES], where)
        values: dict[str, Any] = {name: document[name] for name in top if name in document}
        kinds = {"training": LocalTraining, "protection": Protection, "privacy": NoiseBudget, "rows": RowTerms}
        tables: dict[str, Any] = {
            name: read_table(kind, document[name], f"{where}: [{name}]")
            for name, kind in kinds.items()
            if document.get(name) is not None
        }
        for name in ("strategy", "compression", "schema", "adapter"):
            if name in document and not isinstance(document[name], Mapping):
                raise ConfigError(f"{where}: [{name}]: expected a table, got {document[name]!r:.40}")
            tables |= {name: document[name]} if name in document else {}
        return read_table(cls, values, f"{where}:", **tables)

    @classmethod
    def load(cls, path: str | Path) -> TrainJob:
        """Read a file; the network that it names is read as well.

        Raises:
            ConfigError: a file cannot be read, or a key does not fit.
        """
        document = read_settings(path, example=_EXAMPLE)
        version = document.pop("version", None)
        if version != VERSION or type(version) is not int:
            raise ConfigError(f"{path}: version: expected {VERSION}, got {version!r:.40}", hint=f"write: {_EXAMPLE}")
        if isinstance(document.get("model"), str):
            document["model"] = _read_model(Path(path).parent / document["model"])
        document["release_to"] = read_release_to(document.get("release_to"), Path(path).parent)
        return cls.from_dict(document, where=str(path))


def _read_model(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SPEC_BYTES + 1).decode()
        if len(text) > MAX_SPEC_BYTES:
            raise ValueError(f"expected at most {MAX_SPEC_BYTES} bytes")
        parse_json(text)
        return read_model(text).to_json()
    except (OSError, ValueError, FormatError) as exc:
        raise ConfigError(
            f"the network {path} cannot be read: {exc}", hint="expected a ModelSpec or an AdapterSpec as JSON"
        ) from exc
