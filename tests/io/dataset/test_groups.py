"""Table of the groups of cases: vendor, pathology, phase."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.groups import (
    NO_GROUPS_TABLE,
    patients_of,
    read_groups,
    write_groups,
)

ROWS = {
    "p1_frame01": {"phase": "ED", "vendor": "A", "pathology": "Größe, andere"},
    "p1_frame12": {"phase": "ES", "vendor": "A", "pathology": 'so "called"'},
    "p2_frame01": {"phase": "ED", "vendor": "B"},
}


def test_a_table_made_by_hand(tmp_path):
    text = "\ufeffsex,case\r\nf,p1\r\n,p2\r\n\r\n"
    (tmp_path / "groups.csv").write_bytes(text.encode())
    assert read_groups(tmp_path) == {"p1": {"sex": "f"}, "p2": {}}


def test_patients_are_those_of_the_table(tmp_path):
    labels = tmp_path / "labelsTr"
    labels.mkdir()
    cases = ["p1_frame01", "p1_frame12", "p2_frame01", "p3_frame01"]
    assert patients_of(cases, labels) == {case: case[:2] for case in cases}
    same = dict.fromkeys(ROWS, "one and the same")
    write_groups(tmp_path, ROWS, patients=same)
    assert patients_of(cases, labels) == same | {"p3_frame01": "p3"}
    assert patients_of(cases, labels, pattern="^(p)") == dict.fromkeys(cases, "p")
    assert "patient" not in read_groups(labels)["p1_frame01"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its columns are missing"),
        (b"patient,phase\np1,ED\n", "its columns are patient, phase"),
        (b"case,phase,phase\np1,ED,ES\n", "its columns are case, phase, phase"),
        (b"case,phase\np1,ED\np2\n", "line 3 is 'p2'"),
        (b"case,phase\np1,ED,x\n", "line 2 is 'p1,ED,x'"),
        (b"case,phase\n,ED\n", "line 2 is ',ED'"),
        (b"case,phase\np1,ED\np2,ED\np1,ES\n", "lines 2 and 4 are both for p1"),
        (b"case,phase\np1,\xff\xfe\n", ""),
        (b'case,phase\n"p1,ED\n', ""),
    ],
)
def test_damaged_tables_are_refused(tmp_path, content, reason):
    file = tmp_path / "groups.csv"
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_groups(tmp_path)
    assert caught.value.statement.template == NO_GROUPS_TABLE
    assert caught.value.values["file"] == file
    assert reason in caught.value.values["reason"]
    assert "\n" not in str(caught.value)
