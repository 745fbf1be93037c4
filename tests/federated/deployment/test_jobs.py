"""Jobs as they are asked for."""

from __future__ import annotations

import pytest

from nasturtium.core import ConfigError
from nasturtium.federated.deployment import (
    FederationConfig,
    SearchJob,
    TrainJob,
    init_coordinator,
    read_jobs,
    start_job,
    stop_job,
)
from nasturtium.storage import Federations, open_database


@pytest.fixture
def config(tmp_path) -> FederationConfig:
    return FederationConfig.load(init_coordinator(tmp_path / "hub", "localhost").config)


@pytest.mark.parametrize("job", [TrainJob(rounds=3), SearchJob()], ids=["train", "search"])
def test_the_same_job_is_not_queued_twice_by_mistake(config, job):
    start_job(config, job)
    start_job(config, TrainJob(rounds=3, seed=1))  # another one
    with pytest.raises(ConfigError, match="is job 1 already, and queued") as refused:
        start_job(config, job)
    assert "--again" in str(refused.value.hint)
    start_job(config, job, again=True)
    assert len(read_jobs(config)) == 3
    stop_job(config, "1")
    stop_job(config, "3")
    start_job(config, job)  # nobody is at it any more


def test_a_paused_job_is_to_be_resumed(config):
    start_job(config, TrainJob())
    with open_database(config.database) as database:
        claim = Federations(database).claim("here", 60)
        assert claim is not None
        with pytest.raises(ConfigError, match="is job 1 already, and running"):
            start_job(config, TrainJob())
        Federations(database).end(claim, "paused")
    with pytest.raises(ConfigError, match="and paused") as refused:
        start_job(config, TrainJob())
    assert "federate resume 1" in str(refused.value.hint)
