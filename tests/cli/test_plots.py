"""Figures: every kind is drawn from every kind of data, says what it shows, and nothing in it is cut off or covered."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium import federate, open_history, search
from nasturtium.cli.plots.terminal import line_chart
from nasturtium.core import ConfigError, MissingExtraError
from nasturtium.nas import EngineChoice
from nasturtium.storage import (
    ArchitectureEntry,
    ContributionRecord,
    Curve,
    FederatedRecord,
    RoundRecord,
    RunRecord,
    SearchRecord,
    TrialRecord,
)

NEEDS = "figures need matplotlib: pip install 'nasturtium[plot]'"
STARTED = datetime(2026, 11, 28, 12, tzinfo=UTC)
QUICK = {"top": 1, "repeats": 1, "engine": EngineChoice(kind="here")}
UID = "01JDSEARCH0000000000000000"
LONG = "the-measurements-of-all-hospitals-in-the-north-of-the-country-without-those-of-2024.parquet"


@pytest.fixture
def plots():
    pytest.importorskip("matplotlib", reason=NEEDS)
    from nasturtium.cli import plots

    return plots


def run(kind="search", *, number=3, name="digits", uid=UID) -> RunRecord:
    return RunRecord(
        uid=uid,
        number=number,
        kind=kind,
        state="completed",
        name=name,
        seed=0,
        config={},
        parent=None,
        started=STARTED,
        ended=STARTED + timedelta(minutes=3),
        error=None,
        metrics={},
    )


def a_search(**fields) -> SearchRecord:
    return SearchRecord(
        run=run(**fields),
        space="mlp",
        space_sha256="0" * 64,
        sampler="tpe",
        pruner="halving",
        objectives=[("val_accuracy", "maximize")],
        trials=20,
        study_name="study",
    )


def trial(number, accuracy, parameters, *, state="completed", attempt=1, choices=None, rate=0.001) -> TrialRecord:
    architecture = ArchitectureEntry(
        sha256=f"{number:064x}",
        space="mlp",
        choices={"activation": "relu"} if choices is None else choices,
        spec={},
        parameters=parameters,
        macs=parameters * (2 + number % 3),
    )
    metrics = {"parameters": parameters, "macs": architecture.macs}
    if accuracy is not None:
        metrics |= {"val_accuracy": accuracy, "val_loss": 1 - accuracy}
    return TrialRecord(
        uid=f"01JDTRIAL{number:016d}{attempt}",
        number=number,
        attempt=attempt,
        state=state,
        seed=0,
        architecture=architecture,
        hyperparameters={"learning_rate": rate},
        optuna_number=number,
        started=STARTED,
        ended=STARTED,
        error=None,
        metrics=metrics,
    )


def many_trials(count, seed=0) -> list[TrialRecord]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        hidden = [
            {"width": int(rng.choice([16, 32, 64, 128, 256])), "skip": bool(rng.integers(2))}
            for _ in range(rng.integers(1, 4))
        ]
        choices = {
            "hidden": hidden,
            "activation": str(rng.choice(["relu", "gelu", "silu"])),
            "normalisation": str(rng.choice(["none", "batch_norm", "layer_norm"])),
            "dropout": float(rng.choice([0.0, 0.1, 0.3])),
        }
        parameters = int(64 * math.prod(layer["width"] for layer in hidden) ** 0.8) + number
        rate = float(10 ** rng.uniform(-4, -2))
        accuracy = float(
            np.clip(1 - 1 / math.log(parameters) - abs(math.log10(rate) + 3) / 9 + rng.normal(0, 0.02), 0, 1)
        )
        state = "pruned" if rng.random() < 0.3 else "completed"
        found.append(trial(number, accuracy, parameters, state=state, choices=choices, rate=rate))
    return found


def curve(name, values, *, first=1, seconds=None) -> Curve:
    steps = np.arange(first, first + len(values), dtype=np.int64)
    times = np.full(len(values), np.nan) if seconds is None else steps * seconds
    return Curve(name, steps, np.asarray(values, np.float64), np.asarray(times, np.float64))


def learning(epochs=9, *, seed=0, lift=0.0) -> dict[str, Curve]:
    rng = np.random.default_rng(seed)
    x = np.arange(1, epochs + 1)
    curves = {
        "train_loss": np.exp(-x / 2) + 0.01,
        "val_loss": np.exp(-x / 2) + 0.1 + x / 100 + rng.normal(0, 0.01, epochs),
        "val_accuracy": 0.95 + lift - np.exp(-x) + rng.normal(0, 0.005, epochs),
    }
    return {name: curve(name, values, seconds=0.5) for name, values in curves.items()}


def a_federated(**fields) -> FederatedRecord:
    return FederatedRecord(
        run=run("federated", number=7, **fields),
        clients=4,
        rounds=10,
        strategy="fedavg",
        scheme="packed",
        alpha=None,
        model_run=None,
        spec={},
    )


def some_rounds(sites, rounds, *, seed=0, plain=True, dropped=0.1, loss=None):
    rng = np.random.default_rng(seed)
    made, contributions = [], {}
    for number in range(1, rounds + 1):
        given_ones = []
        for site in range(1, sites + 1):
            chance = rng.random()
            if chance < dropped / 2:
                continue
            rejected = chance < dropped
            given_ones.append(
                ContributionRecord(
                    client=f"site-{site}",
                    state="rejected" if rejected else "accepted",
                    reason="it answered too late" if rejected else None,
                    bytes_up=4_000_000,
                    bytes_down=6_000_000,
                    seconds=float(rng.gamma(3, 2)),
                    clipped=None if rejected else bool(rng.random() < 0.2),
                )
            )
        contributions[number] = given_ones
        made.append(
            RoundRecord(
                number=number,
                participants=len(given_ones),
                rejected=0,
                loss=math.exp(-number / rounds) if loss is None else loss,
                accuracy=1 - math.exp(-number / 3) / 2,
                bytes_up=4_000_000 * sites,
                bytes_down=6_000_000 * sites,
                bytes_plain=400_000 * sites if plain else None,
                seconds=20.0,
                started=STARTED,
                state="failed" if number == 3 else "completed",
            )
        )
    return a_federated(), made, contributions


def account(plots, totals, *, budget=8.0, rounds_left=12, name="site-1", of=UID):
    releases = [
        plots.Release(total=total, noisy=math.isfinite(total), run=of, round=number)
        for number, total in enumerate(totals, 1)
    ]
    return plots.Account(
        subject="hmac:" + "ab12" * 12, name=name, releases=releases, budget=budget, delta=1e-5, rounds_left=rounds_left
    )


def shown(plots, *labels, **fields):
    return [plots.CurveSet(label=label, curves=learning(seed=seed), **fields) for seed, label in enumerate(labels)]


NAN, INF = math.nan, math.inf
LONG_CURVE = {
    "train_loss": curve("train_loss", np.where(np.arange(20_000) % 4_000 < 200, NAN, 1 / (1 + np.arange(20_000)))),
    "val_loss": curve("val_loss", [1.0, NAN, INF, 0.5, 0.4, -INF, 0.6]),
}
CHOICES = {f"a_very_long_name_of_a_parameter_{i}": i for i in range(3)}
OTHER_CHOICES = {f"a_very_long_name_of_a_parameter_{i}": "another_very_long_value" for i in range(2)}

# id -> a chart and the run whose page it is on
CASES = {
    "pareto": lambda p: (p.pareto_chart(a_search(), many_trials(40)), run()),
    "pareto-one": lambda p: (p.pareto_chart(a_search(), [trial(0, 0.9, 1000)]), run()),
    "pareto-alike": lambda p: (p.pareto_chart(a_search(), [trial(i, 0.9, 1000) for i in range(5)]), run()),
    "pareto-nan": lambda p: (
        p.pareto_chart(a_search(), [trial(0, 0.9, 1000), trial(1, NAN, 900), trial(2, NAN, 900, state="pruned")]),
        run(),
    ),
    "pareto-again": lambda p: (
        p.pareto_chart(a_search(), [trial(0, None, 1000, state="interrupted"), trial(0, 0.9, 1000, attempt=2)]),
        run(),
    ),
    "pareto-3000": lambda p: (p.pareto_chart(a_search(name=LONG), many_trials(3_000)), run(name=LONG)),
    "curves": lambda p: (p.curves_chart(run(), shown(p, "search 3")), run()),
    "curves-seconds": lambda p: (p.curves_chart(run(), shown(p, "search 3"), by="seconds"), run()),
    "curves-one-point": lambda p: (
        p.curves_chart(run(), [p.CurveSet(label="a", curves={"val_loss": curve("val_loss", [0.5])})]),
        run(),
    ),
    "curves-not-finite": lambda p: (p.curves_chart(run(), [p.CurveSet(label="a", curves=LONG_CURVE)]), run()),
    "curves-all-nan": lambda p: (
        p.curves_chart(run(), [p.CurveSet(label="a", curves={"val_loss": curve("val_loss", [NAN] * 4)})]),
        run(),
    ),
    "curves-compared": lambda p: (p.curves_chart(run(), shown(p, *(f"search {i}" for i in range(9)))), run()),
    "curves-many-runs": lambda p: (p.curves_chart(run(), shown(p, *(f"{LONG} {i}" for i in range(40)))), run()),
    "curves-of-a-search": lambda p: (
        p.curves_chart(
            run(),
            [*shown(p, "trial 1"), *shown(p, *"abcdef", role="trial"), *shown(p, *"ghi", role="pruned")],
            remark="10 trials",
        ),
        run(),
    ),
    "curves-of-2500-trials": lambda p: (
        p.curves_chart(run(), shown(p, "trial 1") + shown(p, "b", role="pruned") * 2_500),
        run(),
    ),
    "curves-many-quantities": lambda p: (
        p.curves_chart(
            run(), [p.CurveSet(label="a", curves={n: curve(n, [1, 2, 3]) for n in map("weight_{}".format, range(30))})]
        ),
        run(),
    ),
    "parallel": lambda p: (p.parallel_chart(a_search(), many_trials(40)), run()),
    "parallel-two": lambda p: (p.parallel_chart(a_search(), [trial(0, 0.9, 1000), trial(1, 0.8, 2000)]), run()),
    "parallel-long-names": lambda p: (
        p.parallel_chart(
            a_search(), [trial(i, 0.9 + i / 99, 1000, choices=(CHOICES, OTHER_CHOICES)[i % 2]) for i in range(9)]
        ),
        run(),
    ),
    "parallel-3000": lambda p: (p.parallel_chart(a_search(), many_trials(3_000)), run()),
    "importance": lambda p: (p.importance_chart(a_search(), many_trials(40)), run()),
    "importance-3000": lambda p: (p.importance_chart(a_search(), many_trials(3_000)), run()),
    "rounds": lambda p: (p.rounds_chart(*some_rounds(5, 12)), run("federated")),
    "rounds-one": lambda p: (p.rounds_chart(*some_rounds(1, 1, dropped=0)), run("federated")),
    "rounds-nan": lambda p: (p.rounds_chart(*some_rounds(3, 6, loss=NAN, plain=False)), run("federated")),
    "rounds-100-sites": lambda p: (p.rounds_chart(*some_rounds(100, 30)), run("federated")),
    "rounds-1000": lambda p: (p.rounds_chart(*some_rounds(4, 1000)), run("federated")),
    "rounds-nobody": lambda p: (p.rounds_chart(*some_rounds(0, 4)), run("federated")),
    "privacy": lambda p: (p.privacy_chart(run(), [account(p, np.sqrt(np.arange(1, 20)))]), run()),
    "privacy-no-budget": lambda p: (
        p.privacy_chart(run(), [account(p, [1.0, 2.0], budget=None, rounds_left=None)]),
        run(),
    ),
    "privacy-no-noise": lambda p: (p.privacy_chart(run(), [account(p, [INF] * 6, budget=None)]), run()),
    "privacy-noise-forgotten": lambda p: (
        p.privacy_chart(run(), [account(p, [1.0, 1.5, INF, INF], of="other"), account(p, [0.5], rounds_left=0)]),
        run(),
    ),
    "privacy-many": lambda p: (
        p.privacy_chart(run(), [account(p, [i + 1.0], name=f"site-{i}") for i in range(100)]),
        run(),
    ),
}


def svg_of(plots, case, tmp_path, *, dark=False) -> str:
    chart, of = CASES[case](plots)
    return plots.save_figure(plots.page([chart], run=of, dark=dark), tmp_path / "figure.svg").read_text()


def words_of(svg: str) -> list[str]:
    root = ET.fromstring(svg)
    return ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_cut_off_or_covered(plots, case):
    """Every text that is drawn lies on the page, and none over another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    chart, of = CASES[case](plots)
    figure = plots.page([chart], run=of)
    drawn: list[Text] = []
    draw = Text.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, *a, **k: (drawn.append(text), draw(text, *a, **k))[1])
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    renderer = canvas.get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = {
        id(text): (text.get_text(), text.get_window_extent(renderer))
        for text in drawn
        if text.get_visible() and text.get_text().strip()
    }
    assert boxes
    outside = [
        said for said, box in boxes.values() if box.x0 < 0 or box.y0 < 0 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    assert outside == []
    slack = 1.5 * figure.dpi / 72  # the boxes are higher than the letters
    covered = [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(boxes.values(), 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > slack and min(a.y1, b.y1) - max(a.y0, b.y0) > slack
    ]
    assert covered == []


@pytest.mark.parametrize(
    ("case", "parts"),
    [
        pytest.param(
            "pareto",
            [
                "Accuracy against size: search 3 on digits",
                "parameters",
                "multiply-accumulates per example",
                "validation accuracy",
                f"search 3  ·  {UID}  ·  2026-11-28 12:00 UTC",
            ],
            id="pareto",
        ),
        pytest.param(
            "pareto-one", ["1: 0.9000", "1 trial of space mlp by tpe: 1 completed. Numbers are trials."], id="1"
        ),
        pytest.param("curves", ["epoch", "loss", "validation", "training", "validation accuracy"], id="curves"),
        pytest.param("curves-seconds", ["seconds"], id="seconds"),
        pytest.param("curves-all-nan", ["no finite value"], id="nan"),
        pytest.param("curves-not-finite", ["not finite: NaN below, infinite above"], id="not-finite"),
        pytest.param("curves-many-quantities", ["12 of 30 quantities: choose others with --metric"], id="quantities"),
        pytest.param("parallel", ["relu", "batch_norm", "macs", "yes"], id="parallel"),
        pytest.param("importance", ["learning_rate"], id="importance"),
        pytest.param("rounds", ["round", "site-5", "rejected", "clipped", "no answer", "round failed"], id="rounds"),
        pytest.param("rounds", ["float32 2 MB", "up 20 MB", "down 30 MB", "0.9908"], id="bytes"),
        pytest.param(
            "privacy",
            [
                "budget 8",
                "epsilon (delta 1e-5)",
                "the budget lasts 12 more rounds like the last",
                "spent 4.36 in 19 releases",
            ],
            id="privacy",
        ),
        pytest.param("privacy-no-noise", ["no noise: epsilon is unbounded", "6 of 6 releases without noise"], id="inf"),
        pytest.param(
            "privacy-noise-forgotten",
            [
                "no noise: epsilon is unbounded",
                "2 of 4 releases without noise (0 of them by search 3), from release 3 on",
                "the budget does not last for one more round like the last",
            ],
            id="forgotten",
        ),
    ],
)
def test_the_words_are_words_in_the_svg(plots, tmp_path, case, parts):
    words = words_of(svg_of(plots, case, tmp_path))
    assert [part for part in parts if part not in words] == []


def test_the_front_is_labelled_with_trial_numbers(plots, tmp_path):
    """As people count them, from 1; the best also with its accuracy."""
    trials = [trial(4, 0.7, 100), trial(6, 0.8, 1_000), trial(10, 0.9, 10_000), trial(11, 0.6, 20_000)]
    figure = plots.page([plots.pareto_chart(a_search(), trials)], run=run())
    words = words_of(plots.save_figure(figure, tmp_path / "front.svg").read_text())
    assert [words.count(said) for said in ("5", "7", "11: 0.9000", "12")] == [2, 2, 2, 0]


@pytest.mark.parametrize("make", ["pareto_chart", "parallel_chart"])
def test_many_points_are_pixels_in_an_svg(plots, tmp_path, make):
    chart = getattr(plots, make)(a_search(), many_trials(3_000))
    svg = plots.save_figure(plots.page([chart], run=run()), tmp_path / "many.svg").read_text()
    assert len(svg) < 2_000_000
    assert "<image " in svg


@pytest.mark.parametrize(
    ("suffix", "dark", "cases"),
    [
        (".svg", False, ("pareto", "curves-of-a-search", "rounds-one", "privacy")),
        (".png", True, ("curves-of-a-search", "privacy")),
        (".pdf", False, ("pareto", "rounds-one")),
    ],
    ids=["svg", "png", "pdf"],
)
def test_the_same_figure_is_the_same_bytes(plots, tmp_path, suffix, dark, cases):
    charts = [CASES[case](plots)[0] for case in cases]
    figures = [plots.page(charts, run=run(), dark=dark) for _ in range(2)]
    one, other = (plots.save_figure(figure, tmp_path / f"{i}{suffix}") for i, figure in enumerate(figures))
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes()[:4] == {".svg": b"<?xm", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"0{suffix}", f"1{suffix}"]


def test_no_settings_of_matplotlib_get_in_or_out(plots, tmp_path):
    """Neither the user's matplotlibrc nor pyplot, which keeps global state and may ask for a window."""
    import matplotlib

    before = dict(matplotlib.rcParams)
    usual = svg_of(plots, "curves", tmp_path)
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path", "lines.linewidth": 9}):
        assert svg_of(plots, "curves", tmp_path) == usual


def test_a_page_holds_several_charts(plots, tmp_path):
    charts = [CASES[case](plots)[0] for case in ("pareto", "curves", "parallel", "importance")]
    words = words_of(plots.save_figure(plots.page(charts, run=run()), tmp_path / "all.svg").read_text())
    assert sum("search 3 on digits" in said for said in words) == 4
    with pytest.raises(ConfigError, match="at least one chart"):
        plots.page([], run=run())


def test_names_in_any_script_are_drawn(plots, tmp_path):
    name = "数据 $x$ <b>\n&"
    chart = plots.pareto_chart(a_search(name=name), [trial(0, 0.9, 10)])
    for suffix in (".svg", ".png"):
        path = plots.save_figure(plots.page([chart], run=run(name=name)), tmp_path / f"any{suffix}")
    assert "Accuracy against size: search 3 on 数据 $x$ <b> &" in words_of(path.with_suffix(".svg").read_text())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda p: p.pareto_chart(a_search(), []), "search 3 has no completed trial to draw", id="pareto"),
        pytest.param(
            lambda p: p.pareto_chart(a_search(), [trial(0, 0.9, 10, state="failed")]), "no completed trial", id="failed"
        ),
        pytest.param(lambda p: p.pareto_chart(a_search(), [trial(0, NAN, 10)]), "no completed trial", id="pareto-nan"),
        pytest.param(lambda p: p.parallel_chart(a_search(), []), "no completed trial to draw", id="parallel"),
        pytest.param(
            lambda p: p.parallel_chart(a_search(), [trial(0, 0.9, 10)]), "no two completed trials that differ", id="one"
        ),
        pytest.param(
            lambda p: p.importance_chart(a_search(), many_trials(5)), "5 completed trials, too few|too few", id="few"
        ),
        pytest.param(
            lambda p: p.importance_chart(a_search(), [trial(i, 0.9, 10) for i in range(9)]), "do not differ", id="alike"
        ),
        pytest.param(lambda p: p.curves_chart(run(), []), "search 3 has no curve to draw", id="curves"),
        pytest.param(
            lambda p: p.curves_chart(run(), shown(p, "a"), metrics=["f1"]), "search 3 has no curve 'f1'", id="metric"
        ),
        pytest.param(
            lambda p: p.curves_chart(
                run(), [p.CurveSet(label="a", curves={"loss": curve("loss", [1.0, 2.0])})], by="seconds"
            ),
            "no times of its points",
            id="times",
        ),
        pytest.param(lambda p: p.rounds_chart(a_federated(), [], {}), "federated 7 has no round to draw", id="rounds"),
        pytest.param(lambda p: p.privacy_chart(run(), []), "no release in the privacy ledger", id="privacy"),
    ],
)
def test_what_is_missing_is_said(plots, make, message):
    with pytest.raises(ConfigError, match=message):
        make(plots)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("figure.jpg", r"ends in \.svg, \.png or \.pdf", id="suffix"),
        pytest.param("figure", r"ends in \.svg, \.png or \.pdf", id="no-suffix"),
        pytest.param("nowhere/figure.svg", "there is no folder", id="folder"),
        pytest.param("folder.svg", "is a folder", id="is-folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_drawing(plots, tmp_path, name, message):
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ConfigError, match=message):
        plots.check_target(tmp_path / name)


def test_a_disk_that_refuses_leaves_the_older_file(plots, tmp_path, monkeypatch):
    path = plots.save_figure(plots.page([CASES["pareto-one"](plots)[0]], run=run()), tmp_path / "figure.svg")
    before = path.read_bytes()

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Exception, match="No space left on device"):
        plots.save_figure(plots.page([CASES["pareto"](plots)[0]], run=run()), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["figure.svg"]


# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as people with that colour blindness see it.
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]


def linear(colour):
    from matplotlib.colors import to_rgb

    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one, other):
    """As the Web Content Accessibility Guidelines 2.1 define it."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", ["LIGHT", "DARK"])
def test_series_are_told_apart_under_colour_blindness(plots, name, vision):
    from nasturtium.cli.plots import style

    seen = [lab(VISION[vision] @ linear(colour)) for colour in getattr(style, name).colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 10  # a just seen difference is 2.3


@pytest.mark.parametrize("name", ["LIGHT", "DARK"])
def test_ink_is_read_on_paper(plots, name):
    from nasturtium.cli.plots import style

    theme = getattr(style, name)
    assert min(contrast(colour, theme.paper) for colour in (theme.ink, theme.muted)) >= 4.5
    assert min(contrast(colour, theme.paper) for colour in (*theme.colours, theme.alarm)) >= 3
    steps = [lab(linear(colour))[0] for colour in theme.ramp]
    assert steps == sorted(steps, reverse=name == "LIGHT")  # high figures stand out from the paper


def test_importances_find_what_decides(plots):
    from nasturtium.cli.plots.trials import with_value

    rng = np.random.default_rng(0)
    trials = [
        trial(i, 0.9 - 0.2 * abs(math.log10(rate) + 3), 100, rate=rate, choices={"noise": int(rng.integers(4))})
        for i, rate in enumerate(10 ** rng.uniform(-5, -1, 60))
    ]
    shares = plots.importances(with_value(a_search(), trials, "completed"))
    assert list(shares) == ["learning_rate", "noise"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["learning_rate"] > 0.8


@given(
    wanted=st.lists(st.floats(-100, 1100), max_size=20).map(lambda values: np.array(values, np.float64)),
    gap=st.floats(0.5, 40),
)
def test_labels_are_spread_as_far_as_they_must(wanted, gap):
    pytest.importorskip("matplotlib", reason=NEEDS)
    from nasturtium.cli.plots.labels import spread

    placed = spread(wanted, gap, 0.0, 1000.0)
    ordered = np.sort(placed)
    assert (np.diff(ordered) >= gap - 1e-6).all()
    assert ((ordered >= -1e-6) & (ordered <= 1000 + 1e-6)).all()  # 20 labels of 40 fit
    assert (np.argsort(placed, kind="stable") == np.argsort(wanted, kind="stable")).all()
    apart = np.sort(wanted)
    if len(wanted) and apart[0] >= 0 and apart[-1] <= 1000 and (np.diff(apart) >= gap).all():
        np.testing.assert_allclose(placed, wanted, atol=1e-6)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=5_000))
def test_a_thinned_curve_keeps_its_range_and_mean(values):
    pytest.importorskip("matplotlib", reason=NEEDS)
    from nasturtium.cli.plots.curves import thin

    y = np.array(values)
    with np.errstate(over="ignore"):
        x, mean, low, high = thin(np.arange(len(y), dtype=np.float64), y)
    finite = y[np.isfinite(y)]
    assert len(x) == len(mean) == len(low) == len(high) <= 1_000
    if len(finite) and not np.isnan(low).all():
        assert np.nanmin(np.where(np.isfinite(low), low, np.nan)) == finite.min()
        assert np.nanmax(np.where(np.isfinite(high), high, np.nan)) == finite.max()


@pytest.mark.parametrize(
    ("text", "letters", "said"),
    [
        pytest.param("digits", 10, "digits", id="short"),
        pytest.param("abcdefghijk", 7, "abc…ijk", id="middle"),
        pytest.param("abcdefghijk", 6, "abc…jk", id="even"),
        pytest.param("a\n b\t c", 10, "a b c", id="one-line"),
    ],
)
def test_long_names_lose_their_middle(text, letters, said):
    from nasturtium.cli.plots.words import shorten

    assert shorten(text, letters) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (12_500, "12.5k"),
        (999_999, "1M"),
        (0.003, "0.003"),
        (-2.5, "\N{MINUS SIGN}2.5"),
        (INF, "∞"),
        (NAN, "NaN"),
    ],
)
def test_numbers_as_ticks_say_them(value, said):
    from nasturtium.cli.plots.words import say_number

    assert say_number(value) == said


@pytest.mark.parametrize(
    ("name", "better", "said"),
    [
        ("val_accuracy", 1, "validation accuracy"),
        ("train_loss", -1, "training loss"),
        ("learning_rate", 0, "learning rate"),
        ("macs", -1, "multiply-accumulates per example"),
        ("test/f1", 1, "test f1"),
    ],
)
def test_metrics_are_words(name, better, said):
    from nasturtium.cli.plots.words import direction, say_metric

    assert (direction(name), say_metric(name)) == (better, said)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    from nasturtium.cli import plots

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib" or ".cli.plots." in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="a plot needs an optional dependency") as caught:
        plots.page  # noqa: B018
    assert caught.value.hint == 'pip install "nasturtium[plot]"'


# A terminal.


def test_a_curve_on_a_terminal():
    assert line_chart([0.0, 1.0, 2.0, 3.0], [1, 2, 3, 4], width=20, height=3).splitlines() == [
        "3 ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⣀⡠⠔⠒⠉",
        "  │⠀⠀⠀⠀⠀⣀⡠⠤⠔⠒⠊⠉",
        "0 ┤⣀⠤⠔⠊⠉",
        "  └─────────────────",
        "   1               4",
    ]


@pytest.mark.parametrize(
    ("values", "last"),
    [
        pytest.param([], "no points", id="empty"),
        pytest.param([NAN, INF], "none of 2 points is finite", id="not-finite"),
        pytest.param([1.0, NAN, 2.0], "1 of 3 points are not finite", id="gap"),
        pytest.param([0.5], "1", id="one"),
    ],
)
def test_a_terminal_curve_says_what_it_lacks(values, last):
    assert line_chart(values, list(range(1, len(values) + 1))).splitlines()[-1].strip() == last


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=200),
    width=st.integers(20, 120),
    height=st.integers(2, 30),
)
def test_a_terminal_curve_fits(values, width, height):
    said = line_chart(values, list(range(0, 7 * len(values), 7)), width=width, height=height)
    lines = said.splitlines()
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        assert "finite" in said
        return
    assert max(map(len, lines[: height + 1])) <= width
    assert len(lines) == height + 2 + (len(finite) < len(values))
    assert any(0x2800 < ord(letter) <= 0x28FF for letter in said)


# The command.


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A search (run 1) and a federated training of its model (run 2)."""
    path = tmp_path_factory.mktemp("plots") / "history.db"
    search("digits", trials=9, epochs=3, space="mlp", scheduler="none", db=path, **QUICK)
    federate("digits", model=1, clients=3, rounds=2, epochs=1, scheme="plain", db=path)
    return path


needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason=NEEDS)


@needs_matplotlib
@pytest.mark.parametrize(
    ("words", "title"),
    [
        pytest.param([1], "Accuracy against size: search 1 on digits", id="search"),
        pytest.param([2], "Rounds: federated 2 on digits", id="federated"),
        pytest.param([1, "--kind", "curves"], "Learning curves: search 1 on digits", id="curves"),
        pytest.param([1, "--metric", "val_loss", "--dark"], "Learning curves: search 1 on digits", id="metric"),
        pytest.param(["@last", "--compare", 1], "Learning curves: federated 2, search 1 on digits", id="compare"),
        pytest.param([1, "--kind", "parallel"], "Trials by their parameters: search 1 on digits", id="parallel"),
        pytest.param([2, "--kind", "privacy"], "Privacy spent: federated 2 on digits", id="privacy"),
        pytest.param([2, "--kind", "all"], "Privacy spent: federated 2 on digits", id="all"),
    ],
)
def test_plot_writes_a_figure(command, database, tmp_path, words, title):
    answer = command("history", "plot", *words, "-o", "figure.svg", "--db", database)
    assert (answer.code, answer.out) == (0, "figure.svg\n")
    assert title in words_of((tmp_path / "figure.svg").read_text())


@needs_matplotlib
def test_all_says_what_is_left_out(command, database):
    """Importances need eight trials that were not pruned."""
    answer = command("history", "plot", 1, "--kind", "all", "-o", "figure.svg", "--db", database, "--json")
    said = json.loads(answer.out)
    with open_history(database) as history:
        completed = sum(trial.state == "completed" for trial in history.trials(history.find(1).uid))
    few = completed < 8
    assert said["path"] == "figure.svg"
    assert said["charts"] == ["pareto", "curves", "parallel", *([] if few else ["importance"])]
    assert list(said["left_out"]) == (["importance"] if few else [])
    assert ("importance left out: search 1 has" in answer.err) == few


@needs_matplotlib
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param([1, "-o", "figure.gif"], 2, "expected a file name that ends in", id="suffix"),
        pytest.param([1, "-o", "no/figure.svg"], 2, "there is no folder", id="folder"),
        pytest.param([1, "--kind", "rounds", "-o", "a.svg"], 2, "does not fit a run of kind search", id="kind"),
        pytest.param([1, "--kind", "pareto", "--metric", "a", "-o", "a.svg"], 2, "are for curves", id="metric"),
        pytest.param([1, "--metric", "nonsense", "-o", "a.svg"], 2, "has no curve 'nonsense'", id="no-curve"),
        pytest.param([9, "-o", "a.svg"], 3, "there is no run 9", id="run"),
        pytest.param([1, "--compare", 9, "-o", "a.svg"], 3, "there is no run 9", id="compare"),
    ],
)
def test_what_cannot_be_drawn_is_refused(command, database, tmp_path, words, code, message):
    answer = command("history", "plot", *words, "--db", database)
    assert answer.code == code
    assert message in answer.err
    assert not list(tmp_path.glob("*.svg"))


GOALS = {
    "minimised": [("val_loss", "minimize")],
    "measured": [("val_accuracy", "maximize"), ("latency_ms", "minimize")],
    "three": [("val_loss", "minimize"), ("val_f1", "maximize"), ("parameters", "minimize")],
}
EXPECTED = {
    "minimised": ["Loss against size: search 3 on digits", "validation loss", "unbeaten in all three figures"],
    "measured": ["Accuracy against latency ms: search 3 on digits", "latency ms", "unbeaten in both figures"],
    "three": ["Loss against validation f1: search 3 on digits", "parameters", "best from there on"],
}


@pytest.mark.parametrize("name", GOALS)
@pytest.mark.parametrize("make", ["pareto_chart", "parallel_chart", "importance_chart"])
def test_figures_are_of_the_goals_of_the_search(plots, tmp_path, name, make):
    """The same trials, of which a straggler is far worse than the others."""
    record = replace(a_search(), objectives=GOALS[name])
    told = [
        replace(
            each,
            metrics={
                **each.metrics,
                "latency_ms": 0.5 + 1e-4 * each.architecture.parameters,
                "val_f1": each.metrics["val_accuracy"] - 0.01,
            },
        )
        for each in [*many_trials(40), trial(40, 0.01, 500)]
    ]
    chart = getattr(plots, make)(record, told)
    words = words_of(plots.save_figure(plots.page([chart], run=run()), tmp_path / "goals.svg").read_text())
    expected = EXPECTED[name] if make == "pareto_chart" else []
    assert [part for part in expected if part not in words] == []


@pytest.mark.parametrize(("direction", "best"), [("maximize", "5"), ("minimize", "1")])
def test_the_best_is_that_of_the_goal(plots, direction, best):
    from nasturtium.cli.plots.trials import front, with_value

    record = replace(a_search(), objectives=[("val_loss", direction)])
    shown = with_value(record, [trial(number, 0.9 - 0.1 * number, 100) for number in range(5)], "completed")
    assert front(record, shown)[0].name == best


def test_trials_that_break_all_constraints_are_drawn_all_the_same(plots):
    from nasturtium.cli.plots.trials import front, with_value

    record = a_search()
    record = replace(record, run=replace(record.run, config={"constraints": ["parameters <= 10"]}))
    shown = with_value(record, [trial(0, 0.5, 100), trial(1, 0.9, 100)], "completed")
    assert [each.name for each in front(record, shown)] == ["2"]
