"""Checksums of files."""

import pytest

from napari_bayes_nnunet.io.files.checksum import may_be_same


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("a", "a", True), ("a", "b", False), ("", "b", True), ("a", None, True), (None, "", True)],
)
def test_unknown_checksum_agrees_with_any(first, second, expected):
    assert may_be_same(first, second) is expected
