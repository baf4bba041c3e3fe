"""First call between computers with version 0.2.0 and with this version."""

import pickle
from pathlib import Path

from napari_bayes_nnunet import __version__
from napari_bayes_nnunet.app.cluster import connection
from napari_bayes_nnunet.app.study_parcel import why_unfit


def test_call_of_older_version_is_refused() -> None:
    problem = why_unfit("0.1.9", ())
    assert "0.1.9" in problem
    assert __version__ in problem


def test_worker_of_same_version_has_no_problem() -> None:
    assert why_unfit(__version__, (Path(__file__).parent,)) == ""


def test_version_check_keeps_its_old_path() -> None:
    sent = pickle.dumps(connection.why_unfit, protocol=4)
    assert b"napari_bayes_nnunet.app.study_parcel" in sent
    assert b"why_unfit" in sent
