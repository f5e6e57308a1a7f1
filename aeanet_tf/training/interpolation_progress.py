"""What becomes of attention and of the terms of the loss in a training of slice interpolation (figures 3 and 4)."""

import keras
import numpy as np

from aeanet_tf.layers import AttentionAwareLayer

# Of the validation slices, as many as a look at the terms takes: VGG-16 is evaluated on four images of each.
LOOKED_AT = 8


class InterpolationProgress(keras.callbacks.Callback):
    """Callback: add to the logs of an epoch the gammas of attention and the terms of the loss.

    ``gamma_<unit>`` is the factor of each unit of an `aeanet_tf.layers.AttentionAwareLayer` (SSAN paper, equation 3),
    which begins at 0. ``term_<name>`` are those of `InterpolationLoss.terms`, without their weights, means over the
    first validation slices, where the loss has several; the paper's figure 4 shows those of training.

    Put it before callbacks that keep the logs, and after those that give ``network`` its weights.

    Args:
        network: what is trained, or the network that has its weights after an epoch.
        loss: an `InterpolationLoss`.
        validation: batches ``(x, y)`` by index, a `TripletValidationSet`.
    """

    def __init__(self, network, loss, validation):
        super().__init__()
        self._network, self._terms, self._batches = network, loss.terms if loss.kind != "pixel" else None, validation

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(gammas(self._network))
            logs.update({} if self._terms is None else self._means())

    def _means(self):
        values, weights = [], []
        for index in range(len(self._batches)):
            x, y = self._batches[index]
            terms = self._terms(y, self._network.predict_on_batch(x))
            values.append({name: float(np.mean(keras.ops.convert_to_numpy(term))) for name, term in terms.items()})
            weights.append(len(x))
            if sum(weights) >= LOOKED_AT:
                break
        return {f"term_{name}": float(np.average([row[name] for row in values], weights=weights)) for name in values[0]}


def gammas(network):
    """``gamma_<unit>`` -> the factor of its attention, for each unit of an `AttentionAwareLayer` of a network."""
    layers = [layer for layer in network.layers if isinstance(layer, AttentionAwareLayer)]
    units = [unit for layer in layers for unit in layer.units.values()]
    return {f"gamma_{unit.name}": float(keras.ops.convert_to_numpy(unit.gamma)) for unit in units}
