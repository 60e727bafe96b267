"""A party's side."""

from lab.flower_node import app

__all__ = ["app"]  # Flower looks for the name in this file's text.
