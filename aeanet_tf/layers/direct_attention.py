"""Attention with queries, keys and values formed: the path of softmax, and the oracle of the moment path."""

import keras
from keras import ops


def direct_attention(layer, x, q, training):
    """``Normalize(Q K^T) V`` for a built `GlobalAttention`, image by image or over the batch group.

    Length normalisation is evaluated as ``Q (K^T V)``, softmax as written (AEANet paper, equations 1, 2, 4 and 5), in
    training with the layer's dropout of its weights.

    Args:
        layer: a `GlobalAttention`, for its weights and options.
        x: features to attend to, ``(batch, *spatial, channels)``.
        q: query features before scaling, ``(batch, *spatial', key channels)``.
        training: whether batch-aware attention and dropout apply.

    Returns:
        ``(batch, *spatial', filters)``.
    """
    q_shape, x_shape = ops.shape(q), ops.shape(x)
    x = ops.reshape(x, (x_shape[0], -1, x.shape[-1]))
    q = _heads(ops.reshape(q, (q_shape[0], -1, q.shape[-1])), layer)
    if layer.batch_aware and training:
        half = x_shape[0] // 2
        group = ops.reshape(x[:half], (1, half * ops.shape(x)[1], x.shape[-1]))
        together = _attend(layer, q[:half], group, training, shared=True)
        y = ops.concatenate([together, _attend_referenced(layer, q[half:], x[half:], training)], axis=0)
    else:
        y = _attend_referenced(layer, q, x, training)
    y = ops.reshape(y, (q_shape[0], -1, y.shape[-2] * y.shape[-1]))
    return ops.reshape(layer.out_transform(y), (*q_shape[:-1], layer.filters))


def _heads(x, layer):
    return ops.reshape(x, (ops.shape(x)[0], -1, layer.num_heads, x.shape[-1] // layer.num_heads))


def _attend_referenced(layer, q, x, training):
    if layer.nl_library is not None:
        references = ops.repeat(ops.cast(layer.nl_library, x.dtype), ops.shape(x)[0], axis=0)
        x = ops.concatenate([references, x], axis=1)
    return _attend(layer, q, x, training)


def _attend(layer, q, x, training, shared=False):
    """Attention of q (batch, n_q, heads, width) to the vectors x (batch, n_k, channels); of one set if shared."""
    k, v = _heads(layer.k_transform(x), layer), _heads(layer.v_transform(x), layer)
    q = q * q.shape[-1] ** -0.5
    if shared:
        k, v = k[0], v[0]
    batch = "" if shared else "b"
    if layer.normalization == "softmax":
        weights = ops.softmax(ops.einsum(f"bqhd,{batch}khd->bhqk", q, k), axis=-1)
        if training and layer.dropout:
            weights = keras.random.dropout(weights, layer.dropout, seed=layer.seed_generator)
        return ops.einsum(f"bhqk,{batch}khe->bqhe", weights, v)
    kv = ops.einsum(f"{batch}khd,{batch}khe->{batch}hde", k, v)
    # The group's queries are those of all its images, as its keys are.
    queries = ops.shape(q)[1] * (ops.shape(q)[0] if shared else 1)
    length = ops.shape(k)[-3] if layer.normalization == "key_length" else queries
    return ops.einsum(f"bqhd,{batch}hde->bqhe", q, kv) / ops.cast(ops.maximum(length, 1), q.dtype)
