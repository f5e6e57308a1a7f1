"""A network as a graph of operations that TensorFlow 1 has: traced, weights as constants, new operations replaced."""

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import tf_optimizer

from aeanet_tf.errors import InputError
from aeanet_tf.interop.tracing import prediction_function

PROTOBUF_LIMIT = 2**31 - 1
"""Bytes a protobuf message, and with it a graph with its constants, may have."""


def tf1_graph(network, target):
    """The prediction of a network as a frozen graph for a TensorFlow 1 runtime.

    The network's call is traced, its variables become constants, what depends on weights only is computed, and
    operations that old runtimes lack are replaced by equal ones (`Einsum` by batched matrix products, and for
    ``tf1.12`` `BatchMatMulV2` by `BatchMatMul`, where nothing broadcasts).

    Args:
        network: a functional ``keras.Model`` with one input and one output.
        target: ``"tf1.15"`` or ``"tf1.12"``.

    Returns:
        ``(graph_def, input_name, output_name)``; the names are those of tensors.

    Raises:
        InputError: weights beyond protobuf's 2 GB, or a product that broadcasts, for ``tf1.12``.
    """
    check_size(sum(int(np.prod(w.shape)) * tf.as_dtype(w.dtype).size for w in network.weights))
    frozen = convert_variables_to_constants_v2(_trace(network))
    (source,), (result,) = frozen.inputs, frozen.outputs
    graph = _fold_constants(frozen.graph, [source.name, result.name])
    graph = _without_einsum(graph)
    if target == "tf1.12":
        graph = _with_first_batch_matmul(graph)
    check_size(graph.ByteSize())
    return graph, source.name, result.name


def check_size(n_bytes):
    """Raise an `InputError` for a graph of ``n_bytes`` that protobuf cannot hold."""
    if n_bytes > PROTOBUF_LIMIT:
        raise InputError(
            f"the network has {n_bytes / 2**30:.2f} GiB of weights, expected less than the 2 GiB that a graph file "
            "(protobuf) may have; use fewer filters (first_filters)"
        )


def _trace(network):
    function, _ = prediction_function(network)
    # A network is traced even where functions run eagerly.
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    try:
        return function.get_concrete_function()
    finally:
        tf.config.run_functions_eagerly(eager)


def _fold_constants(graph, keep):
    """Evaluate what does not depend on the image; Grappler's other passes use fused operations of new runtimes."""
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.optimizers.extend(["constfold", "pruning"])
    options.min_graph_nodes = -1
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    meta_graph.collection_def["train_op"].node_list.value.extend(keep)
    return tf_optimizer.OptimizeGraph(config, meta_graph)


def _without_einsum(graph):
    changed = graph_pb2.GraphDef(versions=graph.versions)
    for node in graph.node:
        lowered = _lower_einsum(node) if node.op == "Einsum" else None
        changed.node.extend([node] if lowered is None else lowered)
    return changed


def _lower_einsum(node):
    """Nodes equal to an Einsum of two operands with one summed and one free label each; ``None`` for others."""
    inputs, _, out = node.attr["equation"].s.decode().partition("->")
    if inputs.count(",") != 1 or len(node.input) != 2:
        return None
    a, b = inputs.split(",")
    batch = [label for label in a if label in b and label in out]
    summed = [label for label in a if label in b and label not in out]
    free_a, free_b = [x for x in a if x not in b], [x for x in b if x not in a]
    if not len(summed) == len(free_a) == len(free_b) == 1 or set(out) != {*batch, *free_a, *free_b}:
        return None
    dtype = node.attr["T"]
    nodes = []
    left = _arranged(nodes, node, 0, a, [*batch, *free_a, *summed], dtype)
    right = _arranged(nodes, node, 1, b, [*batch, *summed, *free_b], dtype)
    product = [*batch, *free_a, *free_b]
    direct = product == list(out)
    matmul = _node("BatchMatMulV2", node.name if direct else f"{node.name}/product", [left[0], right[0]], T=dtype)
    matmul.attr["adj_x"].b, matmul.attr["adj_y"].b = left[1], right[1]
    nodes.append(matmul)
    if not direct:
        nodes += _transpose(node.name, matmul.name, [product.index(label) for label in out], dtype)
    return nodes


def _arranged(nodes, node, operand, labels, order, dtype):
    """``(input, adjoint)`` with which operand's ``labels`` enter the product in ``order``; adds nodes if need be."""
    permutation = [labels.index(label) for label in order]
    plain = list(range(len(labels)))
    if permutation == plain:
        return node.input[operand], False
    if permutation == [*plain[:-2], plain[-1], plain[-2]]:
        return node.input[operand], True
    name = f"{node.name}/operand_{operand}"
    nodes += _transpose(name, node.input[operand], permutation, dtype)
    return name, False


def _transpose(name, source, permutation, dtype):
    constant = _node("Const", f"{name}/permutation", [])
    constant.attr["dtype"].type = tf.int32.as_datatype_enum
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(permutation, tf.int32))
    transpose = _node("Transpose", name, [source, constant.name], T=dtype)
    transpose.attr["Tperm"].type = tf.int32.as_datatype_enum
    return [constant, transpose]


def _node(op, name, inputs, **attributes):
    node = node_def_pb2.NodeDef(op=op, name=name, input=inputs)
    for key, value in attributes.items():
        node.attr[key].CopyFrom(value)
    return node


def _with_first_batch_matmul(graph):
    """The same graph with `BatchMatMul`, whose operands must agree in all but the last two axes."""
    shapes = _static_shapes(graph, [node for node in graph.node if node.op == "BatchMatMulV2"])
    for node in graph.node:
        if node.op == "BatchMatMulV2":
            one, other = shapes[node.name]
            if not _agree(one, other):
                raise InputError(
                    f"{node.name}: multiplies arrays of shapes {_text(one)} and {_text(other)}, expected the same "
                    "leading axes: TensorFlow 1.12 does not broadcast; export for tf1.15"
                )
            node.op = "BatchMatMul"
    return graph


def _static_shapes(graph, nodes):
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph, name="")
        return {
            node.name: [tensor.shape for tensor in imported.get_operation_by_name(node.name).inputs] for node in nodes
        }


def _agree(one, other):
    """Whether no axis but the last two can broadcast: a 1 only meets a 1, an unknown size is the batch's."""
    if one.rank is None or one.rank != other.rank:
        return False
    pairs = zip(one.as_list()[:-2], other.as_list()[:-2], strict=True)
    return all(a == b for a, b in pairs)


def _text(shape):
    return "(" + ", ".join("?" if n is None else str(n) for n in shape.as_list()) + ")" if shape.rank else "unknown"
