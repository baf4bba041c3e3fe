"""Order of passes over the modes of a posterior."""

from napari_bayes_nnunet.app.segmentation.methods import interleaved


def test_modes_alternate_from_their_ends():
    assert interleaved("aaabbc") == [5, 4, 2, 3, 1, 0]


def test_the_first_passes_keep_their_order_alone():
    modes = "aaaabbbccc"
    order = interleaved(modes)
    for done in range(1, len(modes)):
        made = sorted(order[:done])
        again = interleaved([modes[index] for index in made])
        assert [made[index] for index in again] == order[:done]
