"""The pictures that stand for photographs in the figure of random views."""

import numpy as np

from experiments.cifar.scenes import SCENES, scenes


def test_pictures_are_the_same_each_time_and_all_different():
    pictures = scenes()
    assert pictures.dtype == np.uint8 and pictures.shape == (len(SCENES), 32, 32, 3)
    np.testing.assert_array_equal(scenes(), pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(SCENES)
    # no picture is one flat colour, or grey: views change colours as well
    assert pictures.reshape(len(SCENES), -1, 3).std(axis=1).max(axis=1).min() > 20
    assert np.ptp(pictures, axis=3).mean(axis=(1, 2)).min() > 20
