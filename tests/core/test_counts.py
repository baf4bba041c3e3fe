"""Numbers of things in words."""

from napari_bayes_nnunet.core.counts import phase_names


def test_many_phases_are_only_counted():
    assert phase_names([20, 7]) == "phases 7, 20"
    assert phase_names(range(1, 26)) == "25 phases"
