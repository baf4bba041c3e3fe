"""Files, page, figures and shown cases of an evaluation report."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from napari_bayes_nnunet.app.evaluation import figures
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation, evaluate_methods
from napari_bayes_nnunet.app.evaluation.example_cases import (
    ShownCase,
    ShownMethod,
    case_pictures,
    chosen_cases,
    shown_cases,
)
from napari_bayes_nnunet.app.evaluation.figures import (
    FIGURE_WIDTH,
    TITLE_SIZE,
    entropy_picture,
    reliability_picture,
    risk_coverage_picture,
)
from napari_bayes_nnunet.app.evaluation.measures import CASE_SCORES
from napari_bayes_nnunet.app.evaluation.output_files import evaluation_page, evaluation_text
from napari_bayes_nnunet.app.evaluation.tables import (
    METHODS_DIFFER,
    NOT_RECORDED,
    describe_methods,
    report_table,
)
from napari_bayes_nnunet.app.report.figures import DPI
from napari_bayes_nnunet.app.report.number_warnings import GRIDS_DIFFER, NO_STROKE
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image

from ...helpers.checks.pages import Page
from ...helpers.data.evaluations import (
    SHAPE,
    SPACING,
    answer,
    heart,
    made_case,
    made_method,
    name_labels,
    other_method,
    write_answer,
    write_reference,
)
from ...helpers.data.folders import finish

pytestmark = pytest.mark.usefixtures("few_resamples")
PNG = b"\x89PNG\r\n\x1a\n"
NOTHING = {"probabilities": None, "entropy": None, "mutual_information": None}


@pytest.fixture(scope="module")
def methods() -> list[MethodEvaluation]:
    return [made_method("multi <n = 3>"), other_method()]


@pytest.fixture(scope="module")
def bare() -> list[MethodEvaluation]:
    """Return a method with labels only."""
    cases = [made_case(n, **NOTHING, pairwise_dice=None) for n in (1, 2)]
    return [MethodEvaluation(name="labels", cases=tuple(cases), notes=("Nothing was saved.",))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write ``multi``, ``vanilla`` and ``labelsTr`` of four patients, ``imagesTr`` of three."""
    folder = tmp_path_factory.mktemp("folders")
    for n in range(1, 5):
        case = f"p{n}_frame01"
        write_answer(folder / "multi", case, answer(n))
        write_answer(folder / "vanilla", case, answer(n, count=1))
        write_reference(folder / "labelsTr", case, heart())
        if n < 4:
            (folder / "imagesTr").mkdir(exist_ok=True)
            image = (100 * heart() + n).astype(np.int16)
            file = folder / "imagesTr" / f"{case}_0000.nii.gz"
            write_image(file, image, make_geometry(SHAPE, SPACING))
    name_labels(folder)
    return folder


@pytest.fixture(scope="module")
def evaluated(folders: Path) -> tuple[MethodEvaluation, ...]:
    two = {name: folders / name for name in ("multi", "vanilla")}
    return finish(evaluate_methods(two, folders / "labelsTr"))[1]


@pytest.fixture(scope="module")
def page(methods: list[MethodEvaluation]) -> Page:
    return Page(evaluation_page(methods, []))


def test_page_has_every_table_and_figure(page):
    assert page.outside == []
    assert len(page.pictures) == 3
    assert all(picture["alt"] and picture["src"].startswith("data:") for picture in page.pictures)
    assert len(page.titles) == 9
    assert [title[:7] for title in page.titles[2:4]] == ["Table 1", "Table 2"]
    assert "multi <n = 3>" in page.titles[4]
    assert "<n = 3>" not in page.source
    assert page.text.count("By vendor") == 2
    assert "use" in page.classes


def test_page_has_the_numbers_of_its_tables(methods, page):
    assert len(page.tables) == 12
    table = report_table(methods, "dice")
    cells = table.rows[0][1]
    assert page.tables[0] == [
        ["", "All (6 volumes)"],
        ["Method", "RV", "MYO", "LV", "Mean"],
        ["multi <n = 3>", *(f"{c.value} {c.deviation} {c.interval}" for c in cells)],
        ["vanilla", *(f"{c.value} {c.deviation} {c.interval}" for c in table.rows[1][1])],
    ]
    assert "<b>" + cells[3].value + "</b>" in page.source
    assert f"Best Dice {cells[3].value} multi <n = 3> · {cells[3].interval}" in page.text


@pytest.mark.parametrize("draw", [reliability_picture, risk_coverage_picture, entropy_picture])
def test_figure_fits_any_number_of_methods(methods, bare, draw):
    """Dollars in a name are no mathematics."""
    many = [replace(methods[n % 2], name=rf"$\foo$ {n}") for n in range(9)]
    for png in map(draw, (methods[:1], many)):
        assert png.startswith(PNG)
        assert int.from_bytes(png[16:20]) <= FIGURE_WIDTH * DPI + 1
    assert draw(bare) is None
    assert draw([bare[0], methods[0]]).startswith(PNG)


def test_a_long_legend_leaves_the_panels_their_room(methods, monkeypatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, "encode_png", lambda figure: drawn.append(figure) or PNG)
    for count in (2, 30):
        risk_coverage_picture(
            [replace(methods[n % 2], name=f"{'long ' * 30}{n}") for n in range(count)]
        )
    heights = []
    for figure in drawn:
        figure.draw_without_rendering()
        heights.append(figure.axes[0].bbox.height)
        (legend,) = figure.legends
        assert len(legend.get_texts()) in (2, 30)
        assert legend.get_window_extent().width <= figure.bbox.width
        assert legend.get_window_extent().y1 <= figure.axes[0].bbox.y0
    assert heights[1] == pytest.approx(heights[0], rel=0.1)


def test_no_bar_or_point_hides_a_text(methods, monkeypatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, "encode_png", lambda figure: drawn.append(figure) or PNG)
    reliability_picture(methods)
    entropy_picture(methods[:1])
    figure, of_entropy = drawn
    figure.draw_without_rendering()
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert len(panels) == len(methods)
    for panel in panels:
        texts = [*panel.texts, panel.xaxis.label, panel.title]
        assert "ECE" in panel.get_xlabel()
        bars = [bar.get_window_extent() for bar in panel.patches]
        assert not any(text.get_window_extent().overlaps(bar) for text in texts for bar in bars)
    assert "Spearman" in of_entropy.axes[0].get_xlabel()
    assert not of_entropy.axes[0].texts


def test_titles_fit_above_their_panels_in_one_size(methods, monkeypatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, "encode_png", lambda figure: drawn.append(figure) or PNG)
    names = "multi", "Vanilla (last epoch with restarts)", "n" * 200, "_x", "multi"
    named = [replace(methods[n % 2], name=name) for n, name in enumerate(names)]
    reliability_picture(named)
    risk_coverage_picture(named)
    assert drawn[1].legends
    sizes = set()
    for figure in drawn:
        figure.draw_without_rendering()
        for legend in figure.legends:
            assert legend.get_window_extent().width <= figure.bbox.width
        for panel in (panel for panel in figure.axes if panel.get_visible()):
            sizes.add(panel._left_title.get_fontsize())
            title = panel._left_title.get_window_extent()
            assert title.x1 <= panel.bbox.x1 + 0.3 * DPI  # the gap to the next panel
            assert title.y1 <= figure.bbox.y1
    # Without a calibration no Dice is expected, and there is no failure score.
    assert sum(panel.get_visible() for panel in drawn[1].axes) == len(CASE_SCORES) - 2
    assert sizes == {TITLE_SIZE}


def test_chosen_cases_are_best_and_worst():
    cases = [made_case(n) for n in range(1, 7)]
    order = sorted(cases, key=lambda case: case.number("dice"))
    assert chosen_cases([MethodEvaluation(name="one", cases=tuple(cases))]) == [
        (order[-1].case, True),
        *((case.case, False) for case in order[:3]),
    ]
    of_one = [replace(case, patient="p") for case in cases]
    found = chosen_cases([MethodEvaluation(name="one", cases=tuple(of_one))])
    assert found == [(order[-1].case, True), (order[0].case, False)]
    assert chosen_cases([MethodEvaluation(name="none", cases=())]) == []


def test_shown_case_has_all_methods_and_image(folders, evaluated):
    shown = list(shown_cases(evaluated, folders / "labelsTr"))
    assert [case.is_good for case in shown] == [True, False, False, False]
    for case in shown:
        n = int(case.case.patient[1:])
        assert [method.name for method in case.methods] == ["multi", "vanilla"]
        z = case.z - 1
        given = answer(n)
        np.testing.assert_array_equal(case.reference, heart()[z])
        np.testing.assert_array_equal(case.methods[0].labels, given["labels"][z])
        np.testing.assert_array_equal(case.methods[0].entropy, given["entropy"][z])
        assert case.spacing == pytest.approx(SPACING[1:])
        assert case.slices == SHAPE[0]
        if n == 4:
            assert case.image is None
        else:
            np.testing.assert_array_equal(case.image, 100 * heart()[z] + n)


def test_structure_missing_in_the_reference_is_not_wrong(tmp_path):
    """The references of the others have RV and myocardium."""
    for n in range(1, 4):
        predicted = heart()
        predicted[4] = np.where(heart(shift=n)[4] == 3, 3, 0)  # only this slice is wrong
        write_answer(tmp_path / "multi", f"p{n}", {"labels": predicted})
        reference = heart() if n < 3 else np.where(heart() == 3, 3, 0).astype(np.uint8)
        write_reference(tmp_path / "labels", f"p{n}", reference)
    methods = finish(evaluate_methods({"multi": tmp_path / "multi"}, tmp_path / "labels"))[1]
    shown = {case.case.case: case for case in shown_cases(methods, tmp_path / "labels")}
    assert (shown["p3"].is_good, shown["p3"].z) == (False, 5)
    assert set(np.unique(shown["p3"].methods[0].labels)) == {0, 3}


def test_images_are_read_from_another_folder(folders, evaluated, tmp_path):
    for n in range(1, 5):
        write_image(
            tmp_path / f"p{n}_frame01.nii.gz",
            np.full(SHAPE, 7, np.int16) if n > 1 else np.full((2, *SHAPE[1:]), 7, np.int16),
            make_geometry(SHAPE if n > 1 else (2, *SHAPE[1:]), SPACING),
        )
    (tmp_path / "p2_frame01.nii.gz").write_text("no image")
    shown = list(shown_cases(evaluated, folders / "labelsTr", images=tmp_path))
    assert len(shown) == 4
    for case in shown:
        is_left_out = case.case.patient in ("p1", "p2")  # of another grid, or unreadable
        assert (case.image is None) if is_left_out else (case.image == 7).all()


def test_picture_without_image_entropy_or_heart():
    nothing = np.zeros(SHAPE[1:], np.uint8)
    method = ShownMethod(name="one", labels=nothing, entropy=None, dice=float("nan"))
    about = {"case": made_case(1), "z": 3, "slices": 5, "is_good": True, "spacing": SPACING[1:]}
    case = ShownCase(**about, image=None, reference=nothing, methods=(method,))
    assert all(png.startswith(PNG) for png in case_pictures(case, ["RV", "MYO", "LV"]))


def test_reference_is_never_taken_for_image(folders, evaluated, tmp_path):
    references = tmp_path / "references"
    shutil.copytree(folders / "labelsTr", references)
    shutil.copy(folders / "dataset.json", references)
    assert all(case.image is None for case in shown_cases(evaluated, references))
    for file in list(references.glob("*.nii.gz")):
        file.rename(file.with_name(file.name.replace(".nii.gz", "_gt.nii.gz")))
        image = folders / "imagesTr" / file.name.replace(".nii.gz", "_0000.nii.gz")
        if image.exists():
            shutil.copy(image, file)
    assert any(case.image is not None for case in shown_cases(evaluated, references))


MEMBER = {"epoch": 399, "sha256": "6a"}
MADE_BY = {
    "method": "multi",
    "members": [MEMBER] * 6,
    "mirroring": "full",
    "window": "heart",
    "temperature": 1.38,
    "fitted": True,
}
UNFITTED = {"fitted": False}
VANILLA = {"method": "vanilla", "members": [MEMBER]}


@pytest.fixture(scope="module")
def made_by(methods):
    """``made_by(name, **changes)``: a method whose cases were made with changed settings."""
    return lambda name, **changes: replace(methods[0], name=name, made_by=(MADE_BY | changes,))


def test_page_and_terminal_begin_with_the_settings(blank_figures, methods, made_by) -> None:
    compared = [made_by("multi"), made_by("vanilla", **VANILLA, temperature=1.61)]
    same = "mirroring full, window heart, largest component off"
    lines = [
        f"multi: members 6, temperature 1.38, {same}",
        f"vanilla: members 1, temperature 1.61, {same}",
    ]
    assert describe_methods(compared) == (lines, [])  # each has a temperature of its own
    assert evaluation_text(compared).splitlines()[:2] == lines
    page = evaluation_page(compared, [])
    assert all(page.index(line) < page.index("Table 1") for line in lines)
    assert describe_methods(methods)[0][1] == f"vanilla: {NOT_RECORDED}"
    differ = [compared[0], made_by("other", mirroring="none")]
    (sentence,) = describe_methods(differ)[1]
    assert sentence in evaluation_page(differ, [])


@pytest.mark.parametrize(
    ("setting", "changes", "values"),
    [
        ("members", {"members": [MEMBER] * 3}, "multi 6, other 3"),
        ("temperature", VANILLA | {"temperature": 2.0} | UNFITTED, "multi 1.38, other 2.0"),
        ("mirroring", {"mirroring": "none"}, "multi full, other none"),
        ("window", {"window": "whole"}, "multi heart, other whole"),
        ("largest component", {"largest_component": "on"}, "multi off, other on"),
    ],
)
def test_settings_in_which_methods_differ_warn(made_by, setting, changes, values) -> None:
    compared = [made_by("multi"), made_by("other", **changes)]
    sentence = METHODS_DIFFER.format(setting=setting, values=values)
    assert describe_methods(compared)[1] == [sentence]
    assert evaluation_text(compared).splitlines()[2] == sentence


def test_equal_temperatures_that_nobody_fitted_are_fair(made_by) -> None:
    given = {"temperature": 1.5, **UNFITTED}
    compared = [made_by("multi", **given), made_by("other", **VANILLA, **given)]
    assert describe_methods(compared)[1] == []
    other = [compared[0], made_by("other", **VANILLA, temperature=1.2, **UNFITTED)]
    values = "multi 1.5, other 1.2"
    assert describe_methods(other)[1] == [
        METHODS_DIFFER.format(setting="temperature", values=values)
    ]


def test_numbers_that_no_heart_has_warn(blank_figures) -> None:
    """The prediction is larger in the phase whose reference is smaller."""
    small, large = heart(), heart()
    small[large == 3] = np.where(np.arange((large == 3).sum()) % 2, 3, 2)
    labels = {"p1_ED": (small, large), "p1_ES": (large, small)}
    cases = [
        made_case(case=case, labels=drawn, reference=reference)
        for case, (drawn, reference) in labels.items()
    ]
    volumes = [case.number("volume_ml", "LV") for case in cases]
    sentence = NO_STROKE.format(side="LV", edv=volumes[0], esv=volumes[1])
    grids = {"p1_ED": "9 slices", "p1_ES": "8 slices"}
    method = MethodEvaluation(name="multi", cases=tuple(cases), grids=grids)
    assert f"multi: p1_ED: {sentence}" in evaluation_text([method]).splitlines()
    differ = GRIDS_DIFFER.format(grids="9 slices; 8 slices")
    assert f"multi: p1_ED: {differ}" in evaluation_text([method]).splitlines()
    assert sentence in evaluation_page([method], [])
