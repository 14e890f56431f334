"""Random views of images in JAX: crops, flips, colours, blur, as published recipes have them."""

from dynsim.bridge.options.views import RECIPES, ViewRecipe
from dynsim.bridge.views.augment import augment, pair

__all__ = ["RECIPES", "ViewRecipe", "augment", "pair"]
