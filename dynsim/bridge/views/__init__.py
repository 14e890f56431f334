"""Random views of images in JAX: crops, flips, colours, blur, as published recipes have them."""

from dynsim.bridge.options.views import RECIPES, ViewRecipe
from dynsim.bridge.views.augment import augment, pair, views_of
from dynsim.bridge.views.draws import Draws, draw_views

__all__ = ["RECIPES", "Draws", "ViewRecipe", "augment", "draw_views", "pair", "views_of"]
