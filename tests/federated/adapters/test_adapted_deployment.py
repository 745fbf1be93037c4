"""Models of a site's owner in jobs of a coordinator, and what a site gains by them."""

from __future__ import annotations

import pytest

from nasturtium.core import ConfigError
from nasturtium.federated import SiteData, measure_gain
from nasturtium.federated.adapters import AdaptedModel
from nasturtium.federated.deployment.train_job import TrainJob

from ..conftest import PREPROCESSING, TASK, make_rows


def test_a_job_names_a_model_and_its_options():
    job = TrainJob.from_dict({"adapter": {"name": "sklearn-mlp", "hidden": [8, 4]}})
    assert job.adapter == {"name": "sklearn-mlp", "hidden": [8, 4]}
    assert TrainJob.from_dict(job.to_dict()) == job
    assert job.spec is None


def test_a_job_holds_a_model_that_only_sites_have(models, tmp_path):
    spec = models.describe("centroids", {}, TASK)
    (tmp_path / "model.json").write_text(spec.to_json())
    (tmp_path / "job.toml").write_text('version = 1\nmodel = "model.json"\n')
    job = TrainJob.load(tmp_path / "job.toml")
    assert job.spec == spec
    assert TrainJob.from_dict(job.to_dict()).spec == spec


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"adapter": 3}, r"\[adapter\]: expected a table"),
        ({"adapter": {}}, "adapter: name"),
        ({"adapter": {"name": "a"}, "model": "{}"}, "exclude each other"),
    ],
)
def test_a_job_that_names_none_is_refused(document, message):
    with pytest.raises(ConfigError, match=message):
        TrainJob.from_dict(document)


def test_a_site_is_told_what_it_gains_by_a_model_of_its_own(models):
    spec = models.describe("centroids", {}, TASK)
    adapter = models.open(spec, TASK, plain=False)
    federated = AdaptedModel(spec, adapter, adapter.tensors.check(adapter.initial(0)), PREPROCESSING, {})
    data = SiteData(train=make_rows(40, 1), validation=make_rows(20, 2), test=make_rows(60, 3))
    gain = measure_gain(data, federated, site="a")
    assert gain.rows == 60
    assert gain.local_accuracy > 0.8  # the federated one was never trained
    assert gain.only_local - gain.only_federated == round(60 * (gain.local_accuracy - gain.federated_accuracy))
