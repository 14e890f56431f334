"""Makes a view of one image with Pillow, step by step as torchvision does, from the random numbers of `draw_views`."""

import itertools
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from dynsim.bridge.options.policies import POLICIES, PolicyStep
from dynsim.bridge.options.views import ViewRecipe
from dynsim.bridge.views.draws import Draws

ORDERS = list(itertools.permutations(("brightness", "contrast", "saturation", "hue")))
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}

# how strong the operations of AutoAugment are at levels 0 to 9
STRENGTHS = {
    "shear": np.linspace(0, 0.3, 10),
    "translate": np.linspace(0, 150 / 331, 10),
    "rotate": np.linspace(0, 30, 10),
    "enhance": np.linspace(0, 0.9, 10),
    "posterize": np.round(np.linspace(8, 4, 10)).astype(int),
    "solarize": np.linspace(256, 0, 10),
}
ENHANCED = {
    "colour": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness,
    "sharpness": ImageEnhance.Sharpness,
}
GREY = (128, 128, 128)


def rows_of(draws: Draws) -> list[Draws]:
    """Return the numbers of each image by themselves, in float64."""
    arrays = [np.asarray(part, np.float64) for part in draws]
    parts = [[float(a[n]) if a.ndim == 1 else a[n].tolist() for a in arrays] for n in range(len(arrays[0]))]
    return [Draws(*part) for part in parts]


def spread(uniform: float) -> float:
    """Return the centre of that of 2^14 equal parts of [0, 1] in which the number lies."""
    return (int(uniform * 2**14) + 0.5) / 2**14


def box_of(row: Draws, shape: tuple[int, int], scale: tuple[float, float], aspects: tuple[float, float]) -> tuple:
    """Return top, left, height and width of the random box."""
    height, width = shape
    for area, aspect in zip(row.area, row.aspect, strict=True):
        target = height * width * (scale[0] + (scale[1] - scale[0]) * spread(area))
        ratio = aspects[0] * (aspects[1] / aspects[0]) ** spread(aspect)
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(row.place[0] * (height - h + 1)), int(row.place[1] * (width - w + 1)), h, w
    w, h = min(width, round(height * aspects[1])), min(height, round(width / aspects[0]))
    return (height - h) // 2, (width - w) // 2, h, w


def factor_of(uniform: float, strength: float) -> float:
    """Return the factor in [1 - strength, 1 + strength], in steps of 2^-14."""
    span = round(strength * 2**14)
    return 1 + (int(uniform * (2 * span + 1)) - span) / 2**14


def turned(image: Image.Image, share: float) -> Image.Image:
    """Return the image with its hue shifted by a share of the colour circle."""
    hue, saturation, value = image.convert("HSV").split()
    shifted = np.asarray(hue).astype(int) + int(share * 255)
    return Image.merge("HSV", (Image.fromarray((shifted % 256).astype(np.uint8)), saturation, value)).convert("RGB")


def jittered(image: Image.Image, row: Draws, recipe: ViewRecipe) -> Image.Image:
    """Return the image with its four changes of colour."""
    order = ORDERS[int(row.order * len(ORDERS))] if recipe.random_order else ORDERS[0]
    for change in order:
        if change in ENHANCERS:
            factor = factor_of(row.strength[list(ENHANCERS).index(change)], getattr(recipe, change))
            image = ENHANCERS[change](image).enhance(factor)
        elif recipe.hue:
            image = turned(image, (2 * row.strength[3] - 1) * recipe.hue)
    return image


def framed(image: Image.Image, row: Draws, recipe: ViewRecipe, side: int) -> Image.Image:
    """Return the crop of the image, and flip it."""
    if recipe.crop_scale is not None:
        top, left, height, width = box_of(row, (image.height, image.width), recipe.crop_scale, recipe.crop_aspect)
        image = image.crop((left, top, left + width, top + height))
    if recipe.pad:
        image = ImageOps.expand(image, recipe.pad)
        top, left = (int(u * (length - side + 1)) for u, length in zip(row.place, image.size[::-1], strict=True))
        image = image.crop((left, top, left + side, top + side))
    image = image.resize((side, side), FILTERS[recipe.interpolation])
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if row.flip < recipe.flip else image


def affine(image: Image.Image, numbers: tuple[float, ...], **how: Image.Resampling) -> Image.Image:
    """Return the image whose pixel (x, y) is that of the original at (a x + b y + c, d x + e y + f)."""
    return image.transform(image.size, Image.Transform.AFFINE, numbers, fillcolor=GREY, **how)


def rotated(image: Image.Image, degrees: float) -> Image.Image:
    """Return the image turned counter-clockwise, grey where nothing is left of it."""
    turned_image = image.convert("RGBA").rotate(degrees)
    return Image.composite(turned_image, Image.new("RGBA", image.size, (*GREY, 255)), turned_image).convert("RGB")


def operated(image: Image.Image, operation: str, level: int, sign: int) -> Image.Image:
    """Return the image after one operation of AutoAugment."""
    strength = STRENGTHS.get(operation.split()[0], STRENGTHS["enhance"])[level]
    (width, height), cubic = image.size, {"resample": Image.Resampling.BICUBIC}
    if operation in ENHANCED:
        return ENHANCED[operation](image).enhance(1 + sign * strength)
    actions: dict[str, Callable[[], Image.Image]] = {
        "shear x": lambda: affine(image, (1, sign * strength, 0, 0, 1, 0), **cubic),
        "shear y": lambda: affine(image, (1, 0, 0, sign * strength, 1, 0), **cubic),
        "translate x": lambda: affine(image, (1, 0, sign * strength * width, 0, 1, 0)),
        "translate y": lambda: affine(image, (1, 0, 0, 0, 1, sign * strength * height)),
        "rotate": lambda: rotated(image, strength),
        "posterize": lambda: ImageOps.posterize(image, int(strength)),
        "solarize": lambda: ImageOps.solarize(image, strength),
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "invert": lambda: ImageOps.invert(image),
    }
    return actions[operation]()


def followed(image: Image.Image, numbers: list[float], sub_policies: tuple[tuple[PolicyStep, ...], ...]) -> Image.Image:
    """Return the image after both steps of the sub-policy that is drawn for it."""
    steps = sub_policies[int(numbers[0] * len(sub_policies))]
    for step, chance, direction in zip(steps, numbers[1:3], numbers[3:], strict=True):
        if chance < step.chance:
            image = operated(image, step.operation, step.level, 1 if direction >= 0.5 else -1)
    return image


def pillow_view(row: Draws, pixels: np.ndarray, recipe: ViewRecipe) -> np.ndarray:
    """Return the view, uint8 of shape (side, side, 3)."""
    side = recipe.side or len(pixels)
    image = framed(Image.fromarray(pixels), row, recipe, side)
    if recipe.policy:
        image = followed(image, row.policy, POLICIES[recipe.policy].sub_policies)
    if row.jitter < recipe.jitter:
        image = jittered(image, row, recipe)
    if row.grey < recipe.grey:
        image = image.convert("L").convert("RGB")
    if row.blur < recipe.blur:
        least, most = recipe.blur_sigma
        image = image.filter(ImageFilter.GaussianBlur(least + (most - least) * spread(row.sigma)))
    result = np.array(image)
    if recipe.cutout:
        y, x = (int(u * side) for u in row.cutout)
        half = recipe.cutout // 2
        result[max(0, y - half) : y + half, max(0, x - half) : x + half] = 0
    return result
