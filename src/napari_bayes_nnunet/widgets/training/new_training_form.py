"""The page of the Train dock for a new training."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from ...app.training.process import command_arguments
from ...app.training.request import TrainingRequest
from ...core.ensemble.training_settings import PRESETS
from ...io import DataError
from ...io.dataset.raw_dataset import RawDataset
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from ..common.background import Background
from ..common.dock import MessageLabel, column_layout, form_layout, heading
from ..common.folder_row import FolderRow
from ..common.settings import Settings
from .data_form import TrainingDataForm
from .preflight_form import NO_DATA, PreflightForm
from .schedule_form import ScheduleForm

_NO_RUN = "Choose the folder of a finished training under Ensemble first."
PROPOSED = (
    "Quick look is proposed, because the training would run on the CPU, where Paper takes weeks."
)
SLOW = "Without a GPU, the preset Paper takes weeks to train. Quick look takes minutes."
_OTHER_FOLDS = (
    "The training in the ensemble's folder has only the folds {folds}. Choose one of them."
)
_UNFINISHED = "The training in the ensemble's folder is not finished. Follow and resume it first."


class NewTrainingForm(QWidget):
    """The settings of a new training. ``start_requested`` carries the TrainingRequest."""

    start_requested = Signal(object)

    def __init__(self, *, settings: Settings | None = None) -> None:
        super().__init__()
        self._background = Background(self)
        self._settings = settings
        self._proposes, self._is_proposed = True, False
        self._record: TrainingRecord | None = None
        self.data = TrainingDataForm()
        self.preflight = PreflightForm()
        self.schedule = ScheduleForm()
        self.output = FolderRow("Folder of the ensemble", hint="Output folder")
        self.start_button = QPushButton("Start training")
        self.missing = MessageLabel()
        self.advice = MessageLabel()
        self._lay_out()
        self._connect()
        self._offer_cycle(None)
        self._choose_last_preset()
        self._on_changed()

    def request(self) -> TrainingRequest | None:
        """Return the request, or None while a setting is missing or wrong."""
        dataset = self.data.dataset
        return self.preflight.request(dataset) if dataset and not self._find_missing() else None

    def _find_missing(self) -> str:
        """Return a sentence on why the training cannot start, "" if it can."""
        if self.data.dataset is None:
            return NO_DATA
        if self.schedule.values() is None:
            return self.schedule.problem
        if self.output.path is None:
            return "Choose an output folder for the ensemble."
        if self.preflight.preflight is None:
            return "Wait until the data are checked."
        if not self.preflight.preflight.ready:
            return "Fix the problems marked in red above."
        return ""

    def _lay_out(self) -> None:
        self.output.setToolTip(
            "Output folder for members, curves and log. It is an nnU-Net model folder, which the "
            "Segment dock opens as an ensemble."
        )
        output = form_layout(Ensemble=self.output)
        column_layout(
            self,
            *(heading("1  Data"), self.data),
            *(heading("2  Check"), self.preflight),
            *(heading("3  Schedule"), self.advice, self.schedule),
            *(heading("4  Start"), output, self.missing, self.start_button, None),
        )

    def _connect(self) -> None:
        self.data.dataset_changed.connect(self._on_dataset_changed)
        self.preflight.changed.connect(self._on_changed)
        self.preflight.folds.currentIndexChanged.connect(self._on_fold_chosen)
        self.schedule.changed.connect(self._on_plan_changed)
        self.schedule.preset_picked.connect(self._on_preset_picked)
        self.output.chosen.connect(self._on_output_chosen)
        self.start_button.clicked.connect(self._on_start_clicked)

    def _on_dataset_changed(self, dataset: RawDataset | None) -> None:
        # A folder that the user has chosen stays.
        if dataset is not None and self.output.path is None:
            self.output.choose(new_run_folder(dataset.path.parent, f"{dataset.path.name}_ensemble"))
        self._update_plan()
        self.preflight.set_dataset(dataset)
        self._on_changed()

    def _on_output_chosen(self, path: Path | None) -> None:
        self._offer_cycle(None)
        self._on_plan_changed()
        if path is not None:
            callback: Callable[[TrainingRecord | None], None] = partial(self._on_record, path)
            self._background.run(partial(_read_record, path), callback, lambda _: None)

    def _on_record(self, path: Path, record: TrainingRecord | None) -> None:
        # Another folder may have been chosen while this one was read.
        if path == self.output.path:
            self._offer_cycle(record)

    def _on_fold_chosen(self, _: int) -> None:
        if self._names_fold:
            self._offer_cycle(self._record)

    @property
    def _names_fold(self) -> bool:
        """Whether an added cycle needs the chosen fold, because the run has several."""
        return self._record is not None and len(self._record.folds) > 1

    def _offer_cycle(self, record: TrainingRecord | None) -> None:
        """Offer one more cycle if the ensemble's folder contains a finished training."""
        self._record = record
        folds = list(record.folds) if record is not None else []
        fold = self.preflight.fold if len(folds) > 1 else "".join(folds)
        if record is None or fold not in folds or not record.is_complete(fold):
            reason = _UNFINISHED if fold in folds else _OTHER_FOLDS.format(folds=", ".join(folds))
            self.schedule.set_extension(None, reason=reason if folds else _NO_RUN)
            return
        self.schedule.set_extension(record.settings_of(fold))

    def _on_plan_changed(self) -> None:
        self._update_plan()
        self._on_changed()

    def _update_plan(self) -> None:
        """Pass the settings that decide on disk space and folds to the check."""
        values, output = self.schedule.values(), self.output.path
        if values is not None and output is not None:
            self.preflight.set_plan(output, values, names_fold=self._names_fold)

    def _choose_last_preset(self) -> None:
        """Choose the preset that the user picked last, which ends proposals."""
        kept = self._settings.kept.preset if self._settings is not None else ""
        if kept in PRESETS:
            self._proposes = False
            self.schedule.choose_preset(kept)

    def _on_preset_picked(self, name: str) -> None:
        self._proposes = self._is_proposed = False
        if self._settings is not None and name in PRESETS:
            self._settings.keep(preset=name)
        self._on_changed()

    def _propose_preset(self) -> None:
        """Choose Quick look for a CPU, and Paper again for a GPU, unless the user has decided."""
        values, is_slow = self.schedule.values(), self.preflight.devices.is_cpu
        if not self._proposes or values is None or not self.schedule.is_preset:
            return
        preset = values.settings.preset
        if is_slow != self._is_proposed and preset == ("paper" if is_slow else "quick"):
            self._is_proposed = is_slow
            self.schedule.choose_preset("quick" if is_slow else "paper")

    def _advice(self) -> str:
        """Return why a preset is proposed, or why it is slow."""
        values = self.schedule.values()
        if values is None or not self.preflight.devices.is_cpu:
            return ""
        if values.settings.preset == "paper":
            return SLOW
        is_quick = values.settings.preset == "quick"
        return PROPOSED if self._is_proposed and is_quick else ""

    def _on_changed(self) -> None:
        self._propose_preset()
        self.advice.show_message(self._advice())
        missing = self._find_missing()
        self.missing.show_message(missing)
        self.start_button.setEnabled(not missing)
        request = self.request()
        command = (
            shlex.join(["bayes-nnunet", "train", *command_arguments(request)])
            if request
            else missing
        )
        # The same training for a terminal, such as that of a cluster.
        self.start_button.setToolTip(command)

    def _on_start_clicked(self) -> None:
        request = self.request()
        if request is not None:
            self.start_requested.emit(request)


def new_run_folder(parent: Path, name: str) -> Path:
    """Return ``parent / name``, with a number if that folder exists."""
    path, number = parent / name, 2
    while path.exists():
        path, number = parent / f"{name}_{number}", number + 1
    return path


def _read_record(path: Path) -> TrainingRecord | None:
    try:
        return read_record(RunFolder(path).record)
    except DataError:
        return None
