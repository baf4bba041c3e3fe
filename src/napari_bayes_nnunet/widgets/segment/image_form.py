"""Form for the image to segment: layers, voxel size and phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error, show_warning
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLineEdit,
    QWidget,
)
from superqt.utils import signals_blocked

from ...app import AppError
from ...app.prediction.output_files import FILE_NAMES, INFO_CFG
from ...core.counts import phase_names
from ...core.heart.intensity_window import image_window
from ...core.slice_axis import contradicts_shape
from ...core.types import Spacing
from ...io import DataError
from ...io.dataset.phase_pairs import examination_of, phase_order
from ...io.images.geometry import Geometry
from ...io.images.nifti import CardiacPhases, Volume
from ..common.dialogs import ask_to_segment
from ..common.dock import ThemeFont, column_layout, form_layout, row_label, row_layout, share_row
from ..common.eliding_button import ElidingButton
from ..common.form import DecimalKeys, NarrowComboBox, WheelGuard
from ..common.wording import in_the_window
from ..layers.front import bring_to_front, image_in_front, is_no_candidate
from ..layers.image_input import (
    ImageInput,
    check_same_grid,
    is_segmentable,
    parse_phase_numbers,
    read_layer_phases,
)
from ..layers.metadata import (
    LONG_AXES,
    PHASE_CASES,
    SERIES_VIEWS,
    bayes_metadata,
    layer_case,
    layer_data,
    layer_geometry,
    layer_patient,
    layer_phase_cases,
    layer_source,
    layer_spacing,
    layer_voxels,
)
from ..layers.result_layers import add_image
from ..layers.viewing import current_phase

ED_ES, ALL, CURRENT, THESE = range(4)
NARROW = "min-width: 36px; padding: 1px 4px;"
"""Style of three boxes side by side, which napari's style makes too wide."""
NO_IMAGE_OPEN = "Open a 3D image or a 4D cine"
NO_IMAGE_CHOSEN = "No image is chosen. Open a 3D image or a 4D cine, then choose its layer."
CHECK_SPACING = "The layer has no voxel size in mm. Check the values."
TWO_SPACINGS = (
    "The header gives two voxel sizes. Its affine is used unless you change the values. Its pixdim "
    "has {pixdim} mm (z, y, x)."
)
NO_SPACING = (1.0, 1.0, 1.0)
"""Voxel size in files of programs that knew none."""
UNIT_SPACING = "The voxel size is 1 × 1 × 1 mm, as in files without one. Check the values."
CONTRADICTORY_SPACING = (
    "The voxel size of the header does not fit the shape ({shape}). Enter the correct one, the "
    "distance of the slices first."
)
PHASES_FROM = {
    INFO_CFG: "ED and ES come from the Info.cfg next to the image.",
    FILE_NAMES: "ED and ES come from the names of the files.",
}
"""Sentence by the source of the phases."""
PHASES_FOUND = "ED and ES (automatic)"
PHASES_KNOWN = "ED {phases.ed} and ES {phases.es}"
PHASES_TITLES = ("ED and ES", "all phases", "current phase", "chosen phases")
OTHER_IN_FRONT = "{front} is in front of {image}. Segment brings {image} to the front."
CANNOT_BE_SEGMENTED = (
    "{layer} cannot be segmented, because it is a picture or labels. Choose a 3D image or a cine."
)
PHASE_COUNT = "{count} phases along the first axis."
JOIN = "Join with {other} for the EF"
JOIN_HELP = (
    "{image} and {other} seem to be ED and ES of one heart. A new layer with both is segmented and "
    "reviewed as one study, with EDV, ESV and EF."
)
MANY_PHASES = "{count} other phases of {image} are open. Close all but one to join it for the EF."
SERIES = "Long axes: {kinds}…"
SERIES_HELP = (
    "What the series of the DICOM study were taken as. Click to choose the short axis and the long "
    "axes. Review shows the long axes next to the slices."
)
CANNOT_JOIN = (
    "{other} has other slices or voxels than {image}, so they cannot be joined for the EF. Segment "
    "each alone."
)


class ImageForm(QWidget):
    """The image to segment, which follows the active image of the viewer.

    ``layer`` is that of its first channel. ``image_changed`` carries it, or None; ``image_picked``
    the one that the user has picked from the list; ``title_changed`` what will be segmented, such
    as "patient011, ED and ES", or "".
    """

    image_changed = Signal(object)
    image_picked = Signal(object)
    title_changed = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.layer: Image | None = None
        self._known: CardiacPhases | None = None
        self.phases_from = ""
        self._problem = ""
        self._other: Image | None = None
        self._cannot_join = ""
        self._cannot_find = ""
        self.channels: list[QComboBox] = []
        self.spacing = SpacingRow()
        self.phases = NarrowComboBox()
        self.phase_numbers = QLineEdit()
        ThemeFont(self.phase_numbers)
        self.hint = QLabel()
        self.join_button = ElidingButton("")
        self.series_button = ElidingButton("", mode=Qt.TextElideMode.ElideRight)
        self.series_button.setToolTip(SERIES_HELP)
        self._lay_out()
        self.set_channels(("image",))
        self._show_rows()
        self.phases.currentIndexChanged.connect(self._on_phases_changed)
        self.phase_numbers.textChanged.connect(self._show_hint)
        self.join_button.clicked.connect(self._join)
        self.series_button.clicked.connect(self._choose_series)
        events = viewer.layers.events
        self._listed = events.inserted, events.removed, events.reordered, events.renamed
        for event in self._listed:
            event.connect(self._on_layers_changed)
        viewer.layers.selection.events.active.connect(self._on_active_changed)
        events.connect(self._on_layer_event)

    @property
    def layers(self) -> list[Image]:
        """The chosen layers, one for each channel."""
        return [layer for combo in self.channels if (layer := combo.currentData()) is not None]

    @property
    def title(self) -> str:
        """Series or image, and phases, such as "patient011, ED and ES"; "" without an image."""
        if self.layer is None:
            return ""
        phases = f", {self._phases_title()}" if self.layer.ndim == 4 else ""
        return f"{layer_patient(self.layer).series or self.layer.name}{phases}"

    @property
    def known_phases(self) -> CardiacPhases | None:
        """ED and ES if their source is ``phases_from``, None if other phases are chosen."""
        return self._known if self.phases.currentIndex() == ED_ES else None

    def choose(self, layer: Image) -> None:
        """Choose the layer of the first channel."""
        index = self.channels[0].findData(layer)
        self.channels[0].setCurrentIndex(index)

    def set_channels(self, names: Sequence[str]) -> None:
        """Show a list of layers for each channel of the ensemble.

        Chosen layers stay chosen if their number stays.
        """
        chosen = [combo.currentData() for combo in self.channels]
        if len(chosen) != len(names):
            chosen = []
        while self._channel_rows.rowCount():
            self._channel_rows.removeRow(0)
        self.channels = [NarrowComboBox() for _ in names]
        for combo, name in zip(self.channels, names, strict=True):
            title = "Layer" if len(names) == 1 else name
            self._channel_rows.addRow(row_label(title), combo)
        self._list_layers(chosen)
        self.channels[0].currentIndexChanged.connect(self._on_image_chosen)
        self.channels[0].activated.connect(self._on_image_activated)
        for combo in self.channels[1:]:
            combo.currentIndexChanged.connect(self._show_hint)
        self._on_image_chosen()

    def set_finds_phases(self, reason: str) -> None:
        """Show why the ensemble cannot find ED and ES; "" if it can."""
        self._cannot_find = reason
        self._offer_phases()

    def image(self) -> ImageInput:
        """Return the image to segment. Raises AppError or DataError if the form is incomplete."""
        layers = [combo.currentData() for combo in self.channels]
        if self.layer is None or None in layers:
            raise AppError(NO_IMAGE_CHOSEN)
        check_same_grid(layers)
        doubt = bayes_metadata(self.layer).get("doubt")
        return ImageInput(
            channels=tuple(layer_voxels(layer) for layer in layers),
            layers=tuple(str(layer.unique_id) for layer in layers),
            spacing=self._spacing_of(self.layer),
            phases=self._chosen_phases(self.layer),
            sends_all=self.known_phases is not None,
            doubt=None if doubt else doubt,  # `is_wanted` asks about one
        )

    def is_wanted(self) -> bool:
        """Return whether to segment, and ask if tags or name contradict a short-axis cine.

        A question that was answered with yes is not asked again for the same layer.
        """
        about = bayes_metadata(self.layer) if self.layer is not None else {}
        if doubt := about.get("doubt"):
            if not ask_to_segment(self, doubt):
                return False
            about["doubt"] = None
        return True

    def geometry(self) -> Geometry | None:
        """Return the geometry of the image's file, with the voxel size if the user changed it."""
        geometry = None if self.layer is None else layer_geometry(self.layer)
        if self.layer is None or geometry is None:
            return None
        spacing = self._spacing_of(self.layer)
        return geometry if spacing == geometry.spacing else replace(geometry, given_spacing=spacing)

    def _spacing_of(self, layer: Image) -> Spacing:
        """Return the spacing of a layer, or the user's if the form asks and was changed."""
        spacing, shown = layer_spacing(layer), self.spacing.value()
        # The boxes round to three decimals, so the header's size counts unless it was changed.
        if spacing is None or (bool(_spacing_hint(layer)) and not self.spacing.shows(spacing)):
            return shown
        return spacing

    def close_events(self) -> None:
        """Disconnect from the layers of the viewer."""
        for event in self._listed:
            event.disconnect(self._on_layers_changed)
        self._viewer.layers.selection.events.active.disconnect(self._on_active_changed)
        self._viewer.layers.events.disconnect(self._on_layer_event)

    def _lay_out(self) -> None:
        self.phases.addItems(["", "All phases", "Current phase", "These:"])
        self.phases.setToolTip("Phases to segment, counted from 1.")
        self.phase_numbers.setPlaceholderText("1,8 or 3-6")
        self.phase_numbers.hide()
        self.hint.setWordWrap(True)
        phases = QWidget()
        share_row(phases, {self.phases: 1, self.phase_numbers: 1})
        self._channel_rows = form_layout()
        self._rows = form_layout()
        self._rows.addRow(row_label("Voxel, mm"), self.spacing)
        self._rows.addRow(row_label("Phases"), phases)
        buttons = self.series_button, self.join_button
        column_layout(self, self._channel_rows, self._rows, self.hint, *buttons)

    def _list_layers(self, chosen: Sequence[Image | None]) -> None:
        """List the viewer's images, with ``chosen`` layers kept and the others in order.

        Without a kept layer these are the active image, or the one in front, with its channels.
        """
        layers = self._images()
        if not {*chosen} & {*layers}:
            active = self._viewer.layers.selection.active
            chosen = self._scan_of(active if active in layers else image_in_front(self._viewer))
        for channel, combo in enumerate(self.channels):
            kept = chosen[channel] if channel < len(chosen) else None
            # The choice is announced once, when the lists of all channels are filled.
            with signals_blocked(combo):
                combo.clear()
                for layer in layers:
                    combo.addItem(layer.name, layer)
                if not layers:
                    combo.addItem(NO_IMAGE_OPEN, None)
                index = layers.index(kept) if kept in layers else min(channel, len(layers) - 1)
                combo.setCurrentIndex(max(index, 0))

    def _on_layers_changed(self, event: object = None) -> None:
        self._list_layers([combo.currentData() for combo in self.channels])
        self._on_image_chosen()

    def _on_active_changed(self, event: object = None) -> None:
        """Follow the active image, or that of active labels, such as those under review.

        It may be active before it is announced as new.
        """
        active = self._viewer.layers.selection.active
        owner = bayes_metadata(active).get("image") if active is not None else None
        owned = (layer for layer in self._images() if layer.unique_id == owner)
        scan = self._scan_of(next(owned, active))
        if scan and not {*scan} & {*self.layers}:
            self._list_layers(scan)
            self._on_image_chosen()
        self._show_hint()

    def _images(self) -> list[Image]:
        return [layer for layer in self._viewer.layers if is_segmentable(layer)]

    def _scan_of(self, image: Image | None) -> list[Image]:
        """Return the channels of the scan of ``image``, [] if they are not clear.

        The channels of a scan are opened one after the other, so they follow each other.
        """
        images, count = self._images(), len(self.channels)
        if image not in images:
            return []
        # Counted from the first image, because scans are opened one after the other.
        start = images.index(image) // count * count
        scan = images[start : start + count]
        shapes = {tuple(layer_voxels(layer).shape) for layer in scan}
        return scan if len(scan) == count and len(shapes) == 1 else []

    def _on_layer_event(self, event: Any) -> None:
        if event.type in ("visible", "opacity"):
            self._show_hint()

    def _on_image_activated(self) -> None:
        if self.layer is not None:
            self.image_picked.emit(self.layer)

    def _on_image_chosen(self) -> None:
        layer, before = self.channels[0].currentData(), self.layer
        self.layer = layer
        self._offer_to_join()
        if layer is before:
            self._show_hint()
            return
        self._read_phases()
        self._show_rows()
        self.image_changed.emit(layer)

    def _read_phases(self) -> None:
        self._known, self.phases_from, self._problem = None, "", ""
        if self.layer is not None and self.layer.ndim == 4:
            try:
                self._known, self.phases_from = read_layer_phases(self.layer)
            except DataError as error:
                self._problem = in_the_window(error)
        known = self._known
        text = PHASES_FOUND if known is None else PHASES_KNOWN.format(phases=known)
        self.phases.setItemText(ED_ES, text)
        self._offer_phases()

    def _offer_phases(self) -> None:
        """Disable ED and ES if they are neither known nor can be found."""
        item = self.phases.model().item(ED_ES)
        item.setEnabled(self._known is not None or not self._cannot_find)
        item.setToolTip("" if item.isEnabled() else self._cannot_find)
        if not item.isEnabled() and self.phases.currentIndex() == ED_ES:
            self.phases.setCurrentIndex(ALL)

    def _show_rows(self) -> None:
        layer = self.layer
        asks = layer is not None and bool(_spacing_hint(layer))
        is_cine = layer is not None and layer.ndim == 4
        if asks and layer is not None:
            self.spacing.set_value(layer_spacing(layer) or tuple(layer.scale[-3:]))
        self._rows.setRowVisible(0, asks)
        self._rows.setRowVisible(1, is_cine)
        self._show_series()
        self._show_hint()

    def _show_series(self) -> None:
        """Name the long axes that belong to the image."""
        about = bayes_metadata(self.layer) if self.layer is not None else {}
        kinds = ", ".join(plane.kind for plane in about.get(LONG_AXES, ()))
        self.series_button.set_title(SERIES.format(kinds=kinds or "none"))
        self.series_button.setVisible(len(about.get(SERIES_VIEWS, ())) > 1)

    def _choose_series(self) -> None:
        """Let the user choose the long axes, or another series as the short axis."""
        # Imported here, because other images do not need pydicom.
        from ...io.dicom.examination import SHORT_AXIS_VIEW
        from ...io.dicom.reader import read_long_axes
        from ..layers.reader import read_examination
        from ..layers.series_dialog import ask_for_views

        assert self.layer is not None
        about = bayes_metadata(self.layer)
        stacks = [series.stack for series in about[SERIES_VIEWS]]
        views = ask_for_views(stacks, views=about[SERIES_VIEWS], parent=self)
        short_axis = next((v.stack for v in views if v.view == SHORT_AXIS_VIEW), None)
        if short_axis is None:
            return
        # Another short axis is another image; only long axes belong to the one that is open.
        if short_axis.pseudonym != about["case"]:
            try:
                add_image(self._viewer, read_examination(views, Path(about["dicom"])))
            except DataError as error:
                show_error(in_the_window(error))
            return
        about[SERIES_VIEWS], (about[LONG_AXES], notes) = tuple(views), read_long_axes(views)
        for note in notes:
            show_warning(in_the_window(note))
        self._show_series()

    def _show_hint(self) -> None:
        sentences = []
        if self.layer is not None and (doubt := _spacing_hint(self.layer)):
            sentences.append(doubt)
        if self._problem:
            sentences.append(self._problem)
        elif self.known_phases is not None:
            sentences.append(PHASES_FROM[self.phases_from])
        elif self.layer is not None and self.layer.ndim == 4:
            sentences.append(PHASE_COUNT.format(count=layer_voxels(self.layer).shape[0]))
        active = self._viewer.layers.selection.active
        if active is not None and is_no_candidate(active):
            sentences.append(CANNOT_BE_SEGMENTED.format(layer=active.name))
        if self._cannot_join:
            sentences.append(self._cannot_join)
        front = image_in_front(self._viewer)
        if self.layer is not None and front is not None and front not in self.layers:
            sentences.append(OTHER_IN_FRONT.format(front=front.name, image=self.layer.name))
        self.title_changed.emit(self.title)
        self.hint.setText(" ".join(sentences))
        self.hint.setVisible(bool(sentences))

    def _offer_to_join(self) -> None:
        """Offer to join the image with its other phase, unless each phase has several channels."""
        layer = self.layer if len(self.channels) == 1 else None
        others = [] if layer is None else other_phases(self._viewer, layer)
        self._other, self._cannot_join = None, ""
        if layer is not None and len(others) > 1:
            self._cannot_join = MANY_PHASES.format(count=len(others), image=layer.name)
        elif layer is not None and others:
            names = {"image": layer.name, "other": others[0].name}
            if are_on_one_grid(layer, others[0]):
                self._other = others[0]
                self.join_button.set_title(JOIN.format(**names))
                self.join_button.setToolTip(JOIN_HELP.format(**names))
            else:
                self._cannot_join = CANNOT_JOIN.format(**names)
        self.join_button.setVisible(self._other is not None)

    def _join(self) -> None:
        assert self.layer is not None
        assert self._other is not None
        geometry = self.geometry()
        assert geometry is not None
        join_phases(self._viewer, self.layer, self._other, spacing=geometry.given_spacing)
        # ED and ES are what the phases were joined for.
        if self.phases.model().item(ED_ES).isEnabled():
            self.phases.setCurrentIndex(ED_ES)

    def _on_phases_changed(self, index: int) -> None:
        self.phase_numbers.setVisible(index == THESE)
        self._show_hint()

    def _phases_title(self) -> str:
        choice = self.phases.currentIndex()
        assert self.layer is not None
        if choice != THESE:
            return PHASES_TITLES[choice]
        try:
            return phase_names(self._chosen_phases(self.layer) or ())
        except AppError:
            return PHASES_TITLES[THESE]

    def _chosen_phases(self, layer: Image) -> tuple[int, ...] | None:
        if layer.ndim == 3:
            return None
        choice = self.phases.currentIndex()
        if choice == ED_ES:
            return None if self._known is None else tuple(dict.fromkeys(self._known))
        if choice == CURRENT:
            return (current_phase(self._viewer, layer),)
        count = layer_voxels(layer).shape[0]
        if choice == ALL:
            return tuple(range(1, count + 1))
        return parse_phase_numbers(self.phase_numbers.text(), count)


def _spacing_hint(layer: Image) -> str:
    """Return what is wrong with the voxel size of a layer, "" if nothing is."""
    geometry = layer_geometry(layer)
    spacing = layer_spacing(layer)
    if spacing is None:
        return CHECK_SPACING
    shape = layer_voxels(layer).shape
    # Programs that swap the axes of a file may leave its header as it was.
    if contradicts_shape(shape, spacing):
        return CONTRADICTORY_SPACING.format(shape=" × ".join(map(str, shape[-3:])))
    if spacing == NO_SPACING:
        return UNIT_SPACING
    if geometry is None or geometry.other_spacing is None:
        return ""
    pixdim = " × ".join(f"{step:.4g}" for step in geometry.other_spacing)
    return TWO_SPACINGS.format(pixdim=pixdim)


class SpacingRow(QWidget):
    """Three lengths in mm, between slices (z), rows (y) and columns (x)."""

    def __init__(self) -> None:
        super().__init__()
        row = row_layout(self)
        self.boxes = [QDoubleSpinBox() for _ in range(3)]
        for box, axis in zip(self.boxes, "zyx", strict=True):
            box.setDecimals(3)
            # The wheel over a box scrolls the dock; it must not change a length unseen.
            box.installEventFilter(WheelGuard(box))
            # In some languages Qt takes the point or comma for thousands, so that 1,5 mm became 15
            # mm.
            DecimalKeys(box)
            box.setRange(0.001, 1000.0)
            box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            box.setStyleSheet(NARROW)
            box.setToolTip(f"Distance between voxels along {axis} in mm.")
            row.addWidget(QLabel(axis))
            row.addWidget(box, 1)

    def set_value(self, spacing: Sequence[float]) -> None:
        """Show (z, y, x) in mm."""
        for box, step in zip(self.boxes, spacing, strict=True):
            box.setValue(abs(float(step)))

    def shows(self, spacing: Spacing) -> bool:
        """Return whether these lengths are shown, as far as the boxes have decimals."""
        return all(
            abs(box.value() - step) <= 0.5 * 10 ** -box.decimals()
            for box, step in zip(self.boxes, spacing, strict=True)
        )

    def value(self) -> Spacing:
        """Return (z, y, x) in mm."""
        z, y, x = (float(box.value()) for box in self.boxes)
        return z, y, x


SOURCE_NAMES: Final = "{first} and {second}"
"""Name of the image in reports."""
SAME_SCALE: Final = 2.0
"""Ratio up to which two ranges of intensities can be seen at one brightness."""


def other_phases(viewer: Any, image: Image) -> list[Image]:
    """Return the other phases of the heart in the 3D ``image``; one alone can be joined with it.

    They are the other 3D images from the same folder whose names differ only in the phase. If the
    image is joined already, or is open twice, there are none.
    """
    case, source = layer_case(image), layer_source(image)
    if image.ndim != 3 or source is None or not examination_of(case):
        return []
    others: dict[Image, str] = {}
    for layer in filter(is_segmentable, viewer.layers):
        path = layer_source(layer)
        # Files of two patients often have the same names, so only one folder counts.
        if layer is image or path is None or path.parent != source.parent:
            continue
        if case in layer_phase_cases(layer):
            return []
        if examination_of(layer_case(layer)) == examination_of(case):
            others[layer] = layer_case(layer)
    return [] if case in others.values() else list(others)


def are_on_one_grid(image: Image, other: Image) -> bool:
    """Return whether the files of both layers have one grid, whatever voxel size was given."""
    first, second = (layer_geometry(layer) for layer in (image, other))
    if first is None or second is None:
        return False
    return replace(first, given_spacing=None).same_grid(replace(second, given_spacing=None))


def join_phases(
    viewer: Any, image: Image, other: Image, *, spacing: Spacing | None = None
) -> Image:
    """Add both phases as one layer in front of them, ED first, and return it.

    ``spacing`` (z, y, x) in mm is the one given by the user in place of that of the header.
    """
    first, second = sorted((image, other), key=lambda layer: phase_order(layer_case(layer)))
    geometry, source = layer_geometry(first), layer_source(first)
    assert geometry is not None
    assert source is not None
    cases = layer_case(first), layer_case(second)
    voxels = layer_voxels(first), layer_voxels(second)
    volume = Volume(
        voxels=np.stack([voxels[0], _on_scale_of(*voxels)]),
        geometry=replace(geometry.with_phases(2), given_spacing=spacing),
        # Not a file, so the study keeps the voxels.
        source=source.with_name(SOURCE_NAMES.format(first=cases[0], second=cases[1])),
        notes=tuple(n for layer in (first, second) for n in bayes_metadata(layer).get("notes", ())),
        doubt=bayes_metadata(first).get("doubt") or bayes_metadata(second).get("doubt"),
        patient=layer_patient(first).joined_with(layer_patient(second)),
    )
    data, attributes, kind = layer_data(volume, case=examination_of(cases[0]))
    attributes["metadata"]["bayes"][PHASE_CASES] = cases
    joined = add_image(viewer, (data, attributes, kind))
    assert isinstance(joined, Image)
    viewer.layers.selection.active = joined
    bring_to_front(viewer, joined)
    return joined


def _on_scale_of(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Return the second phase, with the intensities of the first if theirs differ greatly.

    Both are seen at one brightness, and networks normalize each phase.
    """
    (low, high), (own_low, own_high) = image_window(first), image_window(second)
    width, own = high - low, own_high - own_low
    if min(width, own) <= 0 or 1 / SAME_SCALE <= own / width <= SAME_SCALE:
        return second
    return np.asarray((second - own_low) * (width / own) + low, dtype=np.float32)
