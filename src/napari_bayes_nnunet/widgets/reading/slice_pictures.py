"""Small pictures of the slices of a study: the heart and the contours of its structures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, QSizeF, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

from ...app.report.pictures import MARGIN_MM, crop_around
from ...app.review.session import ReviewSession
from ...core.editing.closed_curve import Points
from ...core.heart.structures import structure_colors
from ...core.types import Mask, Place
from ..common.grey import grey_image, grey_levels
from ..layers.viewing import PlaneOrientation, index_of

CROP_MARGIN_MM: Final = 6.0
"""Width of the band around the heart, so that contours that were moved outwards stay in sight."""
CONTOUR_WIDTH_PX: Final = 1.3
BETWEEN: Final = QColor(255, 255, 255, 150)
"""Colour of what changes between two contours."""
FEWEST_CONTOUR_POINTS: Final = 12
"""Number of points that a small contour keeps."""


@dataclass(frozen=True, eq=False)
class SlicePicture:
    """Crop of one slice as it is seen on the screen.

    ``grey`` is (h, w), uint8. ``contours`` are pairs of label and closed (m, 2) points (y, x) from
    0 to 1 across the picture; those of structures outside the crop lie beyond. ``labels`` are a
    copy of the (Y, X) labels that are drawn.
    """

    grey: NDArray[np.uint8]
    contours: tuple[tuple[int, Points], ...]
    labels: NDArray[Any]


class SlicePictures:
    """Pictures of the slices of one session, all of the same part.

    They show the heart, as the zoom to the heart does, or what lies ``around`` a (Y, X) mask, as
    the pictures of the report do. ``voxels`` are the (Z, Y, X) or (T, Z, Y, X) image, ``window``
    the intensities to show as black and white. ``colors`` are those of the labels.
    """

    def __init__(
        self,
        session: ReviewSession,
        voxels: Any,
        window: tuple[float, float],
        orientation: PlaneOrientation,
        *,
        around: Mask | None = None,
    ) -> None:
        self._session = session
        self._voxels = voxels
        self._window = window
        self._orientation = orientation
        self.colors = structure_colors(session.structures)
        mask, margin = (session.heart, CROP_MARGIN_MM) if around is None else (around, MARGIN_MM)
        self._crop = crop_around(mask, session.spacing[1:], margin_mm=margin)

    @property
    def aspect(self) -> float:
        """Width of a picture divided by its height, on the screen."""
        rows, columns = self._crop
        height = float(rows.stop - rows.start) * self._session.spacing[1]
        width = float(columns.stop - columns.start) * self._session.spacing[2]
        return height / width if self._orientation.transposed else width / height

    def draw(self, place: Place, labels: NDArray[Any] | None = None) -> SlicePicture:
        """Return the picture of a slice with these (Y, X) labels, by default as they are now."""
        session = self._session
        # Labels are edited in place, so the array itself would always look current.
        labels = (session.labels_in(place) if labels is None else labels).copy()
        contours = [
            (label, self._turn_points(points))
            for label, loops in session.contours_in(place, labels).items()
            for points in loops
        ]
        return SlicePicture(self._grey(place), tuple(contours), labels)

    def is_current(self, place: Place, picture: SlicePicture) -> bool:
        """Return whether the labels of a slice are those of its picture."""
        return np.array_equal(self._session.labels_in(place), picture.labels)

    def _grey(self, place: Place) -> NDArray[np.uint8]:
        grey = grey_levels(self._voxels[index_of(place)][self._crop], self._window)
        orientation = self._orientation
        grey = grey.T if orientation.transposed else grey
        grey = grey[::-1] if orientation.is_upside_down else grey
        grey = grey[:, ::-1] if orientation.is_mirrored else grey
        # A QImage reads the rows of an array one after the other.
        return np.ascontiguousarray(grey)

    def _turn_points(self, points: Points) -> Points:
        """Return voxel coordinates as shares of the picture; voxels reach from −½ to ½."""
        start = np.array([part.start for part in self._crop])
        size = np.array([part.stop for part in self._crop]) - start
        shares = (points - start + 0.5) / size
        orientation = self._orientation
        shares = shares[:, ::-1] if orientation.transposed else shares
        flipped = np.array([orientation.is_upside_down, orientation.is_mirrored])
        turned: Points = np.where(flipped, 1 - shares, shares)
        return turned


def render_picture(
    picture: SlicePicture,
    size: QSize,
    colors: Mapping[int, str],
    *,
    ratio: float,
    before: SlicePicture | None = None,
) -> QPixmap:
    """Return a picture of ``size`` px with its contours, for a screen with a device pixel ratio.

    What lies between these and the contours of ``before`` is bright.
    """
    pixmap = QPixmap(size * ratio)
    pixmap.setDevicePixelRatio(ratio)
    painter = QPainter(pixmap)
    paint_picture(painter, QRectF(QPointF(), QSizeF(size)), picture, colors, before=before)
    painter.end()
    return pixmap


def paint_picture(
    painter: QPainter,
    place: QRectF,
    picture: SlicePicture,
    colors: Mapping[int, str],
    *,
    before: SlicePicture | None = None,
) -> None:
    """Paint a picture with its contours, and bright what lies between them and ``before``."""
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.drawImage(place, grey_image(picture.grey))
    contours = _outlines(picture, place)
    if before is not None:
        earlier = _outlines(before, place)
        for label in colors:
            # Odd-even filling leaves out what lies within both.
            both = QPainterPath(contours.get(label, QPainterPath()))
            both.addPath(earlier.get(label, QPainterPath()))
            painter.fillPath(both, BETWEEN)
    for label, outline in contours.items():
        pen = QPen(QColor(colors[label]), CONTOUR_WIDTH_PX)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(outline, pen)


def _outlines(picture: SlicePicture, place: QRectF) -> dict[int, QPainterPath]:
    """Return label → its contours, px."""
    outlines: dict[int, QPainterPath] = {}
    for label, points in picture.contours:
        curve = thin_out(points[:, ::-1] * (place.width(), place.height()))
        curve += (place.x(), place.y())
        outline = outlines.setdefault(label, QPainterPath())
        outline.addPolygon(QPolygonF([QPointF(x, y) for x, y in curve.tolist()]))
        outline.closeSubpath()
    return outlines


def thin_out(curve: Points) -> Points:
    """Return a closed curve with points about 1 px apart; Qt needs 1 ms for 600 points."""
    length = np.hypot(*np.diff(curve, axis=0, append=curve[:1]).T).sum()
    step = int(min(len(curve) / max(length, 1), len(curve) / FEWEST_CONTOUR_POINTS))
    return curve[:: max(step, 1)]
