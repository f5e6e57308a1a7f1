"""Prediction of images in tiles."""

from aeanet_tf.prediction.sweeps import predict_exact, run_job
from aeanet_tf.prediction.tiles import Tile, cut_evenly, tiles

__all__ = ["Tile", "cut_evenly", "predict_exact", "run_job", "tiles"]
