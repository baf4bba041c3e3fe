"""Data and choice of the members of the built-in ensemble."""

from __future__ import annotations

from pathlib import Path

from benchmarks.demo_ensemble import select
from benchmarks.other_scanner import halves

from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.run_folder import read_record


def test_members_of_the_chosen_cycles_are_copied(trained_run: Path, tmp_path: Path) -> None:
    select(trained_run, tmp_path / "some", "2,3")
    whole, some = find_ensemble(trained_run), find_ensemble(tmp_path / "some")
    assert [member.epoch for member in some.usable_members] == [6, 7, 10, 11]
    assert {member.cycle for member in some.members} == {1, 2}
    (of_whole,), (of_some,) = (
        read_record(folder / "ensemble.json").folds.values()
        for folder in (trained_run, tmp_path / "some")
    )
    assert of_some == of_whole | {"members": of_whole["members"][2:]}
    assert len(whole.members) == 6


def test_patients_alternate_and_keep_their_phases_together() -> None:
    cases = [f"SC-{n}_{phase}" for n in "ABC" for phase in ("ED", "ES")]
    assert list(halves(cases).values()) == ["train"] * 2 + ["judge"] * 2 + ["train"] * 2
