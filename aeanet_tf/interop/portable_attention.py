"""Attention of Keras's own layers only, for a network that loads where this package is not installed."""

import keras
import numpy as np
from keras import ops

_AXES = {1: "x", 2: "yx", 3: "zyx"}


def query(layer, x, name):
    """The query features of ``x``, as `GlobalAttention.compute_query` has them."""
    if layer.query == "learned":
        size = layer.compute_output_shape(x.shape)[1:-1]
        learned = np.reshape(layer.learned_query, (*size, layer.learned_query.shape[-1]))
        return constant(learned, _one(x), f"{name}.learned_query")
    if layer.size == "up4":
        return repeated(x, f"{name}.query")
    if layer.size == "same":
        return projected(layer.q_transform, x, f"{name}.q_transform")
    return copied(layer.q_transform, f"{name}.q_transform", x)


def repeated(x, name):
    """Each position of ``x`` four times along its last two spatial axes."""
    if len(x.shape) == 4:
        return keras.layers.UpSampling2D(4, name=name, dtype="float32")(x)
    return keras.layers.UpSampling3D((1, 4, 4), name=name, dtype="float32")(x)


def attention(layer, x, q, name):
    """Attention of query features ``q (batch, *spatial', key channels)`` to ``x (batch, *spatial, channels)`` and the
    shared references, by the built `GlobalAttention` ``layer``, output projection included."""
    return (_by_softmax if layer.normalization == "softmax" else _by_length)(layer, x, q, name)


def _by_length(layer, x, q, name):
    """``q B + bo`` with B from the second moments of ``[x, 1]``, which hold the sums too."""
    axes, heads = _AXES[len(x.shape) - 2], layer.num_heads
    ones = ones_of(x)
    augmented = keras.layers.Concatenate(name=f"{name}.with_one", dtype="float32")([x, ones])
    n = _count(ones)
    # Divided before anything is multiplied with it: the sums grow with the image.
    moments = ops.divide(ops.einsum(f"b{axes}c,b{axes}d->bcd", augmented, augmented), ops.expand_dims(n, -1))
    wk, wv = (_by_heads(_with_bias(t), heads) for t in (layer.k_transform, layer.v_transform))
    kv = contraction("bcd,chk->bhkd", wk, moments, f"{name}.k_transform")
    kv = contraction("bhkd,dhv->bhkv", wv, kv, f"{name}.v_transform")
    kv = _normalized(layer, kv, n, q, name)
    wo, bo = (np.asarray(w) for w in layer.out_transform.weights_float32())
    wo = np.reshape(wo, (heads, -1, layer.filters)) * wk.shape[-1] ** -0.5
    matrix = contraction("bhkv,hvf->bhkf", wo, kv, f"{name}.out_transform")
    matrix = keras.layers.Reshape((-1, layer.filters), name=f"{name}.matrix", dtype="float32")(matrix)
    y = ops.einsum(f"b{axes}k,bkf->b{axes}f", q, matrix)
    offset = np.reshape(bo, (*[1] * len(axes), -1))
    return ops.add(y, constant(offset, ops.ones_like(n), f"{name}.out_bias"))


def _normalized(layer, kv, n, q, name):
    """``K^T V`` of image and references by the length asked for, from ``K^T V / n`` of the image."""
    references = layer.shared_references
    by_key = layer.normalization == "key_length"
    if not references and (by_key or layer.size == "same"):
        return kv
    length = ops.add(n, float(references)) if by_key else _count(ones_of(q))
    share = ops.divide(n, length)
    kv = ops.multiply(kv, ops.expand_dims(ops.expand_dims(share, -1), -1))
    if not references:
        return kv
    vectors = np.asarray(layer.nl_library, "float64")[0]
    k, v = (
        _by_heads(vectors @ t[:-1] + t[-1], layer.num_heads)
        for t in (_with_bias(layer.k_transform), _with_bias(layer.v_transform))
    )
    own = constant(np.einsum("rhk,rhv->hkv", k, v), ops.divide(ops.ones_like(length), length), f"{name}.nl_library")
    return ops.add(kv, own)


def _by_softmax(layer, x, q, name):
    axes, heads = _AXES[len(x.shape) - 2], layer.num_heads
    kv = []
    for transform in (layer.k_transform, layer.v_transform):
        t = projected(transform, x, f"{name}.{transform.name}")
        t = keras.layers.Reshape((-1, t.shape[-1]), name=f"{name}.{transform.name}.flat", dtype="float32")(t)
        if layer.shared_references:
            matrix = _with_bias(transform)
            vectors = np.asarray(layer.nl_library, "float64")[0] @ matrix[:-1] + matrix[-1]
            vectors = constant(vectors, _one(x), f"{name}.{transform.name}.nl_library")
            joined = keras.layers.Concatenate(axis=1, name=f"{name}.{transform.name}.joined", dtype="float32")
            t = joined([vectors, t])
        kv.append(ops.split(t, heads, axis=-1))
    q = ops.split(ops.multiply(q, (q.shape[-1] // heads) ** -0.5), heads, axis=-1)
    outputs = []
    for qh, kh, vh in zip(q, *kv, strict=True):
        weights = ops.softmax(ops.einsum(f"b{axes}c,bnc->b{axes}n", qh, kh), axis=-1)
        outputs.append(ops.einsum(f"b{axes}n,bne->b{axes}e", weights, vh))
    y = keras.layers.Concatenate(name=f"{name}.heads", dtype="float32")(outputs) if heads > 1 else outputs[0]
    return projected(layer.out_transform, y, f"{name}.out_transform")


def projected(projection, x, name):
    dense = keras.layers.Dense(projection.filters, name=name, dtype="float32")
    return with_weights(dense, [np.asarray(w) for w in projection.weights_float32()], x)


def _with_bias(projection):
    """The matrix of a projection of ``[x, 1]``, in float64."""
    kernel, bias = (np.asarray(w, "float64") for w in projection.weights_float32())
    return np.concatenate([kernel, bias[None]])


def _by_heads(matrix, heads):
    return np.reshape(matrix, (len(matrix), heads, -1))


def ones_of(x):
    """Ones of shape ``(batch, *spatial, 1)``. Sizes of images are known only when the model runs."""
    return ops.ones_like(ops.sum(x, axis=-1, keepdims=True))


def _count(ones):
    """The number of positions of each image, shape ``(batch, 1)``."""
    return ops.sum(ones, axis=tuple(range(1, len(ones.shape) - 1)))


def _one(x):
    """Ones of shape ``(batch, 1)``."""
    return ops.ones_like(_count(ones_of(x)))


def with_weights(layer, weights, x):
    """``layer(x)``, the layer having these weights. Returns a Keras tensor."""
    y = layer(x)
    layer.set_weights(weights)
    return y


def copied(layer, name, x):
    """What a float32 copy of the built-in ``layer`` makes of ``x``; the copy is called ``name``."""
    config = {**layer.get_config(), "name": name, "dtype": "float32"}
    kind = next(kind for kind in type(layer).__mro__ if kind.__module__.startswith("keras."))
    return with_weights(kind.from_config(config), layer.get_weights(), x)


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
