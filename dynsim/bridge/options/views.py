"""What a random view of an image is: the parameters, and the published recipes by name."""

from dataclasses import dataclass, field, fields, replace

from dynsim.bridge.options.policies import POLICIES
from dynsim.config import ConfigError

INTERPOLATIONS = ("bilinear", "bicubic")
LARGEST_SIGMA = 8.0  # of the blur, in pixels; its time grows with it


@dataclass(frozen=True)
class ViewRecipe:
    """How a random view of an image is made. The steps come in the order of the fields; a step at 0 is left out.

    The defaults leave the image as it is.

    Attributes:
        crop_scale: smallest and largest share of the image's area that a random box covers; the box is resized to the
            side of the view. None: no box.
        crop_aspect: smallest and largest width of the box divided by its height; its logarithm is uniform.
        interpolation: "bilinear" or "bicubic" (a = -0.5), with antialiasing where the box shrinks.
        pad: instead of a box, this many black pixels are added on each side and a square of the view's side is cut
            out at random. 0: no such crop.
        flip: probability that left and right are exchanged.
        policy: name of a policy of AutoAugment (`POLICIES` of dynsim/bridge/options/policies.py), or None.
        jitter: probability that brightness, contrast, saturation and hue are changed; otherwise none of them is.
        brightness, contrast, saturation: strengths b in [0, 1]; the factor is uniform in [1 - b, 1 + b].
        hue: strength in [0, 0.5]; the shift is uniform in [-hue, hue], in turns of the colour circle.
        random_order: whether the four changes come in a random order, rather than in the order given here.
        grey: probability that the colours are replaced by their grey value.
        blur: probability of a Gaussian blur.
        blur_sigma: smallest and largest standard deviation of the blur, in pixels.
        cutout: side in pixels of a square that becomes black. Its centre is uniform over the pixels, and what lies
            outside the image is cut off. An odd side counts as the even one below it. 0: no square.
        side: height and width of the view, in pixels; None: those of the image, which must be square.
        source: where the recipe comes from. It does not matter when recipes are compared.

    Errors: `ConfigError` for a value outside its range, or both kinds of crop.
    """

    crop_scale: tuple[float, float] | None = None
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bicubic"
    pad: int = 0
    flip: float = 0.0
    policy: str | None = None
    jitter: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    random_order: bool = True
    grey: float = 0.0
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    cutout: int = 0
    side: int | None = None
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuse what makes no view."""
        for name in ("flip", "jitter", "brightness", "contrast", "saturation", "grey", "blur"):
            self._check(name, 0 <= getattr(self, name) <= 1, "a number from 0 to 1")
        self._check("hue", 0 <= self.hue <= 0.5, "a number from 0 to 0.5")
        self._check("interpolation", self.interpolation in INTERPOLATIONS, f"one of {', '.join(INTERPOLATIONS)}")
        self._check("policy", self.policy in (None, *POLICIES), f"one of {', '.join(POLICIES)}, or None")
        if self.crop_scale is not None:
            self._check(
                "crop_scale", _ordered(self.crop_scale, 1), "two shares of the area, 0 < smallest <= largest <= 1"
            )
        self._check("crop_aspect", _ordered(self.crop_aspect), "two ratios, 0 < smallest <= largest")
        self._check(
            "blur_sigma",
            _ordered(self.blur_sigma, LARGEST_SIGMA),
            f"two sizes, 0 < smallest <= largest <= {LARGEST_SIGMA:g}",
        )
        self._check("pad", self.pad >= 0, "a number of pixels, 0 or more")
        self._check("cutout", self.cutout >= 0, "a number of pixels, 0 or more")
        self._check("side", self.side is None or self.side >= 1, "a number of pixels, 1 or more, or None")
        self._check("pad", self.crop_scale is None or not self.pad, "0 where crop_scale is given: one crop at a time")

    def _check(self, name: str, good: bool, wanted: str) -> None:
        if not good:
            raise ConfigError(f"{name}: wanted {wanted}, got {getattr(self, name)}")

    def __str__(self) -> str:
        """Return what differs from an unchanged image, in one line."""
        plain = ViewRecipe()
        shown = [f for f in fields(self) if f.compare and getattr(self, f.name) != getattr(plain, f.name)]
        return ", ".join(f"{f.name} {getattr(self, f.name)}" for f in shown) or "unchanged"


def _ordered(values: tuple[float, float], largest: float = float("inf")) -> bool:
    return len(values) == 2 and 0 < values[0] <= values[1] <= largest


_LARGE = ViewRecipe(crop_scale=(0.08, 1.0), interpolation="bilinear", flip=0.5, side=224)
_COLOURS = ViewRecipe(flip=0.5, jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.2)

RECIPES = {
    "sdclr": replace(
        _COLOURS,
        crop_scale=(0.1, 1.0),
        source="SDCLR on CIFAR-LT (Jiang et al. 2021, code)",
    ),
    "sdclr-imagenet": replace(
        _COLOURS,
        crop_scale=(0.08, 1.0),
        blur=0.5,
        side=224,
        source="SDCLR on ImageNet-LT and ImageNet-100 (Jiang et al. 2021, code)",
    ),
    "simclr": replace(
        _COLOURS,
        crop_scale=(0.08, 1.0),
        source="SimCLR on CIFAR-10 (Chen et al. 2020, appendix B.9: colour strength 0.5, no blur)",
    ),
    "simclr-blur": replace(
        _COLOURS,
        crop_scale=(0.08, 1.0),
        blur=0.5,
        source="as simclr, with the blur that Chen et al. 2020 use on ImageNet (appendix A)",
    ),
    "paco-sim": replace(
        _COLOURS,
        crop_scale=(0.2, 1.0),
        interpolation="bilinear",
        blur=0.5,
        source="PaCo on CIFAR-LT, second view (Cui et al. 2021, code)",
    ),
    "paco-auto": ViewRecipe(
        pad=4,
        flip=0.5,
        policy="cifar10",
        cutout=16,
        source="PaCo on CIFAR-LT, first view: AutoAugment and Cutout (Cui et al. 2021, code; Cubuk et al. 2019)",
    ),
    "cutout": ViewRecipe(
        pad=4,
        flip=0.5,
        cutout=16,
        source="Cutout on CIFAR-10 (DeVries and Taylor 2017)",
    ),
    "probe": ViewRecipe(
        pad=4,
        flip=0.5,
        source="training images of a probe on CIFAR (Jiang et al. 2021)",
    ),
    "supervised": ViewRecipe(
        pad=4,
        flip=0.5,
        source="cross-entropy, LDAM and deferred re-weighting on CIFAR-LT (Cao et al. 2019, code)",
    ),
    "supervised-small-pad": ViewRecipe(
        pad=2,
        flip=0.5,
        source="logit adjustment on CIFAR-LT: 4 more pixels in total (Menon et al. 2021, code)",
    ),
    "large-plain": replace(
        _LARGE,
        source="iNaturalist with labels: crop and flip (Kang et al. 2020, code)",
    ),
    "large-supervised": replace(
        _LARGE,
        jitter=1.0,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        source="ImageNet-LT and Places-LT with labels: crop, flip, colours (Liu et al. 2019, Kang et al. 2020, code)",
    ),
    "paco-sim-large": replace(
        _LARGE,
        jitter=1.0,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        grey=0.2,
        blur=0.5,
        source="PaCo and GPaCo on iNaturalist, second view, and Places-LT, both (Cui et al. 2021, code)",
    ),
    "bcl-sim-large": replace(
        _LARGE,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        grey=0.2,
        source="BCL on ImageNet-LT, second and third view (Zhu et al. 2022, code)",
    ),
    "none": ViewRecipe(source="evaluation"),
}
"""{name: recipe}: published recipes."""
