"""Softmax attention in sparse steps (SSAN paper): every position reaches every other one in three small ones.

Beside the paper's two levels there are what it compares with, and parts of it alone (`KINDS`).
"""

from functools import cache, lru_cache
from math import ceil

import keras
import numpy as np
from keras import ops

from aeanet_tf.errors import check_choice, expect
from aeanet_tf.layers.arguments import arguments
from aeanet_tf.layers.convolution import Projection
from aeanet_tf.layers.steps import Pointwise

LARGEST_SIZE = 2**14
"""Sides whose factors a graph knows that is made before the size of the image is known."""
KINDS = {
    "sparse": ("long-long", "long-short", "short"),
    "interlaced": ("long-long", "short"),
    "long": ("long-long", "long-short"),
    "short": ("short",),
    "dense": ("long-long",),
}
"""Kinds of an `AttentionAwareLayer`, and the steps of each; "interlaced" and "dense" have factors of their own."""
# Added to the logits of positions that are padding: far below any logit, and finite, since a group may hold nothing
# else, whose softmax would not be a number.
_MASKED = -1e9


@cache
def sparse_factors(size):
    """How a side of ``size`` positions is divided: the factors ``(P, P', Q')`` of two-level sparse attention.

    A position attends to Q' of its long-long group, P' of its long-short window and P of its short window along this
    side, whose product, ``size`` padded, is the side. The cost, the square of the padded side times P^2 + P'^2 + Q'^2
    (SSAN paper, equation 11, of a square image), is least where all three are the cube root of the side: P_h P_w =
    (H W)^(1/3). Where ``size`` is no such product, the factors around the cube root with the least cost are taken,
    padding counted, and of several those that are nearest to it. That is our choice: the paper has sides of 512 only,
    for which this gives its (8, 8, 8).

    Example:
        >>> sparse_factors(512)
        (8, 8, 8)
    """
    root = size ** (1 / 3)
    near = range(max(1, round(root) - 2), round(root) + 3)
    candidates = [(p, inner, ceil(size / (p * inner))) for p in near for inner in near if p * inner <= size]

    def cost(factors):
        p, inner, q = factors
        away = abs(p - root), abs(inner - root)
        return (p * inner * q) ** 2 * (p**2 + inner**2 + q**2), *away

    return min(candidates, key=cost)


@cache
def attention_factors(size, kind):
    """How a side of ``size`` positions is divided by a kind of attention: ``(P, P', Q')`` as of `sparse_factors`.

    One level, "interlaced", is two without the middle: P' is 1, and P near the square root of the side, where its
    cost is least (SSAN paper, below equation 11). "dense" is one group: P and P' are 1.

    Example:
        >>> attention_factors(512, "sparse"), attention_factors(576, "interlaced"), attention_factors(512, "dense")
        ((8, 8, 8), (24, 1, 24), (1, 1, 512))
    """
    if kind == "dense":
        return 1, 1, size
    if kind != "interlaced":
        return sparse_factors(size)
    root = size**0.5
    near = range(max(1, round(root) - 4), min(size, round(root) + 4) + 1)

    def cost(p):
        q = ceil(size / p)
        return (p * q) ** 2 * (p**2 + q**2), abs(p - root)

    p = min(near, key=cost)
    return p, 1, ceil(size / p)


@lru_cache
def _side_table(kind):
    return np.array([(1, 1, 1, 1), *(_side_factors(size, kind) for size in range(1, LARGEST_SIZE + 1))], "int32")


def _side_factors(size, kind):
    p, inner, q = attention_factors(size, kind)
    return p, inner, q, ceil(size / p)


def side_factors(x, kind="sparse"):
    """For y and x of features ``(batch, y, x, channels)``: `attention_factors`, and the number of windows of P."""
    # Looked up where the size is known only when the graph runs.
    return [_side_factors(size, kind) if isinstance(size, int) else _row(size, kind) for size in ops.shape(x)[1:3]]


def _side(factors, step):
    """``(outer, own, inner)``: position ``(o * own + k) * inner + i`` of a side is number k of its group."""
    p, inner, q, windows = factors
    if step == "long-long":
        return 1, q, p * inner
    return (q, inner, p) if step == "long-short" else (windows, p, 1)


def _row(size, kind):
    row = ops.convert_to_tensor(_side_table(kind))[size]
    return row[0], row[1], row[2], row[3]


@keras.saving.register_keras_serializable(package="aeanet_tf")
class SparseAttentionUnit(Pointwise, keras.layers.Layer):
    """Softmax attention within groups of positions: ``gamma * Z + X`` (SSAN paper, equations 1 to 7).

    ``A = softmax((W_f X)^T (W_g X) / sqrt(d))``, normalised so that the weights of each output position sum to 1, and
    ``Z = W_v [(W_h X) A]``. f and g have C / 8 channels, h has C / 2, v leads back to C, all with bias: 5,232
    parameters at C = 64, and gamma. As the paper says, d = C / 2, the channels of h, though f and g have fewer.

    Args:
        key_reduction: C is divided by it for f and g, 8.
        value_reduction: C is divided by it for h, 2.
        kernel_initializer: Glorot uniform by default.

    Call arguments: ``x`` of shape ``(batch, y, x, channels)``; ``grouped``, a `Grouping` of its positions.

    Example:
        >>> x = ops.ones((1, 8, 8, 16))
        >>> tuple(SparseAttentionUnit()(x, grouped=Grouping(x, "short", side_factors(x))).shape)
        (1, 8, 8, 16)
    """

    def __init__(self, key_reduction=8, value_reduction=2, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.key_reduction, self.value_reduction = key_reduction, value_reduction
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.f = self.g = self.h = self.v = self.gamma = None

    def build(self, input_shape):
        channels = input_shape[-1]
        for name in ("key_reduction", "value_reduction"):
            if channels % getattr(self, name):
                raise ValueError(f"{name}: found {getattr(self, name)}, expected a divisor of the {channels} channels")
        keys, values = channels // self.key_reduction, channels // self.value_reduction
        self.f, self.g = self._projection("f", keys, channels), self._projection("g", keys, channels)
        self.h, self.v = self._projection("h", values, channels), self._projection("v", channels, values)
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")

    def _projection(self, name, filters, channels):
        initializer = self.kernel_initializer.clone()
        layer = Projection(filters, kernel_initializer=initializer, dtype=self.dtype_policy, name=name)
        layer.build((None, channels))
        return layer

    def call(self, x, grouped):
        key, query, value = (grouped.split(layer(x)) for layer in (self.f, self.g, self.h))
        logits = ops.einsum("gqc,gkc->gqk", query, key)
        logits = ops.cast(logits, "float32") * (self.h.filters**-0.5)
        if grouped.mask is not None:
            logits = logits + grouped.mask
        weights = ops.cast(ops.softmax(logits, axis=-1), x.dtype)
        z = self.v(grouped.join(ops.matmul(weights, value)))
        return x + ops.cast(self.gamma, x.dtype) * z

    def get_config(self):
        return {**super().get_config(), **arguments(self, "key_reduction value_reduction kernel_initializer")}


class Grouping:
    """Which positions of an image attend to each other in one of the three steps.

    With the factors (P, P', Q') of a side, its positions are grouped along it as

    * ``"long-long"``: all that are P P' apart, Q' of them;
    * ``"long-short"``: windows of P' of those that are P apart;
    * ``"short"``: windows of P neighbours.

    A side that is no product of these is padded. To the long-long groups padding does not count. A window that would
    stick out attends to as many positions as any other, the last ones: a part of it only would not reach the whole
    image through the steps before.

    Args:
        x: features ``(batch, y, x, channels)``, for their shape.
        step: one of the above.
        factors: `side_factors` of them.

    Attributes: ``mask``, ``(groups, 1, positions)`` to add to the logits, ``None`` where every position counts.
    """

    # Axes after splitting both sides: batch; outer, own, inner of y; outer, own, inner of x; channels.
    _ORDER = (0, 1, 3, 4, 6, 2, 5, 7)
    _BACK = (0, 1, 5, 2, 3, 6, 4, 7)

    def __init__(self, x, step, factors):
        self._batch, *self._size = ops.shape(x)[:3]
        # A group's own positions along a side, between what is left of its position: outer * own + inner.
        self._sides = [_side(each, step) for each in factors]
        self._padded = [outer * own * inner for outer, own, inner in self._sides]
        known = all(isinstance(size, int) for size in self._size)
        self._whole = known and list(self._size) == list(self._padded)
        self.mask = self._make_mask() if step == "long-long" and not self._whole else None
        self._windows = step != "long-long"

    def split(self, x):
        """Features as ``(groups, positions, channels)``."""
        for axis, (size, padded, side) in enumerate(zip(self._size, self._padded, self._sides, strict=True), 1):
            if not self._whole:
                x = self._extended(x, axis, size, padded - size, side[1] * side[2])
        return self._split(x, self._batch)

    def _extended(self, x, axis, size, missing, span):
        if not self._windows:
            return ops.pad(x, [(0, missing if i == axis else 0) for i in range(4)])
        # One window back.
        part = slice(size - span, size - span + missing)
        return ops.concatenate([x, x[:, part] if axis == 1 else x[:, :, part]], axis=axis)

    def join(self, groups):
        """The reverse of `split`: ``(batch, y, x, channels)``."""
        channels = groups.shape[-1]
        sizes = [self._batch, *self._sides[0], *self._sides[1], channels]
        x = ops.transpose(ops.reshape(groups, [sizes[i] for i in self._ORDER]), self._BACK)
        x = ops.reshape(x, (self._batch, *self._padded, channels))
        return x if self._whole else x[:, : self._size[0], : self._size[1]]

    def _split(self, x, batch):
        channels = x.shape[-1]
        x = ops.reshape(x, (batch, *self._sides[0], *self._sides[1], channels))
        return ops.reshape(ops.transpose(x, self._ORDER), (-1, self._sides[0][1] * self._sides[1][1], channels))

    def _make_mask(self):
        height, width = self._size
        missing = [(0, padded - size) for size, padded in zip(self._size, self._padded, strict=True)]
        # Of two channels, since the converter to ONNX takes the transposition of a single one for a change of shape.
        inside = ops.pad(ops.ones((1, height, width, 2), "float32"), [(0, 0), *missing, (0, 0)])
        mask = ops.transpose(self._split(_MASKED * (1 - inside), 1), (0, 2, 1))[:, :1]
        # Groups of the first image come first.
        return ops.tile(mask, (self._batch, 1, 1))


@keras.saving.register_keras_serializable(package="aeanet_tf")
class AttentionAwareLayer(Pointwise, keras.layers.Layer):
    """Attention-aware layer: two-level sparse softmax self-attention in 2D (SSAN paper, "Attention-aware layer").

    An image of H x W positions is divided into P_h x P_w interleaved groups of Q_h x Q_w positions, P apart, and each
    of these in the same way into P'_h x P'_w groups of Q'_h x Q'_w. Three `SparseAttentionUnit` follow each other:

    1. ``long_long``: within each group of the second level, over the whole image;
    2. ``long_short``: within windows of P'_h x P'_w neighbours of a group of the first level;
    3. ``short``: within windows of P_h x P_w neighbours of the full grid.

    Together every output depends on every input, at a cost of (H W)^(4/3) instead of (H W)^2. The factors are those of
    `sparse_factors`, for 512 x 512 (8, 8, 8) along each side. Sizes that they do not divide are padded, and padding is
    masked: any size works (`Grouping`), up to 16,384 a side in graphs whose sizes are known only when they run. The
    factors depend on the size of the image, so a part of an image is not divided as the whole; the layer cannot be
    evaluated tile by tile without an error.

    The layer has 15,696 parameters at C = 64, and three gammas, which begin at 0: untrained it changes nothing.

    Other kinds are for comparison (SSAN paper, tables 2 and 3). ``"long"`` has the first two units only, ``"short"``
    the last one: neither reaches every position. ``"interlaced"`` has one level: ``long_long``, over the whole image,
    and ``short``, at a cost of (H W)^(3/2). ``"dense"`` is one unit, ``long_long``, in which every position attends to
    every other: 256 GiB of weights at 512 x 512.

    Args:
        key_reduction, value_reduction, kernel_initializer: of each unit, see `SparseAttentionUnit`.
        kind: one of `KINDS`.

    Call arguments: ``x`` of shape ``(batch, y, x, channels)``. Returns the same shape.

    Raises:
        ValueError: an unknown kind, an input that is not 2D, or channels that the reductions do not divide.

    Example:
        >>> tuple(AttentionAwareLayer()(ops.ones((1, 30, 40, 16))).shape)
        (1, 30, 40, 16)
    """

    def __init__(
        self, key_reduction=8, value_reduction=2, kernel_initializer="glorot_uniform", kind="sparse", **kwargs
    ):
        super().__init__(**kwargs)
        check_choice("kind", kind, tuple(KINDS))
        self.kind = kind
        initializer = keras.initializers.get(kernel_initializer)
        for step in KINDS[kind]:
            name = _attribute(step)
            unit = SparseAttentionUnit(
                key_reduction, value_reduction, initializer.clone(), dtype=self.dtype_policy, name=name
            )
            setattr(self, name, unit)

    @property
    def units(self):
        """Its units by the names of their steps, in their order."""
        return {step: getattr(self, _attribute(step)) for step in KINDS[self.kind]}

    def build(self, input_shape):
        expect(len(input_shape) == 4, "features", f"shape {tuple(input_shape)}", "(batch, y, x, channels)")
        for unit in self.units.values():
            unit.build(input_shape)

    def call(self, x):
        factors = side_factors(x, self.kind)
        for step, unit in self.units.items():
            x = unit(x, grouped=Grouping(x, step, factors))
        return x

    def get_config(self):
        names = "key_reduction", "value_reduction", "kernel_initializer"
        inner = next(iter(self.units.values())).get_config()
        return {**super().get_config(), **{name: inner[name] for name in names}, "kind": self.kind}


def _attribute(step):
    return step.replace("-", "_")
