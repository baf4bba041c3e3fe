"""Tests of the time and storage that segmenting a cohort needs."""

import pytest
from benchmarks.cohort_plan import StudySize, duration, study_seconds, time_table, volume_seconds

from ..helpers.data.studies import made_report, make_study


def test_volume_seconds_are_the_measured_ones():
    """docs/explanation/performance.md has 77.8 s with full mirroring and 19.5 s with spread."""
    assert volume_seconds("full") == pytest.approx(77.8, abs=0.1)
    assert volume_seconds("spread") == pytest.approx(19.5, abs=0.1)


def test_study_seconds_include_finding_the_phases():
    volume, member = volume_seconds("spread"), volume_seconds("none") / 30
    assert study_seconds("spread", phases=50, all_phases=True) == pytest.approx(50 * volume)
    two_phases = study_seconds("spread", phases=50, all_phases=False)
    assert two_phases == pytest.approx(2 * volume + 50 * member)


def test_time_row_divides_by_speedup_and_machines():
    rows = list(time_table(studies=86400, phases=50, speedups=[10]))
    seconds = study_seconds("full", phases=50, all_phases=False)
    measured, assumed = ([part.strip() for part in text.split("|")[4:-1]] for text in rows[2:4])
    assert measured == [f"{seconds:,.1f}", *(duration(86400 * seconds / n) for n in (1, 8, 64))]
    assert assumed[1] == duration(8640 * seconds)
    assert duration(3600) == "1.0 h"
    assert duration(3 * 86400) == "3.0 d"


MEMBERS = [{"training": "run", "fold": "0", "cycle": 0, "epoch": epoch} for epoch in range(3)]


def test_study_size_grows_with_its_members(tmp_path):
    study = make_study(tmp_path / "heart", reports={None: made_report(members=MEMBERS)})
    size = StudySize.measure(study)
    assert (size.phases, size.members) == (1, 3)
    assert size.size == sum(f.stat().st_size for f in study.rglob("*") if f.is_file())
    assert 0 < size.member_bytes < size.size
    assert size.bytes_per_phase(members=3) == size.size
    assert size.bytes_per_phase(members=6) == pytest.approx(size.size + size.member_bytes)
