"""Stages sent to another process: as the network's spec, precision and weights, from which it builds its own."""

import hashlib

import numpy as np

from aeanet_tf.networks import PRECISIONS, as_spec, build_network
from aeanet_tf.prediction.stages import OwnAttention, Stages

# Built once in a process: frames of a time lapse, or images of a folder, are jobs of their own.
_built = {}


class Recipe:
    """What stages are made from; it can be pickled.

    Args:
        stages: `Stages` or `OwnAttention`.
        spec: of their network.
    """

    def __init__(self, stages, spec):
        self.kept = stages.kept if isinstance(stages, Stages) else None
        self.spec = spec.model_dump()
        dtype = stages.graph.network.compute_dtype
        self.precision = dtype if dtype in PRECISIONS else None
        self.weights = [np.asarray(w) for w in stages.graph.network.get_weights()]
        digest = hashlib.sha256(repr((self.spec, self.kept, self.precision)).encode())
        for w in self.weights:
            digest.update(np.ascontiguousarray(w))
        self.key = digest.hexdigest()

    def stages(self):
        """The stages, built in this process at the first call."""
        if self.key not in _built:
            network = build_network(as_spec(self.spec), precision=self.precision)
            network.set_weights(self.weights)
            _built.clear()
            _built[self.key] = OwnAttention(network) if self.kept is None else Stages(network, self.kept)
        return _built[self.key]
