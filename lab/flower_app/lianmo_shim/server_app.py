"""The hub's side."""

from federation.flower.server_app import app

__all__ = ["app"]  # Flower looks for the name in this file's text.
