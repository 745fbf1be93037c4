"""`SitePolicy`: what a site takes part in. Its operator writes it; no message from outside changes it.

What it forbids raises `PolicyError`, whose text stays at the site; the coordinator is told the code.

Threat model: the coordinator may ask for anything, and tell every site something else. A policy bounds what this site
does itself. That the others keep to the same is not in its power, except where masks are: they come off with
`MaskTerms.threshold` sites and no fewer. Without masks, the least number of sites in a sum is known only when the sum
comes back, and then the site goes no further.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final, Literal, cast, get_args

from ...core import ConfigError
from ...privacy import MIN_SUMMANDS, Budget, EncryptedSum, UpdateRejectedError
from ..agreement.plan import AgreementPlan
from ..errors import PolicyError
from ..protocol.release import ReleaseRequest
from ..protocol.rounds import MaskRequest, MaskTerms, RoundPlan
from ..settings import check_flag, check_number, check_texts, check_whole
from ..strategies import STRATEGIES, strategy_from_json
from .guard import Action, Asked

logger = logging.getLogger(__name__)

# What an operator allows by name. The rest belongs to it: masks and reports to rounds, keys and greetings to all.
ALLOWED: Final = ("agree", "train", "evaluate", "search", "checkpoint", "release")
ANY: Final = "any"
Tells = Literal["rows", "columns", "norms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePolicy:
    """The `[policy]` table of `site.toml`.

    Attributes:
        actions: what the site does when it is asked to: "agree" on ranges, categories and classes by protected sums,
            "train", "evaluate", do both for the candidates of a "search", give the model, sealed, as a "checkpoint" to
            a site that missed rounds, and take one, and "release" it in the end.
        min_sites: least number of sites in a sum; at least 3.
        min_rows: fewest rows that the site takes part with: of its training rows; at least 1.
        max_epsilon: of all that the site ever takes part in, at `delta`; None does not limit it. With a limit, nothing
            without noise is taken part in.
        delta: at which epsilon is counted; in (0, 1).
        max_rounds: training rounds of one run, at least 1.
        require_masks: whether updates must be masked under the encryption: then no site in league with the coordinator
            reads one.
        allow_plain: whether updates may leave without encryption, as strategies that look at single ones need.
        strategies: names of those it takes part in; "any" is all of them.
        tell_rows: whether the coordinator may be told how many rows there are.
        tell_columns: whether it may be told the names and kinds of the columns. If not, it learns their fingerprint.
        tell_norms: whether it may be told how large each of the site's updates is, and whether it was cut.
        release_to: whom the final model may be given to: the coordinator by its name, others as "NAME:ID" with the
            first 32 digits of the fingerprint that was compared with them.
    """

    actions: tuple[str, ...] = ("agree", "train", "evaluate", "search", "checkpoint")
    min_sites: int = MIN_SUMMANDS
    min_rows: int = 20
    max_epsilon: float | None = None
    delta: float = 1e-5
    max_rounds: int = 1000
    require_masks: bool = True
    allow_plain: bool = False
    strategies: tuple[str, ...] = (ANY,)
    tell_rows: bool = False
    tell_columns: bool = True
    tell_norms: bool = False
    release_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_texts("actions", self.actions, ALLOWED)
        check_whole("min_sites", self.min_sites, MIN_SUMMANDS, 1000)
        check_whole("min_rows", self.min_rows, 1)
        check_whole("max_rounds", self.max_rounds, 1)
        if self.max_epsilon is not None:
            check_number("max_epsilon", self.max_epsilon, 0, inf)
        check_number("delta", self.delta, 0, 1)
        for name in ("require_masks", "allow_plain", "tell_rows", "tell_columns", "tell_norms"):
            check_flag(name, getattr(self, name))
        check_texts("strategies", self.strategies, (ANY, *STRATEGIES))
        check_texts("release_to", self.release_to)
        if self.allow_plain and self.require_masks:
            raise ConfigError(
                "allow_plain: updates without encryption have no masks, and require_masks says they must",
                hint="set one of the two to false",
            )

    def check(self, action: Action, asked: Asked, *, rows: int, plain: bool = False) -> None:
        """Refuse what the site does not take part in.

        Args:
            action: what is asked.
            asked: the plan or the question.
            rows: training rows of the site.
            plain: whether its updates leave without encryption.

        Raises:
            PolicyError: names the rule.
        """
        if action in ALLOWED and action not in self.actions:
            raise PolicyError(f"asked to {action}, which is none of {', '.join(self.actions)}", rule="actions")
        if isinstance(asked, ReleaseRequest):
            self.check_release(asked.party)
        if action in {"hello", "keys", "checkpoint", "release"}:
            return  # nothing of the rows leaves by these
        if rows < self.min_rows:
            raise PolicyError(f"this site has {rows} training rows, of at least {self.min_rows}", rule="min_rows")
        if plain and not self.allow_plain:
            raise PolicyError("updates would leave without encryption", rule="allow_plain")
        if isinstance(asked, MaskRequest):
            self._check_threshold(asked.terms.threshold)
        if isinstance(asked, RoundPlan):
            self._check_plan(asked, plain=plain)
        if isinstance(asked, AgreementPlan):
            self._check_agreement(asked, plain=plain)

    def check_release(self, party: str) -> None:
        """Refuse to give the model to somebody.

        Raises:
            PolicyError: the policy does not name them, or does not allow it at all.
        """
        if "release" not in self.actions:
            raise PolicyError("the model is not released", rule="actions", hint='add "release" to actions')
        if party not in self.release_to:
            named = ", ".join(self.release_to) or "nobody"
            raise PolicyError(f"the model may be given to {named}, and not to {party!r:.80}", rule="release_to")

    def budget(self, path: Path) -> Budget:
        """What the site's releases are charged to, over all runs and restarts; without a limit they are counted still.

        Args:
            path: of the budget's file, in a folder that is there. What it says was spent stays, if the policy's
                figures were changed since.

        Raises:
            KeyFileError: the file is damaged, others can use it, or it cannot be written.
        """
        epsilon = inf if self.max_epsilon is None else float(self.max_epsilon)
        try:
            return Budget.open(path, epsilon, self.delta)
        except ConfigError as exc:
            logger.warning("%s; the policy's figures count from now on, and what was spent stays", exc.message)
            return Budget.open(path, epsilon, self.delta, change=True)

    @property
    def tells(self) -> frozenset[Tells]:
        """What the site may tell of itself."""
        said: tuple[tuple[Tells, bool], ...] = (
            ("rows", self.tell_rows),
            ("columns", self.tell_columns),
            ("norms", self.tell_norms),
        )
        return frozenset(name for name, may in said if may)

    @property
    def words(self) -> tuple[str, ...]:
        """In sentences, for an operator who reads what it means."""
        told = [name for name in ("rows", "columns", "norms") if name in self.tells]
        limit = "no limit of epsilon" if self.max_epsilon is None else f"epsilon {self.max_epsilon:g} at most, ever"
        return (
            f"takes part in: {', '.join(self.actions) or 'nothing'}",
            f"in sums of at least {self.min_sites} sites, with at least {self.min_rows} training rows of its own",
            f"{limit}, at delta {self.delta:g}; {self.max_rounds} training rounds of a run",
            f"updates {'may leave without encryption' if self.allow_plain else 'are always encrypted'}, "
            f"{'and masked' if self.require_masks else 'with masks or without'}",
            f"tells {', '.join(told) or 'nothing'} of itself, of: rows, columns, norms of its updates",
            f"gives the model to {', '.join(self.release_to) or 'nobody'}",
        )

    def _check_plan(self, plan: RoundPlan, *, plain: bool) -> None:
        if plan.phase == "train" and plan.round > self.max_rounds:
            raise PolicyError(f"asked to train in round {plan.round}, of at most {self.max_rounds}", rule="max_rounds")
        self._check_masks(plan.masks, plain=plain)
        strategy = strategy_from_json(plan.strategy).name
        if ANY not in self.strategies and strategy not in self.strategies:
            raise PolicyError(f"the strategy {strategy}, of {', '.join(self.strategies)}", rule="strategies")
        if self.max_epsilon is not None and plan.privacy is None:
            raise PolicyError(
                f"the run has no noise, so its epsilon is unbounded, of at most {self.max_epsilon:g}",
                rule="max_epsilon",
                hint="ask the coordinator for a run with differential privacy",
            )
        if plan.total:
            self._check_sum(plan.total)

    def _check_agreement(self, plan: AgreementPlan, *, plain: bool) -> None:
        self._check_masks(plan.masks, plain=plain)
        if self.max_epsilon is not None:
            raise PolicyError(
                "means, scales, categories and classes are agreed on by sums without noise, whose epsilon is "
                f"unbounded, of at most {self.max_epsilon:g}",
                rule="max_epsilon",
                hint="ask the coordinator for a job that gives ranges, categories and classes itself",
            )
        if plan.total:
            self._check_sum(plan.total)

    def _check_masks(self, masks: MaskTerms | None, *, plain: bool) -> None:
        if masks is not None:
            self._check_threshold(masks.threshold)
        elif self.require_masks and not plain:
            raise PolicyError("the updates of the run have no masks", rule="require_masks")

    def _check_threshold(self, threshold: int) -> None:
        if threshold < self.min_sites:
            raise PolicyError(
                f"masks that come off with {threshold} sites, of at least {self.min_sites}", rule="min_sites"
            )

    def _check_sum(self, total: bytes) -> None:
        try:
            summands = EncryptedSum.from_bytes(total).header.summands
        except UpdateRejectedError:
            return  # the site says better what is wrong with it
        if summands < self.min_sites:
            raise PolicyError(f"a sum of {summands} sites, of at least {self.min_sites}", rule="min_sites")


assert set(ALLOWED) <= set(cast(tuple[str, ...], get_args(Action)))
