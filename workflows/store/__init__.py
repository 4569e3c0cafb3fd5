"""Keeping a store: names for artifacts, proof that they are whole, and room for new ones."""
