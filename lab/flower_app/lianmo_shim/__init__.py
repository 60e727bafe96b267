"""The app Flower ships; the code is installed at every party."""
