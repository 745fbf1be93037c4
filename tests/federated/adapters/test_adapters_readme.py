"""The README of adapters is true: its module is a model, and its example trains it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[3] / "federated" / "adapters" / "README.md"


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module, example = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "my_models.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(example, "README", "exec"), names)
    monkeypatch.delitem(sys.modules, "my_models")
    assert isinstance(names["model"].native(), torch.nn.Sequential)
    assert names["result"].test.accuracy > 0.5
    assert "Linear(in_features=64, out_features=48" in capsys.readouterr().out
