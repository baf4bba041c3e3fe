"""The patient of a case, by its name."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.io.dataset.patients import no_patient_is_shared, patient_of


@pytest.mark.parametrize(
    ("case", "pattern", "patient"),
    [
        ("patient001_frame01", None, "patient001"),
        ("a_frame1_frame02", None, "a"),
        ("SCD0000101_ED_frame19", None, "SCD0000101"),
        ("no-frames", None, "no-frames"),
        ("A0S9V9_ED", None, "A0S9V9"),
        ("A0S9V9_ES", None, "A0S9V9"),
        ("A0S9V9_sa_es", None, "A0S9V9_sa"),
        ("p1_phase08", None, "p1"),
        ("p1_ES_phase_8", None, "p1"),
        ("p1_phase_contrast", None, "p1_phase_contrast"),
        ("hospital_ES_001", None, "hospital_ES_001"),
        ("sub-01_ses-02_task-rest_frame03", None, "sub-01"),
        ("sub-01", None, "sub-01"),
        ("p1_ses-2_cine", None, "p1"),
        ("p1/heart_frame01", None, "p1/heart"),
        ("p1/ES", None, "p1"),
        ("sub-01/ses-02/cine", None, "sub-01"),
        ("site3-017-ED", r"site\d+-(\d+)", "017"),
        ("site3-017-ED", r"site\d+-\d+", "site3-017"),
        ("017", r"(x)?017", "017"),
    ],
)
def test_patient_of_a_case(case, pattern, patient):
    found = patient_of(case) if pattern is None else patient_of(case, pattern)
    assert found == patient


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        ({"a": "a", "b": "b"}, True),
        ({"a": "a", "b_frame01": "b"}, True),
        ({"a_frame01": "a", "b_frame01": "b"}, False),
        ({"a_ED": "a", "a_ES": "a", "b": "b"}, False),
        ({"a": "a"}, False),
    ],
)
def test_cases_without_patients_are_recognised(patients, expected):
    assert no_patient_is_shared(patients) is expected
