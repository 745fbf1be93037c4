"""Every strategy of the registry keeps one contract; ours find better points than chance on a table."""

from functools import cache
from importlib.util import find_spec
from itertools import combinations, product

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler

from nasturtium.core import ConfigError, MissingExtraError
from nasturtium.nas.objectives import hypervolume
from nasturtium.nas.space import Choice, Float, Int, Space
from nasturtium.nas.strategies import (
    STRATEGIES,
    CandidateSampler,
    LocalSearch,
    MultiObjectiveEvolution,
    Observation,
    Proposer,
    RegularizedEvolution,
    SpaceUsedUpError,
    Strategy,
    StrategyContext,
    best_first,
    distributions,
    registry,
)

SLOW = {"optuna-gp"}  # a fit per proposal


def strategies(**wanted: bool) -> list[object]:
    """The registry's names; those of which an optional part is missing are skipped."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                (extra := STRATEGIES[name].extra) is not None and not extra.installed,
                reason=f"{extra} is not installed",
            ),
            id=name,
        )
        for name in sorted(STRATEGIES)
        if all(getattr(STRATEGIES[name], field) == value for field, value in wanted.items())
    ]


def mixed() -> Space:
    """Every kind of decision, and a constraint."""
    return Space(
        "mixed",
        None,
        None,
        {
            "kind": Choice(("relu", "tanh", "gelu")),
            "wide": Choice((False, True)),
            "depth": Int(1, 6),
            "width": Int(4, 64, log=True),
            "block": Int(0, 10, step=3),
            "rate": Float(1e-4, 1e-1, log=True),
            "drop": Float(0.0, 0.5),
            "fixed": Choice(("only",)),
        },
        constraints=("depth <= block",),
    )


def small(*sizes: int) -> Space:
    return Space.categorical("small", {f"d{i}": tuple(range(size)) for i, size in enumerate(sizes)})


def numbers(count: int) -> Space:
    """A small space that CMA-ES can move in, too."""
    return Space("numbers", None, None, {"a": Int(0, count - 1), "b": Choice(("x", "y", "z"))})


def score(flat) -> float:
    """Something to maximise in `mixed`."""
    return float(
        flat["depth"]
        - abs(np.log10(flat["rate"]) + 2)
        + (flat["kind"] == "gelu")
        - abs(flat["width"] - 32) / 16
        - flat["drop"]
    )


def play(proposer: Proposer, count: int, *, workers: int = 1, outcome=None):
    """A search by `workers` workers, all as fast as each other: the points and what was told."""
    outcome = outcome or (lambda number, flat: ((score(flat),), "completed"))
    flats, outcomes = [], []
    for number in range(count):
        if number >= workers:
            told = number - workers
            values, state = outcome(told, flats[told])
            proposer.tell(told, values, state)
            outcomes.append(Observation(told, flats[told], values, state))
        flats.append(dict(proposer.ask().flat))
    return flats, outcomes


def several(values: int):
    return lambda number, flat: ((score(flat), *(float(flat["width"]) for _ in range(values - 1))), "completed")


def length(name: str) -> int:
    return {"optuna-gp": 12, "predictor": 16, "tpe": 22}.get(name, 30)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """PyTorch's threads cost more than they bring on matrices of this size."""
    if find_spec("torch") is not None:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)
    else:
        yield


@pytest.mark.parametrize("name", strategies())
class TestContract:
    """What holds for every strategy, whatever its name."""

    def test_the_same_seed_gives_the_same_points(self, name):
        first, second = (play(Proposer(mixed(), name, 5, ["maximize"]), length(name))[0] for _ in range(2))
        assert first == second
        assert first[:8] != play(Proposer(mixed(), name, 6, ["maximize"]), 8)[0]

    def test_points_lie_in_the_space_keep_its_constraints_and_differ(self, name):
        space = mixed()
        flats, _ = play(Proposer(space, name, 1, ["minimize"]), length(name))
        assert all(space.allows(flat) for flat in flats)
        assert all(flat.keys() == space.leaves().keys() for flat in flats)
        for flat in flats:
            for path, distribution in distributions(space).items():
                assert distribution._contains(distribution.to_internal_repr(flat[path]))
            assert flat["depth"] <= flat["block"]
            assert flat["block"] in (0, 3, 6, 9)
            assert type(flat["depth"]) is int
        assert len({space.identity(flat) for flat in flats}) == len(flats)

    @pytest.mark.parametrize("workers", [1, 4])
    def test_a_resumed_search_goes_on_as_if_nothing_had_happened(self, name, workers):
        count = length(name)
        space = mixed()

        def outcome(number, flat):
            if number % 7 == 3:
                return None, "failed"
            return (score(flat),), "pruned" if number % 5 == 4 else "completed"

        flats, outcomes = play(Proposer(space, name, 2, ["maximize"]), count, workers=workers, outcome=outcome)
        for kept in (0, 11) if name in SLOW else (0, workers, 11, 15):
            resumed = Proposer(space, name, 2, ["maximize"])
            told = outcomes[: max(0, kept - workers)]
            resumed.restore(flats[:kept], told, workers=workers)
            again = list(flats[:kept])
            for number in range(kept, count):
                if number >= workers:
                    values, state = outcome(number - workers, again[number - workers])
                    resumed.tell(number - workers, values, state)
                again.append(dict(resumed.ask().flat))
            assert again == flats, f"after {kept} trials"

    def test_results_that_a_proposal_may_not_see_do_not_matter(self, name):
        """With three workers trial n sees trials 0 to n - 3: what the other two come to is not told yet."""
        count = length(name)
        flats, outcomes = play(Proposer(mixed(), name, 3, ["maximize"]), count, workers=3)
        other = Proposer(mixed(), name, 3, ["maximize"])
        other.restore(flats[:-1], outcomes[: count - 3], workers=3)
        assert dict(other.ask().flat) == flats[-1]
        assert [o.number for o in outcomes] == list(range(count - 3))

    def test_a_small_space_is_used_up_to_the_last_candidate(self, name):
        space = numbers(4 if name in SLOW else 14)
        proposer = Proposer(space, name, 4, ["maximize"])
        size = int(space.size)
        flats, _ = play(proposer, size, outcome=lambda number, flat: ((float(flat["a"]),), "completed"))
        assert {space.identity(flat) for flat in flats} == {space.identity(flat) for flat in space.points()}
        proposer.tell(size - 1, (0.0,), "completed")
        for _ in range(2):
            with pytest.raises(SpaceUsedUpError, match=f"{size} candidates were proposed"):
                proposer.ask()

    @pytest.mark.parametrize(
        "outcome",
        [
            pytest.param(lambda n, flat: (None, "failed"), id="all-fail"),
            pytest.param(lambda n, flat: ((float("nan"),), "completed"), id="not-a-number"),
            pytest.param(lambda n, flat: ((1.0,), "completed"), id="all-equal"),
            pytest.param(lambda n, flat: ((1.0,), "completed") if n == 0 else (None, "failed"), id="one-result"),
            pytest.param(lambda n, flat: ((score(flat),), "pruned"), id="all-pruned"),
            pytest.param(lambda n, flat: (None, "pruned"), id="pruned-without-values"),
            pytest.param(lambda n, flat: ((1e150 * (-1) ** n,), "completed"), id="huge"),
        ],
    )
    def test_poor_results_do_no_harm(self, name, outcome):
        space = mixed()
        flats, _ = play(Proposer(space, name, 1, ["maximize"]), 11 if name in SLOW else 16, outcome=outcome)
        assert len({space.identity(flat) for flat in flats}) == len(flats)

    def test_what_other_searches_found_is_not_tried_again(self, name):
        space = small(4, 4, 3) if name != "cmaes" else numbers(20)
        points = list(space.points())
        prior = [Observation(i, flat, (float(i),), "completed") for i, flat in enumerate(points[:12])]
        prior[3] = Observation(3, points[3], None, "failed")
        prior[4] = Observation(4, points[4], (1.0,), "pruned")
        proposer = Proposer(space, name, 0, ["maximize"], prior)
        count = 5 if name in SLOW else 8
        flats, _ = play(proposer, count, workers=2, outcome=lambda number, flat: ((1.0,), "completed"))
        assert not {space.identity(f) for f in flats} & {space.identity(o.flat) for o in prior}
        again = Proposer(space, name, 0, ["maximize"], prior)
        told = [Observation(i, flats[i], (1.0,), "completed") for i in range(count - 3)]
        again.restore(flats[: count - 1], told[:-1], workers=2)
        again.tell(count - 4, (1.0,), "completed")
        again.tell(count - 3, (1.0,), "completed")
        assert dict(again.ask().flat) == flats[-1]

    def test_their_best_points_can_be_tried_first(self, name):
        space = mixed()
        rng = np.random.default_rng(0)
        prior = [Observation(i, space.sample(rng), (float(i),), "completed") for i in range(20)]
        proposer = Proposer(space, name, 0, ["maximize"], prior, repeat_prior=True)
        flats, _ = play(proposer, 12)
        assert flats[:10] == [dict(trial.flat) for trial in prior[:9:-1]]
        assert flats[10] not in [trial.flat for trial in prior]

    def test_constraints_are_taken_or_refused(self, name):
        if not STRATEGIES[name].constraints:
            with pytest.raises(ConfigError, match=f"{name}' takes no constraints"):
                Proposer(mixed(), name, 0, ["maximize"], constrained=True)
            return
        space = mixed()
        proposer = Proposer(space, name, 0, ["maximize"], constrained=True)
        for number in range(11 if name in SLOW else length(name)):
            flat = proposer.ask().flat
            proposer.tell(number, (score(flat),), "completed", max(0.0, flat["width"] - 20.0))
        violations = [trial.constraints["violation"] for trial in proposer.study.get_trials(deepcopy=False)]
        assert min(violations) == 0.0
        assert max(violations) > 0.0

    def test_several_objectives_are_taken_or_refused(self, name):
        if not STRATEGIES[name].multi_objective:
            with pytest.raises(ConfigError, match=r"takes one objective, got 2.*mo-evolution"):
                Proposer(mixed(), name, 0, ["maximize", "minimize"])
            return
        space = mixed()
        flats, _ = play(
            Proposer(space, name, 0, ["maximize", "minimize"]),
            36 if name.startswith("nsga") else length(name),  # more than a generation
            outcome=several(2),
        )
        assert len({space.identity(flat) for flat in flats}) == len(flats)

    def test_stays_quiet(self, name, capsys, caplog):
        play(Proposer(mixed(), name, 0, ["maximize"]), 12)
        assert capsys.readouterr() == ("", "")
        assert not caplog.records


def test_the_encoding_is_the_same_in_optunas_terms():
    assert distributions(mixed()) == {
        "kind": CategoricalDistribution(("relu", "tanh", "gelu")),
        "wide": CategoricalDistribution((False, True)),
        "depth": IntDistribution(1, 6),
        "width": IntDistribution(4, 64, log=True),
        "block": IntDistribution(0, 9, step=3),
        "rate": FloatDistribution(1e-4, 1e-1, log=True),
        "drop": FloatDistribution(0.0, 0.5),
        "fixed": CategoricalDistribution(("only",)),
    }


def test_cmaes_needs_a_number(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match="moves numbers only"):
        Proposer(small(3, 3), "cmaes", 0, ["maximize"])


@pytest.mark.parametrize(
    ("name", "extra", "module"),
    [("optuna-gp", "gp", "torch"), ("optuna-gp", "gp", "scipy"), ("cmaes", "cmaes", "cmaes"), ("qmc", "qmc", "scipy")],
)
def test_what_is_missing_is_named(name, extra, module, monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == module else object())
    assert STRATEGIES[name].extra is not None
    assert not STRATEGIES[name].extra.installed
    with pytest.raises(MissingExtraError, match=rf"nasturtium\[{extra}\]"):
        Proposer(mixed(), name, 0, ["maximize"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda c: RegularizedEvolution(c, population=1), "population >= 2", id="population"),
        pytest.param(lambda c: RegularizedEvolution(c, tournament=99), "tournament and startup", id="tournament"),
        pytest.param(lambda c: RegularizedEvolution(c, startup=0), "tournament and startup", id="startup"),
        pytest.param(lambda c: LocalSearch(c, startup=0), "startup >= 1", id="local"),
        pytest.param(lambda c: MultiObjectiveEvolution(c, crossover=1.5), "crossover in", id="crossover"),
        pytest.param(lambda c: MultiObjectiveEvolution(c, population=1), "population >= 2", id="front"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make(StrategyContext(space=small(2, 2), seed=0, directions=("maximize",)))


def test_a_space_without_decisions_is_refused():
    with pytest.raises(ConfigError, match="nothing to decide"):
        Proposer(Space("empty", None, None, {}), "random", 0, ["maximize"])


# Candidates that are not points ---------------------------------------------------------------------------------------


class Unordered(Space):
    """Two decisions whose order does not matter, as in isomorphic cells."""

    def identity(self, flat):
        return super().identity(dict(zip(flat, sorted(flat.values()), strict=True)))


@pytest.mark.parametrize("name", ["random", "evolution", "local", "tpe", "mo-evolution", "nsga2"])
def test_equal_networks_are_one_candidate(name):
    space = Unordered.categorical("pairs", {"a": tuple(range(9)), "b": tuple(range(9))})
    proposer = Proposer(space, name, 0, ["maximize"])
    flats, _ = play(proposer, 45, outcome=lambda number, flat: ((float(flat["a"] * flat["b"]),), "completed"))
    assert len({tuple(sorted(flat.values())) for flat in flats}) == 45 == 9 * 10 / 2
    with pytest.raises(SpaceUsedUpError):
        proposer.ask()


# Others' samplers -----------------------------------------------------------------------------------------------------


class Stubborn(BaseSampler):
    """Always the same half of a point."""

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {"d0": 1}

    def sample_independent(self, study, trial, param_name, param_distribution):
        raise AssertionError


class Best(CandidateSampler):
    """A strategy in a few lines: the greatest point first."""

    def candidates(self, study, trial):
        yield from sorted(self.space.points(), key=lambda flat: -sum(flat.values()))


@pytest.fixture
def extra_strategy(monkeypatch):
    def add(make):
        entries = {**STRATEGIES._entries, "mine": Strategy(name="mine", make=make, description="")}
        monkeypatch.setattr(STRATEGIES, "_entries", entries)

    return add


def test_any_sampler_of_optunas_kind_is_a_strategy(extra_strategy):
    extra_strategy(lambda context: Stubborn())
    space = small(2, 3, 3)
    flats, _ = play(Proposer(space, "mine", 0, ["maximize"]), 18, outcome=lambda number, flat: ((0.0,), "completed"))
    assert [flat["d0"] for flat in flats[:4]] == [1, 1, 1, 1]
    assert len({space.identity(flat) for flat in flats}) == 18


def test_candidates_are_taken_in_order_of_preference(extra_strategy):
    extra_strategy(Best)
    flats, _ = play(
        Proposer(small(2, 3), "mine", 0, ["maximize"]), 6, outcome=lambda number, flat: ((0.0,), "completed")
    )
    assert [sum(flat.values()) for flat in flats] == [3, 2, 2, 1, 1, 0]


def test_a_sampler_of_ours_serves_a_plain_study_of_optunas():
    space = small(5, 5)
    context = StrategyContext(space=space, seed=1, directions=("maximize",))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=RegularizedEvolution(context))
    fixed = distributions(space)
    for _ in range(40):
        trial = study.ask(fixed)
        study.tell(trial, sum(trial.params.values()))
    assert study.best_value == 8


# What each of ours does -----------------------------------------------------------------------------------------------


def observe(*rows):
    return [Observation(i, {}, values, state, violation) for i, (values, state, violation) in enumerate(rows)]


def test_whoever_keeps_the_constraints_and_was_trained_to_the_end_is_better():
    trials = observe(
        ((9.0,), "completed", 0.5),
        ((8.0,), "pruned", 0.0),
        ((1.0,), "completed", 0.0),
        ((2.0,), "completed", 0.0),
        (None, "failed", 0.0),
        ((9.5,), "completed", 0.1),
    )
    assert [trial.number for trial in best_first(trials, ["maximize"])] == [3, 2, 1, 5, 0]


def test_fronts_come_one_after_the_other_and_their_ends_first():
    trials = observe(*(((x, y), "completed", 0.0) for x, y in [(2, 2), (0, 4), (1.9, 2.1), (4, 0), (0, 0), (1, 3)]))
    ordered = [trial.number for trial in best_first(trials, ["maximize", "maximize"])]
    assert set(ordered[:2]) == {1, 3}
    assert ordered[-1] == 4
    assert ordered.index(5) < ordered.index(2)


def test_local_search_climbs_to_the_top_and_then_starts_anew():
    """One hill: after the startup every point is a neighbour of the best until it is reached."""
    space = small(5, 5, 5)
    proposer = Proposer(space, "local", 3, ["maximize"])
    flats, outcomes = play(proposer, 60, outcome=lambda number, flat: ((float(sum(flat.values())),), "completed"))
    top = next(i for i, flat in enumerate(flats) if sum(flat.values()) == 12)
    best = None
    for outcome in outcomes[:top]:
        if outcome.number >= 5:
            assert sum(outcome.flat[path] != best.flat[path] for path in best.flat) == 1
        if best is None or outcome.values > best.values:
            best = outcome
    near = top + 12  # the top has 12 neighbours, some of which were tried on the way up
    assert any(sum(flat[path] != flats[top][path] for path in flat) > 1 for flat in flats[top + 1 : near + 2])


@cache
def table(seed: int, size: int = 6, options: int = 5):
    """Effects of decisions, of pairs and of triples, and a cost: {point: (value, cost)}."""
    rng = np.random.default_rng(seed)
    points = np.array(list(product(range(options), repeat=size)))
    values = np.zeros(len(points))
    for count, scale in ((1, 1.0), (2, 0.5), (3, 0.2)):
        for chosen in combinations(range(size), count):
            values += rng.normal(0, scale, (options,) * count)[tuple(points[:, chosen].T)]
    costs = np.array([0.0, 0.1, 0.3, 1.0, 0.15])[points] @ (1 + 0.3 * np.arange(size))
    values = (values + 0.5 * costs) / values.std()
    space = Space.categorical("table", {f"d{i}": tuple(range(options)) for i in range(size)})
    found = dict(zip(map(tuple, points.tolist()), zip(values.tolist(), costs.tolist(), strict=True), strict=True))
    return space, found


def search(name: str, seed: int, count: int, directions, *, workers: int = 1):
    space, values = table(seed)
    objectives = len(directions)
    flats, _ = play(
        Proposer(space, name, seed, directions),
        count,
        workers=workers,
        outcome=lambda number, flat: (values[tuple(flat.values())][:objectives], "completed"),
    )
    return [values[tuple(flat.values())][:objectives] for flat in flats], values


@pytest.mark.parametrize("name", ["evolution", "local", "mo-evolution"])
def test_ours_beat_chance_by_far(name):
    """Means over eight tables, at 50 and at 100 evaluations, in standard deviations of the table."""
    gains = bests(name) - bests("random")
    assert (gains.mean(0) > [0.4, 0.6]).all()
    assert (gains[:, 1] > 0).sum() >= 7


@cache
def bests(strategy):
    found = [search(strategy, seed, 100, ["maximize"])[0] for seed in range(8)]
    return np.array([[max(run[:50])[0], max(run)[0]] for run in found])


def test_evolution_towards_the_front_beats_nsga2():
    """Hypervolume at 150 evaluations, as a part of the true front's, over six tables."""

    def parts(strategy):
        found = []
        for seed in range(6):
            run, values = search(strategy, seed, 150, ["maximize", "minimize"])
            everything = np.array(list(values.values()))
            reference = [np.quantile(everything[:, 0], 0.1), everything[:, 1].max() * 1.01]
            whole = hypervolume(everything, reference, ["maximize", "minimize"])
            found.append(hypervolume(run, reference, ["maximize", "minimize"]) / whole)
        return np.array(found)

    ours, theirs = parts("mo-evolution"), parts("nsga2")
    assert ours.mean() > theirs.mean() + 0.05
    assert (ours > theirs).sum() >= 5
