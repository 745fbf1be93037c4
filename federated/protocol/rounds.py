"""The values of a round: what goes down, what comes up, what the sites tell of it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from math import ceil, inf, isfinite
from typing import Final, Literal

from ...core import ConfigError, canonical_json
from ...privacy import Preset

Phase = Literal["train", "evaluate", "report"]
RangeRule = Literal["fixed", "last-sum"]
Distribution = Literal["discrete-gaussian", "skellam"]
MaskStep = Literal["advertise", "share", "confirm", "reveal"]
OPTIMIZERS: Final = ("adamw", "sgd")
FEDAVG: Final = '{"name":"fedavg"}'
UNCOMPRESSED: Final = '{"name":"none"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTraining:
    """How every site trains in a round.

    Attributes:
        epochs: passes over its own rows a round.
        batch_size: rows a step.
        learning_rate: constant.
        weight_decay: of AdamW decoupled, of SGD added to the gradient.
        optimizer: "adamw", or "sgd" with Nesterov's momentum of 0.9; some strategies have one of their own.
        label_smoothing: of a network of the core, in [0, 1).
        max_rows: the public bound on a site's rows; a site's weight is its rows over this, at most 1.
    """

    epochs: int = 2
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    optimizer: str = "adamw"
    label_smoothing: float = 0.0
    max_rows: int = 10_000

    def __post_init__(self) -> None:
        rates_fit = 0 < self.learning_rate < inf and 0 <= self.weight_decay < inf
        if min(self.epochs, self.batch_size, self.max_rows) < 1 or not rates_fit:
            raise ConfigError(f"expected positive, finite numbers, got {self}")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"expected an optimizer of {', '.join(OPTIMIZERS)}, got {self.optimizer!r:.40}")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"expected 0 <= label_smoothing < 1, got {self.label_smoothing}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """How changes become levels: part of every plan, and never taken from one site's data.

    Attributes:
        preset: name of a `privacy.Preset`: levels, and how many updates a sum may have.
        bound: the range of every tensor's weighted changes in the first round, and always under the rule "fixed"; > 0.
        rule: "last-sum" derives each tensor's next range from the last decrypted sum, at every site alike.
        scheme: how the levels are protected, by name.
    """

    preset: str
    bound: float
    rule: RangeRule = "last-sum"
    scheme: str = "packed"

    def __post_init__(self) -> None:
        Preset.named(self.preset)
        if not 0 < self.bound < inf or self.rule not in {"fixed", "last-sum"}:
            raise ConfigError(
                f'expected a finite bound > 0 and the rule "fixed" or "last-sum", got {self.bound}, {self.rule!r:.40}'
            )


def first_bound(training: LocalTraining, sites: int) -> float:
    """A range for the first round: Adam moves a weight by at most about the learning rate a step."""
    return training.learning_rate * training.epochs * ceil(training.max_rows / (sites * training.batch_size))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyTerms:
    """How each site's part in a run is hidden by noise; see `privacy.ClientDp`.

    Attributes:
        clip: largest L2 norm of a site's change; > 0.
        value_range: largest magnitude of the change of a weight; > 0.
        sigma: standard deviation of the noise in a sum, in quantisation steps.
        distribution: of the noise.
        fewest_sites: a sum of fewer has too little noise, and is not opened.
        colluders: how many sites may pool what they know.
    """

    clip: float
    value_range: float
    sigma: float
    distribution: Distribution
    fewest_sites: int
    colluders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskTerms:
    """How the masks of a run are made; see `privacy.MaskingPlan`.

    Attributes:
        roster_sha256: of the roster whose members take part.
        threshold: of how many sites' shares a secret is joined.
        colluders: how many sites may be in league with the coordinator.
    """

    roster_sha256: str
    threshold: int
    colluders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRequest:
    """A question to one site about the masks of an attempt, before or after the updates.

    Attributes:
        run, round, attempt: as in `RoundPlan`.
        step: what the site is to do.
        layout: `RoundPlan.layout_sha256` of the plan that will come, as hex.
        terms: see `MaskTerms`.
        payload: what the coordinator passes on: adverts, ids of the sites in the sum, confirmations.
        preset: name of the `privacy.Preset` of the updates; empty where there is only one.
    """

    run: str
    round: int
    attempt: int
    step: MaskStep
    layout: str
    terms: MaskTerms
    payload: bytes
    preset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """What the coordinator sends to every site. It holds no weights: the coordinator has none.

    Attributes:
        run: ULID of the federated run.
        attempt: at the round, from 1. A site answers each attempt once, and takes the step of a round once.
        round: from 1; the phases "evaluate" and "report" that close a run count on.
        phase: "train" opens the last sum and trains; "evaluate" opens it and measures; "report" only opens it.
        spec: the network as JSON; the site builds its own copy from it and `seed`.
        preprocessing: agreed by all sites before the run, as JSON.
        seed: of the initial weights, the same for all, and of each site's shuffling.
        training: see `LocalTraining`.
        quantisation: see `Quantisation`.
        total: the sum of the round before, as `EncryptedSum` bytes; empty in round 1.
        masks: how the updates of the round are masked under the encryption; None where they are not.
        take_part: False for a site that is only to open the sum and take the step, since it has no mask in the round.
        shares: what the other sites have dealt to this one for that; empty where there are no masks.
        privacy: the noise each site adds; None for none.
        ledger_head: the signed head of the coordinator's privacy ledger, JSON, for the site to keep; may be empty.
        strategy: how sites train and what a sum does to the model, as JSON; see `strategies`.
        compression: what of a change travels, as JSON; see `compression`.
        shared: where the network's weights come from, and where they go in the end, as JSON; see
            `inheritance.Inheritance`. Empty where it begins with weights of its own.
        search: ULID of the architecture search that the network is a candidate of: it is compared with others, and no
            model to be kept. Empty for the model of a run.
    """

    run: str
    round: int
    phase: Phase
    spec: str
    preprocessing: str
    seed: int
    training: LocalTraining
    quantisation: Quantisation
    total: bytes
    attempt: int = 1
    masks: MaskTerms | None = None
    take_part: bool = True
    shares: bytes = b""
    privacy: PrivacyTerms | None = None
    ledger_head: str = ""
    strategy: str = FEDAVG
    compression: str = UNCOMPRESSED
    shared: str = ""
    search: str = ""

    def layout_sha256(self, symbols_sha256: str) -> str:
        """Names what the updates of the round are and how they were made, as hex.

        It covers all that sites are told but the last sum and what is theirs alone. Sites that were told otherwise, to
        train not at all, say, so that another's update stands alone in the sum, do not enter one sum.

        Args:
            symbols_sha256: what the symbols mean, for this network.
        """
        texts = ("run", "phase", "spec", "preprocessing", "seed", "strategy", "compression", "shared", "search")
        told = {name: getattr(self, name) for name in texts} | {
            name: None if (value := getattr(self, name)) is None else asdict(value)
            for name in ("training", "quantisation", "privacy", "masks")
        }
        return hashlib.sha256(canonical_json([symbols_sha256, told]).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReport:
    """What a site read from the sum of the round before: counts over all sites, the same at each of them.

    Attributes:
        model_round: the counts describe the model that this round made; 0 is the initial one.
        rows, correct: validation rows of all sites, and how many were classified correctly.
        loss: mean over those rows, nats, to 1e-3.
    """

    model_round: int
    rows: int
    correct: int
    loss: float

    def __post_init__(self) -> None:
        if not (0 <= self.correct <= self.rows and isfinite(self.loss)):
            raise ValueError(f"a report that cannot be: {self.correct} of {self.rows} correct, loss {self.loss}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientUpdate:
    """What one site sends back.

    Attributes:
        update: `EncryptedUpdate` bytes: weighted change of the model and counts; empty in the phase "report".
        model_tag: the same at sites with the same model before training, which all must agree on; keyed, as hex.
        report: what the last sum said; None in round 1.
        seconds: the site's own time.
        train_seconds, encrypt_seconds: the parts of it that went into training and into protecting the update.
        rows: how many the site trained on; None: its policy does not tell, as of the next two.
        update_norm: L2 norm of its weighted change, before anything was cut off.
        clipped: whether that was more than could be sent whole.
    """

    update: bytes
    model_tag: str
    report: SiteReport | None
    seconds: float
    train_seconds: float = 0.0
    encrypt_seconds: float = 0.0
    rows: int | None = None
    update_norm: float | None = None
    clipped: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOutcome:
    """How one site's answer was taken.

    Attributes:
        site: its name.
        reason: why it was refused; None if it is in the sum.
        bytes_up, bytes_down: of the protected payloads and the plan.
        seconds: the site's own time; 0 where it did not answer.
        train_seconds, encrypt_seconds: parts of it; None where it did not answer.
        took_part: False for a site that was only to take the step.
        rows, update_norm, clipped: see `ClientUpdate`.
    """

    site: str
    reason: str | None
    bytes_up: int
    bytes_down: int
    seconds: float
    train_seconds: float | None = None
    encrypt_seconds: float | None = None
    took_part: bool = True
    rows: int | None = None
    update_norm: float | None = None
    clipped: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What an attempt at a round decided.

    Attributes:
        round: its number.
        attempt: at it, from 1.
        phase: what it was for.
        outcomes: one per site that was asked.
        report: what a majority of the sites read from the sum of the round before.
        started: when the plans were sent.
        seconds: from then to closing the sum.
        aggregate_seconds: the part of it in which answers were checked and added.
        failure: why there is no sum; None: there is, or none was to be.
    """

    round: int
    phase: Phase
    outcomes: tuple[SiteOutcome, ...]
    report: SiteReport | None
    started: datetime
    seconds: float
    aggregate_seconds: float = 0.0
    attempt: int = 1
    failure: str | None = None

    @property
    def accepted(self) -> int:
        """How many sites' answers were taken."""
        return sum(outcome.took_part and outcome.reason is None for outcome in self.outcomes)
