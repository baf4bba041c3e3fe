"""A 3D network from the training of two cycles to a corrected study."""

import numpy as np

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.study.study import read_study

from ..helpers.windows.reviewing import make_review  # noqa: F401 - a fixture

TWO_CYCLES = ("--epochs", 2, "--cycles", 2, "--members-per-cycle", 1, "--member-step", 1)
SMALL = ("--preset", "tiny", "--iterations-per-epoch", 1, "--batch-size", 2, "--device", "cpu")


def test_stack_is_segmented_and_reviewed_in_3d(hearts, tmp_path, warm_command, request):
    run, out = tmp_path / "run", tmp_path / "out"
    asked = ("train", hearts, "--output", run, "--configuration", "3d_fullres", "--seed", 1)
    done = warm_command.run(*asked, *TWO_CYCLES, *SMALL, folder=tmp_path)
    assert done.code == 0, done.errors
    ensemble = find_ensemble(run)
    assert ensemble.configuration == "3d_fullres"
    assert [(member.cycle, member.epoch) for member in ensemble.usable_members] == [(0, 0), (1, 1)]
    image = next(iter(sorted((hearts / "imagesTr").iterdir())))
    asked = ("predict", run, image, "-o", out, "--save", "study", "--device", "cpu")
    done = warm_command.run(*asked, folder=tmp_path)
    assert done.code == 0, done.errors
    (study,) = (folder for folder in out.iterdir() if folder.is_dir())
    review = request.getfixturevalue("make_review")(study, image=False)
    place = review.controller.view.place
    for key in ("D", "A", "Enter"):
        review.press(key)
    corrected = review.session.labels.copy()
    review.close()
    again = ReviewSession(read_study(study))
    assert np.array_equal(again.labels, corrected)
    assert again.state.decisions[place].state == "accepted"
