"""Tests of ``bayes-nnunet evaluate-reader``."""

from __future__ import annotations

import re

from click.testing import CliRunner

from napari_bayes_nnunet.cli import main

from .test_evaluate_queue import folders

__all__ = ["folders"]


def test_simulated_review_writes_tables_and_picture(folders, tmp_path):
    arguments = [*map(str, folders), "-o", str(tmp_path / "docs" / "reader")]
    done = CliRunner().invoke(main, ["evaluate-reader", *arguments])
    assert done.exit_code == 0, done.output
    assert list(map(int, re.findall(r"\d+", done.stdout)))[:3] == [2, 2, 12]
    names = {file.name for file in (tmp_path / "docs").iterdir()}
    assert names == {"reader.csv", "reader_tools.csv", "reader_stop.csv", "reader.png"}


def test_file_of_the_user_is_not_replaced(folders, tmp_path):
    (tmp_path / "reader.csv").write_text("mine", encoding="utf-8")
    arguments = [*map(str, folders), "-o", str(tmp_path / "reader")]
    done = CliRunner().invoke(main, ["evaluate-reader", *arguments])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "reader.csv").read_text(encoding="utf-8") == "mine"
