"""Two runs never write the same results, and a process that died blocks none."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import BaseFileLock

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.output_files import (
    LOCKS,
    OUTPUT_IN_USE,
    locked_case,
    locked_output,
)
from napari_bayes_nnunet.core.problems import Action, Remedy


def assert_in_use(error: AppError, output: Path) -> None:
    assert (error.statement.template, error.values) == (OUTPUT_IN_USE, {"folder": output})
    assert error.remedies == (Remedy(Action.WAIT), Remedy(Action.OTHER_OUTPUT))


@pytest.mark.parametrize("first", [lambda o: locked_case(o, "a"), locked_output])
@pytest.mark.parametrize("second", [lambda o: locked_case(o, "a"), locked_output])
def test_second_run_into_one_output_is_refused(tmp_path: Path, first, second) -> None:
    output = tmp_path / "out"
    with first(output):
        with pytest.raises(AppError) as caught, second(output):
            pass
        assert_in_use(caught.value, output)
    with second(output):
        assert (output / LOCKS).is_dir()
    assert list(output.iterdir()) == []


def test_other_cases_of_one_output_are_free(tmp_path: Path) -> None:
    with locked_case(tmp_path, "a"), locked_case(tmp_path, "b"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_removed_lock_file_is_no_lock(tmp_path: Path, monkeypatch) -> None:
    """The last owner removes the file between opening and locking, and a third run makes one."""
    file = tmp_path / LOCKS / "cohort.lock"
    acquire = BaseFileLock.acquire
    third = ExitStack()

    def late(lock: BaseFileLock, **options: object) -> object:
        monkeypatch.setattr(BaseFileLock, "acquire", acquire)
        proxy = acquire(lock, **options)
        file.unlink()
        third.enter_context(locked_output(tmp_path))
        return proxy

    monkeypatch.setattr(BaseFileLock, "acquire", late)
    with third, pytest.raises(AppError) as caught, locked_output(tmp_path):
        pass
    assert_in_use(caught.value, tmp_path)
    with locked_output(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_dead_process_blocks_no_run(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from napari_bayes_nnunet.app.prediction.output_files import locked_output\n"
        "with locked_output(Path(sys.argv[1])): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == 9
    assert [file.name for file in (tmp_path / LOCKS).iterdir()] == ["cohort.lock"]
    with locked_output(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with locked_output(tmp_path / "out"), locked_case(tmp_path / "out", "a"):
        pass
