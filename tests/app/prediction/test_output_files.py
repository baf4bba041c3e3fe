"""Files of a case that could not be written as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet.app.prediction.output_files import whole_or_absent


def test_a_file_that_stays_keeps_no_other(tmp_path: Path) -> None:
    """As on Windows, where a file that is open elsewhere cannot be deleted."""
    labels, report = tmp_path / "heart.nii.gz", tmp_path / "heart.json"
    labels.mkdir()  # cannot be deleted as a file
    report.touch()
    with pytest.raises(OSError, match="in use"), whole_or_absent(labels, report):
        raise OSError("in use")
    assert list(tmp_path.iterdir()) == [labels]
