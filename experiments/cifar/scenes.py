"""Small pictures that are drawn here and look a little like photographs, to show what random views do to images.

Photographs of the data sets are not ours to show. These have what a view changes: shapes, shades, colours and texture.
"""

import numpy as np
from matplotlib.figure import Figure

PICTURE_SIDE, POINTS = 32, 8  # pixels of a picture, and points per pixel on each side, over which it is averaged
SCENES = ("sunset", "boat", "ball", "house", "flower", "fish")
OTHER_RECIPES = ("simclr-blur", "paco-auto", "probe")
N_VIEWS = 4
VIEWS_CAPTION = (
    "What random views do to images. First column: pictures that were drawn for this figure. Then four views of each, "
    "first by the recipe with which the network was trained here, then by others: simclr-blur adds a blur, paco-auto "
    "is the first view of supervised work with AutoAugment and a black square (Cutout), probe is a crop of the padded "
    "image and a flip. All recipes are given the same random numbers, so where two of them draw from the same range, "
    "they cut out the same box and change colours alike."
)


def views_sheet(recipe: str) -> Figure:
    """Return the pictures and their random views, by this recipe and by those that it is compared with."""
    import jax

    from dynsim.bridge.views import RECIPES
    from dynsim.bridge.views.sheet import contact_sheet

    shown = dict.fromkeys((recipe, *OTHER_RECIPES))
    return contact_sheet(jax.random.key(0), scenes(), {name: RECIPES[name] for name in shown}, N_VIEWS, SCENES)


def scenes() -> np.ndarray:
    """Return the pictures by `SCENES`, uint8 of shape (picture, 32, 32, 3)."""
    y, x = (np.mgrid[: PICTURE_SIDE * POINTS, : PICTURE_SIDE * POINTS] + 0.5) / (PICTURE_SIDE * POINTS)
    drawn = [_sunset(x, y), _boat(x, y), _ball(x, y), _house(x, y), _flower(x, y), _fish(x, y)]
    pixels = np.stack(drawn).reshape(len(SCENES), PICTURE_SIDE, POINTS, PICTURE_SIDE, POINTS, 3).mean(axis=(2, 4))
    grain = np.random.RandomState(0).normal(0, 4, pixels.shape)
    return np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)


def _shade(share: np.ndarray, top: tuple[int, ...], bottom: tuple[int, ...]) -> np.ndarray:
    """Return colours that go from one to another with a share from 0 to 1."""
    share = np.clip(share, 0, 1)[..., None]
    return (1 - share) * np.array(top) + share * np.array(bottom)


def _over(picture: np.ndarray, where: np.ndarray, colour: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return np.where(where[..., None], colour, picture)


def _sunset(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    picture = _shade(y / 0.7, (60, 80, 150), (250, 170, 90))
    picture = _over(picture, np.hypot(x - 0.62, y - 0.42) < 0.13, (255, 230, 120))
    picture = _over(picture, y > 0.62 + 0.1 * np.sin(7 * x), _shade((y - 0.55) / 0.4, (90, 70, 110), (50, 40, 70)))
    return _over(picture, y > 0.78 + 0.08 * np.sin(5 * x + 2), _shade((y - 0.7) / 0.3, (40, 90, 50), (20, 50, 30)))


def _boat(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    waves = 12 * np.sin(40 * y + 3 * np.sin(9 * x))
    picture = _over(_shade(y / 0.6, (120, 180, 230), (215, 230, 240)), y > 0.58, (30, 90, 150) + waves[..., None])
    picture = _over(picture, (abs(x - 0.5) < 0.28 - 0.8 * (y - 0.62)) & (y > 0.62) & (y < 0.75), (150, 50, 40))
    picture = _over(picture, (abs(x - 0.48) < 0.012) & (y > 0.15) & (y < 0.62), (70, 50, 30))
    return _over(picture, (x > 0.51) & (x < 0.51 + 0.62 * (y - 0.18)) & (y < 0.57), (245, 240, 225))


def _ball(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squares = (np.floor(9 * x / (0.4 + y)) + np.floor(6 / (y + 0.05))) % 2 > 0
    floor = np.where(squares[..., None], (190, 180, 165), (110, 100, 95))
    picture = _over(_shade(y, (70, 110, 90), (150, 190, 160)), y > 0.55, floor)
    picture = _over(picture, np.hypot((x - 0.52) / 1.6, y - 0.8) < 0.16, (60, 55, 50))
    light = np.hypot(x - 0.36, y - 0.36) / 0.5
    return _over(picture, np.hypot(x - 0.45, y - 0.52) < 0.28, _shade(light, (255, 215, 205), (150, 15, 25)))


def _house(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    picture = _over(_shade(y, (150, 200, 250), (230, 240, 250)), y > 0.72, _shade(y, (150, 190, 80), (60, 110, 40)))
    bricks = 15 * ((np.floor(20 * y) + np.floor(14 * x + 7 * (np.floor(20 * y) % 2))) % 2)
    picture = _over(picture, (x > 0.22) & (x < 0.78) & (y > 0.42) & (y < 0.84), (200, 150, 110) - bricks[..., None])
    picture = _over(picture, (abs(x - 0.5) < 1.1 * (y - 0.14)) & (y < 0.42), (140, 60, 50))
    picture = _over(picture, (x > 0.3) & (x < 0.44) & (y > 0.52) & (y < 0.68), (60, 90, 130))
    return _over(picture, (x > 0.56) & (x < 0.7) & (y > 0.55) & (y < 0.84), (90, 55, 35))


def _flower(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    picture = _shade(0.5 + 0.5 * np.sin(9 * x + 4 * np.cos(7 * y)), (30, 80, 40), (90, 140, 60))
    picture = _over(picture, (abs(x - 0.5 - 0.1 * np.sin(5 * y)) < 0.02) & (y > 0.5), (120, 180, 80))
    distance, angle = np.hypot(x - 0.5, y - 0.4), np.arctan2(y - 0.4, x - 0.5)
    petals = _shade(distance / 0.3, (250, 200, 90), (220, 60, 150))
    picture = _over(picture, distance < 0.2 + 0.1 * np.cos(6 * angle + 0.4), petals)
    return _over(picture, distance < 0.08, (110, 70, 20))


def _fish(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    picture = _shade(y + 0.06 * np.sin(14 * x + 8 * y), (60, 190, 200), (10, 50, 110))
    picture = _over(picture, (x > 0.68) & (x < 0.88) & (abs(y - 0.5) < 0.9 * (x - 0.62)), (240, 150, 40))
    body = np.hypot((x - 0.44) / 1.7, y - 0.5) < 0.18
    picture = _over(picture, body, np.where((np.floor(11 * x) % 2 > 0)[..., None], (250, 240, 230), (240, 110, 30)))
    return _over(picture, np.hypot(x - 0.25, y - 0.45) < 0.03, (20, 20, 30))
