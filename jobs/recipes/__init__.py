"""Recipes: the published settings of a model, one YAML file each, with the source of its numbers."""
