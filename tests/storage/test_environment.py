"""The description of the environment: equal for equal installations, and of the commit that is there."""

import json
import subprocess

import pytest

from nasturtium.storage import describe_environment


def test_it_is_stable_and_plain_json():
    one, two = describe_environment(), describe_environment()
    assert one == two
    assert json.loads(json.dumps(one.body)) == one.body
    assert one.body["packages"].keys() >= {"numpy", "optuna", "sqlalchemy"}
    assert len(one.sha256) == 64


@pytest.mark.parametrize("path", ["", "/nowhere"], ids=["git", "no-git"])
def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if path:
        monkeypatch.setenv("PATH", path)
    assert describe_environment().body["commit"] is None


def test_the_commit_is_that_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    without = describe_environment()
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", "init", "--quiet"], check=True)
    assert describe_environment() == without
    subprocess.run(["git", *who, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert describe_environment().body["commit"] == commit
    assert describe_environment().sha256 != without.sha256
