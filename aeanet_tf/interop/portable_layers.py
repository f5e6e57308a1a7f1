"""Keras's built-in layers with given weights, as the portable networks are put together from them."""

import keras
import numpy as np


def with_weights(layer, weights, x):
    """``layer(x)``, the layer having these weights. Returns a Keras tensor."""
    y = layer(x)
    layer.set_weights(weights)
    return y


def copied(layer, name, x):
    """What a float32 copy of the built-in ``layer`` makes of ``x``; the copy is called ``name``."""
    config = {**layer.get_config(), "name": name, "dtype": "float32"}
    return with_weights(type(layer).from_config(config), layer.get_weights(), x)


def contraction(equation, kernel, x, name):
    """The product of ``x`` and the array ``kernel`` by an einsum equation whose output begins with the batch."""
    letters, output = equation.split(",")[1].split("->")
    inputs = equation.split(",")[0]
    sizes = dict(zip(inputs, x.shape, strict=True)) | dict(zip(letters, kernel.shape, strict=True))
    layer = keras.layers.EinsumDense(equation, [sizes[a] for a in output[1:]], name=name, dtype="float32")
    return with_weights(layer, [kernel], x)


def constant(value, factor, name):
    """The array ``value`` times ``factor`` of shape ``(batch, 1)``: shape ``(batch, *value.shape)``.

    Constants are weights of a layer: a constant among the arguments of an operation would stand in the JSON of the
    model's file, number by number.
    """
    axes = "cdefg"[: np.ndim(value)]
    return contraction(f"bu,u{axes}->b{axes}", np.asarray(value)[None], factor, name)
