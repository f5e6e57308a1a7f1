"""The losses of slice interpolation: pixels, features and style balance (SSAN paper, "Loss function").

Convention: ``y_pred`` is ``(batch, y, x, k)``, the interpolated slice, with normally k = 1 channel. ``y_true`` is
``(batch, y, x, 3k)``: the true middle slice, then the slice before it, then the one after it, of k channels each, for
the style balance compares with the neighbours. Values are grey values where 1 is the image's full range (0 to 1: those
of 8 bits over 255). Everything is computed in float32 whatever the dtypes.

Activations are lists of ``(batch, y, x, channels)``, one for each layer j of VGG-16 (`aeanet_tf.training.vgg`).
"""

from numbers import Real

import keras
from keras import ops

from aeanet_tf.errors import InputError, check_choice, expect
from aeanet_tf.loss_names import INTERPOLATION_LOSSES
from aeanet_tf.training.vgg import ACTIVATION_SCALE, vgg_activations

EPSILON = 1e-6
BETA = (0.1, 1.0, 0.1)
_STYLE_TERMS = ("style_before", "style_middle", "style_after")
# Three times halved, a shorter side is nothing in the last layer.
_SMALLEST = 8


def _middle(y_true, y_pred):
    """The true middle slice and the predicted one in float32; ``InputError`` where the channels do not fit."""
    k, channels = y_pred.shape[-1], y_true.shape[-1]
    if k is not None and channels is not None and channels != 3 * k:
        slices = f"{3 * k} (the slices in the middle, before and after)"
        raise InputError(
            f"interpolation loss: found {channels} target channels for {k} of the output, expected {slices}"
        )
    k = ops.shape(y_pred)[-1] if k is None else k
    return ops.cast(y_true[..., :k], "float32"), ops.cast(y_pred, "float32")


@keras.saving.register_keras_serializable(package="aeanet_tf")
def charbonnier(y_true, y_pred):
    """Charbonnier loss: mean over channels of ``sqrt(d^2 + 1e-6^2)``, d being the difference of the middle slices.

    ``y_true``: ``(batch, y, x, 3k)``. ``y_pred``: ``(batch, y, x, k)``. Returns ``(batch, y, x)``. SSAN paper,
    equation 17, sums over positions; this leaves it to the caller (`InterpolationLoss`, ``pixel_reduction``), and Keras
    averages. Raises ``InputError`` where ``y_true`` has not three times the channels of ``y_pred``.
    """
    middle, predicted = _middle(y_true, y_pred)
    return ops.mean(ops.sqrt(ops.square(predicted - middle) + EPSILON**2), axis=-1)


@keras.saving.register_keras_serializable(package="aeanet_tf")
def middle_mae(y_true, y_pred):
    """Mean absolute error of the middle slice, a metric. Shapes as of `charbonnier`."""
    middle, predicted = _middle(y_true, y_pred)
    return ops.mean(ops.abs(predicted - middle), axis=-1)


@keras.saving.register_keras_serializable(package="aeanet_tf")
def middle_mse(y_true, y_pred):
    """Mean squared error of the middle slice, a metric. Shapes as of `charbonnier`."""
    middle, predicted = _middle(y_true, y_pred)
    return ops.mean(ops.square(predicted - middle), axis=-1)


def gram(activation):
    """Gram matrix of the channels over the positions, divided by C H W: SSAN paper, equation 13.

    ``activation``: ``(batch, H, W, C)``. Returns ``(batch, C, C)``.
    """
    _, height, width, channels = ops.shape(activation)
    flat = ops.reshape(activation, (-1, height * width, channels))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / ops.cast(height * width * channels, flat.dtype)


def style_loss(a, b):
    """Style reconstruction loss: sum over layers of the squared Frobenius norm of the difference of Gram matrices.

    ``a``, ``b``: lists of activations. Returns ``(batch,)``. SSAN paper, equation 14.
    """
    return _style_distance([gram(layer) for layer in a], [gram(layer) for layer in b])


def _style_distance(grams_a, grams_b):
    return sum(ops.sum(ops.square(a - b), axis=(1, 2)) for a, b in zip(grams_a, grams_b, strict=True))


def feature_loss(a, b):
    """Feature reconstruction loss: sum over layers of the mean squared difference of activations.

    ``a``, ``b``: lists of activations. Returns ``(batch,)``. SSAN paper, equation 16.
    """
    return sum(ops.mean(ops.square(layer_a - layer_b), axis=(1, 2, 3)) for layer_a, layer_b in zip(a, b, strict=True))


def style_balance_loss(predicted, middle, before, after, beta=BETA):
    """Style balance loss: ``sum_j beta_j sign(L(1', j) - L(1, j)) L(1', j)``. SSAN paper, equation 15.

    L is `style_loss`, 1' the predicted slice, 1 the true one, and j the slices before (0), in the middle (1) and after
    (2). For j = 1 the second L is zero, and so the term is L(1', 1). The prediction is drawn to the style of the middle
    slice, and to a neighbour's only as long as it is farther from it than the middle slice is; once nearer, the sign
    drives it away. The sign carries no gradient. The result can be negative.

    Args:
        predicted, middle, before, after: lists of activations.
        beta: weights of the slices before, in the middle and after; the paper's by default.

    Returns:
        ``(batch,)``.
    """
    terms = style_balance_terms(predicted, middle, before, after)
    return sum(weight * term for weight, term in zip(beta, terms, strict=True))


def style_balance_terms(predicted, middle, before, after):
    """The three terms ``sign(L(1', j) - L(1, j)) L(1', j)`` of `style_balance_loss`, without their weights.

    SSAN paper, figure 4, calls them sign0, sign1 and sign2. Arguments as there; returns a tuple of three ``(batch,)``,
    for the slices before, in the middle and after.
    """
    predicted, middle, before, after = ([gram(layer) for layer in each] for each in (predicted, middle, before, after))

    def term(neighbour):
        distance = _style_distance(predicted, neighbour)
        return ops.sign(ops.stop_gradient(distance - _style_distance(middle, neighbour))) * distance

    return term(before), _style_distance(predicted, middle), term(after)


@keras.saving.register_keras_serializable(package="aeanet_tf")
class InterpolationLoss:
    """The paper's total loss, or one of its two reductions: a function for ``compile(loss=...)``.

    Called with ``(y_true, y_pred)`` (shapes and units: see the module) it returns ``(batch,)``, one number for each
    image, which Keras averages. SSAN paper, equation 12, and its losses L_1, L_f and L_s:

    * ``"pixel"``: ``pixel_weight`` times the Charbonnier loss. VGG-16 is not loaded.
    * ``"feature"``: that, and ``feature_weight`` times `feature_loss`.
    * ``"style"``: those, and ``style_weight`` times `style_balance_loss`.

    VGG-16 is loaded here, once, and is no part of the model that is trained: neither of its weights nor of its files.
    A compiled model that is saved as ``.keras`` keeps the arguments, so that loading it needs VGG-16 again, unless with
    ``compile=False``.

    Args:
        kind: ``"pixel"``, ``"feature"`` or ``"style"``.
        vgg_weights: path of VGG-16's weights; None for ImageNet's (`aeanet_tf.training.vgg.vgg_activations`).
        style_weight, feature_weight, pixel_weight: the paper's alpha_1, alpha_2 and alpha_3: 1e6, 1 and 1.
        beta: as of `style_balance_loss`.
        pixel_reduction: what becomes of the positions in the Charbonnier loss: ``"mean"``, or ``"sum"`` as equation 17
            has it. Of 512 x 512 pixels the sum would be 2.6e5 times the mean, and with weights of 1 leave nothing of
            the features, which are means; we take it that the paper's program averages.
        scale: factor on the activations, as of `vgg_activations`.

    Raises:
        InputError: an argument is not as above, or VGG-16's weights are not there. When called: ``y_true`` has not
            three times the channels of ``y_pred``; for the kinds with VGG-16 also where k is neither 1 nor 3, or an
            image is smaller than 8 x 8.
    """

    def __init__(
        self,
        kind,
        vgg_weights=None,
        style_weight=1e6,
        feature_weight=1.0,
        pixel_weight=1.0,
        beta=BETA,
        pixel_reduction="mean",
        scale=ACTIVATION_SCALE,
    ):
        check_choice("loss", kind, INTERPOLATION_LOSSES)
        check_choice("pixel_reduction", pixel_reduction, ("mean", "sum"))
        if len(beta) != 3 or not all(isinstance(value, Real) for value in beta):
            raise InputError(f"beta: found {beta!r}, expected three numbers (slices before, in the middle, after)")
        self.kind, self.pixel_reduction, self.beta, self.scale = kind, pixel_reduction, tuple(beta), scale
        self.style_weight, self.feature_weight, self.pixel_weight = style_weight, feature_weight, pixel_weight
        self.vgg_weights = None if vgg_weights is None else str(vgg_weights)
        # Within a step that is being compiled no file can be read, so it is done here.
        self._phi = None if kind == "pixel" else _hidden(vgg_activations(vgg_weights, scale))

    def __call__(self, y_true, y_pred):
        terms, weights = self.terms(y_true, y_pred), self._weights()
        return sum(weights[name] * term for name, term in terms.items())

    def terms(self, y_true, y_pred):
        """The terms of the loss without their weights, name -> ``(batch,)``.

        ``"pixel"``, ``"feature"`` where there is one, and for the kind ``"style"`` the three of `style_balance_terms`
        as ``"style_before"``, ``"style_middle"`` and ``"style_after"``. Arguments and errors as of a call.
        """
        terms = {"pixel": self._pixel(y_true, y_pred)}
        if self.kind == "pixel":
            return terms
        _check_image(y_pred.shape)
        middle, predicted = _middle(y_true, y_pred)
        # In a pass of its own, so that no gradients are computed for the slices that are given.
        predicted = self._phi(predicted)
        if self.kind == "feature":
            return {**terms, "feature": feature_loss(predicted, self._phi(middle))}
        middle, before, after = self._given(y_true)
        terms["feature"] = feature_loss(predicted, middle)
        styles = style_balance_terms(predicted, middle, before, after)
        return terms | dict(zip(_STYLE_TERMS, styles, strict=True))

    def _weights(self):
        styles = {name: self.style_weight * beta for name, beta in zip(_STYLE_TERMS, self.beta, strict=True)}
        return {"pixel": self.pixel_weight, "feature": self.feature_weight, **styles}

    def get_config(self):
        """The arguments, from which Keras makes it again."""
        names = "kind vgg_weights style_weight feature_weight pixel_weight beta pixel_reduction scale".split()
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config):
        """The loss of these arguments."""
        return cls(**config)

    def _pixel(self, y_true, y_pred):
        reduce = ops.mean if self.pixel_reduction == "mean" else ops.sum
        return reduce(charbonnier(y_true, y_pred), axis=(1, 2))

    def _given(self, y_true):
        """The activations of the slices in the middle, before and after, in one pass."""
        slices = ops.split(ops.cast(y_true, "float32"), 3, axis=-1)
        layers = [ops.split(layer, 3, axis=0) for layer in self._phi(ops.concatenate(slices, axis=0))]
        return [list(each) for each in zip(*layers, strict=True)]


def _hidden(model):
    """``model`` as a plain function, in which Keras finds nothing to track or save with what is trained."""
    return lambda images: model(images, training=False)


def _check_image(shape):
    *_, y, x, k = shape
    expect(k in (1, 3), "interpolation loss", f"{k} channels", "1 (grey) or 3 (RGB), which VGG-16 takes")
    if min(size for size in (y, x, _SMALLEST) if size is not None) < _SMALLEST:
        raise InputError(f"interpolation loss: found images of {y} x {x}, expected {_SMALLEST} or more for VGG-16")
