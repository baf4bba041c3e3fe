"""Folder of trained models: the members of an ensemble, and files that cannot be used.

This is the first of two checks of an ensemble. It reads names, sizes and JSON files, and tests
without torch if each file is a zip archive. The second check (``nnunet.weights``) tests if the
weights fit the network; ``EnsembleFolder.with_refused`` adds its results.

Accepted are the runs of this package (``RUN/fold_0/members/epoch_0399.pth``), the result folders
of nnU-Net v2 (``Trainer__Plans__2d/fold_0/checkpoint_final.pth`` and checkpoints next to it), and
a folder with several trainings. Any folder or file inside them can be chosen.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from .. import DataError
from ..files.access import UNREADABLE, reading
from ..files.checksum import sha256
from ..files.given_path import expand_home, resolve_links
from ..files.special import SPECIAL_FILE, is_special
from .model_folder import (
    EXPECTED,
    LFS_POINTER,
    ModelFolder,
    is_version_1,
    model_difference,
    read_model,
    why_unreadable,
)
from .run_folder import FOLD_NAME, RECORD, MemberRecord

EnsembleKind = Literal[
    "checkpoint ensemble", "cross-validation ensemble", "deep ensemble", "checkpoints"
]

_FOLD = re.compile(f"fold_({FOLD_NAME.pattern})")
_EPOCH = re.compile(r"epoch_\d+")
_DATASET = re.compile(r"Dataset\d{3}_.+")
_LEVELS_UP, _LEVELS_DOWN = 2, 3
_MOST_FOLDERS = 2000
"""Folders of one level that are searched; a home folder or a disk has more."""

NOT_USED = "{file} is not used, because {reason}."
UNUSABLE_TRAINING = "{training} cannot be used, because {reason}."
LEFT_OUT = "{training} was left out, because {reason}."
MISSING_MEMBER = "{file} is listed in ensemble.json but missing."
NEVER_A_MEMBER = "{file} is never a member. The members of its fold are listed instead."
OTHER_MEMBER_SIZE = "it has {size} bytes, but {recorded} in ensemble.json"
FOLD_ALL = "fold_all was trained on the cases of the other folds; choose fold_all to use it alone"
NO_MEMBERS = "it has no members (members/epoch_0399.pth, checkpoint_final.pth or other .pth)"
NO_MEMBERS_YET = "it has no members yet; the first is kept at the end of epoch {epoch}"
POINTERS = (
    "{count} of {members} members are only Git LFS pointers, without the weights. Run git lfs pull "
    "in {folder} to download them."
)
HOLDS_NO_TRAINING = "{folder} holds no training (found {content}). Choose a folder with {expected}."
SEVERAL_DATASETS = "{folder} holds trainings on several datasets. Choose one of {datasets}."
TOO_MANY_FOLDERS = "{folder} holds too many folders to search. Choose the folder of the training."
NOT_FOUND = "{path} does not exist. Choose another folder."


@dataclass(frozen=True, kw_only=True)
class Member:
    """One set of trained weights. Epochs and cycles count from 0, None if unknown.

    ``refused`` is the reason why the member cannot be used, "" if it can. ``sha256`` is the
    checksum in ``ensemble.json`` or, see `EnsembleFolder.with_checksums`, of the file; else "".
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
        """Whether no reason against the member is known so far."""
        return not self.refused


@dataclass(frozen=True, kw_only=True)
class EnsembleFolder(ModelFolder):
    """Members of an ensemble, in the order training, fold, epoch, with their model.

    ``path`` is the model folder. Of several trainings it is the first that agrees with most others;
    plans, labels and record are also taken from it. ``plans_sha256`` is its checksum. ``problems``
    are sentences about what was left out.
    """

    name: str
    kind: EnsembleKind
    members: tuple[Member, ...]
    plans_sha256: str = ""

    @property
    def usable_members(self) -> tuple[Member, ...]:
        """Members that were not refused."""
        return tuple(member for member in self.members if member.usable)

    @property
    def usable(self) -> bool:
        """Whether any member is usable."""
        return any(member.usable for member in self.members)

    @property
    def refusals(self) -> list[str]:
        """Sentences about members that cannot be used and are not among the ``problems``."""
        refused = (m for m in self.members if not m.usable and m.refused != LFS_POINTER)
        return [NOT_USED.format(file=m.path.name, reason=m.refused) for m in refused]

    def with_refused(self, reasons: Mapping[Path, str]) -> EnsembleFolder:
        """Return the folder with the members of ``reasons`` refused, except for the reason ""."""
        members = tuple(
            replace(m, refused=m.refused or reasons.get(m.path, "")) for m in self.members
        )
        return replace(self, members=members, kind=_kind(members))

    def with_checksums(self) -> EnsembleFolder:
        """Return the folder with the checksum of every usable member; unknown ones are computed.

        Raises DataError if a file cannot be read.
        """
        members = (m if m.sha256 or m.refused else _with_checksum(m) for m in self.members)
        return replace(self, members=tuple(members))

    @property
    def validation_dice(self) -> dict[str, float]:
        """Structure → mean Dice with the reference of the validation cases, {} if unknown."""
        scores = self._validation.get("dice")
        known = scores.items() if isinstance(scores, dict) else ()
        return {name: value for name, value in known if isinstance(value, float)}

    @property
    def validation_cases(self) -> int:
        """Number of validation cases that were measured, 0 if none or unknown."""
        count = self._validation.get("cases")
        return count if isinstance(count, int) else 0

    @property
    def _validation(self) -> dict[str, Any]:
        """Results on the validation cases of the only fold, {} if unknown."""
        folds = {(member.training, member.fold) for member in self.usable_members}
        if self.record is None or len(folds) != 1:
            return {}
        return self.record.validation.get(folds.pop()[1], {})


@dataclass(frozen=True, kw_only=True)
class _Training:
    """One model folder that may become part of the ensemble."""

    path: Path
    name: str
    model: ModelFolder | None
    members: tuple[Member, ...]
    refused: str = ""
    problems: tuple[str, ...] = ()


def find_ensemble(path: Path) -> EnsembleFolder:
    """Find the ensemble that ``path`` belongs to or holds.

    The folder of a fold, or a file in it, stands for this fold alone. Members that cannot be used
    are listed as refused. Raises DataError if there is no usable model folder.
    """
    chosen = resolve_links(expand_home(path))
    start = _folder_of(chosen)
    inside = _training_around(start)
    folders = [inside] if inside else _trainings_below(start)
    fold = _fold_of(start, inside) if inside else None
    names = [f.name if inside else f.relative_to(start).as_posix() for f in folders]
    candidates = [_read_training(f, name, fold) for f, name in zip(folders, names, strict=True)]
    trainings = _refuse_different(sorted(candidates, key=lambda training: _natural(training.name)))
    usable = [t for t in trainings if not t.refused]
    if not usable:
        reasons = [UNUSABLE_TRAINING.format(training=t.path, reason=t.refused) for t in trainings]
        raise DataError("{reasons}", reasons=" ".join(reasons))
    ensemble = _ensemble(trainings, usable, start if len(usable) > 1 else usable[0].path)
    if chosen.suffix != ".pth" or any(m.path == chosen for m in ensemble.members):
        return ensemble
    problem = NEVER_A_MEMBER.format(file=chosen.name)
    return replace(ensemble, problems=(problem, *ensemble.problems))


def _ensemble(
    trainings: Sequence[_Training], usable: Sequence[_Training], named: Path
) -> EnsembleFolder:
    first = usable[0]
    assert first.model is not None
    record = first.model.record
    members = tuple(member for t in trainings for member in _listed_members(t))
    left_out = [LEFT_OUT.format(training=t.name, reason=t.refused) for t in trainings if t.refused]
    return EnsembleFolder(
        **{
            f.name: getattr(first.model, f.name)
            for f in fields(ModelFolder)
            if f.name != "problems"
        },
        name=(record.name if record and len(usable) == 1 else "") or named.name,
        kind=_kind(members),
        members=members,
        plans_sha256=first.model.checksum(),
        problems=(
            *left_out,
            *(p for t in trainings for p in t.problems),
            *_pointers(members, named),
        ),
    )


def _pointers(members: Sequence[Member], folder: Path) -> Iterable[str]:
    """Return one sentence for all members that Git has not downloaded."""
    count = sum(member.refused == LFS_POINTER for member in members)
    return [POINTERS.format(count=count, members=len(members), folder=folder)] if count else []


def _listed_members(training: _Training) -> Iterable[Member]:
    if not training.refused:
        return training.members
    return (replace(m, refused=m.refused or training.refused) for m in training.members)


def _kind(members: Sequence[Member]) -> EnsembleKind:
    """Return the kind of the usable members, or of all members if none is usable."""
    used = [m for m in members if m.usable] or members
    if len({m.training for m in used}) > 1:
        return "deep ensemble"
    if len({m.fold for m in used}) > 1:
        return "cross-validation ensemble"
    return "checkpoint ensemble" if any(m.cycle is not None for m in used) else "checkpoints"


def _folder_of(chosen: Path) -> Path:
    with reading(chosen):
        if not chosen.exists():
            raise DataError(NOT_FOUND, path=chosen)
        if is_special(chosen):
            raise DataError(SPECIAL_FILE, path=chosen)
        return chosen.parent if chosen.is_file() else chosen


def _training_around(start: Path) -> Path | None:
    around = (start, *list(start.parents)[:_LEVELS_UP])
    return next((folder for folder in around if _is_training(folder)), None)


def _fold_of(start: Path, training: Path) -> str | None:
    if not start.is_relative_to(training):  # such as an absolute path in a damaged record
        return None
    parts = start.relative_to(training).parts
    match = _FOLD.fullmatch(parts[0]) if parts else None
    return match.group(1) if match else None


def _trainings_below(start: Path) -> list[Path]:
    """Return the trainings of the first level that has any."""
    level = [start]
    if not os.access(start, os.R_OK | os.X_OK):
        raise DataError(UNREADABLE, file=start, reason="permission denied")
    for _ in range(_LEVELS_DOWN):
        level = [child for folder in level for child in _subfolders(folder)]
        if len(level) > _MOST_FOLDERS:
            raise DataError(TOO_MANY_FOLDERS, folder=start)
        trainings = [folder for folder in level if _is_training(folder)]
        if trainings:
            _check_one_dataset(start, trainings)
            return trainings
    names = [name for name in sorted(os.listdir(start)) if not name.startswith(".")]
    content = f"{', '.join(names[:8]) or 'nothing'}{' …' if len(names) > 8 else ''}"
    raise DataError(HOLDS_NO_TRAINING, folder=start, content=content, expected=EXPECTED)


def _check_one_dataset(start: Path, trainings: Sequence[Path]) -> None:
    parts = {p for t in trainings for p in t.relative_to(start).parts if _DATASET.fullmatch(p)}
    if len(parts) > 1:
        raise DataError(SEVERAL_DATASETS, folder=start, datasets=", ".join(sorted(parts)))


def _is_training(folder: Path) -> bool:
    """Return whether a folder holds folds; a ``fold_0`` with its own plans is a training itself."""
    folds = (f for f in _subfolders(folder) if _FOLD.fullmatch(f.name))
    return is_version_1(folder) or any(not (f / "plans.json").is_file() for f in folds)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [f for f in folder.iterdir() if not f.name.startswith(".") and f.is_dir()]
    except OSError:  # a folder that the user may not read holds no training of the user
        return []


def _read_training(path: Path, name: str, only: str | None) -> _Training:
    """Read one model folder with all its folds, or with the fold ``only``."""
    folds = {f.name.removeprefix("fold_"): f for f in _subfolders(path) if _FOLD.fullmatch(f.name)}
    files = [
        (fold, f) for fold in folds if only in (None, fold) for f in _member_files(folds[fold])
    ]
    try:
        model = read_model(path, checkpoint=files[0][1] if files else None)
    except DataError as error:
        rows = [_member(file, name, fold, None, None) for fold, file in files]
        members = tuple(sorted(rows, key=_order))
        return _Training(
            path=path, name=name, model=None, members=members, refused=str(error).rstrip(".")
        )
    entries = _entries(model)
    rows = [_member(f, name, fold, model, entries.get(f)) for fold, f in files]
    existing = {file for _, file in files}
    missing = [f for f in entries if f not in existing and only in (None, _fold_of(f, path))]
    why = _why_no_members(model)
    known = {fold for fold, _ in files} | {_fold_of(f, path) for f in missing}
    empty = sorted({*folds} - known) if rows and only is None else ()
    return _Training(
        path=path,
        name=name,
        model=model,
        members=_refuse_fold_all(sorted(rows, key=_order)),
        refused="" if rows else why,
        problems=(
            *model.problems,
            *(LEFT_OUT.format(training=f"{name}/fold_{f}", reason=why) for f in empty),
            *(MISSING_MEMBER.format(file="/".join(f.parts[-3:])) for f in missing),
        ),
    )


def _entries(model: ModelFolder) -> dict[Path, MemberRecord]:
    """Return the entry of each member file in ``ensemble.json``."""
    if model.record is None:
        return {}
    folds = model.record.folds
    return {model.path / m.file: m for fold in folds for m in model.record.members(fold)}


def _member_files(fold: Path) -> list[Path]:
    """Return files that can be members: in runs those in ``members/``, never checkpoint_best."""
    members = fold / "members"
    if members.is_dir() or (fold.parent / RECORD).exists():
        return [f for f in _weights_in(members) if _EPOCH.fullmatch(f.stem)]
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
        refused = OTHER_MEMBER_SIZE.format(size=size, recorded=entry.bytes)
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


def _with_checksum(member: Member) -> Member:
    with reading(member.path):
        return replace(member, sha256=sha256(member.path))


def _epoch(stem: str) -> int | None:
    """Return the epoch in a file's name: the number after "ep" or "epoch", else the last one."""
    named = re.findall(r"ep(?:och)?[_-]?(\d+)", stem) or re.findall(r"\d+", stem)
    return int(named[-1]) if named else None


def _refuse_fold_all(members: Sequence[Member]) -> tuple[Member, ...]:
    """Refuse fold_all next to numbered folds, as nnU-Net does: its network has seen all cases."""
    if {m.fold for m in members if m.usable} <= {"all"}:
        return tuple(members)
    return tuple(
        replace(m, refused=m.refused or FOLD_ALL) if m.fold == "all" else m for m in members
    )


def _why_no_members(model: ModelFolder) -> str:
    if model.record is None:
        return NO_MEMBERS
    first = next(model.record.selection.epochs(model.record.schedule), None)
    return NO_MEMBERS_YET.format(epoch=first)


def _refuse_different(trainings: Sequence[_Training]) -> list[_Training]:
    """Refuse trainings that differ from most others; of equally many the first ones stay."""
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
    """Return the order by fold, then epoch; checkpoint_final and others without one come last."""
    fold = int(member.fold) if member.fold != "all" else -1
    return (member.fold == "all", fold, member.epoch is None, member.epoch or 0, member.path.name)


def _natural(name: str) -> list[Any]:
    """Return the order in which seed2 comes before seed10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
