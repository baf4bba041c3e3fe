"""Form of the options of a segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Final

from qtpy.QtWidgets import QPushButton

from ...app import AppError
from ...app.remote.device import RemoteDevice, is_remote
from ...app.segmentation.calibration import fitted_temperature, usual_window
from ...app.segmentation.methods import DEFAULT_COUNT, METHODS, choose_members, refused_methods
from ...app.segmentation.settings import DEFAULT_WINDOW, SegmentationSettings
from ...core.choices import Window
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ..common.device_box import AUTO, LOOKING, device_choices
from ..common.form import DataForm
from ..common.settings import Settings
from ..common.wording import in_the_window

REMOTE = "remote"
_BOX_ROUNDS: Final = 0.0051
"""Limit of the difference between a temperature and its box, which has two decimals."""
_FIELDS = (
    *("method", "members", "temperature", "mirroring", "window", "until_stable"),
    *("largest_component", "device"),
)


class MethodForm(DataForm):
    """Form of SegmentationSettings that offers what the ensemble and the devices allow."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(SegmentationSettings, names=_FIELDS)
        self._folder: EnsembleFolder | None = None
        self._fitted: float | None = None
        self._exact_temperature = self._usual_temperature = 1.0
        self._wanted_members = DEFAULT_COUNT  # which the ensemble may not have
        self._usual_window: Window = DEFAULT_WINDOW
        self.fitted_button = QPushButton()
        self.fitted_button.setToolTip(
            "Use the temperature fitted on the validation cases of the training "
            "(bayes-nnunet calibrate)."
        )
        self.temperature.add_button(self.fitted_button)
        self.remote = RemoteForm(settings)
        self.native.layout().addWidget(self.remote.native)
        self.method.changed.connect(self._on_method_changed)
        self.members.changed.connect(self._on_members_changed)
        for option in (self.mirroring, self.window, self.until_stable, self.largest_component):
            option.changed.connect(self._show_fitted)
        self.device.changed.connect(self._on_device_changed)
        self.remote.changed.connect(self._on_remote_changed)
        self.fitted_button.clicked.connect(self._on_fitted_wanted)
        self._offer_devices({AUTO: "Automatic"}, {AUTO: LOOKING})
        self._on_method_changed()
        self._on_device_changed()

    @property
    def device_name(self) -> str:
        """The chosen device: "auto", or a name that the child process knows."""
        name = self.device.value
        return self.remote.device_name if name == REMOTE else str(name)

    @property
    def settings(self) -> SegmentationSettings:
        """The chosen settings."""
        return self.make(
            SegmentationSettings, device=self.device_name, temperature=self._temperature
        )

    @property
    def summary(self) -> str:
        """The options in one line if any differs from what is chosen at first, else ""."""
        settings, usual = self.settings, self._usual
        place = RemoteDevice.parse(settings.device).address
        on = "" if place == usual.device else f", on {place}"
        title = METHODS[settings.method].title
        if not on and settings == usual:
            return ""
        if settings.temperature == usual.temperature:
            settings = replace(settings, temperature=1)  # the usual one is not named
        return f"{title}, {settings.options}{on}"

    @property
    def _usual(self) -> SegmentationSettings:
        """The options that are chosen at first."""
        most = min(DEFAULT_COUNT, self._most_members(self.method.value))
        return SegmentationSettings(
            members=most, temperature=self._usual_temperature, window=self._usual_window
        )

    def set_ensemble(self, folder: EnsembleFolder | None) -> None:
        """Disable the methods that ``folder`` cannot serve, with the reason as their help.

        The window becomes that of the ensemble, unless another one has been chosen.
        """
        self._folder = folder
        before, self._usual_window = self._usual_window, DEFAULT_WINDOW
        if folder is not None:
            self._usual_window = usual_window(folder)
        if self.window.value == before:
            self.window.value = self._usual_window
        refused = refused_methods(folder) if folder is not None else {}
        reasons = {name: in_the_window(reason) for name, reason in refused.items()}
        # Disabled and not hidden, so that the reason can be read.
        self.method.editor.set_disabled(reasons)
        self._show_members()

    def set_devices(self, devices: Mapping[str, str]) -> None:
        """Offer the devices of this computer, the fastest first: name to model and free memory."""
        self._offer_devices(*device_choices(devices))

    def _offer_devices(self, texts: Mapping[str, str], helps: Mapping[str, str]) -> None:
        self.device.editor.set_choices({**texts, REMOTE: TITLE}, {**helps, REMOTE: REMOTE_HELP})

    def _on_device_changed(self) -> None:
        self.remote.visible = self.device.value == REMOTE

    def _on_remote_changed(self) -> None:
        self.changed.emit(self)

    def _on_method_changed(self) -> None:
        self._set_temperature(METHODS[self.method.value].temperature)
        self._usual_temperature = self._temperature
        self._show_members()

    def _on_members_changed(self) -> None:
        chosen = self.members.value
        # The usual number is wanted of the next ensemble too, if this one has fewer members.
        self._wanted_members = DEFAULT_COUNT if chosen == self._usual.members else chosen
        self._show_fitted()

    def _show_members(self) -> None:
        """Show the wanted number of members, or as many as there are."""
        most, wanted = self._most_members(self.method.value), self._wanted_members
        box = self.members.editor
        box.max = most
        box.value = min(wanted, most)
        self._wanted_members = wanted  # showing fewer is no choice
        box.native.setSuffix(f" of {most}" if self._folder is not None else "")
        box.enabled = most > 1
        self._show_fitted()

    def _show_fitted(self) -> None:
        """Offer the temperature that was fitted for the chosen settings, if there is one.

        It is chosen at first, unless the method has a temperature of its own.
        """
        self._fitted = self._find_fitted()
        self.fitted_button.setVisible(self._fitted is not None)
        if self._fitted is not None:
            self.fitted_button.setText(f"Fitted: {self._fitted:.2f}")
        usual = METHODS[self.method.value].temperature
        if self._fitted is not None and usual == 1:
            usual = self._fitted
        is_usual = self._temperature == self._usual_temperature
        self._usual_temperature = usual
        if is_usual:
            self._set_temperature(self._usual_temperature)

    def _find_fitted(self) -> float | None:
        if self._folder is None:
            return None
        with suppress(AppError, DataError):
            return fitted_temperature(self._folder, self.settings)
        return None

    def _on_fitted_wanted(self) -> None:
        if self._fitted is not None:
            self._set_temperature(self._fitted)

    @property
    def _temperature(self) -> float:
        """The temperature in the box, with the decimals that the box does not show."""
        shown, exact = float(self.temperature.value), self._exact_temperature
        return exact if abs(shown - exact) < _BOX_ROUNDS else shown

    def _set_temperature(self, temperature: float) -> None:
        self._exact_temperature = temperature
        self.temperature.editor.native.setValue(temperature)  # the box keeps its limits

    def _most_members(self, method: str) -> int:
        """Return the number of members that the method can take from the folder."""
        if self._folder is None:
            return DEFAULT_COUNT
        if method in refused_methods(self._folder):
            return 1
        most = max(DEFAULT_COUNT, len(self._folder.members))
        return len(choose_members(self._folder, method, most))


TITLE = "Another computer…"
REMOTE_HELP = (
    "Segment on a computer with a GPU that you reach by ssh. Only voxels and the ensemble are "
    "sent; results return member by member."
)


class RemoteForm(DataForm):
    """Form of a RemoteDevice that saves its values."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(RemoteDevice)
        self._settings = settings
        self.connect_button = QPushButton("Connect")
        self.connect_button.setToolTip("Connect, and load the ensemble there. No image is sent.")
        self.native.layout().addWidget(self.connect_button)
        self.update(asdict(settings.kept.other_computer))
        for field in self:
            field.left.connect(self._save)

    @property
    def device_name(self) -> str:
        """The name of the remote computer as a device for the inference child."""
        return str(self._device())

    def _device(self) -> RemoteDevice:
        typed = {name: text.strip() for name, text in asdict(self.make(RemoteDevice)).items()}
        address = typed.pop("address")
        # The scheme need not be typed.
        return RemoteDevice(address=address if is_remote(address) else f"ssh://{address}", **typed)

    def _save(self) -> None:
        device = self._device()
        device = device if self.address.value else replace(device, address="")
        self._settings.keep(other_computer=device)
