"""Prediction of an image held in memory in tiles that share the attention of the whole image."""

from aeanet_tf.prediction.job import Frame, Job, cut_evenly
from aeanet_tf.prediction.kept import Features
from aeanet_tf.prediction.stages import Stages
from aeanet_tf.prediction.sweeps import ArrayTarget, run_job


def predict_exact(network, spec, image, n_tiles, stages=None, progress=None):
    """What `run_job` makes of ``image (*spatial, channels)``, with numbers of tiles along its spatial axes."""
    stages = Stages(network) if stages is None else stages
    edges = cut_evenly(image.shape[:-1], n_tiles, spec.divisor)
    target = ArrayTarget(image.shape[:-1], stages.graph)
    run_job(Job(stages, spec, [Frame(image, target, edges, edges)], Features()), progress=progress)
    return target.array
