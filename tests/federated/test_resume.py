"""A coordinator that is killed at any point: the next goes on, to the model of a run that was not killed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nasturtium.core import ParameterLayout
from nasturtium.federated import (
    FederationPlan,
    LocalGrid,
    MaskTerms,
    PausedError,
    Peers,
    Refusal,
    RelayStrategy,
    RoundRecorder,
    Site,
    SiteMasks,
    SiteStates,
    StoppedError,
    make_client_app,
)
from nasturtium.federated.coordinator.privacy_gate import PrivacyGate
from nasturtium.federated.simulation.local_grid import FIRST_NODE_ID, partition_id
from nasturtium.privacy import AttemptJournal, Identity, PackedAdder, PackedCipher, SecretKey, smallest_threshold
from nasturtium.storage import (
    Database,
    FederatedRounds,
    Federations,
    History,
    IntegrityError,
    JobClaim,
    LeaseLostError,
    Ledger,
    StorageError,
    Tracker,
    open_database,
)

COUNT, ROUNDS = 4, 2
NUMBERS = list(range(1, ROUNDS + 3))  # two rounds close a run
DATA = "sha256:11"
TERMS = MaskTerms(roster_sha256="5a" * 32, threshold=smallest_threshold(COUNT, 1), colluders=1)


class Killed(BaseException):
    """Nothing of ours catches it."""


def make_identity(index: int) -> Identity:
    name = f"site-{index + 1}"
    return Identity(name, hashlib.sha512(name.encode()).digest())


@dataclass
class Federation:
    """Sites that outlive their coordinators, a database, and one run in it."""

    sites: list[Site]
    adder: PackedAdder
    signer: Identity
    database: Database
    run: str
    plan: FederationPlan
    make: Callable[[int], Site]
    claim: JobClaim | None = None

    def restart(self) -> None:
        """All sites die, and come back with what is on their disks."""
        self.sites = [self.make(index) for index in range(COUNT)]

    def coordinate(
        self,
        kill: Callable[[RoundRecorder, LocalGrid], object] = lambda recorder, grid: None,
        claim: JobClaim | None = None,
        **changes: object,
    ) -> None:
        """What a coordinator does from its start to its end, with new objects of everything that is its own."""
        gate = PrivacyGate(Ledger(self.database), DATA, self.run, None, 1e-5)
        recorder = RoundRecorder(
            self.database, self.run, gate, rounds=ROUNDS, update_bytes=1, claim=claim or self.claim
        )
        app = make_client_app(lambda context: self.sites[partition_id(context)])
        nodes = {FIRST_NODE_ID + index: site.identity for index, site in enumerate(self.sites)}
        strategy = RelayStrategy(self.plan, self.adder, nodes, self.signer)
        with LocalGrid(app, len(self.sites)) as grid:
            kill(recorder, grid)
            strategy.run(grid, recorder, recorder.resume())

    def model(self, index: int = 0) -> bytes:
        model = self.sites[index].release().model
        return ParameterLayout.of(model).flatten(model.state()).tobytes()

    @property
    def history(self) -> History:
        return History(self.database)


@pytest.fixture
def federate(make_site, make_federation_plan, preset, coordinator, tmp_path) -> Iterator[Callable]:
    key = SecretKey.from_bytes(SecretKey.generate().to_bytes())
    cipher, adder = PackedCipher(key, preset), PackedAdder(preset, key.key_id)
    members = {each.public.id: each.public for each in map(make_identity, range(COUNT))}
    opened: list[Database] = []

    def make_one(index: int, masked: bool, folder: Path | None) -> Site:
        journal = AttemptJournal(None if folder is None else folder / f"site-{index + 1}.attempts")
        masks = SiteMasks(make_identity(index), members, TERMS.roster_sha256, journal) if masked else None
        states = SiteStates(None if folder is None else folder / f"site-{index + 1}")
        return make_site(index + 1, rows=8 + 4 * index, cipher=cipher, masks=masks, journal=journal, states=states)

    def federate(name: str = "history", *, masked: bool = False, folder: Path | None = None, **plan) -> Federation:
        database = open_database(tmp_path / f"{name}.db")
        opened.append(database)
        with Tracker(database) as tracker:
            run = tracker.start_federated(
                name="rows",
                seed=5,
                config={},
                dataset=None,
                clients=COUNT,
                rounds=ROUNDS,
                strategy="fedavg",
                scheme="packed",
                alpha=None,
                model_run=None,
                spec={},
            ).uid
        fields = {"run": run, "rounds": ROUNDS, "masks": TERMS if masked else None} | plan
        federation = Federation(
            [],
            adder,
            coordinator,
            database,
            run,
            make_federation_plan(**fields),
            lambda index: make_one(index, masked, folder),
        )
        federation.restart()
        return federation

    yield federate
    for database in opened:
        database.close()


def at(method: str, number: int, *, after: bool) -> Callable[[RoundRecorder, LocalGrid], None]:
    """The process dies before or after a call of the recorder, in a round."""

    def kill(recorder: RoundRecorder, grid: LocalGrid) -> None:
        real = getattr(recorder, method)

        def dying(first, *args, **options):
            if getattr(first, "round", first) != number:
                return real(first, *args, **options)
            if after:
                real(first, *args, **options)
            raise Killed

        setattr(recorder, method, dying)

    return kill


def within_the_transaction(number: int, *, at_its_end: bool) -> Callable[[RoundRecorder, LocalGrid], None]:
    """The process dies once the file of the sum is on the disk, before the round is closed."""

    def kill(recorder: RoundRecorder, grid: LocalGrid) -> None:
        rounds, real = recorder._written, recorder._written.close

        def close(round, attempt, phase, total, *, and_then, **options):
            def die(session):
                and_then(session)
                raise Killed

            if round != number:
                return real(round, attempt, phase, total, and_then=and_then, **options)
            if at_its_end:
                return real(round, attempt, phase, total, and_then=die, **options)
            if total:
                rounds._store.add_bytes(total)
            raise Killed

        rounds.close = close

    return kill


def on_the_wire(number: int, kind: str, *, answered: bool) -> Callable[[RoundRecorder, LocalGrid], None]:
    """The process dies once messages of a kind are out, or once all of their answers are there."""

    def kill(recorder: RoundRecorder, grid: LocalGrid) -> None:
        push, pull = grid.push_messages, grid.pull_messages
        marked: set[str] = set()

        def pushing(messages):
            messages = list(messages)
            ids = push(messages)
            content = messages[0].content
            record = content["0/plan"] if "0/plan" in content else content["0/request"]
            what = record["step"] if "0/request" in content else "plan"
            if (record["round"], what) == (number, kind):
                if not answered:
                    raise Killed
                marked.update(ids)
            return ids

        def pulling(ids):
            if marked & set(ids):
                grid.wait(list(ids), 60)
                while list(pull(list(ids))):
                    pass
                raise Killed
            return pull(ids)

        grid.push_messages, grid.pull_messages = pushing, pulling

    return kill


WIRE = {False: "out", True: "answered"}
POINTS = [
    *(
        pytest.param(lambda number, m=m, a=a: at(m, number, after=a), id=f"{'after' if a else 'before'}-{m}")
        for m in ("authorise", "open_attempt", "close")
        for a in (False, True)
    ),
    *(
        pytest.param(lambda number, a=a: on_the_wire(number, "plan", answered=a), id=f"plans-{WIRE[a]}")
        for a in (False, True)
    ),
    pytest.param(lambda number: within_the_transaction(number, at_its_end=False), id="file-written"),
    pytest.param(lambda number: within_the_transaction(number, at_its_end=True), id="before-the-commit"),
]
MASK_POINTS = [
    *(
        pytest.param(lambda number, s=s, a=a: on_the_wire(number, s, answered=a), id=f"{s}-{WIRE[a]}")
        for s in ("advertise", "share", "confirm", "reveal")
        for a in (False, True)
    ),
    pytest.param(lambda number: at("note_survivors", number, after=False), id="before-survivors"),
    pytest.param(lambda number: at("note_survivors", number, after=True), id="after-survivors"),
]


def check_whole(federation: Federation, uninterrupted: bytes) -> None:
    """All rounds are closed, each once, by the model of a run that nobody interrupted; nothing was given for free."""
    assert {federation.model(index) for index in range(COUNT)} == {uninterrupted}
    closed = federation.history.closed_rounds(federation.run)
    assert [each.number for each in closed] == NUMBERS
    assert [each.phase for each in closed] == ["train"] * ROUNDS + ["evaluate", "report"]
    assert [each.number for each in federation.history.rounds(federation.run)] == NUMBERS[:ROUNDS]
    assert {each.participants for each in federation.history.rounds(federation.run)} == {COUNT}
    assert [each.accuracy is None for each in federation.history.rounds(federation.run)] == [False] * ROUNDS
    attempts = federation.history.attempts(federation.run)
    spends = Counter(entry.body["round"] for entry in Ledger(federation.database).entries(kind="spend"))
    for each in closed[:-1]:
        tried = [attempt for attempt in attempts if attempt.round == each.number]
        assert each.attempt == len(tried)
        assert spends[each.number] >= len(tried)  # what was begun counts, whatever became of it
    assert Ledger(federation.database).verify(signatures=True).entries == sum(spends.values())


_UNINTERRUPTED: list[bytes] = []


@pytest.fixture
def uninterrupted(federate) -> bytes:
    """The model of a run that nobody interrupted; keys and masks leave no trace in it."""
    if not _UNINTERRUPTED:
        federation = federate("uninterrupted")
        federation.coordinate()
        check_whole(federation, federation.model())
        _UNINTERRUPTED.append(federation.model())
    return _UNINTERRUPTED[0]


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_coordinator_is_gone_on_from(federate, uninterrupted, point, number):
    federation = federate()
    with pytest.raises(Killed):
        federation.coordinate(point(number))
    federation.coordinate()
    check_whole(federation, uninterrupted)


@pytest.mark.parametrize("point", [*POINTS, *MASK_POINTS])
def test_a_killed_coordinator_of_a_masked_run_is_gone_on_from(federate, uninterrupted, point):
    federation = federate(masked=True)
    with pytest.raises(Killed):
        federation.coordinate(point(2))
    federation.coordinate()
    check_whole(federation, uninterrupted)


def test_a_coordinator_that_is_killed_at_every_point_in_turn_gets_there(federate, uninterrupted):
    federation = federate(masked=True)
    for point in (*POINTS, *MASK_POINTS):
        for number in NUMBERS:
            kill = point.values[0](number)
            try:
                federation.coordinate(kill)
            except Killed:
                continue
    check_whole(federation, uninterrupted)


@pytest.mark.parametrize("masked", [False, True])
def test_coordinator_and_sites_are_killed_and_all_come_back_from_their_disks(federate, uninterrupted, masked, tmp_path):
    folder = tmp_path / "sites"
    folder.mkdir()
    federation = federate(masked=masked, folder=folder)
    for number in NUMBERS:
        with pytest.raises(Killed):
            federation.coordinate(on_the_wire(number, "plan", answered=number % 2 == 0))
        federation.restart()
    federation.coordinate()
    check_whole(federation, uninterrupted)


def test_a_bared_sum_has_the_same_sites_or_none(federate):
    """Were one left out the second time, the difference of the two sums would be its update."""
    federation = federate(masked=True)
    with pytest.raises(Killed):
        federation.coordinate(on_the_wire(1, "reveal", answered=True))
    gone, federation.sites = federation.sites[-1], federation.sites[:-1]
    federation.coordinate()
    closed = federation.history.closed_rounds(federation.run)
    assert [(each.phase, each.sha256 is not None) for each in closed] == [
        ("train", False),
        ("train", True),
        ("train", True),
        ("evaluate", True),
        ("report", False),
    ]
    assert [each.state for each in federation.history.rounds(federation.run)] == ["failed", "completed", "completed"]
    assert len({federation.model(index) for index in range(COUNT - 1)}) == 1
    del gone


def test_what_is_closed_is_not_attempted_again_nor_closed_out_of_order(federate):
    federation = federate()
    federation.coordinate()
    rounds = FederatedRounds(federation.database, federation.run)
    with pytest.raises(StorageError, match=r"round 1 of run .* is closed"):
        rounds.open_attempt(1, "train")
    with pytest.raises(StorageError, match="the last closed one is 4"):
        rounds.close(4, 1, "train", b"x")
    federation.coordinate()  # nothing is left to do
    assert [each.number for each in federation.history.closed_rounds(federation.run)] == NUMBERS


def test_too_few_answers_are_asked_for_again_then_the_run_is_paused_and_can_be_resumed(federate, uninterrupted):
    federation = federate(attempts=2)
    follow, failing = Site.follow, [1, 2, 3]  # two of four are not enough

    def moody(site: Site, plan):
        if plan.round == 2 and site.name in {"site-1", "site-2"} and failing:
            raise RuntimeError("row 7 is secret")
        return follow(site, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Site, "follow", moody)
        with pytest.raises(PausedError, match="round 2 has 2 usable answers, expected at least 3"):
            federation.coordinate()
        attempts = [each for each in federation.history.attempts(federation.run) if each.round == 2]
        assert [(each.attempt, each.refusals) for each in attempts] == [
            (number, dict.fromkeys(("site-1", "site-2"), Refusal.INTERNAL.reason)) for number in (1, 2)
        ]
        assert all(each.ended is not None and "expected at least 3" in each.failure for each in attempts)
        failing.clear()
        federation.coordinate()
    check_whole(federation, uninterrupted)
    kinds = [each.kind for each in federation.history.events(federation.run)]
    assert kinds.count("attempt failed") == 2


def test_a_later_attempt_closes_the_round(federate, uninterrupted):
    federation = federate(attempts=3, masked=True)
    follow, left = Site.follow, {"site-1": 2, "site-3": 1}

    def moody(site: Site, plan):
        if plan.round == 1 and left.get(site.name, 0):
            left[site.name] -= 1
            raise RuntimeError
        return follow(site, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Site, "follow", moody)
        federation.coordinate()
    assert federation.history.closed_rounds(federation.run)[0].attempt == 2
    rejected = federation.history.contributions(federation.run, 1)
    assert [(each.client, each.reason) for each in rejected if each.state == "rejected"] == [
        ("site-1", Refusal.INTERNAL.reason)
    ]


def test_two_coordinators_do_not_run_one_run(federate):
    """The one that was taken over writes nothing more, wherever it is."""
    federation = federate()
    jobs = Federations(federation.database)
    job = jobs.queue("train", "rows", {"rounds": ROUNDS})
    first = jobs.attach(jobs.claim("here/1", 1e9), federation.run)
    federation.claim = first

    def take_over(recorder: RoundRecorder, grid: LocalGrid) -> None:
        real = recorder.close

        def close(result, total):
            if result.round == 2:
                jobs.request_stop(job.uid)
                jobs.end(first, "paused")
                jobs.resume(job.uid)
                federation.claim = jobs.claim("there/2", 1e9)
            return real(result, total)

        recorder.close = close

    with pytest.raises(LeaseLostError, match="was taken over by there/2"):
        federation.coordinate(take_over)
    assert [each.number for each in federation.history.closed_rounds(federation.run)] == [1]
    assert federation.claim.run == federation.run
    federation.coordinate()
    assert [each.number for each in federation.history.closed_rounds(federation.run)] == NUMBERS
    with pytest.raises(LeaseLostError):
        FederatedRounds(federation.database, federation.run, claim=first).open_attempt(5, "train")


def test_a_stop_ends_a_run_that_can_be_resumed(federate, uninterrupted):
    federation = federate()
    jobs = Federations(federation.database)
    job = jobs.queue("train", "rows", {})
    federation.claim = jobs.attach(jobs.claim("here/1", 60), federation.run)

    def stop(recorder: RoundRecorder, grid: LocalGrid) -> None:
        real = recorder.open_attempt

        def open_attempt(number, phase):
            if number == 2:
                jobs.request_stop(job.uid)
                recorder._beat = 0.0
            return real(number, phase)

        recorder.open_attempt = open_attempt

    with pytest.raises(StoppedError):
        federation.coordinate(stop)
    jobs.end(federation.claim, "stopped")
    jobs.resume(job.uid)
    federation.claim = jobs.claim("here/1", 60)
    federation.coordinate()
    check_whole(federation, uninterrupted)


def test_a_coordinator_whose_operator_stops_it_ends_within_a_round(federate, uninterrupted):
    """Nobody asked for the job to stop: whoever runs the process looks at something else."""
    federation = federate()

    def stop(recorder: RoundRecorder, grid: LocalGrid) -> None:
        def look() -> None:
            if federation.history.closed_rounds(federation.run):
                raise StoppedError("the coordinator was stopped")

        recorder._look = look

    with pytest.raises(StoppedError, match="the coordinator was stopped"):
        federation.coordinate(stop)
    assert [each.number for each in federation.history.closed_rounds(federation.run)] == [1]
    federation.coordinate()
    check_whole(federation, uninterrupted)


def test_a_damaged_sum_that_no_site_has_seen_is_made_again(federate, uninterrupted):
    federation = federate()
    with pytest.raises(Killed):
        federation.coordinate(at("close", 1, after=True))
    [first] = federation.history.closed_rounds(federation.run)
    path = federation.database.artifacts_dir / first.sha256[:2] / first.sha256
    path.write_bytes(path.read_bytes()[:-1])
    federation.coordinate()
    assert {federation.model(index) for index in range(COUNT)} == {uninterrupted}
    assert federation.history.closed_rounds(federation.run)[0].attempt == 2


def test_a_damaged_sum_that_sites_may_have_seen_is_told(federate):
    federation = federate()
    with pytest.raises(Killed):
        federation.coordinate(on_the_wire(2, "plan", answered=True))
    [first] = federation.history.closed_rounds(federation.run)
    path = federation.database.artifacts_dir / first.sha256[:2] / first.sha256
    path.unlink()
    with pytest.raises(IntegrityError, match="cannot go on after round 1"):
        federation.coordinate()


def test_a_full_disk_at_the_coordinator_closes_no_round_and_loses_none(federate, uninterrupted, monkeypatch):
    federation = federate()

    def full(store, content):
        raise StorageError("No space left on device", hint="free some disk space, check permissions")

    with monkeypatch.context() as patch:
        patch.setattr("nasturtium.storage.artifacts.ArtifactStore.add_bytes", full)
        for _ in range(2):
            with pytest.raises(StorageError, match="No space left"):
                federation.coordinate()
    assert federation.history.closed_rounds(federation.run) == []
    federation.coordinate()
    check_whole(federation, uninterrupted)
    assert federation.history.closed_rounds(federation.run)[0].attempt == 3


def test_what_sites_tell_of_themselves_is_in_the_history(federate):
    federation = federate()
    for index in (0, 1):
        federation.sites[index]._tells = frozenset({"rows", "norms"})
    federation.coordinate()
    told = federation.history.contributions(federation.run, 1)
    assert [each.rows for each in told] == [8, 12, None, None]
    assert [each.update_norm is not None and each.update_norm > 0 for each in told] == [True, True, False, False]


def test_a_site_that_was_helped_is_in_the_history(federate):
    federation = federate(rounds=3)
    members = {each.public.id: each.public for each in map(make_identity, range(COUNT))}
    for site in federation.sites:
        site._peers = Peers(members, "5a" * 32)
    follow = Site.follow

    def away(site: Site, plan):
        if site.name == "site-4" and plan.round == 1:
            raise RuntimeError
        return follow(site, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Site, "follow", away)
        federation.coordinate()
    [event] = [each for each in federation.history.events(federation.run) if each.kind == "site caught up"]
    assert (event.body["number"], event.body["site"], event.body["donor"]) == (3, "site-4", "site-1")
    assert event.body["bytes"] > 100
    assert len({federation.model(index) for index in range(COUNT)}) == 1


def test_only_the_last_sums_are_kept(federate):
    federation = federate(rounds=5)
    federation.coordinate()
    assert [each.name for each in federation.history.artifacts(federation.run)] == ["0000000006"]
    assert sum(each.sha256 is not None for each in federation.history.closed_rounds(federation.run)) == 6
