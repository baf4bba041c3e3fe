"""Counter that stands in for the bars of nnU-Net."""

from nnunetv2.preprocessing.preprocessors import default_preprocessor

from napari_bayes_nnunet.nnunet.case_progress import counting_cases


def test_bars_of_nnunet_are_counted_and_restored():
    original, seen = default_preprocessor.tqdm, []
    with counting_cases(lambda *counts: seen.append(counts)):
        bar = default_preprocessor.tqdm(desc="Preprocessing cases", total=2, disable=True)
        with bar as pbar:
            pbar.update()
            pbar.update()
    assert seen == [("preprocessed", done, 2) for done in (0, 1, 2)]
    assert default_preprocessor.tqdm is original
