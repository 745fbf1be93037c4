"""`run_dry`: all that would leave a site, made by the code that makes it, of the site's own data, without any network.

The site greets, agrees, and takes part in a run of one round with the default network, beside stand-ins in this
process. Keys are made for the occasion and forgotten; the site's own, its budget and its audit log are not touched.
Updates are as large as in any run of this network, whatever the rows; an agreement's answers grow with the names of
categories and classes of all sites, of which there are only this one's here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any, Final

import numpy as np

from ...core import ConfigError, ParameterLayout, build, canonical_json, derive_rng
from ...core.data import Dataset, Preprocessing
from ...privacy import (
    MIN_SUMMANDS,
    AttemptJournal,
    ClientDp,
    Identity,
    PackedAdder,
    PackedCipher,
    PublicIdentity,
    SecretKey,
    calibrate_client_dp,
    smallest_threshold,
)
from ..agreement import Terms
from ..agreement.journal import MemoryAgreementJournal
from ..agreement.relay import AgreementJob, AgreementRelay
from ..coordinator.journal import MemoryJournal
from ..coordinator.plan import FederationPlan
from ..coordinator.relay_strategy import RelayStrategy
from ..default_model import default_spec
from ..errors import FederationError, PolicyError, Refusal
from ..protocol.courier import Courier, drive
from ..protocol.gather import Closing
from ..protocol.handshake import columns_of
from ..protocol.outgoing import Outgoing
from ..protocol.queries import HelloRequest, package_version
from ..protocol.query_records import hello_to_content
from ..protocol.records import outgoing
from ..protocol.rounds import LocalTraining, MaskTerms, Quantisation, first_bound
from ..simulation.local_grid import FIRST_NODE_ID, LocalGrid, partition_id
from ..site.client import make_client_app
from ..site.config import SiteConfig
from ..site.guard import Action, Asked, describe
from ..site.masks import SiteMasks
from ..site.policy import SitePolicy
from ..site.site import Site
from ..site_data.sources import SiteData, load_site_data
from ..updates.private_symbols import privacy_terms
from ..updates.symbols import choose_preset

ROUNDS: Final = 20  # that a privacy budget is divided by, where the policy has one
_MOST_SITES: Final = 8
_ROWS: Final = 512  # that are trained on here: enough for a real update
_BITS: Final = 8
_RUN: Final = "00000000000000000000DRYRUN"
_AGREEMENT: Final = "0000000000000000000DRYTERM"
_NOT_YET: Final = "(given when the federation has a key)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DryMessage:
    """One answer that would leave.

    Attributes:
        action: what the site was asked to do.
        round: of the run; 1 trains, then one measures, and one only reports.
        bytes: of the content.
        holds: in words what it is, part by part; as in the audit log.
    """

    action: str
    round: int
    bytes: int
    holds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What would leave a site, and what would not.

    Attributes:
        site: its name.
        policy: in sentences.
        rows: of each part; none of them leave.
        rows_are_told: whether the coordinator would know how many are trained on.
        columns: (name, kind) of each input, or what a row is.
        columns_are_told: whether the coordinator would know these.
        hello: the greeting, field by field, exactly as it would leave.
        parameters: of the default network for this data.
        messages: all answers of a run of one round of training.
        refused: what the site's policy does not allow of such a run, in words; then nothing of it leaves.
        stays: what never leaves, in words.
    """

    site: str
    policy: tuple[str, ...]
    rows: Mapping[str, int]
    rows_are_told: bool
    columns: tuple[tuple[str, str], ...]
    columns_are_told: bool
    hello: Mapping[str, Any]
    parameters: int
    messages: tuple[DryMessage, ...]
    refused: tuple[str, ...]
    stays: tuple[str, ...]

    @property
    def bytes_per_round(self) -> int:
        """Of all answers to a round that trains, its masks included."""
        return sum(message.bytes for message in self.messages if message.round == 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        document: dict[str, Any] = asdict(self) | {"bytes_per_round": self.bytes_per_round}
        document |= {name: list(getattr(self, name)) for name in ("policy", "refused", "stays")}
        document["columns"] = [{"name": name, "kind": kind} for name, kind in self.columns]
        document["messages"] = [{**asdict(each), "holds": list(each.holds)} for each in self.messages]
        return document


def run_dry(config: SiteConfig) -> DryRun:
    """Make all that would leave, and send nothing.

    Args:
        config: of the site; its keys, state and admission need not be there.

    Raises:
        ConfigError: the data is not there, or there is no default network for it, or no noise for the policy's epsilon.
        DataError: it cannot be learned from.
        NasturtiumError: an answer cannot be made, as it could not in a run.
    """
    data, policy = load_site_data(config.data, config.split), config.policy
    if data.task.kind != "classification":
        raise ConfigError("the default network is for classes, and this site's data is for a regression")
    plan, cipher, coordinator, identities = _make_run(config, data)
    sites = [_make_site(identity, data, cipher, policy, coordinator.public, identities) for identity in identities]
    hello = sites[0].hello(HelloRequest(package=package_version()))
    greeting = outgoing(hello_to_content(hello))
    listener = _Listener(policy, len(data.train))
    app = make_client_app(lambda context: sites[listener.turn_to(partition_id(context))], listener)
    members = {FIRST_NODE_ID + place: identity.public for place, identity in enumerate(identities)}
    adder = PackedAdder(cipher.preset, cipher.key_id)
    try:
        with LocalGrid(app, len(sites), workers=1) as grid:
            if plan.privacy is None:
                plan = replace(plan, preprocessing=_agree(grid, plan, adder, members, coordinator, data))
            RelayStrategy(plan, adder, members, coordinator).run(grid, MemoryJournal())
    except FederationError as exc:
        raise listener.failure or exc from exc
    first = DryMessage(action="hello", round=0, bytes=greeting.size, holds=greeting.words)
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return DryRun(
        site=config.name,
        policy=policy.words,
        rows={name: 0 if part is None else len(part) for name, part in parts.items()},
        rows_are_told="rows" in policy.tells,
        columns=columns_of(data.task),
        columns_are_told="columns" in policy.tells,
        hello=asdict(hello) | {"key_id": _NOT_YET, "roster_sha256": _NOT_YET},
        parameters=default_spec(data.task).plan().parameters,
        messages=(first, *listener.messages),
        refused=listener.said,
        stays=_stays(config, data),
    )


class _Listener:
    """A guard that notes what the first site sends, and what its policy would have said to that."""

    def __init__(self, policy: SitePolicy, rows: int) -> None:
        self._policy = policy
        self._rows = rows
        self._site = 0  # whose message it is: they come one after the other
        self.messages: list[DryMessage] = []
        self._refused: dict[str, dict[str, None]] = {}  # by why, what
        self.failure: Exception | None = None

    def turn_to(self, site: int) -> int:
        """Whom the next message is to."""
        self._site = site
        return site

    def before(self, action: Action, asked: Asked) -> None:
        """Ask the policy, and go on whatever it says."""
        try:
            self._policy.check(action, asked, rows=self._rows)
        except PolicyError as exc:
            # As many sites as some policies ask for are not here.
            if self._site == 0 and not (exc.rule == "min_sites" and self._policy.min_sites > _MOST_SITES):
                self._refused.setdefault(f"{exc.message} ({exc.rule})", {}).setdefault(action)

    @property
    def said(self) -> tuple[str, ...]:
        """What the policy refuses, each reason once."""
        return tuple(f"{', '.join(actions)}: {why}" for why, actions in self._refused.items())

    def leaving(self, action: Action, asked: Asked, outgoing: Outgoing) -> None:
        """Note what the first site sends."""
        if self._site == 0:
            said = DryMessage(action=action, round=asked.round, bytes=outgoing.size, holds=describe(asked, outgoing))
            self.messages.append(said)

    def refused(self, action: Action | None, asked: Asked | None, code: Refusal, error: Exception) -> None:
        """What fails here would fail in a run, and is what the operator wants to see."""
        self.failure = self.failure or error


def _make_run(config: SiteConfig, data: SiteData) -> tuple[FederationPlan, PackedCipher, Identity, list[Identity]]:
    """A run as the coordinator begins it by default, with as many sites as the policy asks for, or a few."""
    policy = config.policy
    count = min(max(MIN_SUMMANDS, policy.min_sites), _MOST_SITES)
    names = [config.name, *(f"stand-in-{place}" for place in range(1, count))]
    identities, coordinator = [Identity.generate(name) for name in names], Identity.generate("coordinator")
    spec = default_spec(data.task)
    model = build(spec, derive_rng(0, "layout"))
    private: ClientDp | None = None
    if policy.max_epsilon is not None:
        layout = ParameterLayout.of(model)
        private = calibrate_client_dp(
            policy.max_epsilon, policy.delta, rounds=ROUNDS, clients=count, clip=1.0, bits=_BITS, dimension=layout.size
        )
    preset = choose_preset(model, count, _BITS) if private is None else private.preset
    cipher = PackedCipher(SecretKey.generate(), preset)
    training = LocalTraining(epochs=1, max_rows=_ROWS)
    fewest = 0 if private is None else private.fewest_sites
    plan = FederationPlan(
        run=_RUN,
        spec=spec,
        # For a run with noise, which agrees on nothing: ranges are public knowledge there. Any will do for the sizes.
        preprocessing=canonical_json(Preprocessing.fit(data.train.inputs, data.task).to_dict()),
        seed=0,
        rounds=1,
        training=training,
        quantisation=Quantisation(preset=preset.name, bound=first_bound(training, count)),
        masks=MaskTerms(
            roster_sha256=_roster(identities),
            threshold=max(smallest_threshold(count, 1), min(policy.min_sites, count), fewest),
            colluders=1,
        ),
        privacy=None if private is None else privacy_terms(private),
        min_sites=max(MIN_SUMMANDS, fewest),
        closing=Closing(deadline=inf, min_replies=count),
        attempts=1,
        patience=0.0,
    )
    return plan, cipher, coordinator, identities


def _agree(
    grid: LocalGrid,
    plan: FederationPlan,
    adder: PackedAdder,
    members: Mapping[int, PublicIdentity],
    coordinator: Identity,
    data: SiteData,
) -> str:
    """What the sites agree on before a run, by protected sums: its name, for the plan."""
    courier = Courier(grid, members, coordinator)
    terms = Terms(schema=data.schema, fill="mean")
    job = AgreementJob(run=_AGREEMENT, terms=terms, masks=plan.masks, attempts=1, retry_wait=0.0, patience=0.0)
    relay = AgreementRelay(job, adder, members, coordinator, MemoryAgreementJournal(), courier.nodes)
    [done] = drive(courier, [relay.steps()])
    if done.value is None:
        raise FederationError(f"the sites cannot agree: {done.error}") from done.error
    return done.value.reference.to_json()


def _make_site(
    identity: Identity,
    data: SiteData,
    cipher: PackedCipher,
    policy: SitePolicy,
    coordinator: PublicIdentity,
    identities: Sequence[Identity],
) -> Site:
    """The site, or a stand-in for another one, which has the same rows."""
    journal = AttemptJournal(None)
    members = {each.public.id: each.public for each in identities}
    return Site(
        identity,
        _some(data.train),
        _some(data.validation),
        cipher,
        coordinator=coordinator,
        journal=journal,
        masks=SiteMasks(identity, members, _roster(identities), journal),
        tells=policy.tells,
        actions=policy.actions,
    )


def _some(rows: Dataset) -> Dataset:
    return rows if len(rows) <= _ROWS else rows.take(np.arange(_ROWS))


def _roster(identities: Sequence[Identity]) -> str:
    ids = sorted(identity.public.id for identity in identities)
    return hashlib.sha256(canonical_json(ids).encode()).hexdigest()


def _stays(config: SiteConfig, data: SiteData) -> tuple[str, ...]:
    """What never leaves, in words."""
    policy = config.policy
    parties = ", ".join(policy.release_to)
    released = parties if parties and "release" in policy.actions else "nobody"
    numbers = "how many rows there are of each class, category and part"
    return (
        f"the {data.rows} rows, and every value in them",
        f"{numbers}{'' if policy.tell_rows else ', and how many in all'}: sums over all sites have them",
        *(() if policy.tell_columns else ("names and kinds of the columns: their fingerprint leaves",)),
        "names of categories and classes, but in sums over all sites that do not say whose they are",
        "paths, queries, addresses of databases, passwords",
        "the text of any error: one of the codes " + ", ".join(Refusal),
        "private keys, and the key of the federation",
        *(() if policy.allow_plain else ("an update that can be read: only sums of several sites can be opened",)),
        f"the model, but sealed to another site, or by this site's decision; it may be given to {released}",
    )
