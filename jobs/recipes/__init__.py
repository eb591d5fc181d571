"""Recipes: the published settings of a model, one YAML file each, with the source of its numbers."""

from jobs.recipes.fill import fill_recipe
from jobs.recipes.recipe import Licence, ModelFile, Recipe, find_recipe, recipe_for, recipes

__all__ = ["Licence", "ModelFile", "Recipe", "fill_recipe", "find_recipe", "recipe_for", "recipes"]
