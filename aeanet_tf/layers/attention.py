"""Global attention as a merge of context moments (AEANet paper, equations 1 to 5; GVTNet paper, GVTO)."""

import math

import keras
from keras import ops

from aeanet_tf.errors import check_choice, expect
from aeanet_tf.layers.arguments import arguments
from aeanet_tf.layers.convolution import Projection, convolution, times_matrix
from aeanet_tf.layers.direct_attention import direct_attention
from aeanet_tf.layers.moments import Moments, context_moments, merge_batch, merge_moments, select_moments
from aeanet_tf.layers.weightless import repeat_lateral

SIZES = ("same", "down", "up", "up4")
NORMALIZATIONS = ("key_length", "query_length", "softmax")
# Of the output projection as it is drawn, what attention by length begins with.
START = 0.1


@keras.saving.register_keras_serializable(package="aeanet_tf")
class GlobalAttention(keras.layers.Layer):
    """Multi-head attention of every position to all positions of the image, in 2D and 3D.

    Computes ``(Q K^T) V / n`` with ``Q``, ``K``, ``V`` projections of the input. Because
    the normalisation is by length, ``K^T V / n`` follows exactly from the input's context moments, and no key or
    value is ever formed: the operator costs one channel-by-channel product a position.

    Args:
        filters: number of output channels.
        size: ``"same"`` (the query is a 1x1 convolution), ``"down"`` (3x3 convolution of stride 2), ``"up"``
            (transposed 3x3 convolution of stride 2) or ``"up4"`` (the input repeated four times along the last two
            spatial axes, no weights).
        num_heads: heads split the channel axes of query, key and value into contiguous groups.
        shared_references: number r of learned vectors that every image attends to besides itself (equation 4);
            they count in the length. 0 for none. Initialised Glorot uniform, which the paper leaves open.
        batch_aware: in training, the first ``floor(N / 2)`` images of a batch of N attend to all positions of that
            group and to no references (equation 5); the others attend to themselves and the references. Nothing
            changes in prediction, nor for a batch of one image. On several devices a batch is the part on one of them.
        normalization: ``"key_length"`` (AEANet: number of attended vectors, references included),
            ``"query_length"`` (GVTNet: number of output positions; for the group of batch-aware attention, that of all
            its images, as equation 5 has it) or ``"softmax"``. References add to the sum over the attended vectors
            and are no positions of the output: the length of the query does not count them.
        query: ``"input"``, or ``"learned"`` for a learned query (section II-B), which fixes the input size.
        key_filters, value_filters: channels of query and key, and of value; ``filters`` by default (for ``up4``
            the query is the input, so ``key_filters`` must equal its channels).
        use_bias: of query, key, value and output projections.
        computation: ``"moments"``, ``"direct"`` (forms Q, K and V; the oracle of the tests and the only path of
            softmax), or ``None`` for moments wherever the normalisation allows it.
        kernel_initializer: of all projections, Glorot uniform by default.
        dropout: share of the weights of softmax set to 0 in training, the others divided by ``1 - dropout``, before
            they meet the values (Non-local U-Nets, Wang et al., AAAI 2020); 0 for none, nothing changes in prediction.
            Only ``normalization="softmax"`` has it: with one by length no weights are formed.
        seed: of the dropout; by default from Keras's global seed.

    Call arguments:
        x: ``(batch, *spatial, channels)``.
        context: `Moments` of the features to attend to, instead of those of ``x``; computed elsewhere with
            `context_moments`, for instance over all tiles of an image. References are merged to them as usual.
        query: query features before the scaling, if the caller has computed them with `compute_query`.
        residual: whether the query features are added to the output, which then have ``filters`` channels, too.
        training: whether batch-aware attention and dropout are on.

    Output shape: ``(batch, *spatial', filters)``; spatial' is spatial, ceil(spatial / 2), 2 spatial, or 4 times
    the last two axes.

    Raises:
        ValueError: unknown option, heads that do not divide the channels, a dropout outside of [0, 1) or without
            softmax, an unknown size for a learned query, or ``context`` on the direct path.

    Example:
        >>> y = GlobalAttention(8, size="down", shared_references=4)(ops.ones((1, 16, 16, 4)))
        >>> tuple(y.shape)
        (1, 8, 8, 8)
    """

    def __init__(
        self,
        filters,
        size="same",
        num_heads=2,
        shared_references=0,
        batch_aware=False,
        normalization="key_length",
        query="input",
        key_filters=None,
        value_filters=None,
        use_bias=True,
        computation=None,
        kernel_initializer="glorot_uniform",
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        # Keras would cast moments given as context to half precision: `call` casts what is to be cast.
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.size = check_choice("size", size, SIZES)
        self.num_heads = num_heads
        self.shared_references = shared_references
        self.batch_aware = batch_aware
        self.normalization = check_choice("normalization", normalization, NORMALIZATIONS)
        self.query = check_choice("query", query, ("input", "learned"))
        self.key_filters = key_filters
        self.value_filters = value_filters
        self.use_bias = use_bias
        self.computation = check_choice("computation", computation, (None, "moments", "direct"))
        softmax = normalization == "softmax"
        expected = "a normalization by length"
        expect(not softmax or computation != "moments", "computation", f"'moments' with {normalization=}", expected)
        expect(0 <= dropout < 1, "dropout", repr(dropout), "at least 0 and less than 1")
        expect(softmax or not dropout, "dropout", f"{dropout} with {normalization=}", "0: it is for softmax")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        for name, n in (("key_filters", key_filters or filters), ("value_filters", value_filters or filters)):
            expect(not n % num_heads, "num_heads", num_heads, f"a number that divides {name}={n}")
        self.dropout, self.seed = dropout, seed
        # Only where it is needed: it is one of the layer's variables.
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None
        self.q_transform = self.nl_library = self.learned_query = None

    @property
    def _channels_key(self):
        return self.key_filters or self.filters

    @property
    def _direct(self):
        return self.normalization == "softmax" or self.computation == "direct"

    def build(self, input_shape):
        rank, channels = len(input_shape) - 2, input_shape[-1]
        key, value = self._channels_key, self.value_filters or self.filters
        self.k_transform = self._projection(key, "k_transform", input_shape)
        self.v_transform = self._projection(value, "v_transform", input_shape)
        self.out_transform = self._projection(self.filters, "out_transform", (None, value))
        if self.query == "learned":
            self._build_learned_query(input_shape)
        elif self.size == "up4":
            expect(channels == key, "key_filters", key, f"{channels}, the channels of the input, the query of 'up4'")
        elif self.size == "same":
            self.q_transform = self._projection(key, "q_transform", input_shape)
        else:
            options = {"use_bias": self.use_bias, "kernel_initializer": self.kernel_initializer.clone()}
            options |= {"transposed": self.size == "up", "dtype": self.dtype_policy, "name": "q_transform"}
            self.q_transform = convolution(rank, key, 3, strides=2, **options)
            self.q_transform.build(input_shape)
        if self.shared_references:
            self.nl_library = self._vectors(self.shared_references, channels, "nl_library")

    def _projection(self, filters, name, input_shape):
        layer = Projection(filters, self.use_bias, self.kernel_initializer.clone(), dtype=self.dtype_policy, name=name)
        layer.build(input_shape)
        return layer

    def _build_learned_query(self, input_shape):
        spatial = self.compute_output_shape(input_shape)[1:-1]
        learned = f"'learned' for the input shape {tuple(input_shape)}"
        expect(None not in spatial, "query", learned, "a known input size")
        self.learned_query = self._vectors(math.prod(spatial), self._channels_key, "learned_query")

    def _vectors(self, count, channels, name):
        """Learned vectors of its own, ``(1, count, channels)``."""
        initializer = self.kernel_initializer.clone()
        return self.add_weight((1, count, channels), initializer=initializer, name=name, autocast=False)

    def compute_query(self, x):
        """Query features of ``x`` before the head scaling, shape ``(batch, *spatial', key_filters)``."""
        if self.query == "learned":
            spatial = self.compute_output_shape(x.shape)[1:-1]
            q = ops.reshape(ops.cast(self.learned_query, x.dtype), (1, *spatial, self._channels_key))
            return ops.repeat(q, ops.shape(x)[0], axis=0)
        if self.size == "up4":
            return repeat_lateral(x)
        return self.q_transform(x)

    def call(self, x, context=None, query=None, residual=False, training=None):
        x = ops.cast(x, self.compute_dtype)
        query = None if query is None else ops.cast(query, self.compute_dtype)
        context = None if context is None else Moments(*(ops.cast(m, "float32") for m in context))
        if self._direct:
            expect(context is None, "context", "moments", "none on the direct path, which forms keys and values")
            q = self.compute_query(x) if query is None else query
            y = direct_attention(self, x, q, training)
            return q + y if residual else y
        if self.size == "same" and self.query == "input" and query is None and not residual:
            moments = self.attended_moments(x, context, training)
            length = self._length(x, x, moments, context, training)
            matrix, offset = self._through_query(self._fold(moments, length))
            return _apply(x, matrix, offset)
        q = self.compute_query(x) if query is None else query
        moments = self.attended_moments(x, context, training)
        _, bias = self.out_transform.weights_float32()
        matrix = self._fold(moments, self._length(x, q, moments, context, training))
        if not residual:
            return _apply(q, matrix, bias)
        if q.dtype == matrix.dtype:
            # One pass over the positions less than an addition.
            return _apply(q, matrix + ops.eye(self.filters, dtype="float32"), bias)
        # In half precision, 1 + b would lose b.
        return q + _apply(q, matrix, bias)

    def attended_moments(self, x, context=None, training=None):
        """`Moments` of what each image of ``x`` attends to: itself or ``context``, references, batch group."""
        own = context_moments(x) if context is None else Moments(*context)
        attended = own
        if self.nl_library is not None:
            attended = merge_moments(own, context_moments(self.nl_library))
        in_group = self._in_group(x, context, training)
        if in_group is not None:
            group = merge_batch(own, ops.cast(in_group, "float32"))
            attended = select_moments(in_group, group, attended)
        return attended

    def _in_group(self, x, context, training):
        """Which images attend to the batch group, booleans (batch,); ``None`` where batch-aware attention is off."""
        if not (self.batch_aware and training and context is None):
            return None
        batch = ops.shape(x)[0]
        return ops.arange(batch) < batch // 2

    def _length(self, x, q, moments, context, training):
        """The factor that turns ``K^T V / (key length)`` into the normalisation asked for, shape (batch,)."""
        if self.normalization == "key_length":
            return None
        n_q = _positions(q)
        if context is not None:
            # x may be a tile: the whole query is larger than the whole context as this query than this input.
            n_q = Moments(*context).weight * n_q / _positions(x)
        in_group = self._in_group(x, context, training)
        if in_group is not None:
            # Keys are those of all images of the group, and so is the length.
            n_q = ops.where(in_group, n_q * ops.sum(ops.cast(in_group, "float32")), n_q)
        return moments.weight / n_q

    def _fold(self, moments, length):
        """B of ``y = q B + bo``: ``K^T V`` by heads, scaled, times the output projection; (batch, key, filters)."""
        wk, bk = self.k_transform.weights_float32()
        wv, bv = self.v_transform.weights_float32()
        wo, _ = self.out_transform.weights_float32()
        k_mean, v_mean = ops.matmul(moments.mean, wk), ops.matmul(moments.mean, wv)
        kv = _times_each(ops.transpose(wk), times_matrix(moments.second, wv))
        kv = kv + k_mean[:, :, None] * bv + bk[:, None] * (v_mean + bv)[:, None, :]
        kv = kv * (self._head_mask() * (self._channels_key // self.num_heads) ** -0.5)
        if length is not None:
            kv = kv * ops.reshape(length, (-1, 1, 1))
        return times_matrix(kv, wo)

    def _head_mask(self):
        """1 where a key and a value channel belong to the same head, else 0."""
        heads = ops.eye(self.num_heads, dtype="float32")
        width_k = self._channels_key // self.num_heads
        width_v = (self.value_filters or self.filters) // self.num_heads
        return ops.repeat(ops.repeat(heads, width_k, axis=0), width_v, axis=1)

    def _through_query(self, matrix):
        wq, bq = self.q_transform.weights_float32()
        _, bo = self.out_transform.weights_float32()
        return _times_each(wq, matrix), _times_each(bq[None], matrix) + bo

    def compute_output_shape(self, input_shape):
        spatial = list(input_shape[1:-1])
        if self.size == "up4":
            spatial[-2:] = [None if n is None else 4 * n for n in spatial[-2:]]
        elif self.size != "same":
            spatial = [None if n is None else (-(-n // 2) if self.size == "down" else 2 * n) for n in spatial]
        return (input_shape[0], *spatial, self.filters)

    def get_config(self):
        names = (
            "filters size num_heads shared_references batch_aware normalization query "
            "key_filters value_filters use_bias computation dropout seed kernel_initializer"
        )
        return {**super().get_config(), **arguments(self, names)}


def _positions(x):
    n = ops.cast(1.0, "float32")
    for size in ops.shape(x)[1:-1]:
        n = n * ops.cast(size, "float32")
    return n


def _times_each(matrix, batch):
    """``matrix @ batch[image]``."""
    return ops.transpose(times_matrix(ops.transpose(batch, (0, 2, 1)), ops.transpose(matrix)), (0, 2, 1))


def _apply(x, matrix, offset):
    """``x @ matrix[image] + offset[image]`` over the channels of each image, in the dtype of ``x``."""
    shape = ops.shape(x)
    flat = ops.reshape(x, (shape[0], -1, x.shape[-1]))
    offset = ops.cast(ops.reshape(offset, (-1, 1, matrix.shape[-1])), x.dtype)
    y = ops.matmul(flat, ops.cast(matrix, x.dtype)) + offset
    return ops.reshape(y, (*shape[:-1], matrix.shape[-1]))


def start_small(layer):
    """Give a new `GlobalAttention` whose normalisation is by length a tenth of its output projection.

    Its output is a product of query, key, value and projection, which nothing bounds: at the learning rates that make
    short trainings good, one step in which all four grow can throw a network without batch norm so far off that its
    activations never recover (docs/training.md). Where it begins small, the residual path learns first. A softmax
    bounds the weights, so that attention is left as it is.
    """
    if layer.normalization != "softmax":
        layer.out_transform.kernel.assign(START * ops.convert_to_tensor(layer.out_transform.kernel))
