"""Run the tests marked ``gpu``, without the windows that the other tests need.

python -m benchmarks.gpu.tests OUT [--device cuda] [--seconds 500]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from .piece import card_name, parse_options
from .progress import FAILED, FINISHED, add_row

ROOT = Path(__file__).parents[2]


def main(words: list[str] | None = None) -> int:
    """Run pytest, and keep the outcome of every test as a row."""
    options = parse_options(__doc__, words)
    report = options.work / "tests.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(ROOT)]
    command += ["--noconftest", "-p", "no:cacheprovider", "-o", "markers=gpu\nslow", "-m", "gpu"]
    command += ["-rs", f"--junitxml={report}", *map(str, gpu_test_files(ROOT / "tests"))]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    code = subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    if code not in (0, 1):  # 1 is a failed test, which is a result
        return FAILED
    card = card_name(options.device)
    for row in outcomes(report):
        add_row(options.out, {"kind": "test", "card": card, **row})
    return FINISHED


def gpu_test_files(tests: Path) -> list[Path]:
    """Return the test files with tests marked ``gpu``."""
    mark = "@pytest.mark." + "gpu"
    return [file for file in sorted(tests.rglob("test_*.py")) if mark in file.read_text("utf-8")]


def outcomes(report: Path) -> list[dict[str, object]]:
    """Return name, outcome and seconds of every test in a JUnit report."""
    rows: list[dict[str, object]] = []
    for case in ElementTree.parse(report).iter("testcase"):
        children = {child.tag for child in case}
        failed = children & {"failure", "error"}
        outcome = "failed" if failed else "skipped" if "skipped" in children else "passed"
        seconds = float(case.get("time", 0))
        rows.append({"name": case.get("name", ""), "outcome": outcome, "seconds": seconds})
    return rows


if __name__ == "__main__":
    sys.exit(main())
