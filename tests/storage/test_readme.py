"""The README's example runs and prints what it says."""

import re
from pathlib import Path

import nasturtium.storage


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    readme = (Path(nasturtium.storage.__file__).parent / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out == "".join(re.findall(r"# prints: (.*\n)", example))
