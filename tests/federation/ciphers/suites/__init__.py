from pathlib import Path

VECTORS = Path(__file__).parents[3] / "vectors"
