"""How features of classes lie, by hand calculation."""

import numpy as np

from dynsim.bridge.measure.geometry import class_geometry


def test_compactness_and_margin_by_hand():
    root = np.sqrt(0.5)
    features = np.array([[2.0, 0, 0], [0, 3, 0], [0, 0, 1], [0, 0, 5]])
    found = class_geometry(features, np.array([0, 0, 2, 2]), 4)
    # the mean of class 0 lies half way between its two directions; class 2 points one way, at a right angle to it
    np.testing.assert_allclose(found.compactness, [root, np.nan, 1, np.nan], rtol=1e-12)
    np.testing.assert_allclose(found.margin, [90, np.nan, 90, np.nan], rtol=1e-12)


def test_margin_is_the_angle_to_the_nearest_mean():
    angles = np.radians([0.0, 30.0, 150.0])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = class_geometry(7 * features, np.arange(3), 3)
    np.testing.assert_allclose(found.margin, [30, 30, 120], rtol=1e-9)


def test_one_class_has_no_margin():
    found = class_geometry(np.eye(2), np.zeros(2, np.int64), 1)
    assert np.isnan(found.margin[0]) and 0.7 < found.compactness[0] < 0.71
