"""Members and slices that are shown, and their picture."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member
from napari_bayes_nnunet.paper.trajectory.member_comparison import (
    MemberCase,
    MemberSlice,
    choose_shown_members,
    choose_slices,
    compare_members,
    draw_members,
    largest_part,
    picture_name,
)

from ...helpers.checks.problems import says_only


def member(epoch: int, cycle: int | None) -> Member:
    return Member(
        path=Path(f"epoch_{epoch:04d}.pth"),
        training="run",
        fold="0",
        epoch=epoch,
        cycle=cycle,
        learning_rate=0.01,
        bytes=1,
    )


def made_case() -> MemberCase:
    """Return two slices by two members, of a case whose name needs escaping."""
    labels = np.zeros((2, 40, 30), np.uint8)
    labels[:, 10:25, 8:20] = 1
    labels[:, 14:20, 10:16] = 3
    rows = [
        MemberSlice(
            z=z,
            is_hard=hard,
            image=np.random.default_rng(z).normal(size=(40, 30)),
            labels=labels,
            pooled=labels[0],
            heart=labels[0] > 0,
            entropy=np.full((40, 30), 0.2 * z, np.float32),
            disagreement=20.0 * z,
        )
        for z, hard in ((2, True), (5, False))
    ]
    return MemberCase(
        case="case<1>",
        shown=tuple(rows),
        members=(member(9, 0), member(19, 1)),
        count=12,
        structures={"RV": 1, "MYO": 2, "LV": 3},
        spacing=(1.5, 1.0),
        depth=8,
    )


# Choices


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ([10, 10, 10], [0, 9, 10, 19, 20, 29]),
        ([30], [0, 6, 12, 17, 23, 29]),
        ([1, 1, 1], [0, 1, 2]),
        ([5, 5, 5, 5], [4, 9, 10, 14, 15, 19]),  # the latest cycles have one more
        ([1, 10], [0, 1, 3, 5, 8, 10]),
        ([2] * 8, [5, 7, 9, 11, 13, 15]),  # of more than can be shown the latest
        ([1], [0]),
    ],
)
def test_members_of_every_cycle(sizes, shown):
    cycles = np.repeat(np.arange(len(sizes)), sizes)
    assert choose_shown_members([member(n, int(cycle)) for n, cycle in enumerate(cycles)]) == shown


def test_members_without_cycles():
    assert choose_shown_members([member(n, None) for n in range(11)]) == [0, 2, 4, 6, 8, 10]


def test_slices_of_most_and_least_disagreement():
    heart = np.zeros((6, 4, 4), bool)
    heart[1:5, 0, 0] = True
    information = np.zeros((6, 4, 4))
    information[:, 3] = np.array([9, 2, 5, 1, 3, 0])[:, None]
    assert choose_slices(heart, information) == [(2, True), (3, False)]
    assert choose_slices(heart[:2], information[:2]) == [(1, True)]
    assert choose_slices(heart[:1], information[:1]) == []


def test_the_largest_part():
    mask = np.zeros((3, 5, 5), bool)
    mask[0, 0, :3] = mask[1:, 3:, 3:] = True
    assert largest_part(mask).sum() == 8
    assert not largest_part(np.zeros((2, 2, 2), bool)).any()


# A real ensemble


def test_members_of_a_real_ensemble_are_compared(trained_run, hearts):
    done = []
    ensemble = Ensemble(trained_run / "fold_0", device="cpu")
    image = hearts / "imagesTr" / "patient001_frame01_0000.nii.gz"
    case = compare_members(ensemble, image, on_member=lambda snapshot: done.append(snapshot.done))
    assert done == [1, 2, 3, 4, 5, 6]
    assert (case.case, case.count, case.depth) == ("patient001_frame01", 6, 4)
    assert [m.epoch for m in case.members] == [2, 3, 6, 7, 10, 11]
    assert case.spacing == pytest.approx((1.4, 1.4))
    assert case.structures == {"RV": 1, "MYO": 2, "LV": 3}
    assert case.shown
    voxels = np.asarray(nibabel.load(image).dataobj).T
    for row in case.shown:
        assert (row.image == voxels[row.z - 1]).all()
        assert row.labels.shape == (6, 40, 48)
        assert row.heart.any()
        assert row.disagreement >= 0
    if len(case.shown) == 2:
        hard, easy = case.shown
        assert (hard.is_hard, easy.is_hard) == (True, False)
        assert hard.disagreement >= easy.disagreement
    draw_members(case).savefig(io.BytesIO())


def test_a_cine_is_refused(trained_run, tmp_path):
    cine = np.ones((12, 10, 3, 5), np.int16)
    nibabel.save(nibabel.Nifti1Image(cine, np.eye(4)), tmp_path / "cine.nii.gz")
    ensemble = Ensemble(trained_run / "fold_0", device="cpu")
    with pytest.raises(AppError, check=says_only(image=tmp_path / "cine.nii.gz", phases=5)):
        compare_members(ensemble, tmp_path / "cine.nii.gz")


# The picture


def test_rows_are_slices_and_columns_members():
    case = made_case()
    figure = draw_members(case)
    assert len(figure.axes) == 2 * (2 + 3) + 1  # image, members, ensemble, entropy; one scale
    words = [text.get_text() for text in figure.texts]
    for expected in ("(a) hard", "slice 2", "(b) easy", "Cycle 1", "epoch 19", "of 12 members"):
        assert expected in words
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"RV", "MYO", "LV"}
    entropies = [figure.axes[row * 5 + 4].images[0] for row in (0, 1)]
    assert [image.get_clim()[1] for image in entropies] == [pytest.approx(1.0)] * 2
    # Pixels are as large along both axes, whatever the spacing.
    panel = figure.axes[0].get_position()
    width, height = figure.get_size_inches()
    rows, columns = figure.axes[0].images[0].get_array().shape
    shown = (panel.height * height / rows) / (panel.width * width / columns)
    assert shown == pytest.approx(case.spacing[0] / case.spacing[1], rel=0.02)


def test_one_slice_and_members_without_cycles():
    case = replace(made_case(), shown=made_case().shown[:1], members=(member(3, None),) * 2)
    words = [text.get_text() for text in draw_members(case).texts]
    assert words.count("Member") == 2
    assert "(b) easy" not in words


def test_file_names_are_safe():
    assert picture_name(made_case()) == "members_case_1.png"
