"""Fixed inputs and outputs as JSON. ``python -m tests.vectors.regenerate`` rewrites those that are ours."""
