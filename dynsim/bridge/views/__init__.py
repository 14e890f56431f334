"""Random views of images in JAX: crops, flips, colours, blur, as published recipes have them."""

from dynsim.bridge.views.augment import augment, pair
from dynsim.bridge.views.recipes import RECIPES, ViewRecipe

__all__ = ["RECIPES", "ViewRecipe", "augment", "pair"]
