"""There is no NaN in JSON."""

import math

from napari_bayes_nnunet.io.files.plain_json import null_for_nan


def test_null_for_nan():
    assert null_for_nan({"a": [math.nan, 1.5], "b": (math.inf,), "c": "text"}) == {
        "a": [None, 1.5],
        "b": [None],
        "c": "text",
    }
