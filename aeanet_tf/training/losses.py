"""The losses of the papers, per position: Keras and CSBDeep average what is left over batch and space.

Each takes ``(y_true, y_pred)`` of shape ``(batch, *spatial, channels)`` and returns ``(batch, *spatial)``,
the mean over channels, computed in float32 whatever the dtypes: under mixed precision ``y_pred`` is
float16, where a square overflows at 256 and a small sigma loses its digits. All are registered with Keras
(package ``aeanet_tf``), so a compiled model that uses them is saved and loaded without custom objects.
"""

import keras
from keras import ops

from aeanet_tf.errors import InputError


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

    Shapes as for :func:`mae`. GVTNet paper (label-free); also the training graphs of the released checkpoints.
    """
    y_true, mean = _mean_channels(y_true, y_pred)
    return ops.mean(ops.square(y_true - mean), axis=-1)


CHARBONNIER_EPSILON = 1e-3


# That of slice interpolation has the function's name.
@keras.saving.register_keras_serializable(package="aeanet_tf", name="charbonnier_of_images")
def charbonnier(y_true, y_pred):
    """Charbonnier loss, mean over channels of ``sqrt((y_true - y_pred)^2 + epsilon^2)``, epsilon 1e-3.

    The absolute error with a rounded tip, for images of about 0 to 1. Shapes as for :func:`mae`. The SSAN paper uses it
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
        raise InputError(
            f"loss 'laplace': found {channels} output channels for a target of {n}; expected {2 * n} "
            f"(mean and scale: a probabilistic network)"
        )
    n = ops.shape(y_true)[-1]
    sigma = ops.cast(y_pred[..., n:], "float32")
    y_true, mean = _mean_channels(y_true, y_pred)
    return ops.mean(ops.abs(y_true - mean) / sigma + ops.log(sigma), axis=-1)


LOSSES = {"mae": mae, "mse": mse, "charbonnier": charbonnier, "laplace": laplace}


def get_loss(name):
    """The loss function called ``name``, a key of ``LOSSES``; ``InputError`` for another."""
    if not isinstance(name, str) or name not in LOSSES:
        raise InputError(f"loss: found {name!r}; expected one of {', '.join(map(repr, LOSSES))}")
    return LOSSES[name]
