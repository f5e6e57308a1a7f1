"""Attention as the papers write it, in NumPy and float64: ``Q K^T`` is formed, head by head, image by image."""

import numpy as np

WRONG = ("swapped halves", "references not in the length", "query length for key length")


def randomised(layer, x, seed=0):
    """``layer`` built on ``x``, every weight random: biases of zero would hide mistakes."""
    layer.build(x.shape)
    rng = np.random.default_rng(seed)
    for w in layer.weights:
        w.assign(rng.normal(0, 0.5, w.shape))
    return layer


def images(*shape, seed=1):
    """Random features with a mean of their own per channel, as those after a ReLU have."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + rng.uniform(-1, 1, shape[-1])).astype("float32")


def relative_error(found, expected):
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def _affine(x, layer):
    y = x @ np.asarray(layer.kernel, "float64")
    return y if layer.bias is None else y + np.asarray(layer.bias, "float64")


def attend(layer, q, vectors, length=None):
    """Attention of queries ``q`` (n_q, c_k) to ``vectors`` (n, c); ``length`` overrides the one of the layer."""
    k, v, heads = _affine(vectors, layer.k_transform), _affine(vectors, layer.v_transform), layer.num_heads
    outputs = []
    for qh, kh, vh in zip(*(np.split(t, heads, axis=1) for t in (q, k, v)), strict=True):
        scores = qh @ kh.T / np.sqrt(qh.shape[1])
        if layer.normalization == "softmax":
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights = scores / scores.sum(axis=1, keepdims=True)
        else:
            weights = scores / (length or {"key_length": len(k), "query_length": len(q)}[layer.normalization])
        outputs.append(weights @ vh)
    return _affine(np.concatenate(outputs, axis=1), layer.out_transform)


def queries(layer, x):
    """The query features (n, *spatial', c_k); those of strided convolutions are taken from the layer."""
    if layer.query == "learned" or layer.size in ("down", "up"):
        return np.asarray(layer.compute_query(x), "float64")
    if layer.size == "same":
        return _affine(x.astype("float64"), layer.q_transform)
    return np.kron(x.astype("float64"), np.ones((*[1] * (x.ndim - 3), 4, 4, 1)))


def attention(layer, x, training=False, wrong=None):
    """What `GlobalAttention` must give for ``x``, or with one mistake of `WRONG` made on purpose."""
    q = queries(layer, x)
    flat_q, flat_x = (np.reshape(t, (len(t), -1, t.shape[-1])).astype("float64") for t in (q, x))
    references = np.zeros((0, x.shape[-1]))
    if layer.shared_references:
        references = np.asarray(layer.nl_library, "float64")[0]
    half = len(x) // 2 if layer.batch_aware and training else 0
    group = range(half)
    if wrong == "swapped halves":
        group = range(len(x) - half, len(x))
    outputs = []
    for i in range(len(x)):
        if i in group:
            vectors = np.concatenate([flat_x[j] for j in group])
        else:
            vectors = np.concatenate([references, flat_x[i]])
        length = None
        if i in group and layer.normalization == "query_length":
            length = half * flat_q.shape[1]
        if wrong == "references not in the length" and i not in group:
            length = flat_x.shape[1]
        if wrong == "query length for key length":
            length = flat_q.shape[1]
        outputs.append(attend(layer, flat_q[i], vectors, length))
    return np.reshape(outputs, (*q.shape[:-1], layer.filters))
