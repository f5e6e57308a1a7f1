"""A network taken apart at its attention operators, of which only context moments pass from tile to tile."""

import keras
import numpy as np
from keras import ops

from aeanet_tf.layers import GVTO
from aeanet_tf.layers.moments import Moments


def attention_operators(network):
    """The `GVTO` layers of a network of `build_network`, in the order of evaluation."""
    return [layer for layer in network.operations if isinstance(layer, GVTO)]


def can_be_swept(network):
    """Whether all attention of a network is normalised by length and has a query of the image's own size."""
    operators = (layer.attention for layer in attention_operators(network))
    return all(o.normalization != "softmax" and o.computation != "direct" and o.query == "input" for o in operators)


class Sweeps:
    """Evaluates a network on tiles, with the attention's context given from outside.

    The layers are the network's own. Sweep ``a`` evaluates a tile up to attention operator ``a`` and gives the moments
    of what that one attends to; the last sweep gives the output. Each part is compiled once, for tiles of any size.

    Args:
        network: of `build_network`, for which `can_be_swept`.
    """

    def __init__(self, network):
        self.network = network
        self.operators = attention_operators(network)
        self._moments = [_compiled(self._moments_function(a)) for a in range(len(self.operators))]
        self._output = _compiled(self._evaluate)

    def moments(self, index, tile, inner, contexts):
        """`Moments` that the inner part of a tile adds to the context of operator ``index``.

        Args:
            index: of the operator.
            tile: ``(*spatial, channels)``, halo included.
            inner: ``(start, stop)`` of the inner part, one pair a spatial axis.
            contexts: `Moments` of the whole image for the operators before it.
        """
        found = self._moments[index](tile[None], np.asarray(inner, "int32"), contexts)
        return Moments(*(ops.convert_to_numpy(m) for m in found))

    def output(self, tile, contexts):
        """The network's output for a tile, halo included, given the contexts of all operators."""
        return ops.convert_to_numpy(self._output(tile[None], contexts))[0]

    def _moments_function(self, index):
        def moments(tile, inner, contexts):
            features = self._evaluate(tile, contexts, until=index)
            # Coarser features, or a plane after a projection: their axes are the image's last ones.
            spatial = len(features.shape) - 2
            sizes, image = ops.shape(features)[1:-1], ops.shape(tile)[1:-1][-spatial:]
            bounds = inner[-spatial:]
            for axis in range(spatial):
                start = bounds[axis, 0] * sizes[axis] // image[axis]
                stop = bounds[axis, 1] * sizes[axis] // image[axis]
                features = features[(slice(None),) * (axis + 1) + (slice(start, stop),)]
            return self.operators[index].context_moments(features)

        return moments

    def _evaluate(self, tile, contexts, until=None):
        """The network's output, or what operator ``until`` is given; operators attend to ``contexts``."""

        def given(operation):
            if not isinstance(operation, GVTO):
                return operation
            index = self.operators.index(operation)

            def attend(x):
                if index == until:
                    raise _Reached(x)
                return operation(x, context=Moments(*contexts[index]))

            return attend

        try:
            return self.network._run_through_graph(tile, operation_fn=given)
        except _Reached as reached:
            return reached.features


class _Reached(Exception):
    """Ends the evaluation where its result is no longer needed."""

    def __init__(self, features):
        super().__init__()
        self.features = features


def _compiled(function):
    """``function`` as a TensorFlow graph for tiles of all sizes; as it is on other backends."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True, autograph=False)
