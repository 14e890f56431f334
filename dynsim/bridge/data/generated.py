"""A small set of images that is made and not read, so that everything can be tried where no data are.

Each class has a pattern of coloured stripes: its own direction, width and two colours. An image shows it shifted, in a
random brightness, with noise.
"""

import numpy as np

from dynsim.bridge.data.images import ImageSet

PIXEL_NOISE = 40.0  # standard deviation in steps of brightness, of which there are 256
LIGHT_RANGE = 0.35  # largest relative change of brightness


def generated_images(n_per_class: int, n_classes: int = 10, side: int = 16, seed: int = 0) -> ImageSet:
    """Return `n_per_class` images of each class, in a random order; the patterns are the same for all seeds.

    Returns:
        uint8 pixels of shape (image, side, side, 3) and their labels.
    """
    random = np.random.RandomState(seed)
    labels = random.permutation(np.repeat(np.arange(n_classes), n_per_class))
    rows, columns = np.mgrid[:side, :side] / side
    of_class = np.arange(n_classes)
    angle, waves = np.pi * of_class / n_classes, 1.5 + of_class % 3
    shift = random.uniform(0, 2 * np.pi, len(labels))
    across = rows * np.cos(angle)[:, None, None] + columns * np.sin(angle)[:, None, None]
    wave = np.sin(2 * np.pi * waves[labels, None, None] * across[labels] + shift[:, None, None])
    patterns = np.random.RandomState(n_classes)  # colours belong to the classes and not to the draw
    first, second = patterns.uniform(60, 200, (2, n_classes, 3))
    share = (1 + wave[..., None]) / 2
    clean = share * first[labels, None, None] + (1 - share) * second[labels, None, None]
    light = 1 + random.uniform(-LIGHT_RANGE, LIGHT_RANGE, (len(labels), 1, 1, 1))
    noisy = clean * light + PIXEL_NOISE * random.standard_normal(clean.shape)
    return ImageSet(np.clip(noisy, 0, 255).astype(np.uint8), labels.astype(np.int64), None, n_classes)
