"""A site's part of one run: its copy of the model, and how far it has come.

All that the sites agree on stands in the first plan of a run; a later one that says otherwise is not followed. Ranges
and model move with the sums alone, so they are the same at every site that has opened the same sums.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeAlias

import numpy as np

from ...core import ParameterLayout, build, derive_rng
from ...core.data import Preprocessing, Task
from ...privacy import EncryptedSum, OpenedSum, Preset, Sitting
from ..adapters.spec import AdapterSpec, FederatedModel, read_model
from ..errors import PlanError, Refusal
from ..protocol.rounds import RoundPlan, SiteReport
from ..updates.exchange import LOCAL, Exchange, check_trains
from ..updates.model_tensors import ModelTensors
from ..updates.private_symbols import PrivateSymbols
from ..updates.symbols import Contribution, UpdateSymbols

# What differs between the plans of a run.
_OF_A_ROUND = ("round", "attempt", "phase", "take_part", "total", "shares", "ledger_head")


# What the preprocessing in a plan is at a site; raises where the site's data does not fit it.
Prepare: TypeAlias = Callable[[str], Preprocessing]
# The tensors that a model of the site's owner begins with; raises where the site does not have it.
Start: TypeAlias = Callable[[AdapterSpec, Task, RoundPlan], Mapping[str, np.ndarray]]
# What is known of a network's tensors where it shares weights with others, NaN where nothing is, from the plan's text.
Inherit: TypeAlias = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def agreed_by_sites(plan: RoundPlan) -> tuple[object, ...]:
    """What all plans of a run have in common, at every site; hashable."""
    return tuple(getattr(plan, field.name) for field in fields(plan) if field.name not in _OF_A_ROUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the sum of a round does to the model: the same at every site that opens it, so nobody changes its arrays."""

    vector: np.ndarray
    ranges: np.ndarray
    server: dict[str, np.ndarray]
    senders: tuple[str, ...]
    chain: bytes
    report: SiteReport


@dataclass(slots=True)
class Session:
    """The state of a site in a run. `begin` makes one."""

    agreed: RoundPlan  # the first plan
    spec: FederatedModel
    layout: ParameterLayout  # of what travels
    preprocessing: Preprocessing
    exchange: Exchange
    vector: np.ndarray  # the model, as far as it travels, flat, float32
    ranges: np.ndarray  # of the quantised tensors
    round: int = 0  # of the last plan that was followed
    attempt: int = 0  # at that round
    meaning: str = ""  # of the updates of that round: `RoundPlan.layout_sha256`
    report: SiteReport | None = None  # of that round
    chain: bytes = b""  # hash of all sums that were opened, and of the rounds that gave none
    finished: bool = False  # its last plan was followed
    # Of the strategy: what all sites have alike, what stays at this one, and what becomes its own once it is in a sum.
    server: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    own: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    pending: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    inherited: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])  # what the run began with of others

    @classmethod
    def begin(
        cls,
        plan: RoundPlan,
        prepare: Prepare,
        preset: Preset,
        start: Start | None = None,
        inherit: Inherit | None = None,
    ) -> Session:
        """The state before the first round.

        Args:
            plan: the first of the run.
            prepare: see `Prepare`.
            preset: of the run's sums.
            start: see `Start`; None where the site has networks of the core only.
            inherit: see `Inherit`; None where the site shares no weights between runs.

        Raises:
            PlanError: the plan is for other data, not the first of its run, or of a model that the site does not have.
            ConfigError: its noise does not fit its network or preset; also FormatError.
        """
        if plan.round != 1:
            code = Refusal.BEHIND if plan.round > 1 else Refusal.ORDER
            raise PlanError(f"asked to join run {plan.run} in round {plan.round}, expected 1", refusal=code)
        spec = read_model(plan.spec)
        if plan.shared and (inherit is None or isinstance(spec, AdapterSpec)):
            raise PlanError("only networks of the core share weights, and only where a site keeps them")
        if not isinstance(spec, AdapterSpec):
            session = cls.fresh(plan, prepare, preset)
            if plan.shared and inherit is not None:
                own = session.state()
                session.inherited = dict(inherit(plan.shared, own))
                state = own | {name: np.where(np.isnan(of), own[name], of) for name, of in session.inherited.items()}
                session.vector = session.layout.flatten({name: state[name] for name, _, _ in session.layout.entries})
            return session
        if start is None:
            raise PlanError(f"this site has no model called {spec.name}", refusal=Refusal.NOT_READY)
        state = start(spec, prepare(plan.preprocessing).task, plan)  # before anything of its size is made
        session = cls.fresh(plan, prepare, preset)
        session.vector = session.layout.flatten({name: state[name] for name, _, _ in session.layout.entries})
        return session

    @classmethod
    def fresh(cls, plan: RoundPlan, prepare: Prepare, preset: Preset) -> Session:
        """A session at the initial model, whatever the round of the plan; see `begin`.

        A model of the site's owner is all zeros here, and what does not travel of it is left out.
        """
        spec = read_model(plan.spec)
        preprocessing = prepare(plan.preprocessing)
        if isinstance(spec, AdapterSpec):
            tensors, state = spec.tensors, dict[str, np.ndarray]()
        else:
            model = build(spec, derive_rng(plan.seed, "weights"))
            tensors, state = ModelTensors.of(model), model.state()
        exchange = Exchange.read(tensors, preset, plan.privacy, plan.strategy, plan.compression)
        check_trains(spec, exchange.strategy, exchange.compression)
        layout = tensors.layout(exchange.strategy.shared(tensors))
        travelling = {name for name, _, _ in layout.entries}
        return cls(
            agreed=plan,
            spec=spec,
            layout=layout,
            preprocessing=preprocessing,
            exchange=exchange,
            vector=layout.flatten({name: state[name] for name in travelling})
            if state
            else np.zeros(layout.size, np.float32),
            ranges=exchange.symbols.first_ranges(plan.quantisation.bound),
            server=exchange.begin(plan.seed),
            own={LOCAL + name: array for name, array in state.items() if name not in travelling},
        )

    @property
    def symbols(self) -> UpdateSymbols | PrivateSymbols:
        """What the integers of an update mean."""
        return self.exchange.symbols

    def state(self) -> dict[str, np.ndarray]:
        """All tensors of the model by name: those that travel, and this site's own."""
        own = {name.removeprefix(LOCAL): array for name, array in self.own.items() if name.startswith(LOCAL)}
        return self.layout.unflatten(self.vector) | own

    def check_next(self, plan: RoundPlan) -> None:
        """Check that a plan goes on from the last one.

        Raises:
            PlanError: it says something else than the first one, or is out of order.
        """
        changed = [
            field.name
            for field in fields(plan)
            if field.name not in _OF_A_ROUND and getattr(plan, field.name) != getattr(self.agreed, field.name)
        ]
        if changed:
            raise PlanError(
                f"the plan for round {plan.round} has another {', '.join(changed)} than run {plan.run} began with"
            )
        again = plan.round == self.round and plan.attempt > self.attempt
        if not again and plan.round != self.round + 1:
            raise PlanError(
                f"has done attempt {self.attempt} at round {self.round}, "
                f"got a plan for attempt {plan.attempt} at round {plan.round}",
                refusal=Refusal.BEHIND if plan.round > self.round + 1 else Refusal.ORDER,
            )

    def note(self, plan: RoundPlan) -> None:
        """Count a plan as followed: its step is taken once, and a site that fails afterwards stays in step."""
        self.round, self.attempt = plan.round, plan.attempt
        self.meaning = plan.layout_sha256(self.symbols.sha256)
        self.finished = plan.phase == "report"

    def sitting(self, total: bytes | None = None) -> Sitting:
        """What an update of the last round belongs to, or a sum of it.

        Args:
            total: the sum; it may be of a later attempt than this site's, where the others were asked again.

        Raises:
            UpdateRejectedError: `total` is no sum.
        """
        later = 0 if total is None else EncryptedSum.from_bytes(total).header.attempt
        return Sitting(
            run=self.agreed.run,
            round=self.round,
            attempt=max(self.attempt, later),
            layout=self.meaning,
            values=self.symbols.values,
            masked=self.agreed.masks is not None,
        )

    def step(self, opened: OpenedSum, total: bytes) -> Step:
        """Where the strategy moves the model by the weighted mean of all changes, and the ranges with it.

        Args:
            opened: what is in the sum of the last round.
            total: that sum as it came.

        Raises:
            PrivacyError: it says nothing that contributions could add up to.
        """
        said = self.symbols.decode(opened.sums, len(opened.senders), self.ranges)
        measured = said.measured
        loss = round(measured.loss, 3) if measured.rows else 0.0
        report = SiteReport(model_round=self.round - 1, rows=measured.rows, correct=measured.correct, loss=loss)
        vector, ranges, server = self.vector, self.ranges, self.server
        if said.weight > 0:  # a round that only measured has no changes to take
            vector, server = self.exchange.move(vector, server, said, len(opened.senders))
            if self.agreed.quantisation.rule == "last-sum":
                ranges = self.symbols.next_ranges(ranges, said)
        chain = hashlib.sha256(self.chain + total).digest()
        return Step(vector=vector, ranges=ranges, server=server, senders=opened.senders, chain=chain, report=report)

    def take(self, step: Step, me: str) -> None:
        """Move to where a step leads.

        Args:
            step: from `step`, perhaps of another site's session.
            me: the id of this site: what it said counts for itself, too, once it is in a sum.
        """
        self.vector, self.ranges, self.server = step.vector, step.ranges, step.server
        self.chain, self.report = step.chain, step.report
        if me in step.senders:
            self.own = self.own | self.pending
        self.pending = {}

    def say(self, contribution: Contribution, rng: np.random.Generator) -> np.ndarray:
        """The symbols of this site's update of the round, shape (symbols.values,), unsigned.

        Args:
            contribution: what the site has to say.
            rng: rounds.

        Raises:
            PrivacyError: a value is not finite, or an exact one too large.
        """
        symbols, self.pending = self.exchange.say(contribution, self.server, self.own, self.ranges, rng)
        return symbols

    def skip(self) -> None:
        """Go on from a round that gave no sum: the model stays as it is."""
        self.chain = hashlib.sha256(self.chain + b"no sum of round" + self.round.to_bytes(8, "big")).digest()
        self.report, self.pending = None, {}

    def tag(self, key: bytes | None) -> str:
        """What tells models apart, and nothing else: keyed, and another one after other sums.

        A plain hash would tell the coordinator what a sum of its own making does to a model it can guess.
        """
        told = hmac.new(key or bytes(32), self.agreed.run.encode().ljust(32, b"\0") + self.chain, hashlib.sha256)
        told.update(self.vector.tobytes())
        for name, array in sorted(self.server.items()):
            told.update(name.encode() + b"\0" + array.tobytes())
        return told.hexdigest()
