"""Prediction of images in tiles."""

from aeanet_tf.prediction.exact import predict_exact
from aeanet_tf.prediction.tiles import Tile, tiles

__all__ = ["Tile", "predict_exact", "tiles"]
