"""Examples made while a network learns from others."""

import threading
import time

import numpy as np
import pytest

from exitwave.training.examples import MadeExamples, hold

NAMES = [f"image-{place}" for place in range(200)]
ORDER = np.array_split(np.random.default_rng(0).permutation(200), 40)


class Maker:
    """Makes examples that say where they stand, and counts what is made."""

    def __init__(self):
        self.started = self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def __call__(self, places):
        with self.lock:
            self.started += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.001)
        with self.lock:
            self.at_once -= 1
        return np.broadcast_to(places[:, None, None], (len(places), 2, 2)).astype(np.float32), places % 7


@pytest.mark.parametrize("threads", [1, 4])
def test_batches_come_in_their_order_and_no_more_threads_make_them_than_are_allowed(threads):
    make = Maker()
    found = list(MadeExamples(NAMES, make, threads).batches(ORDER))
    for places, (inputs, targets) in zip(ORDER, found, strict=True):
        np.testing.assert_array_equal(inputs[:, 1, 1], places)
        np.testing.assert_array_equal(targets, places % 7)
    assert 1 <= make.most_at_once <= threads


def test_few_batches_are_made_ahead_of_the_one_that_is_used():
    make = Maker()
    for used, _ in enumerate(MadeExamples(NAMES, make, 2).batches(ORDER)):
        time.sleep(0.002)
        assert make.started <= used + 4


def test_batches_that_are_no_longer_wanted_are_not_made():
    make = Maker()
    batches = MadeExamples(NAMES, make, 2).batches(ORDER)
    next(batches)
    batches.close()
    assert make.started <= 4


def test_an_error_of_a_thread_is_raised_where_its_batch_is_used():
    def make(places):
        if 13 in places:
            raise ValueError("image-13")
        return places.astype(np.float32), places

    with pytest.raises(ValueError, match="image-13"):
        list(MadeExamples(NAMES, make, 3).batches(ORDER))


def test_held_examples_are_those_that_were_made():
    examples = MadeExamples(NAMES, Maker(), 2)
    held = hold(examples)
    for ours, theirs in zip(held.batches(ORDER), examples.batches(ORDER), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
