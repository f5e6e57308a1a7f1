"""The losses of the papers, per position: Keras and CSBDeep average what is left over batch and space.

Each returns ``(batch, *spatial)``, computed in float32 whatever the dtypes: under mixed precision ``y_pred`` is
float16, where a square overflows at 256 and a small sigma loses its digits. Losses of restoration take ``(y_true,
y_pred)`` of shape ``(batch, *spatial, channels)`` and average over channels; those of segmentation ``y_true (batch,
*spatial, 1)``, indices of classes, and ``y_pred (batch, *spatial, classes)``, logits. All are registered with Keras
(package ``aeanet_tf``), so a compiled model that uses them is saved and loaded without custom objects.
"""

from numbers import Real

import keras
import numpy as np
from keras import ops

from aeanet_tf.errors import InputError, check_choice
from aeanet_tf.loss_names import SEGMENTATION_LOSSES

CHARBONNIER_EPSILON = 1e-3
# Voxels by which the Dice ratio of a class is smoothed: one that an image has not, and that is not predicted, is 1.
_SMOOTH = 1.0


def _mean_channels(y_true, y_pred):
    """``y_true`` and the first n channels of ``y_pred`` in float32, n being the channels of ``y_true``."""
    n = ops.shape(y_true)[-1]
    return ops.cast(y_true, "float32"), ops.cast(y_pred[..., :n], "float32")


@keras.saving.register_keras_serializable(package="aeanet_tf")
def mae(y_true, y_pred):
    """Mean absolute error, mean over channels of ``|y_true - y_pred|``.

    ``y_true``: ``(batch, *spatial, n)``. ``y_pred``: the same shape, or 2n channels (means, then scales) of a
    probabilistic network, of which the first n are used, as CSBDeep does. Returns ``(batch, *spatial)``.
    AEANet paper, section III (paired EM, flywing).
    """
    y_true, mean = _mean_channels(y_true, y_pred)
    return ops.mean(ops.abs(y_true - mean), axis=-1)


@keras.saving.register_keras_serializable(package="aeanet_tf")
def mse(y_true, y_pred):
    """Mean squared error, mean over channels of ``(y_true - y_pred)^2``.

    Shapes as for `mae`. GVTNet paper (label-free); also the training graphs of the released checkpoints.
    """
    y_true, mean = _mean_channels(y_true, y_pred)
    return ops.mean(ops.square(y_true - mean), axis=-1)


# That of slice interpolation has the function's name.
@keras.saving.register_keras_serializable(package="aeanet_tf", name="charbonnier_of_images")
def charbonnier(y_true, y_pred):
    """Charbonnier loss, mean over channels of ``sqrt((y_true - y_pred)^2 + epsilon^2)``, epsilon 1e-3.

    The absolute error with a rounded tip, for images of about 0 to 1. Shapes as for `mae`. The SSAN paper uses it
    for slices; here it stands beside MAE and MSE for restoration.
    """
    y_true, mean = _mean_channels(y_true, y_pred)
    return ops.mean(ops.sqrt(ops.square(y_true - mean) + CHARBONNIER_EPSILON**2), axis=-1)


@keras.saving.register_keras_serializable(package="aeanet_tf")
def laplace(y_true, y_pred):
    """Laplace negative log-likelihood, mean over channels of ``|y - mu| / sigma + log sigma``.

    ``y_true``: ``(batch, *spatial, n)``. ``y_pred``: ``(batch, *spatial, 2n)``, the means mu and then the
    scales sigma > 0 (the network makes them positive: softplus + 1e-3). Returns ``(batch, *spatial)``. The
    constant log 2 is left out, as in the original programs; CSBDeep's ``loss_laplace`` adds it, so its values
    are larger by log 2 = 0.693 and its gradients are the same. AEANet and GVTNet papers (planaria, tribolium).

    Raises ``InputError`` where ``y_pred`` has not twice the channels of ``y_true``.
    """
    n, channels = y_true.shape[-1], y_pred.shape[-1]
    if n is not None and channels is not None and channels != 2 * n:
        expected = f"{2 * n} (mean and scale: a probabilistic network)"
        raise InputError(f"loss 'laplace': found {channels} output channels for a target of {n}, expected {expected}")
    n = ops.shape(y_true)[-1]
    sigma = ops.cast(y_pred[..., n:], "float32")
    y_true, mean = _mean_channels(y_true, y_pred)
    return ops.mean(ops.abs(y_true - mean) / sigma + ops.log(sigma), axis=-1)


LOSSES = {"mae": mae, "mse": mse, "charbonnier": charbonnier, "laplace": laplace}


def get_loss(name):
    """The loss function called ``name``, a key of ``LOSSES``; ``InputError`` for another."""
    return LOSSES[check_choice("loss", name, tuple(LOSSES))]


def get_segmentation_loss(name, class_weights=None):
    """Look a loss up by name.

    * ``"cross_entropy"``: ``-w_c log p_c`` of the true class c, p being the softmax of the logits. Non-local U-Nets
      (Wang et al. 2020), which AEANet's section VI-C follows, with weights of 1.
    * ``"dice"``: 1 less the mean over classes of the soft Dice ratio ``(2 sum p y + 1) / (sum p + sum y + 1)``, sums
      over the positions of one image (Milletari et al. 2016, without their squares); every position of an image has
      that value. With weights it is the weighted mean.
    * ``"cross_entropy_dice"``: their sum.
    * ``"accuracy"``: 1 where the largest logit is that of the true class, 0 elsewhere; to be reported, not trained.

    Args:
        name: one of `SEGMENTATION_LOSSES`, or ``"accuracy"``.
        class_weights: a number for each class, not normalised; ``None`` for 1.

    Raises:
        InputError: another name.
    """
    if name == "accuracy":
        return accuracy
    return SegmentationLoss(check_choice("loss", name, SEGMENTATION_LOSSES), class_weights)


def check_class_weights(weights, classes):
    """Weights as a list, ``None`` as it is.

    Raises:
        InputError: they are not a positive number for each of ``classes``.
    """
    if weights is None:
        return None
    given = list(weights) if isinstance(weights, (list, tuple, np.ndarray)) else []
    numbers = [float(weight) for weight in given if isinstance(weight, Real)]
    if not len(numbers) == len(given) == classes or min(numbers) <= 0:
        raise InputError(f"class_weights: found {weights!r}, expected {classes} positive numbers, one for each class")
    return numbers


@keras.saving.register_keras_serializable(package="aeanet_tf")
class SegmentationLoss:
    """A loss of `get_segmentation_loss`, as a function that Keras saves and makes again."""

    def __init__(self, kind, class_weights=None):
        self.kind, self.class_weights = kind, None if class_weights is None else [float(w) for w in class_weights]
        # Under which Keras reports it.
        self.__name__ = kind

    def __call__(self, y_true, y_pred):
        logits = ops.cast(y_pred, "float32")
        truth = ops.one_hot(ops.cast(y_true[..., 0], "int32"), logits.shape[-1])
        parts = []
        if self.kind != "dice":
            parts.append(self._cross_entropy(truth, logits))
        if self.kind != "cross_entropy":
            parts.append(self._dice(truth, logits))
        return sum(parts[1:], parts[0])

    def _cross_entropy(self, truth, logits):
        each = truth * ops.log_softmax(logits, axis=-1)
        return -ops.sum(each if self.class_weights is None else each * ops.convert_to_tensor(self.class_weights), -1)

    def _dice(self, truth, logits):
        space = tuple(range(1, len(logits.shape) - 1))
        predicted = ops.softmax(logits, axis=-1)
        both = ops.sum(predicted * truth, space, keepdims=True)
        total = ops.sum(predicted + truth, space, keepdims=True)
        ratios = (2 * both + _SMOOTH) / (total + _SMOOTH)
        if self.class_weights is None:
            mean = ops.mean(ratios, -1)
        else:
            mean = ops.sum(ratios * ops.convert_to_tensor(self.class_weights), -1) / sum(self.class_weights)
        return 1 - mean + ops.zeros_like(truth[..., 0])

    def get_config(self):
        """The arguments, from which Keras makes it again."""
        return {"kind": self.kind, "class_weights": self.class_weights}

    @classmethod
    def from_config(cls, config):
        """The loss of these arguments."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="aeanet_tf")
def accuracy(y_true, y_pred):
    """1 where the largest logit is that of the true class, 0 elsewhere; shapes as of losses of segmentation."""
    predicted = ops.argmax(y_pred, axis=-1)
    return ops.cast(predicted == ops.cast(y_true[..., 0], predicted.dtype), "float32")
