"""What a folder of trained models holds: the members of an ensemble, and what cannot be used.

The first of two looks at an ensemble: names, sizes, JSON files, and whether each file is a whole
zip archive, without torch. Whether the weights fit the network shows in the second look
(``nnunet.weights``), whose answers ``EnsembleFolder.refusing`` takes in.

Accepted are the runs of this package (``RUN/fold_0/members/epoch_0399.pth``), the result folders
of nnU-Net v2 (``Trainer__Plans__2d/fold_0/checkpoint_final.pth`` and other checkpoints beside it),
and a folder with several trainings side by side. Any folder or file inside them will do.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .. import DataError
from .model_folder import (
    EXPECTED,
    ModelFolder,
    is_version_1,
    model_difference,
    read_model,
    why_unreadable,
)
from .run_folder import RECORD, MemberRecord, TrainingRecord

EnsembleKind = Literal[
    "checkpoint ensemble", "cross-validation ensemble", "deep ensemble", "checkpoints"
]

_FOLD = re.compile(r"fold_(all|\d+)")
_OURS = re.compile(r"epoch_\d+")
_DATASET = re.compile(r"Dataset\d{3}_.+")
_LEVELS_UP, _LEVELS_DOWN = 2, 3
_MOST_FOLDERS = 2000
"""Folders of one level that are looked into; a home folder or a disk is no place to search."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One set of trained weights. Epochs and cycles count from 0, None where not known.

    ``refused`` says why it cannot be used, "" when it can. ``sha256`` is the checksum
    ``ensemble.json`` gives, "" where there is none.
    """

    path: Path
    training: str
    fold: str
    epoch: int | None
    cycle: int | None
    learning_rate: float | None
    bytes: int
    refused: str = ""
    sha256: str = ""

    @property
    def usable(self) -> bool:
        """Whether nothing speaks against it so far."""
        return not self.refused


@dataclass(frozen=True, kw_only=True)
class EnsembleFolder:
    """The members found, in the order training, fold, epoch, and the model they belong to.

    ``path`` is the model folder; of several trainings the first that the others agree with, from
    which plans, labels and record are taken too. ``labels``: structure → 0 … C−1, background
    included, nnU-Net's "ignore" not. ``problems`` are sentences about what was left out.
    """

    path: Path
    name: str
    kind: EnsembleKind
    configuration: str
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    labels: dict[str, int]
    channels: list[str]
    members: tuple[Member, ...]
    record: TrainingRecord | None = None
    problems: tuple[str, ...] = ()

    @property
    def usable_members(self) -> tuple[Member, ...]:
        """The members that were not refused."""
        return tuple(member for member in self.members if member.usable)

    @property
    def usable(self) -> bool:
        """Whether there is any usable member."""
        return any(member.usable for member in self.members)

    def refusing(self, reasons: Mapping[Path, str]) -> EnsembleFolder:
        """The same folder with the members of ``reasons`` refused; an empty reason changes none."""
        members = tuple(
            replace(m, refused=m.refused or reasons.get(m.path, "")) for m in self.members
        )
        return replace(self, members=members, kind=_kind(members))

    def validation_range(self, structure: str, score: str) -> tuple[float, float] | None:
        """Lowest and highest ``score`` of ``structure`` on the validation cases, None if unknown.

        Unknown too where members of several trainings or folds segment together: the recorded
        ranges were measured with the members of one fold.
        """
        folds = {(member.training, member.fold) for member in self.usable_members}
        if self.record is None or len(folds) != 1:
            return None
        fold = folds.pop()[1]
        structures = self.record.validation.get(fold, {}).get("structures", {})
        found = structures.get(structure, {}).get(score)
        return None if found is None else (float(found[0]), float(found[1]))


@dataclass(frozen=True, kw_only=True)
class _Training:
    """One model folder while its place in the ensemble is decided."""

    path: Path
    name: str
    model: ModelFolder | None
    members: tuple[Member, ...]
    refused: str = ""
    problems: tuple[str, ...] = ()


def find_ensemble(path: Path) -> EnsembleFolder:
    """Find the ensemble ``path`` belongs to or holds.

    A fold's folder, or a file in it, stands for this fold alone. Members that cannot be used are
    listed as refused. Raises DataError when there is no model folder, or none that can be used.
    """
    chosen = path.expanduser().resolve()
    start = _folder_of(chosen)
    inside = _training_around(start)
    folders = [inside] if inside else _trainings_below(start)
    fold = _fold_of(start, inside) if inside else None
    names = [f.name if inside else f.relative_to(start).as_posix() for f in folders]
    read = [_read_training(f, name, fold) for f, name in zip(folders, names, strict=True)]
    trainings = _agreeing(sorted(read, key=lambda training: _natural(training.name)))
    sound = [t for t in trainings if not t.refused]
    if not sound:
        reasons = [f"{t.path} cannot be used: {t.refused}." for t in trainings]
        raise DataError(" ".join(reasons))
    found = _ensemble(trainings, sound, start if len(sound) > 1 else sound[0].path)
    if chosen.suffix != ".pth" or any(m.path == chosen for m in found.members):
        return found
    other = f"{chosen.name} is never a member; the members of its fold are listed instead."
    return replace(found, problems=(other, *found.problems))


def _ensemble(
    trainings: Sequence[_Training], sound: Sequence[_Training], named: Path
) -> EnsembleFolder:
    first = sound[0]
    assert first.model is not None
    record = first.model.record
    members = tuple(member for t in trainings for member in _listed(t))
    left_out = [f"{t.name} was left out: {t.refused}." for t in trainings if t.refused]
    return EnsembleFolder(
        path=first.path,
        name=(record.name if record and len(sound) == 1 else "") or named.name,
        kind=_kind(members),
        configuration=first.model.configuration,
        plans=first.model.plans,
        dataset_json=first.model.dataset_json,
        labels=first.model.labels,
        channels=first.model.channels,
        members=members,
        record=record,
        problems=(*left_out, *(p for t in trainings for p in t.problems)),
    )


def _listed(training: _Training) -> Iterable[Member]:
    if not training.refused:
        return training.members
    return (replace(m, refused=m.refused or training.refused) for m in training.members)


def _kind(members: Sequence[Member]) -> EnsembleKind:
    """What the usable members are together; of all members where none is usable."""
    used = [m for m in members if m.usable] or members
    if len({m.training for m in used}) > 1:
        return "deep ensemble"
    if len({m.fold for m in used}) > 1:
        return "cross-validation ensemble"
    return "checkpoint ensemble" if any(m.cycle is not None for m in used) else "checkpoints"


def _folder_of(chosen: Path) -> Path:
    try:
        if not chosen.exists():
            raise DataError(f"{chosen} does not exist.")
        return chosen.parent if chosen.is_file() else chosen
    except OSError as error:
        raise DataError(f"{chosen} cannot be read: {error.strerror or error}.") from error


def _training_around(start: Path) -> Path | None:
    around = (start, *list(start.parents)[:_LEVELS_UP])
    return next((folder for folder in around if _is_training(folder)), None)


def _fold_of(start: Path, training: Path) -> str | None:
    parts = start.relative_to(training).parts
    found = _FOLD.fullmatch(parts[0]) if parts else None
    return found.group(1) if found else None


def _trainings_below(start: Path) -> list[Path]:
    """The trainings of the first level that has any."""
    level = [start]
    if not os.access(start, os.R_OK | os.X_OK):
        raise DataError(f"{start} cannot be read: permission denied.")
    for _ in range(_LEVELS_DOWN):
        level = [child for folder in level for child in _subfolders(folder)]
        if len(level) > _MOST_FOLDERS:
            raise DataError(
                f"{start} holds too many folders to search; choose the training itself."
            )
        found = [folder for folder in level if _is_training(folder)]
        if found:
            _check_one_dataset(start, found)
            return found
    content = [name for name in sorted(os.listdir(start)) if not name.startswith(".")]
    raise DataError(
        f"{start} holds no training: expected {EXPECTED}, found "
        f"{', '.join(content[:8]) or 'nothing'}{' …' if len(content) > 8 else ''}."
    )


def _check_one_dataset(start: Path, trainings: Sequence[Path]) -> None:
    parts = {p for t in trainings for p in t.relative_to(start).parts if _DATASET.fullmatch(p)}
    if len(parts) > 1:
        names = ", ".join(sorted(parts))
        raise DataError(f"{start} holds trainings on several datasets; choose one of {names}.")


def _is_training(folder: Path) -> bool:
    """Whether it holds folds; a folder ``fold_0`` with plans of its own is a training, no fold."""
    folds = (f for f in _subfolders(folder) if _FOLD.fullmatch(f.name))
    return is_version_1(folder) or any(not (f / "plans.json").is_file() for f in folds)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [f for f in folder.iterdir() if not f.name.startswith(".") and f.is_dir()]
    except OSError:  # not ours to read, so nothing of ours
        return []


def _read_training(path: Path, name: str, only: str | None) -> _Training:
    """Read one model folder, of all its folds or the fold ``only``."""
    folds = {f.name.removeprefix("fold_"): f for f in _subfolders(path) if _FOLD.fullmatch(f.name)}
    files = [
        (fold, f) for fold in folds if only in (None, fold) for f in _member_files(folds[fold])
    ]
    try:
        model = read_model(path, checkpoint=files[0][1] if files else None)
    except DataError as error:
        rows = [_member(file, name, fold, None, None) for fold, file in files]
        members = tuple(sorted(rows, key=_order))
        return _Training(path=path, name=name, model=None, members=members, refused=str(error))
    entries = _entries(model)
    rows = [_member(f, name, fold, model, entries.get(f)) for fold, f in files]
    there = {file for _, file in files}
    missing = [f for f in entries if f not in there and only in (None, _fold_of(f, path))]
    return _Training(
        path=path,
        name=name,
        model=model,
        members=_without_all(sorted(rows, key=_order)),
        refused="" if rows else _why_none(model, only),
        problems=(
            *model.problems,
            *(f"{_shown(f)} is in ensemble.json, but missing." for f in missing),
        ),
    )


def _entries(model: ModelFolder) -> dict[Path, MemberRecord]:
    """What ``ensemble.json`` says of each member file."""
    if model.record is None:
        return {}
    folds = model.record.folds
    return {model.path / m.file: m for fold in folds for m in model.record.members(fold)}


def _shown(file: Path) -> str:
    """A member's place in its run: fold_0/members/epoch_0399.pth."""
    return "/".join(file.parts[-3:])


def _member_files(fold: Path) -> list[Path]:
    """Files that can be members: never checkpoint_best, and of our runs only ``members/``."""
    ours = fold / "members"
    if ours.is_dir() or (fold.parent / RECORD).exists():
        return [f for f in _weights_in(ours) if _OURS.fullmatch(f.stem)]
    files = [f for f in _weights_in(fold) if not f.stem.startswith("checkpoint_best")]
    finished = any(f.stem == "checkpoint_final" for f in files)
    return [f for f in files if not (finished and f.stem == "checkpoint_latest")]


def _weights_in(folder: Path) -> list[Path]:
    files = folder.glob("*.pth")
    return sorted(f for f in files if f.is_file() and not f.name.startswith("."))


def _member(
    file: Path, training: str, fold: str, model: ModelFolder | None, entry: MemberRecord | None
) -> Member:
    epoch = _epoch(file.stem)
    schedule = model.schedule if model and file.parent.name == "members" else None
    cycle = rate = None
    if schedule and epoch is not None:
        cycle, rate = schedule.cycle(epoch), schedule.learning_rate(epoch)
    size, refused = why_unreadable(file)
    if entry and entry.bytes != size and not refused:
        refused = f"it has {size} bytes where ensemble.json says {entry.bytes}"
    return Member(
        path=file,
        training=training,
        fold=fold,
        epoch=epoch,
        cycle=entry.cycle if entry else cycle,
        learning_rate=entry.learning_rate if entry else rate,
        bytes=size,
        refused=refused,
        sha256=entry.sha256 if entry else "",
    )


def _epoch(stem: str) -> int | None:
    """The epoch in a file's name: the number after "ep" or "epoch", else its last number."""
    named = re.findall(r"ep(?:och)?[_-]?(\d+)", stem) or re.findall(r"\d+", stem)
    return int(named[-1]) if named else None


def _without_all(members: Sequence[Member]) -> tuple[Member, ...]:
    """Refuse fold_all beside numbered folds, as nnU-Net does: its network has seen all cases."""
    if {m.fold for m in members if m.usable} <= {"all"}:
        return tuple(members)
    reason = "fold_all was trained on the cases of all other folds; choose fold_all to use it alone"
    return tuple(replace(m, refused=m.refused or reason) if m.fold == "all" else m for m in members)


def _why_none(model: ModelFolder, fold: str | None) -> str:
    where = f"fold_{fold} holds" if fold else "its folds hold"
    if model.record is None:
        return f"{where} no members (members/epoch_0399.pth, checkpoint_final.pth or other .pth)"
    first = next(model.record.selection.epochs(model.record.schedule), None)
    return f"{where} no members yet; training keeps the first at the end of epoch {first}"


def _agreeing(trainings: Sequence[_Training]) -> list[_Training]:
    """Refuse the trainings that differ from what most of them share; the first breaks a tie."""
    models = [t.model for t in trainings if t.model and not t.refused]
    if len(models) < 2:
        return list(trainings)
    shared = [json.dumps(m.shared(), sort_keys=True) for m in models]
    rest = models[shared.index(Counter(shared).most_common(1)[0][0])]
    return [
        replace(t, refused=model_difference(t.model, rest)) if t.model and not t.refused else t
        for t in trainings
    ]


def _order(member: Member) -> tuple[Any, ...]:
    """Fold, then epoch; what has no number, such as checkpoint_final, is the latest."""
    fold = int(member.fold) if member.fold != "all" else -1
    known = member.epoch is not None
    return (member.fold == "all", fold, not known, member.epoch or 0, member.path.name)


def _natural(name: str) -> list[Any]:
    """Order in which seed2 comes before seed10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
