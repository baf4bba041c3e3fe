"""The plan of a cohort counts what it says it counts."""

import pytest
from benchmarks.cohort_plan import Stored, duration, study_seconds, time_table, volume_seconds

from ..helpers.studies import made_report, make_study


def test_the_seconds_are_those_of_the_measurement():
    """docs/explanation/performance.md: 77.8 with four mirrors, 19.5 with spread ones."""
    assert volume_seconds("full") == pytest.approx(77.8, abs=0.1)
    assert volume_seconds("spread") == pytest.approx(19.5, abs=0.1)


def test_all_phases_or_two_and_what_it_takes_to_find_them():
    volume, member = volume_seconds("spread"), volume_seconds("none") / 30
    assert study_seconds("spread", phases=50, all_phases=True) == pytest.approx(50 * volume)
    found = study_seconds("spread", phases=50, all_phases=False)
    assert found == pytest.approx(2 * volume + 50 * member)


def test_a_row_divides_by_the_speedup_and_by_the_machines():
    rows = list(time_table(studies=86400, phases=50, speedups=[10]))
    seconds = study_seconds("full", phases=50, all_phases=False)
    measured, assumed = ([part.strip() for part in text.split("|")[4:-1]] for text in rows[2:4])
    assert measured == [f"{seconds:,.1f}", *(duration(86400 * seconds / n) for n in (1, 8, 64))]
    assert assumed[1] == duration(8640 * seconds)
    assert duration(3600) == "1.0 h"
    assert duration(3 * 86400) == "3.0 d"


MEMBERS = [{"training": "run", "fold": "0", "cycle": 0, "epoch": epoch} for epoch in range(3)]


def test_a_study_is_measured_and_its_members_are_counted_up(tmp_path):
    study = make_study(tmp_path / "heart", reports={None: made_report(members=MEMBERS)})
    stored = Stored.of(study)
    assert (stored.phases, stored.members) == (1, 3)
    assert stored.size == sum(f.stat().st_size for f in study.rglob("*") if f.is_file())
    assert 0 < stored.of_members < stored.size
    assert stored.a_phase(members=3) == stored.size
    assert stored.a_phase(members=6) == pytest.approx(stored.size + stored.of_members)
