"""Eqs. 2 and 3 on NumPy arrays and torch tensors: sums against all members at once."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.ensemble.posterior import (
    Array,
    RunningPosterior,
    apply_temperature,
    entropy,
    most_probable,
)

from ...helpers.checks.problems import says

MakeArray = Callable[[NDArray[Any]], Array]


@pytest.fixture(scope="module", params=["numpy", "torch"])
def array(request):
    """Return a function that turns a NumPy array into the kind of array under test."""
    if request.param == "numpy":
        return np.array
    torch = pytest.importorskip("torch")

    def tensor(values: NDArray[Any]) -> Array:
        return torch.tensor(values)

    return tensor


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def members(n: int, shape: tuple[int, ...] = (4, 3, 5, 6)) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(n)
    return [softmax(3 * rng.normal(size=shape)) for _ in range(n)]


def posterior_of(probabilities: list[NDArray[np.float32]], array: MakeArray) -> RunningPosterior:
    posterior = RunningPosterior()
    for p in probabilities:
        posterior.add(array(p))
    return posterior


def exact_entropy(p: NDArray[Any]) -> NDArray[np.float64]:
    p = p.astype(np.float64)
    return np.asarray(-np.sum(p * np.log2(np.where(p > 0, p, 1)), axis=0))


def assert_posterior_of(found: RunningPosterior, all_members: list[NDArray[Any]]) -> None:
    """Compare all maps with those of all members at once."""
    every = np.asarray(all_members, np.float64)
    mean = every.mean(axis=0)
    total = exact_entropy(mean)
    expected = np.mean([exact_entropy(p) for p in every], axis=0)
    variance = every.var(axis=0).sum(axis=0)
    assert found.count == len(all_members)
    np.testing.assert_allclose(found.mean(), mean, atol=1e-6)
    np.testing.assert_array_equal(found.labels(), mean.argmax(axis=0))
    np.testing.assert_allclose(found.total_entropy(), total, atol=5e-6)
    np.testing.assert_allclose(found.expected_entropy(), expected, atol=5e-6)
    np.testing.assert_allclose(found.mutual_information(), total - expected, atol=1e-5)
    np.testing.assert_allclose(found.variance(), variance, atol=1e-6)


@settings(max_examples=25)
@given(
    st.integers(1, 30),
    st.integers(0, 30),
    st.sampled_from([(2, 1), (4, 7), (3, 4, 5), (4, 2, 3, 4, 5)]),
)
def test_running_sums_are_those_of_all_members_at_once(array, count, kept, shape):
    """Members may be added, or join the sums of earlier ones."""
    all_members = members(count, shape)
    half = posterior_of(all_members[:kept], array)
    posterior = RunningPosterior(
        probability_sum=half.probability_sum,
        entropy_sum=half.entropy_sum,
        square_sum=half.square_sum,
        count=half.count,
    )
    for p in all_members[kept:]:
        posterior.add(array(p))
    assert_posterior_of(posterior, all_members)
    member, variance = array(all_members[0]), np.asarray(posterior.variance())
    posterior.temperature = 3.0
    np.testing.assert_array_equal(posterior.variance(), variance)
    for result in (posterior.mean(), posterior.total_entropy(), posterior.mutual_information()):
        assert type(result) is type(member)
        assert result.dtype == member.dtype
    labels = posterior.labels()
    assert type(labels) is type(member)
    assert np.asarray(labels).dtype == np.uint8


def test_softmax_is_averaged_not_logits(array):
    """Logits (12,0,0,0) and (0,3,0,0): p_max 0.522 by Eq. 2, 0.984 by the mean of the logits."""
    logits = np.array([[12.0, 0, 0, 0], [0, 3.0, 0, 0]])[..., np.newaxis]
    posterior = posterior_of([softmax(z) for z in logits], array)
    assert float(posterior.mean().max()) == pytest.approx(0.522, abs=5e-4)


def test_one_member_is_passed_through_exactly(array):
    (member,) = members(1)
    posterior = posterior_of([member], array)
    np.testing.assert_array_equal(posterior.mean(), member)
    np.testing.assert_array_equal(posterior.mutual_information(), 0)
    np.testing.assert_array_equal(posterior.variance(), 0)
    np.testing.assert_array_equal(posterior.total_entropy(), posterior.expected_entropy())


def test_half_precision_members_are_summed_in_single(array):
    half = [p.astype(np.float16) for p in members(30)]
    posterior = posterior_of(half, array)
    assert np.asarray(posterior.mean()).dtype == np.float32
    assert_posterior_of(posterior, half)


def test_a_member_is_neither_changed_nor_kept(array):
    member = array(members(1)[0])
    before = np.asarray(member).copy()
    posterior = RunningPosterior()
    posterior.add(member)
    posterior.add(array(members(2)[0]))
    np.testing.assert_array_equal(member, before)
    gone = weakref.ref(member)
    del member
    gc.collect()
    assert gone() is None


def reads(posterior: RunningPosterior) -> list[Callable[[], Array]]:
    return [
        posterior.mean,
        posterior.labels,
        posterior.total_entropy,
        posterior.expected_entropy,
        posterior.mutual_information,
    ]


def test_memory_does_not_grow_with_the_members(array):
    def size(posterior: RunningPosterior) -> int:
        arrays = (value for value in vars(posterior).values() if hasattr(value, "nbytes"))
        return sum(int(value.nbytes) for value in arrays)

    sums = (4 + 2) * 3 * 5 * 6 * 4
    assert size(posterior_of(members(1), array)) == sums
    assert size(posterior_of(members(30), array)) == sums


def test_no_members_no_posterior():
    for read in reads(RunningPosterior()):
        with pytest.raises(InputError):
            read()


def test_another_shape_is_refused_and_leaves_the_sums(array):
    posterior = posterior_of(members(2), array)
    before = np.asarray(posterior.probability_sum).copy()
    # (4, 1, 1, 6) would be broadcast silently.
    for shape in ((4, 3, 5, 7), (4, 1, 1, 6), (3, 3, 5, 6)):
        with pytest.raises(InputError, check=says(found=shape)):
            posterior.add(array(members(1, shape)[0]))
    assert posterior.count == 2
    np.testing.assert_array_equal(posterior.probability_sum, before)


@pytest.mark.parametrize("value", [0.0, 12.0, float("nan"), float("inf")])
def test_what_are_no_probabilities_is_refused(array, value):
    posterior = RunningPosterior()
    with pytest.raises(InputError):
        posterior.add(array(np.full((4, 2, 3, 3), value, np.float32)))
    assert posterior.count == 0


@pytest.mark.parametrize(
    ("probabilities", "bits"),
    [
        ([1, 0, 0, 0], 0.0),
        ([0.5, 0.5, 0, 0], 1.0),
        ([0.25, 0.25, 0.25, 0.25], 2.0),
        ([0.5, 0.25, 0.25, 0], 1.5),
        ([1 / 3, 1 / 3, 1 / 3], np.log2(3)),
        ([0.9, 0.1], 0.468996),
        ([1 - 1e-30, 1e-30], 0.0),
        ([1.0, 1e-45], 0.0),
    ],
)
def test_entropy_in_bit(array, probabilities, bits):
    found = entropy(array(np.array(probabilities, np.float32)[:, np.newaxis]))
    assert found.tolist() == pytest.approx([bits], abs=1e-6)


def test_most_probable_refuses_more_than_256_classes(array):
    assert most_probable(array(np.eye(256, dtype=np.float32)))[255] == 255
    with pytest.raises(InputError, check=says(count=257)):
        most_probable(array(np.eye(257, dtype=np.float32)))


def test_tempered_is_the_softmax_of_divided_logits():
    logits = np.random.default_rng(0).normal(0, 4, size=(4, 3, 5, 6))
    soft = np.exp(logits / 1.5) / np.exp(logits / 1.5).sum(axis=0)
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    np.testing.assert_allclose(apply_temperature(p, 1.5), soft, rtol=1e-10)
    assert apply_temperature(p, 1) is p
    coldest = apply_temperature(p.astype(np.float32), 1e-9)
    np.testing.assert_array_equal(coldest, p == p.max(axis=0))
    certain = np.array([[1.0], [0.0]])
    np.testing.assert_array_equal(apply_temperature(certain, 2), certain)


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf])
def test_a_temperature_is_above_0(temperature):
    with pytest.raises(InputError) as error:
        apply_temperature(np.full((2, 3), 0.5), temperature)
    assert error.value.values["temperature"] is temperature


def test_a_temperature_calibrates_the_pool(array):
    members = np.random.default_rng(2).dirichlet(np.ones(3), size=(2, 20)).transpose(0, 2, 1)
    members = members.astype(np.float32)
    plain, soft = RunningPosterior(), RunningPosterior(temperature=2)
    for member in members:
        for posterior in (plain, soft):
            posterior.add(array(member))
    expected = np.sqrt(members.mean(axis=0))
    expected /= expected.sum(axis=0)
    np.testing.assert_allclose(np.asarray(soft.mean()), expected, atol=1e-6)
    np.testing.assert_allclose(
        np.asarray(soft.total_entropy()), np.asarray(entropy(expected)), atol=1e-5
    )
    for measure in (RunningPosterior.labels, RunningPosterior.mutual_information):
        np.testing.assert_array_equal(np.asarray(measure(soft)), np.asarray(measure(plain)))


def test_outside_of_a_box_further_members_change_nothing(array):
    members = np.random.default_rng(3).dirichlet(np.ones(4), size=(5, 2, 6, 7))
    members = np.moveaxis(members, -1, 1).astype(np.float32)
    box = (slice(0, 2), slice(1, 4), slice(2, 7))
    first, every, mixed = RunningPosterior(), RunningPosterior(), RunningPosterior()
    for index, member in enumerate(members):
        every.add(array(member))
        if index < 2:
            first.add(array(member))
            mixed.add(array(member))
        else:
            mixed.add(array(member[(slice(None), *box)]), box)
    assert mixed.count == 5
    for measure in (
        RunningPosterior.mean,
        RunningPosterior.total_entropy,
        RunningPosterior.expected_entropy,
        RunningPosterior.mutual_information,
        RunningPosterior.labels,
        RunningPosterior.variance,
    ):
        expected = np.asarray(measure(first)).copy()
        expected[(..., *box)] = np.asarray(measure(every))[(..., *box)]
        np.testing.assert_allclose(np.asarray(measure(mixed)), expected, atol=2e-6)


def test_a_box_needs_members_before_and_its_own_shape(array):
    member = array(np.full((2, 1, 3, 3), 0.5, np.float32))
    box = (slice(0, 1), slice(0, 2), slice(0, 2))
    posterior = RunningPosterior()
    with pytest.raises(InputError):
        posterior.add(member, box)
    posterior.add(member)
    # The last two would be broadcast silently.
    for wrong in (member, member[:, :, :1, :2], array(np.ones((1, 1, 2, 2), np.float32))):
        with pytest.raises(InputError, check=says(expected=(2, 1, 2, 2), found=tuple(wrong.shape))):
            posterior.add(wrong, box)
    assert posterior.count == 1
    np.testing.assert_array_equal(posterior.probability_sum, member)
