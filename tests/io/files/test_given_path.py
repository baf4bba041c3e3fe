"""Paths that a user gives to functions of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet import Ensemble, read_volume
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.given_path import NO_PATH, given_path


@pytest.mark.parametrize("function", [given_path, read_volume, Ensemble])
@pytest.mark.parametrize("text", ["", "  "])
def test_empty_text_is_not_the_current_folder(function, text: str) -> None:
    with pytest.raises(DataError) as caught:
        function(text)
    assert caught.value.statement.template == NO_PATH


def test_other_paths_are_as_given() -> None:
    assert given_path(".") == given_path(Path()) == Path()
