"""What `search.toml` may say."""

from __future__ import annotations

import pytest

from nasturtium.cli.site_search import check_search
from nasturtium.core import ConfigError
from nasturtium.federated.deployment import SEARCH_TEMPLATE, SearchJob, TrainJob, load_job

HEAD = "version = 1\n"
CLEAR = '[protection]\nscheme = "plain"\nmasked = false\n'


def load(tmp_path, text: str) -> SearchJob:
    path = tmp_path / "search.toml"
    path.write_text(text)
    job = load_job(path)
    assert isinstance(job, SearchJob)
    check_search(job)
    return job


def test_the_template_is_a_job_as_it_is(tmp_path):
    job = load(tmp_path, SEARCH_TEMPLATE)
    assert job == SearchJob(training=job.training)
    assert SearchJob.from_dict(job.to_dict()) == job


def test_every_line_of_the_template_that_is_commented_out_fits(tmp_path):
    text = "".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in SEARCH_TEMPLATE.splitlines(keepends=True)
    )
    job = load(tmp_path, text)
    assert (job.search.space, job.search.stop_at, job.protection.participants) == ("tabular", 0.95, 10)
    assert job.search.evaluate == "supernet"


def test_a_table_tells_a_search_from_a_training(tmp_path):
    (tmp_path / "train.toml").write_text(HEAD)
    assert isinstance(load_job(tmp_path / "train.toml"), TrainJob)
    assert load(tmp_path, f"{HEAD}[search]\n").search.trials == 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[search]\n", "version: expected 1, got None", id="no-version"),
        pytest.param(f"{HEAD}search = 3\n", r"\[search\] expected a table", id="no-table"),
        pytest.param(f"{HEAD}[search]\ntrails = 3\n", "unknown key 'trails'", id="unknown"),
        pytest.param(f"{HEAD}rounds = 3\n[search]\n", "unknown key 'rounds'", id="of-a-training"),
        pytest.param(f"{HEAD}[search]\ntrials = 0\n", "trials: expected a whole number from 1", id="no-trials"),
        pytest.param(f"{HEAD}[search]\ntogether = 65\n", "together: expected a whole number from 1 to 64", id="many"),
        pytest.param(f"{HEAD}[search]\nattempts = 0\n", "attempts: expected", id="attempts"),
        pytest.param(f'{HEAD}[search]\nstrategy = "bets"\n', "bets", id="strategy"),
        pytest.param(f'{HEAD}[search]\nscheduler = "later"\n', "later", id="scheduler"),
        pytest.param(f'{HEAD}[search]\nevaluate = "zero-cost"\n', "evaluate: expected one of training", id="evaluate"),
        pytest.param(f'{HEAD}[search]\nspace = "tabluar"\n', "tabluar", id="space"),
        pytest.param(f'{HEAD}[search]\nspace = "none.toml"\n', "none.toml cannot be read", id="space-file"),
        pytest.param(f"{HEAD}[search]\nobjectives = []\n", "at least one", id="no-goal"),
        pytest.param(f'{HEAD}[search]\nobjectives = ["beauty"]\n', "beauty", id="goal"),
        pytest.param(f'{HEAD}[search]\nobjectives = ["latency_ms"]\n', "not measured for latency_ms", id="measured"),
        pytest.param(f'{HEAD}[search]\nobjectives = ["nwot"]\n', "zero-cost scores need rows", id="score"),
        pytest.param(f'{HEAD}[search]\nconstraints = ["parameters"]\n', "parameters", id="constraint"),
        pytest.param(f'{HEAD}[search]\n[strategy]\nname = "fedbuff"\n{CLEAR}', "waits for none", id="asynchronous"),
        pytest.param(f"{HEAD}[search]\n[privacy]\nepsilon = 3.0\n", "no noise hides a site", id="noise"),
        pytest.param(f"{HEAD}[search]\n[model]\nrounds = 0\n", r"\[model\] rounds: expected", id="model"),
        pytest.param(f"{HEAD}[search]\n[protection]\nmin_sites = 2\n", r"\[protection\] min_sites", id="few-sites"),
        pytest.param(f"{HEAD}seed = -1\n[search]\n", "seed: expected", id="seed"),
        pytest.param(f"{HEAD}[search]\n[space_document]\nx = 1\n", "space_document", id="document"),
    ],
)
def test_what_does_not_fit_says_where(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, text)


def test_a_space_in_a_file_goes_with_the_job(tmp_path):
    (tmp_path / "mine.json").write_text('{"format": "nasturtium.space"}')
    job = load(tmp_path, f'{HEAD}[search]\nspace = "mine.json"\n')
    (tmp_path / "mine.json").unlink()
    assert SearchJob.from_dict(job.to_dict()).space_document == {"format": "nasturtium.space"}
