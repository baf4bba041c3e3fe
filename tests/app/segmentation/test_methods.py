"""Members of each method, and the reasons for folders it cannot serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segmentation.methods import (
    METHODS,
    NO_CROSS_VALIDATION,
    NO_DEEP_ENSEMBLE,
    choose_members,
    refused_methods,
)
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.io.ensemble.ensemble_folder import EnsembleFolder, EnsembleKind, Member
from napari_bayes_nnunet.io.ensemble.run_folder import TrainingRecord

PAPER = RestartSchedule()
DROPOUT = {"setting": "dropout"}
COSINE = {"setting": "schedule"}


def make_members(
    epochs: Iterable[int | None],
    *,
    cycle_length: int | None = 400,
    training: str = "run",
    fold: str = "0",
) -> Iterator[Member]:
    for epoch in epochs:
        yield Member(
            path=Path(training, fold, f"epoch_{epoch}.pth"),
            training=training,
            fold=fold,
            epoch=epoch,
            cycle=epoch // cycle_length if cycle_length and epoch is not None else None,
            learning_rate=None,
            bytes=1,
        )


def make_folder(
    members: Iterable[Member], kind: EnsembleKind = "checkpoint ensemble"
) -> EnsembleFolder:
    return EnsembleFolder(
        path=Path("run"),
        name="run",
        kind=kind,
        configuration="2d",
        plans={},
        dataset_json={},
        labels={"background": 0, "RV": 1},
        channels=["cine"],
        members=tuple(members),
    )


def record_of(schedule: RestartSchedule) -> TrainingRecord:
    return TrainingRecord(
        name="run",
        schedule=schedule,
        labels={"background": 0, "RV": 1},
        channels=["cine"],
    )


def epochs(folder: EnsembleFolder, method: str, count: int = 30) -> list[int | None]:
    return [member.epoch for member in choose_members(folder, method, count)]


PAPERS_RUN = make_folder(make_members(MemberSelection().epochs(PAPER)))
CROSS_VALIDATION = make_folder(
    (m for f in "01234" for m in make_members([None], cycle_length=None, fold=f)),
    "cross-validation ensemble",
)
PLAIN = make_folder(make_members([50, 100, None], cycle_length=None), "checkpoints")


def test_methods_of_the_paper_on_the_papers_run() -> None:
    latest = [400 * cycle + t_c for cycle in range(3) for t_c in range(381, 400, 2)]
    assert epochs(PAPERS_RUN, "multi") == latest
    assert epochs(PAPERS_RUN, "single") == list(range(1141, 1200, 2))
    assert epochs(PAPERS_RUN, "vanilla") == [1199]
    assert choose_members(PAPERS_RUN) == choose_members(PAPERS_RUN, "multi", 30)


@pytest.mark.parametrize(
    ("count", "taken"),
    [
        (1, [29]),
        (2, [19, 29]),
        (3, [9, 19, 29]),
        (4, [9, 19, 28, 29]),
        (6, [9, 18, 19, 27, 28, 29]),
        (100, [9, 18, 19, 27, 28, 29]),
    ],
)
def test_multi_shares_over_cycles_of_unequal_size(count: int, taken: list[int]) -> None:
    folder = make_folder(make_members([9, 18, 19, 27, 28, 29], cycle_length=10))
    assert epochs(folder, "multi", count) == taken


def test_multi_shares_over_folds_and_trainings_too() -> None:
    places = product("ab", "01")
    every = [9, 18, 19]
    members = [
        m for t, f in places for m in make_members(every, cycle_length=10, training=t, fold=f)
    ]
    folder = make_folder(members, "deep ensemble")
    taken = choose_members(folder, "multi", 8)
    assert [(m.training, m.fold, m.epoch) for m in taken] == [
        (t, f, e) for t, f in product("ab", "01") for e in (9, 19)
    ]
    # What does not divide evenly goes to the last cycle, not to the last training's first.
    one_more = set(choose_members(folder, "multi", 9)) - set(taken)
    assert [(m.cycle, m.epoch) for m in one_more] == [(1, 18)]


def test_few_members_come_from_all_trainings() -> None:
    trainings = [make_members([8, 9, 18, 19], cycle_length=10, training=t) for t in "abcde"]
    folder = make_folder((m for members in trainings for m in members), "deep ensemble")
    taken = choose_members(folder, "multi", 5)
    assert [(m.training, m.epoch) for m in taken] == [(t, 19) for t in "abcde"]


def test_multi_treats_members_without_cycle_as_first_group() -> None:
    assert epochs(PLAIN, "multi", 1) == [50, 100, None]
    assert len(choose_members(CROSS_VALIDATION, "multi", 2)) == 5
    plain = make_members([3, None], cycle_length=None, training="plain")
    folder = make_folder([*make_members([8, 9], cycle_length=10), *plain])
    assert epochs(folder, "multi", 2) == [9, None]


def test_single_takes_the_last_cycle_alone() -> None:
    folder = make_folder(make_members([9, 18, 19, 29], cycle_length=10))
    assert epochs(folder, "single", 2) == [29]
    assert epochs(folder, "single", 1) == [29]
    running = make_folder(make_members([8, 9, 17, 18], cycle_length=10))
    assert epochs(running, "single", 1) == [18]
    members = [m for f in "01" for m in make_members([9], cycle_length=10, fold=f)]
    several = make_folder(members, "cross-validation ensemble")
    for other, values in (
        (PLAIN, {"kind": "checkpoints"}),
        (several, {"kind": "cross-validation ensemble", "trainings": 2}),
    ):
        with pytest.raises(AppError) as caught:
            choose_members(other, "single")
        assert caught.value.values == values


def test_refused_members_are_never_taken() -> None:
    folder = make_folder(make_members([8, 9, 18, 19], cycle_length=10))
    folder = folder.with_refused({folder.members[3].path: "cut short"})
    assert epochs(folder, "multi") == [8, 9, 18]
    assert epochs(folder, "vanilla") == [18]
    nothing = folder.with_refused({member.path: "wrong architecture" for member in folder.members})
    refused = refused_methods(nothing)
    assert refused.keys() == METHODS.keys()
    for reason in refused.values():
        assert reason.values == {"ensemble": "run", "reason": "epoch_8.pth: wrong architecture"}


def test_refused_methods_have_reasons_and_remedies() -> None:
    refused = refused_methods(PAPERS_RUN)
    assert [name for name in METHODS if name not in refused] == [
        *("multi", "single", "vanilla", "temperature", "swa")
    ]
    assert refused["mc-dropout"].values == DROPOUT
    assert refused["deep-ensemble"].statement.template == NO_DEEP_ENSEMBLE
    assert refused["cross-validation"].statement.template == NO_CROSS_VALIDATION
    assert refused["snapshot"].values == COSINE
    refused = refused_methods(CROSS_VALIDATION)
    assert not {"multi", "vanilla", "cross-validation"} & refused.keys()
    for method in ("single", "swa"):
        assert refused[method].values == {"kind": "cross-validation ensemble"}


def test_vanilla_takes_one_member_of_the_first_fold() -> None:
    assert epochs(PLAIN, "vanilla") == [None]
    assert [m.fold for m in choose_members(CROSS_VALIDATION, "vanilla")] == ["0"]
    assert [m.fold for m in choose_members(CROSS_VALIDATION, "cross-validation")] == list("01234")
    # As in the paper, it is softened by a temperature; swa averages the weights of single.
    assert choose_members(PAPERS_RUN, "temperature") == choose_members(PAPERS_RUN, "vanilla")
    assert METHODS["temperature"].temperature == 1.5
    assert {m.temperature for name, m in METHODS.items() if name != "temperature"} == {1.0}
    assert choose_members(PAPERS_RUN, "swa", 5) == choose_members(PAPERS_RUN, "single", 5)
    assert METHODS["swa"].combine == "weights"


def test_mc_dropout_repeats_the_last_epoch() -> None:
    architecture = {
        "dropout_op": "torch.nn.modules.dropout.Dropout2d",
        "dropout_op_kwargs": {"p": 0.1, "inplace": True},
    }
    plans = {"configurations": {"2d": {"architecture": {"arch_kwargs": architecture}}}}
    folder = replace(PAPERS_RUN, plans=plans)
    assert epochs(folder, "mc-dropout", 4) == [1199] * 4
    never = {**architecture, "dropout_op_kwargs": {"p": 0.0}}
    plans = {"configurations": {"2d": {"architecture": {"arch_kwargs": never}}}}
    without = replace(PAPERS_RUN, plans=plans)
    assert refused_methods(without)["mc-dropout"].values == DROPOUT


def test_deep_ensemble_uses_last_epoch_of_every_training() -> None:
    trainings = [make_members([8, 9, 18, 19], cycle_length=10, training=t) for t in "abcde"]
    folder = make_folder((m for members in trainings for m in members), "deep ensemble")
    taken = choose_members(folder, "deep-ensemble", 30)
    assert [(m.training, m.epoch) for m in taken] == [(t, 19) for t in "abcde"]
    assert [m.training for m in choose_members(folder, "deep-ensemble", 2)] == ["a", "b"]


def test_snapshots_are_the_last_of_every_cosine() -> None:
    cosine = RestartSchedule(epochs=30, shape="cosine")
    folder = replace(
        make_folder(make_members([9, 19, 29], cycle_length=10)), record=record_of(cosine)
    )
    assert epochs(folder, "snapshot") == [9, 19, 29]
    assert epochs(folder, "snapshot", 2) == [19, 29]
    restarts = replace(folder, record=record_of(RestartSchedule(epochs=30)))
    assert refused_methods(restarts)["snapshot"].values == COSINE


@pytest.mark.parametrize(
    ("method", "count", "values"),
    [
        ("multi", 0, {"count": 0}),
        ("multi", -3, {"count": -3}),
        ("bagging", 30, {"method": "bagging", "methods": ", ".join(METHODS)}),
    ],
)
def test_fewer_than_one_member_or_an_unknown_method_raises(method, count, values) -> None:
    with pytest.raises(AppError) as caught:
        choose_members(PAPERS_RUN, method, count)
    assert caught.value.values == values


def test_every_method_explains_itself_without_praise() -> None:
    for name, method in METHODS.items():
        assert method.name == name
        assert method.title
        assert method.help.endswith(".")
        assert len(method.help) <= 160
        assert "best" not in method.help.lower()
