"""Runs data-apis' public test suite of the Python Array API standard, 2025.12, against `nasturtium.core.array_api`.

    git clone --recurse-submodules https://github.com/data-apis/array-api-tests
    pip install hypothesis ndindex pytest pytest-json-report
    python tests/conformance/run_array_api.py array-api-tests [pytest arguments]

The arguments go to pytest: `--max-examples 5` for a quick look, `-k sin`, `array_api_tests/test_fft.py`. What may fail
stands in `array_api_xfails.txt`, one test a line, each with its reason behind a `#`. Printed are the counts and, of a
whole run, a line `BAR`. The exit status is 1 when a test fails that is not listed, or when the bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

MODULE = "nasturtium.core.array_api"
VERSION = "2025.12"
# NumPy 2.5 passes 1,338 of as many.
BAR, WHOLE = 1340, 1384
XFAILS = Path(__file__).with_name("array_api_xfails.txt")


def read_xfails(text: str) -> dict[str, str]:
    """Test -> reason; every line but empty ones and comments names a test and, behind `  # `, why it fails."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test, separator, reason = line.partition("  # ")
        if not separator or not reason.strip():
            raise ValueError(f"line {number} gives no reason: expected 'test  # reason', got {line!r}")
        if test.strip() in found:
            raise ValueError(f"line {number} names a test a second time: {test.strip()}")
        found[test.strip()] = reason.strip()
    return found


def run(suite: Path, arguments: list[str], xfails: dict[str, str], folder: Path) -> dict[str, list[str]]:
    """Outcome -> tests, of one run of the suite."""
    listed, report = folder / "xfails.txt", folder / "report.json"
    listed.write_text("".join(f"{test}\n" for test in xfails))
    chosen = any(argument.startswith("array_api_tests") for argument in arguments)
    command = [
        *(sys.executable, "-m", "pytest"),
        *([] if chosen else ["array_api_tests"]),
        *arguments,
        *("-q", "-p", "no:cacheprovider", "--disable-deadline", f"--xfails-file={listed}"),
        *("--json-report", f"--json-report-file={report}", "--json-report-omit=log"),
    ]
    environment = {
        **os.environ,
        "ARRAY_API_TESTS_MODULE": MODULE,
        "ARRAY_API_TESTS_VERSION": VERSION,
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "1"),
    }
    subprocess.run(command, cwd=suite, env=environment, check=False)
    if not report.exists():
        raise SystemExit(
            "pytest wrote no report: is pytest-json-report installed, and is PATH a checkout of the suite?"
        )
    outcomes: dict[str, list[str]] = {}
    for test in json.loads(report.read_text())["tests"]:
        outcomes.setdefault(test["outcome"], []).append(test["nodeid"])
    return outcomes


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a checkout of data-apis/array-api-tests with its submodule")
    options, arguments = parser.parse_known_args()
    xfails = read_xfails(XFAILS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(options.path.resolve(), arguments, xfails, Path(folder))
    counts = Counter({outcome: len(tests) for outcome, tests in outcomes.items()})
    passed, total = counts["passed"] + counts["xpassed"], counts.total()
    for test in sorted(outcomes.get("xpassed", [])):
        print(f"passes, but is listed: {test}")
    kinds = ("passed", "failed", "error", "xfailed", "xpassed", "skipped")
    print(f"array-api {VERSION}: " + ", ".join(f"{counts[kind]} {kind}" for kind in kinds) + f", of {total}")
    met = passed >= BAR
    if total >= WHOLE:
        print(f"BAR array_api_passed {passed} tests >={BAR} {'ok' if met else 'short'}")
    else:
        print(f"no BAR: {total} of {WHOLE} tests were run")
    return int(counts["failed"] + counts["error"] > 0 or (total >= WHOLE and not met))


if __name__ == "__main__":
    raise SystemExit(main())
