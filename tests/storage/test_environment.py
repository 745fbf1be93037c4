"""The description of the environment: equal for equal installations, and of the commit that is there."""

import json
import platform
import subprocess
from pathlib import Path

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
    body = describe_environment().body
    assert (body["commit"], body["dirty"]) == (None, None)


def test_the_commit_is_that_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    without = describe_environment()
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", "init", "--quiet"], check=True)
    assert describe_environment() == without
    subprocess.run(["git", *who, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    clean = describe_environment()
    assert (clean.body["commit"], clean.body["dirty"]) == (commit, False)
    assert clean.sha256 != without.sha256
    (tmp_path / "code.py").write_text("one")
    assert describe_environment() == clean  # not part of the commit
    subprocess.run(["git", "add", "code.py"], check=True)
    assert describe_environment().body["dirty"] is True


def test_the_machine_is_told_but_no_person_or_place():
    body = describe_environment().body
    assert body["cpus"] >= 1
    assert body["memory_bytes"] is None or body["memory_bytes"] > 2**20
    assert isinstance(body["gpus"], list)
    text = json.dumps(body)
    assert platform.node() not in text
    assert str(Path.home()) not in text
