"""A network taken apart at its layers that look at the whole image, attention operators and such, of which only context
moments pass from tile to tile."""

import hashlib
from functools import cached_property

import keras
import numpy as np
from keras import ops

from aeanet_tf.layers import GVTO, AttentionAwareLayer, TakesContext
from aeanet_tf.layers.moments import Moments
from aeanet_tf.networks import PRECISIONS, NetworkGraph, as_spec, build_network
from aeanet_tf.networks.architecture import network_of, written
from aeanet_tf.networks.graph import cells
from aeanet_tf.networks.measured import graph_of


def attention_operators(network):
    """The `GVTO` layers of a network of `build_network`, in the order of evaluation."""
    return [layer for layer in network.operations if isinstance(layer, GVTO)]


def attends(network):
    """Whether a network has attention of any kind, that of channels, too: what a tile gives then depends on what it
    attends to."""
    return any(isinstance(layer, (TakesContext, AttentionAwareLayer)) for layer in network.operations)


def can_be_swept(network):
    """Whether all attention of a network is normalised by length and has a query of the image's own size."""
    if any(isinstance(layer, AttentionAwareLayer) for layer in network.operations):
        return False
    operators = (layer.attention for layer in attention_operators(network))
    return all(o.normalization != "softmax" and o.computation != "direct" and o.query == "input" for o in operators)


class Stage:
    """What one sweep over the tiles evaluates.

    Attributes:
        operator: the attention operator, a layer, whose context it gathers, ``None`` for the last stage, which gives
            the output.
        inputs: the tensors it starts from: the image, and features kept by stages before.
        keeps: the features it keeps for later stages.
        nodes: what it evaluates.
        radius: how far it sees, in positions of the image along each axis; found when it is asked for.
        cost: multiplications for one position of the image.
    """

    def __init__(self, graph, operator, target, given, keeps):
        self.operator, self.target, self.keeps, self._graph = operator, target, keeps, graph
        self.nodes = graph.ancestors([target, *keeps], given)
        used = {id(t) for node in self.nodes for t in node.inputs} | {id(target)}
        self.inputs = [t for t in (graph.image, *given) if id(t) in used]
        self.cost = sum(graph.cost(node) for node in self.nodes)

    @cached_property
    def radius(self):
        return self._graph.radius([self.target, *self.keeps], self.inputs)


class Stages:
    """The stages of a network that attends A times, which are A + 1, and their evaluation on tiles.

    An operator that is applied twice, as by a siamese network, has a context for each time.

    Stage ``a`` evaluates a tile up to operator ``a`` and gives the moments of what that one attends to; the last gives
    the output. Features that a later stage needs again are kept where that was chosen, else evaluated again.

    Layers and weights are the network's own; each stage is compiled once, for tiles of any size.

    Args:
        network: of `build_network`, for which `can_be_swept`.
        kept: density (numbers for one position of the image) up to which features are kept; 0 keeps none.
    """

    def __init__(self, network, kept=0):
        self.graph = NetworkGraph(network)
        self.attention = [node for node in self.graph.nodes if isinstance(node.layer, TakesContext)]
        self.kept = kept
        self.stages, self.features = [], []
        for operator, target, frontier in self._cuts():
            known = {id(t) for t in self.features}
            chosen = [t for t in frontier if self.graph.density(t) <= kept and id(t) not in known]
            self.stages.append(Stage(self.graph, operator, target, tuple(self.features), chosen))
            self.features += chosen
        self._compiled = {}

    def _cuts(self):
        """For each stage its operator, the tensor it is for, and what it evaluates that a later one needs, too."""
        for node in self.attention:
            target = node.inputs[0]
            done = {id(n.output) for n in self.graph.ancestors([target])}
            later = [n for n in self.graph.nodes if id(n.output) not in done]
            shared = done & {id(t) for n in later for t in n.inputs}
            yield node.layer, target, [n.output for n in self.graph.nodes if id(n.output) in shared]
        yield None, self.graph.output, []

    def densities(self):
        """The densities of all features that could be kept, smallest first: the thresholds worth trying."""
        return sorted({self.graph.density(t) for _, _, frontier in self._cuts() for t in frontier})

    def run(self, index, inputs, inner, contexts):
        """Evaluate stage ``index`` on a tile.

        Args:
            index: of the stage.
            inputs: arrays ``(*spatial, channels)`` of its inputs over the tile, halo included.
            inner: ``(start, stop)`` of the inner part in positions of the image, one pair a spatial axis.
            contexts: `Moments` of the whole image for the operators before it.

        Returns:
            The `Moments` that the tile's inner part adds to the operator's context, or the output of the inner part;
            and the inner parts of the features to keep.
        """
        if index not in self._compiled:
            stage, channels = self.stages[index], [s.target.shape[-1] for s in self.stages[:index]]
            self._compiled[index] = _compiled(self._function(stage), stage.inputs, channels)
        inputs = [np.asarray(x, "float32")[None] for x in inputs]
        contexts = [Moments(*context) for context in contexts]
        result, kept = self._compiled[index](inputs, np.asarray(inner, "int32"), contexts)
        kept = [ops.convert_to_numpy(k)[0] for k in kept]
        if self.stages[index].operator is None:
            return ops.convert_to_numpy(result)[0], kept
        return Moments(*(ops.convert_to_numpy(m) for m in result)), kept

    def _function(self, stage):
        def run(inputs, inner, contexts):
            known = {id(node.output): context for node, context in zip(self.attention, contexts, strict=False)}
            values = {id(t): x for t, x in zip(stage.inputs, inputs, strict=True)}
            for node in stage.nodes:
                arguments = [values[id(t)] for t in node.inputs]
                # Operators attend to the contexts.
                attend = {"context": Moments(*known[id(node.output)])} if isinstance(node.layer, TakesContext) else {}
                values[id(node.output)] = node.layer(arguments if len(arguments) > 1 else arguments[0], **attend)
            target, *kept = (_cut(self.graph, values[id(t)], t, inner) for t in (stage.target, *stage.keeps))
            return (target if stage.operator is None else stage.operator.context_moments(target)), kept

        return run


class OwnAttention:
    """The network as it is, on tiles: each attends to itself. The counterpart of `Stages` for ``overlap``, for images
    in one piece, and for networks whose attention cannot be shared, or that have layers that are not known.

    Args:
        network: a functional Keras model.
        divisor, overlap: see `aeanet_tf.networks.measured.graph_of`.
    """

    def __init__(self, network, divisor=None, overlap=None):
        self.graph = graph_of(network, divisor, overlap)
        self.features, self.kept = [], 0
        self.stages = [Stage(self.graph, None, self.graph.output, (), [])]
        self._compiled = {}

    def run(self, index, inputs, inner, contexts):
        """As `Stages.run`; there is one stage."""
        return self._run(1, [inputs], inner)[0]

    def run_alike(self, inputs, inner):
        """A list of what `run` gives, up to rounding, for a list of inputs of tiles of one size and inner part."""
        return self._run(None, inputs, inner)

    def _run(self, batch, inputs, inner):
        if batch not in self._compiled:
            self._compiled[batch] = _compiled(self._evaluate, self.stages[0].inputs, batch=batch)
        images = [np.asarray(image, "float32") for (image,) in inputs]
        images = np.stack(images) if len(images) > 1 else images[0][None]
        result = self._compiled[batch]([images], np.asarray(inner, "int32"), [])[0]
        return [(output, []) for output in ops.convert_to_numpy(result)]

    def _evaluate(self, inputs, inner, contexts):
        return _cut(self.graph, self.graph.network(inputs[0], training=False), self.graph.output, inner), []


def _cut(graph, x, tensor, inner):
    """The inner part of what a tile gave for ``tensor``: its axes are the image's last ones."""
    strides = graph.strides(tensor)
    for axis, stride in enumerate(strides):
        bounds = inner[axis - len(strides)]
        x = x[(slice(None),) * (axis + 1) + (slice(cells(bounds[0], stride), cells(bounds[1], stride)),)]
    return x


def _compiled(function, inputs, channels=(), batch=1):
    """``function(inputs, inner, contexts)`` as a TensorFlow graph for tiles of all sizes; as it is on other backends.

    ``inputs`` are the Keras tensors that it starts from, ``channels`` those of the contexts; ``batch`` tiles at a time.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    # Traced once and for all: a `tf.function` would be traced anew for some sizes, and warn of it.
    return tf.function(function, autograph=False).get_concrete_function(
        [tf.TensorSpec((batch, *t.shape[1:])) for t in inputs],
        tf.TensorSpec((None, 2), tf.int32),
        [Moments(tf.TensorSpec((1,)), tf.TensorSpec((1, c)), tf.TensorSpec((1, c, c))) for c in channels],
    )


# Built once in a process: frames of a time lapse, or images of a folder, are jobs of their own.
_built = {}


class PackedStages:
    """What stages are made from; it can be pickled.

    Args:
        stages: `Stages` or `OwnAttention`.
        spec: of their network.
    """

    def __init__(self, stages, spec):
        self.kept = stages.kept if isinstance(stages, Stages) else None
        self.spec = spec.model_dump()
        graph = stages.graph
        # What the spec does not tell.
        self.architecture = written(graph.network) if spec.kind == "own" else None
        self.measured = (graph.divisor(), stages.stages[0].radius) if graph.unknown else (None, None)
        dtype = stages.graph.network.compute_dtype
        self.precision = dtype if dtype in PRECISIONS else None
        self.weights = [np.asarray(w) for w in stages.graph.network.get_weights()]
        digest = hashlib.sha256(repr((self.spec, self.architecture, self.kept, self.precision)).encode())
        for w in self.weights:
            digest.update(np.ascontiguousarray(w))
        self.key = digest.hexdigest()

    def stages(self):
        """The stages, built in this process at the first call."""
        if self.key not in _built:
            if self.architecture is None:
                network = build_network(as_spec(self.spec), precision=self.precision)
            else:
                network = network_of(self.architecture)
            network.set_weights(self.weights)
            _built.clear()
            own = OwnAttention(network, *self.measured) if self.kept is None else None
            _built[self.key] = own or Stages(network, self.kept)
        return _built[self.key]
