"""Volume over the cardiac cycle."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.slice_volumes import PhaseVolumes
from napari_bayes_nnunet.core.heart.volume_curve import volume_curve


def phase(labels: float, *members: float) -> PhaseVolumes:
    """Return the volumes of a phase of one slice."""
    return PhaseVolumes(
        labels={"LV": np.array([labels])},
        members={"LV": np.array([members]).T.reshape(len(members), 1)},
        reviewed=np.zeros(1, np.bool_),
    )


def test_a_curve_through_its_phases():
    curve = volume_curve({2: phase(60, 58, 62), 1: phase(120, 118, 124), 3: phase(90, 90, 90)})
    assert curve.phases == (1, 2, 3)
    assert curve.volumes == (120, 60, 90)
    assert (curve.ed, curve.es) == (1, 2)


def test_missing_and_empty_phases_are_skipped():
    curve = volume_curve({3: phase(60, 60), 5: phase(0, 4), 9: phase(110, 100)})
    assert curve.phases == (3, 9)
    assert (curve.ed, curve.es) == (9, 3)


@pytest.mark.parametrize(
    "phases",
    [{}, {None: phase(60, 60)}, {4: phase(60, 60)}, {4: phase(60, 60), 5: phase(60, 60)}],
    ids=["nothing", "3D", "one phase", "equal phases"],
)
def test_without_two_volumes_nothing_is_proposed(phases):
    curve = volume_curve(phases)
    assert (curve.ed, curve.es) == (None, None)


def test_a_structure_that_is_not_there():
    curve = volume_curve({1: phase(60, 60), 2: phase(50, 50)}, structure="RV")
    assert (curve.structure, curve.phases, curve.ed) == ("RV", (), None)
