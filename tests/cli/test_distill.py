"""Refusals of ``bayes-nnunet distill``, as a user calls it."""

import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app.messages import FAILED, from_line
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.io.ensemble.run_folder import NO_RECORD


def test_a_folder_without_a_training_is_refused_in_one_line(tmp_path):
    result = CliRunner().invoke(main, ["distill", str(tmp_path / "none"), "--jsonl"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    end = from_line(result.stdout)
    assert (end.outcome, end.sentence.template) == (FAILED, NO_RECORD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags", [("--members", "1"), ("--initial-lr", "0"), ("--epochs", "0"), ("--mirroring", "both")]
)
def test_wrong_options_are_refused(flags, tmp_path):
    result = CliRunner().invoke(main, ["distill", str(tmp_path), *flags])
    assert result.exit_code == 2
