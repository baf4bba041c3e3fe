"""Errors for the user: what happened, and what to do on either side."""

import json
import pickle
from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.core.problems import (
    COMMAND_LINE,
    Action,
    Problem,
    Remedy,
    Setting,
    Statement,
    change,
)
from napari_bayes_nnunet.io import DataError

SIZE = change("batch_size", 8)
STARTED = AppError(
    "{folder} was started with {setting} {kept:g}.",
    SIZE,
    Action.OTHER_OUTPUT,
    folder=Path("run"),
    setting=Setting("batch_size"),
    kept=16.0,
)


def test_statements_of_like_exceptions_are_equal():
    first, second = (DataError("{why}", why=ValueError("no number")) for _ in range(2))
    assert first.statement == second.statement
    assert first.values == {"why": "no number"}


def test_a_sentence_is_followed_by_what_to_do():
    assert str(STARTED) == (
        "run was started with --batch-size 16. Set --batch-size to 8, or choose another --output."
    )


def test_no_full_stop_clings_to_a_command():
    resumed = Remedy(Action.RESUME_RUN, {"command": "bayes-nnunet train data --resume"})
    text = str(Problem("Stopped.", resumed))
    assert text == "Stopped. Continue with: bayes-nnunet train data --resume"


def test_braces_in_a_sentence_without_values_are_kept():
    assert str(Problem("{odd} name.nii.gz is damaged.")) == "{odd} name.nii.gz is damaged."


def test_braces_in_a_value_are_kept():
    assert str(DataError("{file} is damaged.", file="{0}.nii")) == "{0}.nii is damaged."


def test_settings_and_actions_have_other_words_elsewhere():
    wording = dict.fromkeys(Action, "do it")
    text = STARTED.statement.text(wording, word=lambda setting: f"the field {setting}")
    assert text == "run was started with the field batch_size 16. Do it, or do it."


def test_an_error_survives_pickling():
    copy = pickle.loads(pickle.dumps(STARTED))
    assert type(copy) is AppError
    assert copy.statement == STARTED.statement


def test_another_process_words_the_same_statement():
    copy = Statement.from_json(json.loads(json.dumps(STARTED.statement.to_json())))
    assert copy.remedies == STARTED.remedies
    assert str(copy) == str(STARTED)
    assert isinstance(copy.values["setting"], Setting)


@pytest.mark.parametrize(
    "changes",
    [
        {"template": "{missing} was started with {kept:g}."},
        {"template": "{folder:g} was started."},
        {"template": "{0} was started with {kept:g}."},
        {"template": "{folder.name} was started."},
        {"values": None},
        {"remedies": [{"action": "set to", "values": {}}]},
        {"remedies": [{"action": "unknown", "values": {}}]},
    ],
)
def test_a_statement_that_lacks_a_value_is_refused(changes):
    content = STARTED.statement.to_json() | changes
    with pytest.raises((KeyError, TypeError, ValueError)):
        Statement.from_json(content)


def test_error_in_sentence_has_same_wording():
    outer = AppError("Nothing runs. {reason}", reason=DataError("Ended.", Action.RESUME))
    wording = dict.fromkeys(Action, "do it")
    assert str(outer) == "Nothing runs. Ended. Continue with --resume."
    assert outer.statement.text(wording) == "Nothing runs. Ended. Do it."
    copy = Statement.from_json(json.loads(json.dumps(outer.statement.to_json())))
    assert copy.text(wording) == outer.statement.text(wording)


def test_every_action_is_worded_as_a_phrase():
    assert set(COMMAND_LINE) == set(Action)
    assert not [phrase for phrase in COMMAND_LINE.values() if phrase.endswith(".")]
    assert not [phrase for phrase in COMMAND_LINE.values() if phrase[0].isupper()]
