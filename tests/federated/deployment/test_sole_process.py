"""A coordinator, or a site, is one process; the lock ends with its process and not with a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nasturtium.federated.deployment.sole_process import sole_process
from nasturtium.federated.errors import FederationError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks are POSIX's")
HOLDER = """
import sys
from pathlib import Path
from nasturtium.federated.deployment.sole_process import sole_process

with sole_process(Path(sys.argv[1]), "the site a"):
    print("there", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_of_the_first(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "there\n"
        with (
            pytest.raises(FederationError, match=f"the site a is run by another process already, {holder.pid}") as told,
            sole_process(tmp_path, "the site a"),
        ):
            pass
        assert told.value.hint
        holder.kill()
    with sole_process(tmp_path, "the site a"):  # what was killed holds nothing
        pass


def test_it_can_be_had_again_and_for_another_folder(tmp_path):
    for _ in range(2):
        with sole_process(tmp_path, "this coordinator"):
            (tmp_path / "other").mkdir(exist_ok=True)
            with sole_process(tmp_path / "other", "the site a"):
                pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FederationError, match="cannot write into"), sole_process(tmp_path, "the site a"):
        pass


def test_no_folder_is_said_in_words(tmp_path):
    lock = sole_process(tmp_path / "absent", "the site a")
    with pytest.raises(FederationError, match=r"cannot write into .*absent: No such file"):
        lock.__enter__()


def test_the_file_names_the_process_alone(tmp_path: Path):
    with sole_process(tmp_path, "the site a"):
        assert (tmp_path / ".process.lock").read_text() == f"{os.getpid()}\n"
