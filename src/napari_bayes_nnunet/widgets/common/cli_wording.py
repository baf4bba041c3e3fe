"""Sentences of the command line, and durations, said in the words of the window."""

from __future__ import annotations

import re

_WORDS = (
    (r"Go on with: bayes-nnunet .*", "Resume goes on from there."),
    (r"Stopped before the training began: .*", "Stopped before the training began: start it anew."),
    (
        r"start (one|that one first), without --resume and --add-cycle",
        r"start \1 as a new training",
    ),
    (r"(go on|Continue it) with --resume", "press Resume"),
    (r"leave this out to go on as it was started", "take the same to go on"),
    (r"with --fold all", "on all cases (fold “all”)"),
    (r"another --output", "another folder for the ensemble"),
    (r"--batch-size (\d+)", r"the batch size \1"),
    (r"--restart-lr", "restart rate αᵣ"),
    (r"--initial-lr", "rate α₀"),
    (r"with --no-restart-first-cycle", "without the restart in the first cycle"),
    (r"--restart-first-cycle", "the restart in the first cycle"),
    (r"--epochs", "Epochs"),
    (r"--cycles", "Cycles"),
    (r"--members-per-cycle", "Members a cycle"),
    (r"--member-step", "Step"),
    (r"--batch-size", "Batch size"),
    (r"--iterations-per-epoch", "Iterations"),
    (r"--gamma", "Plateau γ"),
    (r"--exponent", "exponent ε"),
    (r"--decay-over", "Decay over"),
    (r"--schedule", "the kind of learning rate"),
    (r"--dropout", "the dropout"),
    (r"--keep-trajectory", "keeping layers of every epoch"),
    (r"--seed", "the seed"),
    (r"--licence", "the licence"),
    (r"--configuration", "the configuration"),
    (r"--fold", "the fold"),
    (r"--preset demo", "the preset Demo"),
    (r"--preset", "the preset"),
    (r"--split", "the split file"),
    (r"--patient", "the patient's part of the file name"),
    (r"--resume", "Resume"),
    (r"--add-cycle", "One more cycle"),
    (r"use --overwrite, or another output folder", "choose another folder for the results"),
)


def in_the_window(sentence: str) -> str:
    """``sentence`` with buttons and fields instead of flags."""
    for flag, words in _WORDS:
        sentence = re.sub(flag, words, sentence)
    return sentence


def duration(seconds: float) -> str:
    """In the two units that matter: 2 d 3 h, 5 h 12 min, 12 min, 40 s."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
