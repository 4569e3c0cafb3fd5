"""Recipes, plans, runs and lineage: the layer that composes every other package."""
