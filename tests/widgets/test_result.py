"""Results that grow."""

from __future__ import annotations

import numpy as np

from .conftest import CINE, grow, make_result


def test_a_snapshot_is_read_and_its_files_are_deleted(tmp_path) -> None:
    result = make_result()
    grow(result, tmp_path)
    assert (result.labels == 3).all()
    assert (result.entropy == 1).all()
    assert (result.mutual_information == 0.5).all()
    assert list(tmp_path.iterdir()) == []
    assert result.phases[None].done == 1


def test_one_phase_never_spreads_over_the_others(tmp_path) -> None:
    result = make_result(CINE)
    grow(result, tmp_path, phase=2)
    assert (result.labels[1] == 3).all()
    assert not np.delete(result.labels, 1, axis=0).any()
    assert not np.delete(result.entropy, 1, axis=0).any()
    assert (result.of_phase(result.labels, 2) == 3).all()


def test_the_report_is_kept_with_its_phase(tmp_path) -> None:
    result = make_result()
    grow(result, tmp_path)
    result.finish(None, {"method": "multi"})
    assert result.phases[None].report == {"method": "multi"}
    assert result.phases[None].done == result.phases[None].total == 2


def test_the_largest_entropy_is_log2_of_the_classes() -> None:
    assert make_result().largest_entropy == 2
