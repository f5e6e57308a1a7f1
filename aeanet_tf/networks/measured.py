"""The graph of a network with layers that exact tiling does not know: how far it sees is measured."""

import logging
from math import ceil, inf, lcm, prod

import keras
import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.networks.graph import NetworkGraph, Node
from aeanet_tf.networks.keras_internals import applied_nodes
from aeanet_tf.networks.layer_steps import unknown_layers

logger = logging.getLogger("aeanet_tf")

# Pixels along the axis that is measured: the shortest that the response does not fill is enough.
_LENGTHS, _ACROSS = (64, 256, 1024), 16
# What rounding makes of a response, and from where on one of a whole image counts: shares of the largest value.
_ROUNDING, _NOTABLE = 1e-6, 1e-2
# Sizes that networks of poolings by 2, 3, 5 or 7 take.
_SIZES = (64, 48, 54, 60, 98, 128, 100, 81, 256)


def graph_of(network, divisor=None, overlap=None):
    """The `NetworkGraph` of a functional network, or a `MeasuredGraph` where some of its layers are not known.

    Args:
        network: with one input and one output.
        divisor: of the sizes of images, and
        overlap: how far the latter sees, each a number for each spatial axis; ``None`` for what is measured.
    """
    unknown = unknown_layers(network)
    return MeasuredGraph(network, unknown, divisor, overlap) if unknown else NetworkGraph(network)


class MeasuredGraph(NetworkGraph):
    """A network that is evaluated as a whole: what its layers do is not known, only what comes out.

    Sizes of its tensors follow from those of one image. How far it sees is measured when it is asked for
    (`measured_reach`).

    Attributes beside those of `NetworkGraph`:
        global_: whether a pixel changes the whole output, so that tiles differ from the image; known once the radius
            is.
    """

    def __init__(self, network, unknown, divisor=None, overlap=None):
        self.network, self.unknown = network, tuple(unknown)
        self.image, self.output = network.inputs[0], network.outputs[0]
        nodes = applied_nodes(network)
        self.nodes = [Node(n.operation, tuple(n.input_tensors), n.outputs[0]) for n in nodes]
        self._strides = self._measured_strides([tensor for node in nodes for tensor in node.outputs], divisor)
        self._divisor, self._overlap, self.global_ = divisor, overlap, False
        self._measured = self._told = False

    def _measured_strides(self, tensors, divisor):
        size, shapes = probed(self.network, tensors, divisor)
        strides = {id(self.image): (1.0,) * len(size)}
        for tensor, shape in zip(tensors, shapes, strict=True):
            spatial = shape[1:-1]
            if tensor is self.output:
                strides[id(tensor)] = (1,) * len(spatial)
            elif len(spatial) == len(size) and all(spatial):
                strides[id(tensor)] = tuple(n / own for n, own in zip(size, spatial, strict=True))
            else:
                # Something of the whole image.
                strides[id(tensor)] = (inf,) * len(size)
        return strides

    def divisor(self):
        """As of `NetworkGraph`, where it was not given."""
        if self._divisor is not None:
            return self._divisor
        whole = [s for s in self._strides.values() if inf not in s and all(n >= 1 for n in s)]
        axes = zip(*(s for s in whole if len(s) == len(self.image.shape) - 2), strict=True)
        return tuple(lcm(*(round(n) for n in axis)) for axis in axes)

    def density(self, tensor):
        """As of `NetworkGraph`."""
        return (tensor.shape[-1] or 1) / prod(self.strides(tensor))

    def cost(self, node):
        """As of `NetworkGraph`."""
        positions = max(1 / prod(self.strides(t)) for t in (node.output, *node.inputs))
        return positions * sum(prod(w.shape) for w in getattr(node.layer, "weights", []) if len(w.shape) > 1)

    def ancestors(self, tensors, stop=()):
        """All nodes."""
        return self.nodes

    def radius(self, outputs, inputs):
        """How far the network sees along each spatial axis of the image, measured at the first call."""
        if self._overlap is None:
            divisor = self.divisor()
            measured = [measured_reach(self.network, divisor, axis) for axis in range(len(divisor))]
            self._overlap, self._measured = tuple(reach for reach, _ in measured), True
            self.global_ = any(everywhere for _, everywhere in measured)
        return self._overlap

    def tell_of_tiles(self):
        """Warn once that images are cut into tiles, with the overlap and where it is from."""
        if not self._told:
            self._told = True
            logger.warning("tiling: %s", self._remark())

    def _remark(self):
        given = self._overlap is not None and not self._measured
        overlap = " x ".join(map(str, self.radius([], [])))
        origin = "as the class says" if given else "as measured"
        text = f"exact tiling does not know {', '.join(self.unknown)}: tiles overlap by {overlap} pixels, {origin}"
        if self.global_:
            text += "; every pixel changes the whole output, so tiles differ from the image in one piece (tiling whole)"
        return text


def probed(network, tensors, divisor=None):
    """The spatial size of an image that a network takes, and the shapes that ``tensors`` of it then have.

    Raises:
        InputError: it takes none of the sizes tried, or gives an output of another size than its input.
    """
    image, output = network.inputs[0], network.outputs[0]
    free = image.shape[1:-1]
    divisor = divisor or (1,) * len(free)
    every = keras.Model(image, list(tensors))
    failure, refused = None, None
    for number in _SIZES if None in free else _SIZES[:1]:
        size = tuple(ceil(number / d) * d if n is None else n for n, d in zip(free, divisor, strict=True))
        try:
            outputs = every.compute_output_spec(keras.KerasTensor((1, *size, image.shape[-1])))
        # Whatever layers raise.
        except Exception as error:
            failure = failure or error
            continue
        shapes = [tuple(t.shape) for t in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
        found = next(shape for t, shape in zip(tensors, shapes, strict=True) if t is output)[1:-1]
        if found == size:
            return size, shapes
        refused = refused or f"an output of size {found} for an image of {size}, expected the size of the image"
    if refused is not None:
        raise InputError(f"_build: {refused}")
    raise InputError(f"_build: the network takes no image of size {_SIZES[0]} ({failure})") from failure


def measured_reach(network, divisor, axis):
    """How far a network sees along an axis: the response to a line of pixels across it.

    Each place within a stride is tried. Positive weights on an image of zeros show every pixel that is reached, as
    nothing cancels; the network's own weights on noise show what is multiplied.

    Args:
        network: functional, with one output of the size of the input.
        divisor: of the sizes of images, a number for each spatial axis.
        axis: of the spatial axes.

    Returns:
        Pixels, and whether the whole image responds; then they are those of the notable part of the response.
    """
    free = network.inputs[0].shape[1:-1]
    reach = 0
    for length in _LENGTHS:
        size = [n or ceil(_ACROSS / d) * d for n, d in zip(free, divisor, strict=True)]
        size[axis] = free[axis] or ceil(length / divisor[axis]) * divisor[axis]
        reach, everywhere = _response(network, size, divisor[axis], axis)
        if not everywhere:
            return reach, False
        if free[axis]:
            break
    return reach, True


def _response(network, size, period, axis):
    """The farthest that a response gets along an axis, and whether it gets to the border of the image."""
    reach, notable, everywhere = 0, 0, False
    noise = np.random.default_rng(0).standard_normal((1, *size, network.inputs[0].shape[-1])).astype("float32")
    middle = size[axis] // 2 // period * period
    kept = network.get_weights()
    for image, positive in ((np.zeros_like(noise), True), (noise, False)):
        try:
            if positive:
                network.set_weights(_positive(network))
            before = _evaluated(network, image)
            for place in range(middle, min(middle + period, size[axis])):
                changed = image.copy()
                np.moveaxis(changed, axis + 1, 0)[place] += 10
                change = np.abs(_evaluated(network, changed) - before)
                along = change.max(axis=tuple(i for i in range(change.ndim) if i != axis + 1))
                least = 0 if positive else _ROUNDING * np.abs(before).max()
                reached = np.flatnonzero(along > least)
                everywhere |= bool(len(reached)) and bool(reached[0] == 0 or reached[-1] == size[axis] - 1)
                reach = max(reach, *np.abs(reached - place), 0)
                notable = max(notable, *np.abs(np.flatnonzero(along > _NOTABLE * along.max()) - place), 0)
        finally:
            network.set_weights(kept)
    return int(notable if everywhere else reach), everywhere


def _evaluated(network, image):
    return keras.ops.convert_to_numpy(network(image, training=False))


def _positive(network):
    """Weights by which nothing that is reached vanishes, about as large as what they are multiplied with."""
    rng, weights = np.random.default_rng(1), []
    for variable in network.weights:
        value = keras.ops.convert_to_numpy(variable)
        if value.dtype.kind != "f":
            weights.append(value)
        elif value.ndim > 1:
            weights.append(rng.uniform(1, 2, value.shape).astype(value.dtype) / max(1, prod(value.shape[:-1])))
        else:
            added = any(name in variable.path for name in ("bias", "beta", "mean"))
            weights.append(np.full_like(value, 0 if added else 1))
    return weights
