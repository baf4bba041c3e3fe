"""Running the tests that execute a mutated line, in copies of the working tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Queue
from typing import Any, Final

from .mutants import Mutant

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = Path("src", "napari_bayes_nnunet")
TIMEOUT: Final = 900
"""Seconds after which the tests of a mutant count as failed."""
MOST_SECONDS: Final = 120
"""Seconds of tests that are run for a mutant, the fastest first."""
BROKEN, MISUSED = 3, 4  # exit codes of a pytest that broke down, or lacks a test or conftest
OPTIONS: Final = (
    *("-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=line"),
    *("-o", "faulthandler_timeout=120"),  # of a test; a mutant may loop for ever
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of modules that are imported already
)


class LineMap:
    """Tests that execute a line, from the file that `line_map` writes; none without the file."""

    def __init__(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8") if file.exists() else '{"tests": [], "lines": {}}'
        content = json.loads(text)
        self._tests: list[list[Any]] = content["tests"]
        self._lines: dict[str, dict[str, list[int]]] = content["lines"]

    def tests_of(self, mutant: Mutant, first: int) -> list[str]:
        """Return the tests of the lines from ``first`` on, from 1, the fastest first.

        All tests that execute any line of the file, if none executes these: they are executed once,
        when the module is imported.
        """
        lines = self._lines.get(f"{PACKAGE.name}/{mutant.file}", {})
        own = range(first, first + mutant.line.count("\n") + 1)
        tests = {test for line in own for test in lines.get(str(line), ())}
        tests = tests or {test for those in lines.values() for test in those}
        left, chosen = MOST_SECONDS, []
        for test in sorted(tests, key=lambda test: self._tests[test][1]):
            left -= self._tests[test][1]
            if left > 0:
                chosen.append(self._tests[test][0])
        return chosen


def tests_of_file(tree: Path, file: str) -> list[str]:
    """Return the tests with the name of a module, those of its layer that import it, its room."""
    path = Path(file)
    room, layer = Path("tests", path.parent), Path("tests", path.parts[0])
    names = (f"test_{path.stem}.py", f"test_{path.stem}_*.py")
    found = [test for name in names for test in sorted((tree / room).glob(name))]
    module = re.compile(rf"\b{re.escape('.'.join(path.with_suffix('').parts))}\b")
    others = [test for test in sorted((tree / layer).rglob("test_*.py")) if test not in found]
    found += [test for test in others if module.search(test.read_text(encoding="utf-8"))]
    return [*(test.relative_to(tree).as_posix() for test in found), room.as_posix()]


def run_mutants(
    mutants: Iterable[Mutant], lines: LineMap, copies: Path, *, workers: int
) -> Iterator[dict[str, Any]]:
    """Yield the result of each mutant as it ends; ``copies`` holds a tree per worker."""
    free: Queue[Worker] = Queue()
    for number in range(workers):
        free.put(Worker(copies / f"tree{number}", lines))

    def run(mutant: Mutant) -> dict[str, Any]:
        worker = free.get()
        try:
            return worker.run(mutant)
        finally:
            free.put(worker)

    with ThreadPoolExecutor(workers) as pool:
        for ended in as_completed([pool.submit(run, mutant) for mutant in mutants]):
            yield ended.result()
    while not free.empty():
        free.get().close()


class Worker:
    """Copy of the working tree, and a process that runs its tests."""

    def __init__(self, tree: Path, lines: LineMap) -> None:
        self._tree, self._lines = _copy_tree(tree), lines
        variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        variables["PYTHONPATH"] = f"{tree / 'src'}{os.pathsep}{tree}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.mutants.warm_tests"],
            cwd=tree,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, mutant: Mutant) -> dict[str, Any]:
        """Return ``key``, ``state``, ``by`` and ``seconds`` of a mutant.

        It is killed, survived, gone (no file has the line), or unclear, if the test fails without
        it as well. ``by`` is the test that failed, or what happened instead.
        """
        start, result = time.monotonic(), {"key": mutant.key, "state": "gone", "by": ""}
        place = mutant.find(self._tree / PACKAGE)
        if place is not None:
            file, number = place
            source = file.read_text(encoding="utf-8")
            own = tests_of_file(self._tree, file.relative_to(self._tree / PACKAGE).as_posix())
            rest = self._lines.tests_of(mutant, number + 1)
            rest = [test for test in rest if test.split("::")[0] not in own]
            try:
                _write(file, mutant.apply(source, number))
                by = self._failed(own) or self._failed(rest)
            finally:
                _write(file, source)
            state = "killed" if by else "survived"
            test = by.partition(" ")[2]  # after FAILED or ERROR
            if "::" in test and self._failed([test]):
                state = "unclear"
            result |= {"state": state, "by": by}
        return result | {"seconds": round(time.monotonic() - start, 1)}

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _failed(self, tests: Sequence[str]) -> str:
        """Return the first test that fails, "" if all pass or there are none."""
        if not tests:
            return ""
        names, output = (self._tree.with_suffix(ending) for ending in (".tests", ".log"))
        names.write_text("\n".join(tests), encoding="utf-8")
        task = [str(self._tree), [*OPTIONS, f"@{names}"], str(output), TIMEOUT]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        if code < 0:
            return f"signal {-code}"
        text = output.read_text(encoding="utf-8")
        if code == BROKEN or (code == MISUSED and "while loading conftest" not in text):
            raise RuntimeError(
                f"The tests could not run; if some are gone, make the map anew. {text}"
            )
        return _name_of_failure(text) if code else ""


def _copy_tree(tree: Path) -> Path:
    """Return a new copy of the working tree, without what git ignores."""
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
    return tree


_times = iter(range(int(time.time()), 2**62, 2))


def _write(file: Path, source: str) -> None:
    """Write a module with a new time, as Python takes one of equal time and size for unchanged."""
    file.write_text(source, encoding="utf-8")
    now = next(_times)
    os.utime(file, (now, now))


def _name_of_failure(output: str) -> str:
    if "Timeout (" in output:
        return "timeout"
    lines = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return lines[0].split(" - ")[0] if lines else output.strip().rpartition("\n")[2]
