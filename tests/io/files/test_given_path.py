"""Paths that a user gives to functions of the package."""

from pathlib import Path

import pytest

from napari_bayes_nnunet import Ensemble, read_volume
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.given_path import (
    NO_PATH,
    expand_home,
    given_path,
    is_same_path,
    resolve_links,
)

from ...helpers.checks.problems import says
from ...helpers.processes.small_disk import second_path


@pytest.mark.parametrize("function", [given_path, read_volume, Ensemble])
@pytest.mark.parametrize("text", ["", "  "])
def test_empty_text_is_not_the_current_folder(function, text):
    with pytest.raises(DataError, check=says(NO_PATH)):
        function(text)


def test_new_paths_are_compared_by_their_names(tmp_path):
    assert is_same_path(tmp_path / "new", tmp_path / "a" / ".." / "new")
    assert not is_same_path(tmp_path / "new", tmp_path)


def test_links_in_a_loop_stay(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert resolve_links(tmp_path / "loop" / "a") == tmp_path / "loop" / "a"
    assert is_same_path(tmp_path / "loop", tmp_path / "b" / ".." / "loop")


def test_home_of_an_unknown_user_stays():
    assert expand_home("~nobody-has-this-name/a") == Path("~nobody-has-this-name/a")
    assert expand_home("~/a") == Path.home() / "a"


def test_one_folder_at_two_paths_is_recognised(tmp_path):
    (tmp_path / "images" / "p1").mkdir(parents=True)
    with second_path(tmp_path / "images") as other:
        assert other.resolve() != (tmp_path / "images").resolve()
        assert is_same_path(tmp_path / "images", other)
