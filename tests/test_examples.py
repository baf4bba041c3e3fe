"""Tests of the examples in the docstrings of the public names."""

from __future__ import annotations

import doctest

import pytest

import napari_bayes_nnunet as package

OBJECTS = {name: getattr(package, name) for name in package.__all__ if name != "__version__"}


@pytest.mark.parametrize("name", OBJECTS)
def test_example_gives_what_it_shows(name, tmp_path, monkeypatch, hearts) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dataset001_Hearts").symlink_to(hearts)
    (example,) = doctest.DocTestFinder(recurse=False).find(OBJECTS[name], name)
    results = doctest.DocTestRunner().run(example)
    assert results.attempted
    assert not results.failed
