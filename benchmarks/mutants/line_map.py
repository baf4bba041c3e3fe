"""pytest plugin: which tests execute which lines of the package, and in how many seconds.

``MUTANTS_MAP=FILE python -m pytest -p benchmarks.mutants.line_map -n 0 …`` writes FILE when the
tests end. It needs the package ``coverage``. Child processes of tests are not followed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet import __file__ as package_file

PACKAGE = Path(package_file).parent


class LineMap:
    """Tests of a session: the seconds of each that passed, and the lines that they executed."""

    def __init__(self, file: Path) -> None:
        import coverage

        self._file = file
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()
        self._coverage = coverage.Coverage(
            data_file=None, source=[str(PACKAGE)], config_file=False, messages=False
        )
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Attribute executed lines to the test."""
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the seconds of setup, call and teardown."""
        seconds = self._seconds.get(report.nodeid, 0.0)
        self._seconds[report.nodeid] = round(seconds + report.duration, 3)
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write FILE: ``tests`` as [name, seconds], ``lines`` as file → line → test indices."""
        self._coverage.stop()
        tests = [test for test in self._seconds if test not in self._failed]
        index = {test: number for number, test in enumerate(tests)}
        data, lines = self._coverage.get_data(), {}
        for file in sorted(data.measured_files()):
            lines[Path(file).relative_to(PACKAGE.parent).as_posix()] = {
                line: sorted(index[test] for test in contexts if test in index)
                for line, contexts in sorted(data.contexts_by_lineno(file).items())
            }
        content: dict[str, Any] = {
            "tests": [[test, self._seconds[test]] for test in tests],
            "lines": lines,
        }
        self._file.write_text(json.dumps(content), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Register the map if a file was named."""
    if file := os.environ.get("MUTANTS_MAP"):
        config.pluginmanager.register(LineMap(Path(file)))
