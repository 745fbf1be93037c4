"""`SearchTerms`: what all candidates of a search have in common, and the plan that a candidate's run gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...core import Candidate, ConfigError, Scalar
from ...privacy import MIN_SUMMANDS
from ..coordinator.plan import FederationPlan
from ..protocol.gather import Closing
from ..protocol.rounds import FEDAVG, UNCOMPRESSED, LocalTraining, MaskTerms, Quantisation, first_bound
from ..strategies import strategy_from_json

# Hyperparameters that sites follow, with the types they have; whatever else a space decides is not known to them.
FOLLOWED: Final[Mapping[str, tuple[type, ...]]] = {
    "learning_rate": (int, float),
    "weight_decay": (int, float),
    "batch_size": (int,),
    "optimizer": (str,),
    "label_smoothing": (int, float),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTerms:
    """How the candidates of a search are trained; see `FederationPlan` for fields of the same names.

    Attributes:
        sites: how many take part in a round, which bounds the first changes of a weight.
        preset: name of the `privacy.Preset` of all updates: one for all candidates.
        training: of a candidate that decides nothing of it; `FOLLOWED` names what candidates may decide.
        scheme: how updates are protected, by name.
        timed: whether evaluations tell train_seconds, which differs from run to run.
        search: ULID that sites are told the search by, so that their policies can tell it from other runs; empty where
            they have none.
    """

    sites: int
    preprocessing: str
    preset: str
    training: LocalTraining = field(default_factory=LocalTraining)
    scheme: str = "packed"
    masks: MaskTerms | None = None
    strategy: str = FEDAVG
    compression: str = UNCOMPRESSED
    min_sites: int = MIN_SUMMANDS
    participants: int | None = None
    closing: Closing = field(default_factory=Closing)
    attempts: int = 5
    retry_wait: float = 1.0
    patience: float = 600.0
    timed: bool = False
    search: str = ""

    def __post_init__(self) -> None:
        if strategy_from_json(self.strategy).asynchronous:
            raise ConfigError(
                "candidates are compared after rounds of all sites, and this strategy waits for none of them",
                hint="choose another strategy, such as fedavg",
            )

    def local_training(self, hyperparameters: Mapping[str, Scalar]) -> LocalTraining:
        """What a candidate asks the sites for.

        Raises:
            ConfigError: a value that cannot be.
        """
        asked: dict[str, Any] = {}
        for name, kinds in FOLLOWED.items():
            if name in hyperparameters:
                value = hyperparameters[name]
                if type(value) not in kinds:
                    expected = " or ".join(kind.__name__ for kind in kinds)
                    raise ConfigError(f"expected {name} as {expected}, got {value!r:.60}")
                asked[name] = float(value) if float in kinds else value
        return replace(self.training, **asked)

    def plan(self, candidate: Candidate, rounds: int, shared: str = "") -> FederationPlan:
        """The plan of a candidate's run, whose ULID is the candidate's id.

        Args:
            candidate: what is trained.
            rounds: of its schedule.
            shared: see `RoundPlan.shared`.

        Raises:
            ConfigError: a hyperparameter that cannot be.
        """
        training = self.local_training(candidate.hyperparameters)
        rate = strategy_from_json(self.strategy).optimizer(training).learning_rate
        return FederationPlan(
            run=candidate.id,
            spec=candidate.spec,
            preprocessing=self.preprocessing,
            seed=candidate.seed,
            rounds=rounds,
            training=training,
            quantisation=Quantisation(
                preset=self.preset,
                bound=first_bound(replace(training, learning_rate=rate), self.sites),
                scheme=self.scheme,
            ),
            masks=self.masks,
            strategy=self.strategy,
            compression=self.compression,
            shared=shared,
            search=self.search,
            min_sites=self.min_sites,
            participants=self.participants,
            closing=self.closing,
            attempts=self.attempts,
            retry_wait=self.retry_wait,
            patience=self.patience,
        )
