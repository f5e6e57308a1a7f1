"""A network as a graph of layers: how coarse each tensor is, what it costs, and how far it sees."""

from fractions import Fraction
from math import ceil, floor, lcm, prod
from typing import Any, NamedTuple

from aeanet_tf.networks.keras_internals import applied_nodes
from aeanet_tf.networks.layer_steps import TRANSPOSED, steps


class Node(NamedTuple):
    """One application of a layer: the layer, and the Keras tensors that it takes and gives."""

    layer: Any
    inputs: tuple
    output: Any


def cells(positions, stride):
    """How many positions of a tensor lie in so many of the image, or where the one begins that an image's does.

    Args:
        positions: a number, or an integer tensor.
        stride: of `NetworkGraph.strides`.
    """
    return positions * stride.denominator // stride.numerator


class NetworkGraph:
    """The graph of a network of `build_network`, or of any whose layers are known to `layer_steps.steps`.

    Attention counts for nothing here: an operator sees what its query sees.

    Attributes:
        network: the Keras model.
        nodes: every `Node`, in an order of evaluation; a layer that is applied twice has two.
        image: the input tensor.
        output: the output tensor.
        unknown: names of layers of which it is not known how far they see: none (`MeasuredGraph` has them).

    Example:
        >>> from aeanet_tf.networks import build_network
        >>> graph = NetworkGraph(build_network("unet-em"))
        >>> max(graph.strides(node.output) for node in graph.nodes)
        (4, 4)
    """

    unknown = ()

    def __init__(self, network):
        self.network = network
        self.image, self.output = network.inputs[0], network.outputs[0]
        self.nodes = [Node(n.operation, tuple(n.input_tensors), n.outputs[0]) for n in applied_nodes(network)]
        rank = len(self.image.shape) - 2
        self._strides = {id(self.image): (1,) * rank}
        for node in self.nodes:
            self._strides[id(node.output)] = self._strides_after(node)

    def _strides_after(self, node):
        before = self._strides[id(node.inputs[-1])]
        spatial = len(node.output.shape) - 2
        strides = list(before[-spatial:])
        for axis in range(-spatial, 0):
            for step in steps(node.layer, axis):
                down = step.kind == "down"
                strides[axis] = strides[axis] * step.stride if down else Fraction(strides[axis], step.stride)
        # Whole where they are, which is faster.
        return tuple(s.numerator if s.denominator == 1 else s for s in strides)

    def strides(self, tensor):
        """Positions of the image to one of the tensor, one number for each of the tensor's spatial axes: a fraction of
        one where the tensor is finer than the image."""
        return self._strides[id(tensor)]

    def tell_of_tiles(self):
        """Say once what tiles may do to an image: nothing, where all layers are known."""

    def divisor(self):
        """What the sizes of images have to divide by, one number for each spatial axis: the strides of all tensors."""
        rank = len(self.image.shape) - 2
        every = [strides for strides in self._strides.values() if len(strides) == rank]
        return tuple(lcm(*(s.numerator for s in axis)) for axis in zip(*every, strict=True))

    def density(self, tensor):
        """Numbers in the tensor for one position of the image; the plane after a projection counts as one position
        of a stack of one plane."""
        return float(tensor.shape[-1] / prod(self.strides(tensor)))

    def cost(self, node):
        """Multiplications of a layer's convolutions and projections for one position of the image."""
        positions = max(1 / prod(self.strides(t)) for t in (node.output, *node.inputs))
        if isinstance(node.layer, TRANSPOSED):
            positions = 1 / prod(self.strides(node.inputs[0]))
        return float(positions) * sum(prod(w.shape) for w in node.layer.weights if len(w.shape) > 1)

    def ancestors(self, tensors, stop=()):
        """The nodes that must be evaluated for ``tensors`` where those of ``stop`` are given, in order."""
        stopped = {id(t) for t in stop}
        needed = {id(t) for t in tensors} - stopped
        backwards = []
        for node in reversed(self.nodes):
            if id(node.output) in needed:
                backwards.append(node)
                needed |= {id(t) for t in node.inputs} - stopped
        return backwards[::-1]

    def radius(self, outputs, inputs):
        """Largest distance, in positions of the image along each of its spatial axes, at which ``inputs`` change
        ``outputs``.

        Along z it is 0 where an output has no z: a stack to be projected is never cut along z.
        """
        rank = len(self.image.shape) - 2
        spatial = min(len(t.shape) - 2 for t in outputs)
        radii = [max(self._radius_along(axis, o, inputs) for o in outputs) for axis in range(-spatial, 0)]
        return (0,) * (rank - spatial) + tuple(radii)

    def _radius_along(self, axis, output, inputs):
        stride = self.strides(output)[axis]
        period = max(1, *(strides[axis] for strides in self._strides.values() if len(strides) >= -axis))
        radius = 0
        for position in range(ceil(period / stride)):
            # Of a finer output, those that one position of the image becomes are evaluated together.
            first, last = floor(position * stride), ceil((position + 1) * stride)
            for tensor, (start, stop) in self._reached(axis, output, position, inputs):
                scale = self.strides(tensor)[axis]
                radius = max(radius, first - start * scale, (stop + 1) * scale - last)
        return ceil(radius)

    def _reached(self, axis, output, position, inputs):
        """The interval of each of ``inputs`` that one position of ``output`` depends on."""
        intervals = {id(output): (position, position)}
        wanted = {id(t): t for t in inputs}
        for node in reversed(self.ancestors([output], inputs)):
            interval = intervals[id(node.output)]
            for step in reversed(steps(node.layer, axis)):
                interval = _before(interval, step)
            for tensor in node.inputs:
                known = intervals.get(id(tensor), interval)
                intervals[id(tensor)] = min(known[0], interval[0]), max(known[1], interval[1])
        return [(wanted[key], interval) for key, interval in intervals.items() if key in wanted]


def _before(interval, step):
    """The inputs of an elementary operation that the outputs in ``interval`` depend on.

    Strided operations follow TensorFlow's ``same`` padding of sizes that the stride divides.
    """
    first, last = interval
    if step.kind == "repeat":
        return first // step.stride, last // step.stride
    pad = max(step.kernel - step.stride, 0) // 2
    if step.kind == "down":
        return step.stride * first - pad, step.stride * last - pad + step.kernel - 1
    # Position j receives from i where the strided convolution of position i would read j.
    return -((step.kernel - 1 - pad - first) // step.stride), (last + pad) // step.stride


def receptive_radius(network):
    """Largest distance, in pixels along each spatial axis, at which the input changes an output through
    convolutions, pooling and resampling. Attention reaches everywhere and is left out: with attention evaluated on
    the context of the whole image, a tile needs exactly this halo.

    Args:
        network: of `build_network`.

    Returns:
        One radius for each spatial axis; for projections the z axis has 0, because it is never tiled.

    Example:
        >>> from aeanet_tf.networks import build_network
        >>> receptive_radius(build_network("unet-em"))
        (30, 30)
    """
    graph = NetworkGraph(network)
    return graph.radius([graph.output], [graph.image])
