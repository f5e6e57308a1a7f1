"""Prediction of images in tiles: exact, in bounded memory, taken up again where it was stopped."""
