"""First call between computers with version 0.1.0 and with this version."""

import base64
import pickle
from pathlib import Path

from napari_bayes_nnunet import __version__
from napari_bayes_nnunet.app.cluster import connection

SENT_BY_0_1_0 = base64.b64decode(
    "gASVtAAAAAAAAACMJG5hcGFyaV9iYXllc19ubnVuZXQuYXBwLnN0dWR5X3BhcmNlbJSMC29wZW5fcGFyY2VslJOUaACMBlBh"
    "cmNlbJSTlCmBlH2UKIwEd29ya5SMCGJ1aWx0aW5zlIwDbGVulJOUjAR0YXNrlEsBSwKGlIwHZm9sZGVyc5QpjAVwYXVzZZRH"
    "AAAAAAAAAACMB3ZlcnNpb26UjAUwLjEuMJR1YmgAjAl3aHlfdW5maXSUk5SHlC4="
)
"""A pickled (open_parcel, Parcel(work=len, task=(1, 2)), why_unfit) of version 0.1.0."""


def test_call_of_older_version_is_refused() -> None:
    _, call, why_unfit = pickle.loads(SENT_BY_0_1_0)
    assert call.version == "0.1.0"
    problem = why_unfit(call.version, call.folders)
    assert "0.1.0" in problem
    assert __version__ in problem


def test_worker_of_same_version_has_no_problem() -> None:
    *_, why_unfit = pickle.loads(SENT_BY_0_1_0)
    assert why_unfit(__version__, (Path(__file__).parent,)) == ""


def test_version_check_keeps_its_old_path() -> None:
    sent = pickle.dumps(connection.why_unfit, protocol=4)
    assert b"napari_bayes_nnunet.app.study_parcel" in sent
    assert b"why_unfit" in sent
