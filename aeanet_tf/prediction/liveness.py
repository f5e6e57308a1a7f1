"""What memory a tile takes: which tensors exist at the same time while a stage is evaluated, how large they are."""

from functools import singledispatchmethod
from math import prod
from typing import Any, NamedTuple

import keras

from aeanet_tf.layers import (
    GVTO,
    AttentionAwareLayer,
    BinomialFilter,
    ChannelAttention,
    CubicUpSampling,
    DepthToSpace,
    DilatedConvolution,
    GlobalFeatures,
    LateralUpSampling,
    LocalConvolution,
    MaskBlend,
    OneNeighbour,
    PreActivation,
    ResidualBlock,
    ResidualDenseBlock,
    Scale,
    SurfaceProjection,
    SwapNeighbours,
    Warp,
    WeightedMean,
    attention_factors,
)
from aeanet_tf.layers.keras_convolutions import Conv2DTranspose, Conv3D, Conv3DTranspose

_TRANSPOSED = (keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
# Dropout is nothing in prediction: it gives what it takes.
_IN_PLACE = (keras.layers.Activation, keras.layers.Add, keras.layers.Dropout, keras.layers.Subtract)
# Measured by benchmarks/memory_model.py with TensorFlow 2.21 on Linux, x86. Inputs exist three times: as NumPy arrays
# and twice as tensors. With oneDNN, TensorFlow takes memory from a pool that grows by doubling and gives nothing back:
# with its gaps it is 1.0 to 1.9 times what is alive, by how a tile's size happens to fit. FIXED is for small tensors.
COPIES, POOL, FIXED = 3, 2.0, 4e6
# Of sparse attention, in the order of its factors.
_GROUPS = ("short", "long-short", "long-long")
_ITEM = {"float16": 2, "bfloat16": 2, "float64": 8}


class Operation(NamedTuple):
    """An elementary operation.

    Attributes:
        reads: keys of the tensors that it takes.
        key: of the one it gives.
        size: of that, in bytes.
        in_place: whether that takes over the memory of the first tensor read, if nothing else needs it.
        columns: bytes of the column matrix of a transposed convolution, which TensorFlow forms without oneDNN.
    """

    reads: tuple
    key: Any
    size: float
    in_place: bool = False
    columns: float = 0


class Peak(NamedTuple):
    """Bytes of a stage on a tile.

    Attributes:
        inputs: of one copy of its inputs.
        outputs: of one copy of what is kept and, in the last stage, the output.
        between: the most that exists at a time beside the inputs.
        columns: the same with the column matrices of transposed convolutions.
    """

    inputs: float
    outputs: float
    between: float
    columns: float


def tile_bytes(graph, stage, size, overlapped=False):
    """Predicted peak memory of `Stages.run` on a tile, beyond what the process holds once the stage is traced.

    An upper bound for the evaluation on a CPU: what is alive at the same time (`stage_peak`), with the gaps in
    TensorFlow's pool; or without gaps but with the columns of transposed convolutions, which TensorFlow forms without
    oneDNN, if that is more. The pool stays with the process for the tiles to come, and counts as resident.

    Args:
        graph: the `NetworkGraph`.
        stage: a `Stage` of it.
        size: spatial size of the tile as it is read, halo included, one number for each of the image's axes.
        overlapped: whether another tile's inputs wait at the same time, and what one more gave is being written.

    Returns:
        Bytes of inputs, all that is between, output and kept features. It does not fall along any axis of the tile.
    """
    peak = stage_peak(graph, stage, size)
    inputs, outputs = COPIES + overlapped, 1 + overlapped
    return inputs * peak.inputs + outputs * peak.outputs + max(POOL * peak.between, peak.columns) + FIXED


def all_bytes(graph, stage, size):
    """Bytes of all that the operations of ``stage`` give on a tile of spatial size ``size``, none of it let go: what
    training keeps for the gradients."""
    return sum(operation.size for operation in _Program(graph, stage, size).operations)


def stage_peak(graph, stage, size):
    """The `Peak` of evaluating ``stage`` on a tile of spatial size ``size``, halo included.

    Operations run in the order of the graph's nodes, a tensor exists from its operation to the last one that reads it.
    Kept features are copied without the halo at once, because TensorFlow may run that early; the copies last.
    """
    program = _Program(graph, stage, size)
    inputs = sum(program.bytes(t) for t in stage.inputs)
    outputs = sum(program.bytes(t) for t in (*stage.keeps, *([] if stage.operator else [stage.target])))
    return Peak(inputs, outputs, program.peak(False), program.peak(True))


class _Program:
    """The elementary operations of a stage on a tile."""

    def __init__(self, graph, stage, size):
        self.graph, self.size, self.operations = graph, size, []
        # Operations of `keras.ops` have none.
        self.dtypes = {id(node.output): getattr(node.layer, "compute_dtype", "float32") for node in stage.nodes}
        for node in stage.nodes:
            self._evaluate(node)
            if any(node.output is kept for kept in stage.keeps):
                self._crop(node.output)
        inner = self._crop(stage.target)
        if isinstance(stage.operator, GVTO):
            # The pre-activation whose moments are taken.
            self._add([self._preactivated(stage.operator.batch_norm, inner, self.bytes(stage.target))], 0)

    def bytes(self, tensor):
        """Bytes of a tensor of the graph."""
        return self._positions(tensor) * (tensor.shape[-1] or 1) * self._item(tensor)

    def _positions(self, tensor):
        strides = self.graph.strides(tensor)
        return prod(-(-n // s) for n, s in zip(self.size[-len(strides) :], strides, strict=True))

    def _item(self, tensor):
        return _ITEM.get(self.dtypes.get(id(tensor)), 4)

    def peak(self, columns):
        """The most bytes that exist at a time, inputs left out, column matrices counted or not."""
        last = {key: i for i, operation in enumerate(self.operations) for key in operation.reads}
        live, peak = {}, 0
        for i, operation in enumerate(self.operations):
            first = operation.reads[0]
            if operation.in_place and last[first] == i and live.get(first, -1) >= operation.size:
                del live[first]
            live[operation.key] = operation.size
            peak = max(peak, sum(live.values()) + columns * operation.columns)
            for key in operation.reads:
                if last[key] == i:
                    live.pop(key, None)
        return peak

    def _add(self, reads, size, key=None, **facts):
        key = object() if key is None else key
        self.operations.append(Operation(tuple(reads), key, size, **facts))
        return key

    def _evaluate(self, node):
        """The operations of a node; every layer of ours is known to `_operations`."""
        reads, key = [id(t) for t in node.inputs], id(node.output)
        self._operations(node.layer, node, reads, self.bytes(node.output), key)

    @singledispatchmethod
    def _operations(self, layer, node, reads, size, key):
        if not type(layer).__module__.startswith("keras.") and not self.graph.unknown:
            raise TypeError(f"{type(layer).__name__} is not known to the estimate of memory")
        columns = self._columns(node, prod(layer.kernel_size)) if isinstance(layer, _TRANSPOSED) else 0
        self._add(reads, size, key, in_place=isinstance(layer, _IN_PLACE), columns=columns)

    @_operations.register
    def _convolved(self, layer: Conv3D, node, reads, size, key):
        self._add(reads, size, key)

    @_operations.register
    def _transposed_image(self, layer: Conv2DTranspose, node, reads, size, key):
        # The phases, by rows, and all of them; or the result at once, with the columns that this takes.
        phases = self._add(reads, size, columns=self._columns(node, prod(layer.kernel_size)))
        self._add([phases], size, key)

    @_operations.register
    def _transposed(self, layer: Conv3DTranspose, node, reads, size, key):
        # The input moved by each slice of a residue, those side by side, the residues, all of them, and these cropped.
        moved = -(-layer.kernel_size[0] // layer.strides[0]) * self.bytes(node.inputs[0])
        for each in (moved, moved, size, size):
            reads = [self._add(reads, each)]
        self._add(reads, size, key)

    @_operations.register(ChannelAttention)
    @_operations.register(GlobalFeatures)
    @_operations.register(OneNeighbour)
    @_operations.register(Scale)
    @_operations.register(SwapNeighbours)
    def _elementwise(self, layer, node, reads, size, key):
        self._add(reads, size, key, in_place=isinstance(layer, Scale))

    @_operations.register
    def _blend(self, layer: MaskBlend, node, reads, size, key):
        self._add([self._add(reads, size), *reads], size, key, in_place=True)

    @_operations.register
    def _locally_convolved(self, layer: LocalConvolution, node, reads, size, key):
        image, kernels = reads
        kernels = self._add([kernels], self.bytes(node.inputs[1]))
        horizontal = self._add([kernels], self.bytes(node.inputs[1]) / 2)
        # A value for each element of a kernel, with and without what lies beyond the border, and times the kernel.
        many = size * layer.size
        padded = self._add([self._add([self._add([image], size)], many)], many)
        total = None
        for i in range(layer.size):
            summed = self._add([self._add([self._add([padded], many), horizontal], many)], size)
            row = self._add([summed, kernels], size)
            last = i == layer.size - 1
            total = self._add([row, *([] if total is None else [total])], size, key if last else None)

    @_operations.register
    def _warped(self, layer: Warp, node, reads, size, key):
        image, flow = reads
        both, one = self.bytes(node.inputs[1]), self.bytes(node.inputs[1]) / 2
        # The flow between pixels and the pixels below, places of the grid, and for each of four its place and weight.
        kept = [self._add([flow], both) for _ in range(2)] + [self._add([flow], one) for _ in range(3)]
        kept.append(self._add([image], size))
        total = []
        for i in range(4):
            place = self._add([*kept, self._add(kept, one)], one)
            value = self._add([place, *kept], size)
            product = self._add([value, self._add(kept, one)], size)
            total = [self._add([product, *total], size, key if i == 3 else None)]

    @_operations.register
    def _repeat(self, layer: LateralUpSampling, node, reads, size, key):
        self._add([self._add(reads, size / 4)], size, key)

    @_operations.register(keras.layers.UpSampling2D)
    @_operations.register(keras.layers.UpSampling3D)
    def _up_sampled(self, layer, node, reads, size, key):
        # Along one axis after the other, the last of which makes the most.
        for n in layer.size[:0:-1]:
            size /= n
        for n in layer.size[1:]:
            reads = [self._add(reads, size)]
            size *= n
        self._add(reads, size, key)

    @_operations.register
    def _binomial(self, layer: BinomialFilter, node, reads, size, key):
        axes = len(node.output.shape) - 2
        x = reads[0]
        for axis in range(axes):
            # Its neighbours on both sides, each joined of two pieces, their sum, and that with the middle.
            sides = [self._add([x, self._add([x], size)], size) for _ in range(2)]
            both = self._add([self._add(sides, size, in_place=True)], size, in_place=True)
            x = self._add([both, self._add([x], size)], size, key if axis == axes - 1 else None, in_place=True)

    @_operations.register
    def _shuffled(self, layer: DepthToSpace, node, reads, size, key):
        # Along one axis after the other: the parts, and these in turn.
        for _ in range(3, len(node.output.shape)):
            reads = [self._add([self._add(reads, size)], size)]
        self._add([self._add(reads, size)], size, key)

    @_operations.register
    def _cubic(self, layer: CubicUpSampling, node, reads, size, key):
        axes, x = len(node.output.shape) - 2, reads[0]
        for axis in range(axes):
            after = size / layer.factor ** (axes - 1 - axis)
            before = after / layer.factor
            # The image five times, each shifted; four of them weighted and added up for each phase; these in turn.
            shifted = self._add([self._add([x], before)], 5 * before)
            phases = self._add([self._add([shifted], 4 * before), shifted], after)
            x = self._add([phases], after, key if axis == axes - 1 else None)

    @_operations.register
    def _dilated(self, layer: DilatedConvolution, node, reads, size, key):
        x = node.inputs[0]
        strides = self.graph.strides(x)
        sides = [-(-n // s) for n, s in zip(self.size[-len(strides) :], strides, strict=True)]
        padded = self._add(reads, self.bytes(x) * prod((n + 2 * layer.rate) / n for n in sides))
        elements, total = 3 ** len(sides), None
        for i in range(elements):
            one = self._add([self._add([padded], self.bytes(x))], size)
            total = self._add([one, *([] if total is None else [total])], size, key if i == elements - 1 else None)

    @_operations.register
    def _surface_projection(self, layer: SurfaceProjection, node, reads, size, key):
        logits, stack = reads[0], self.bytes(node.inputs[1])
        weights = self._add([self._add([logits], self.bytes(node.inputs[0]))], self.bytes(node.inputs[0]))
        self._add([self._add([weights, reads[1]], stack)], size, key)

    @_operations.register
    def _weighted_mean(self, layer: WeightedMean, node, reads, size, key):
        product = self._add(reads, max(self.bytes(t) for t in node.inputs), in_place=True)
        self._add([product], size, key)

    @_operations.register
    def _pre_activation(self, layer: PreActivation, node, reads, size, key):
        self._preactivated(layer, reads[0], size, key)

    def _columns(self, node, kernel):
        """A value for each tap of the kernel and each channel given, at each position of the input."""
        x, y = node.inputs[0], node.output
        return self.bytes(x) / x.shape[-1] * kernel * y.shape[-1]

    def _preactivated(self, layer, x, size, key=None):
        # A normalisation is a convolution of one pixel, which cannot take over its input's memory.
        return self._add([x], size, key, in_place=not layer.batch_norm)

    @_operations.register
    def _residual(self, layer: ResidualBlock, node, reads, size, key):
        x, size_in = reads[0], self.bytes(node.inputs[0])
        h = self._preactivated(layer.batch_norm_1, x, size_in)
        shortcut = x if layer.projection_shortcut is None else self._add([h], size)
        # The second normalisation is in the convolution's kernel.
        inner = self._add([self._add([h], size)], size, in_place=True)
        self._add([self._add([inner], size), shortcut], size, key, in_place=True)

    @_operations.register
    def _dense(self, layer: ResidualDenseBlock, node, reads, size, key):
        dense = x = reads[0]
        channels = layer.fusion.kernel.shape[-1]
        for i, activation in enumerate(layer.activations):
            one = size * layer.growth / channels
            added = self._preactivated(activation, self._add([dense], one), one)
            dense = self._add([dense, added], size + (i + 1) * one)
        self._add([self._add([dense], size), x], size, key, in_place=True)

    @_operations.register
    def _sparse_attention(self, layer: AttentionAwareLayer, node, reads, size, key):
        x = reads[0]
        factors = [attention_factors(n, layer.kind) for n in self.size]
        unpadded, padded = prod(self.size), prod(prod(f) for f in factors)
        units = list(layer.units.items())
        for step, unit in units:
            # A value for every pair of positions of a group: logits and weights.
            pairs = 4 * padded * prod(f[_GROUPS.index(step)] for f in factors)
            part = size * padded / unpadded
            keys, values = part / unit.key_reduction, part / unit.value_reduction
            f, g, h = (self._add([self._add([x], each)], each) for each in (keys, keys, values))
            weights = self._add([self._add([f, g], pairs)], pairs)
            z = self._add([self._add([self._add([weights, h], values)], values)], size)
            last = unit is units[-1][1]
            x = self._add([self._add([z], size, in_place=True), x], size, key if last else None, in_place=True)

    @_operations.register
    def _attention(self, layer: GVTO, node, reads, size, key):
        kind, softmax = layer.attention.size, layer.attention.normalization == "softmax"
        x, keys = reads[0], (layer.attention.key_filters or layer.attention.filters) / layer.attention.filters
        h = self._preactivated(layer.batch_norm, x, self.bytes(node.inputs[0]))
        if kind == "same":
            # By length, the query is not formed.
            attended = self._softmax(node, self._add([h], size * keys), h) if softmax else self._add([h], size)
            self._add([attended, x], size, key, in_place=True)
            return
        columns = self._columns(node, 3 ** (len(node.output.shape) - 2)) if kind == "up" else 0
        # Nearest neighbours along one axis, then along the other.
        source = self._add([h], size / 4) if kind == "up4" else h
        query = self._add([source], size * keys, columns=columns * keys)
        separate = layer.projection_shortcut is not None
        shortcut = self._add([h], size, columns=columns) if separate else query
        # Attention to the tile itself reads h as well.
        attended = self._softmax(node, query, h) if softmax else self._add([query, h], size)
        self._add([attended, shortcut], size, key, in_place=True)

    def _softmax(self, node, query, h):
        # Attention of the tile to itself has a value for every pair of positions: logits, then weights.
        layer, size, item = node.layer.attention, self.bytes(node.output), self._item(node.output)
        attended = self._positions(node.inputs[0]) + layer.shared_references
        pairs = layer.num_heads * self._positions(node.output) * attended * item
        channels = layer.key_filters or layer.filters, layer.value_filters or layer.filters
        keys, values = (self._add([h], attended * own * item) for own in channels)
        weights = self._add([self._add([query, keys], pairs)], pairs)
        return self._add([self._add([weights, values], size * channels[1] / layer.filters)], size)

    def _crop(self, tensor):
        """The inner part: one axis after the other."""
        key = id(tensor)
        for _ in self.graph.strides(tensor):
            key = self._add([key], self.bytes(tensor))
        return key
