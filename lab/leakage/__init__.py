"""What a run tells its parties about each other, measured by attacking it."""
