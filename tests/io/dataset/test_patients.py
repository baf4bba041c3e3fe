"""The patient of a case, by its name."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.patients import patient_of


@pytest.mark.parametrize(
    ("case", "pattern", "patient"),
    [
        ("patient001_frame01", None, "patient001"),
        ("a_frame1_frame02", None, "a"),
        ("SCD0000101_ED_frame19", None, "SCD0000101"),
        ("no-frames", None, "no-frames"),
        ("site3-017-ED", r"site\d+-(\d+)", "017"),
        ("site3-017-ED", r"site\d+-\d+", "site3-017"),
        ("017", r"(x)?017", "017"),
    ],
)
def test_patient_of_a_case(case: str, pattern: str | None, patient: str) -> None:
    found = patient_of(case) if pattern is None else patient_of(case, pattern)
    assert found == patient


def test_an_invalid_pattern_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        patient_of("a", "(")
    assert caught.value.values["pattern"] == "("
