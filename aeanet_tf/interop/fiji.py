"""Export to Fiji: the zip that the CSBDeep plugin loads with its TensorFlow 1 runtime.

The network becomes a graph of operations that TensorFlow 1 has: traced, weights as constants, new operations replaced.
"""

import contextlib
import json
import logging
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import tf_optimizer

import aeanet_tf
from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing, with_suffix
from aeanet_tf.interop.runtimes import check_graph, check_target
from aeanet_tf.interop.tracing import check_agreement, prediction_function

logger = logging.getLogger("aeanet_tf")

TAG, SIGNATURE = tf.saved_model.SERVING, "serving_default"
PROTOBUF_LIMIT = 2**31 - 1
"""Bytes a protobuf message, and with it a graph with its constants, may have."""


def export_fiji(model, path, target="tf1.15"):
    """Write a model for the CSBDeep plugin of Fiji, or for any program that runs TensorFlow 1 SavedModels.

    The zip holds ``saved_model.pb`` with the weights as constants, an empty ``variables/`` and ``meta.json`` with
    CSBDeep's keys ``type, version, probabilistic, axes, axes_div_by, tile_overlap``, and ``axes_out``. The tag is
    ``serve``, the signature ``serving_default`` with the input ``input`` and the output ``output``, float32, of free
    sizes and known channels; scales of a probabilistic model are channels behind the means. The channels of a
    segmentation model are the probabilities of its classes, whose values ``meta.json`` lists as ``labels``.

    The file is checked before it gets its name: every operation and attribute against the list of what the runtime
    knows, and the result of the graph as written, on two images, against the network's.

    Args:
        model: an `AEANet` or one of its siblings.
        path: of the zip, ``.zip`` is added where it is missing.
        target: the runtime: ``"tf1.15"`` as in current installations of the plugin, ``"tf1.12"`` for older ones.

    Returns:
        The path written.

    Raises:
        InputError: an unknown target, a network whose input size is fixed, or whose output is larger than its input,
            weights beyond 2 GB, or an operation that the runtime does not have.
    """
    if model.spec.upscale > 1:
        raise InputError(
            f"{model.name}: network.upscale {model.spec.upscale}, expected 1: the CSBDeep plugin takes predictions to "
            "have the size of the image; export onnx, savedmodel, keras or bioimageio"
        )
    return export_graph(model, path, target)


def export_graph(model, path, target="tf1.15"):
    """As `export_fiji`, for any program that runs TensorFlow 1 SavedModels, whatever the size of the output."""
    check_target(target)
    if None not in model.keras_model.input.shape[1:-1]:
        raise InputError(
            f"{model.name}: the network takes images of one size only (learned query), expected any size as Fiji needs"
        )
    path = with_suffix(path, ".zip")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        graph, source, result = frozen_graph(model.keras_model, target)
        folder = Path(folder) / "model"
        _write_saved_model(folder, graph, source, result, model.keras_model)
        check_graph(_read_graph(folder), target)
        check_agreement(model.keras_model, model.spec.divisor, partial(run_saved_model, folder))
        (folder / "meta.json").write_text(json.dumps(meta(model)), encoding="utf-8")
        with replacing(path) as temporary:
            zip_folder(folder, temporary)
    logger.info("%s written for %s, %.1f MB; in Fiji: %s", path, target, path.stat().st_size / 1e6, settings(model))
    return path


def meta(model):
    """What ``meta.json`` holds: CSBDeep's description of the model."""
    labels = {"labels": list(model.config.labels)} if model.segments else {}
    return {
        "type": type(model).__name__,
        "version": aeanet_tf.__version__,
        "probabilistic": bool(model.config.probabilistic),
        "axes": model.config.axes,
        "axes_div_by": [*map(int, model.spec.divisor), 1],
        "tile_overlap": [*model.receptive_radius, 0],
        "axes_out": model.axes_out,
        **labels,
    }


def settings(model):
    """The plugin's fields for a model, in words: normalisation as in training, and one number for all axes.

    Of a segmentation model they are followed by what the channels of the result are.
    """
    facts = meta(model)
    multiple, overlap = max(facts["axes_div_by"]), max(facts["tile_overlap"])
    # The plugin's tiles and overlaps are of this grid.
    overlap = -(-overlap // multiple) * multiple
    result = ""
    if "labels" in facts:
        labels = ", ".join(map(str, facts["labels"]))
        result = f"; the result's channels are the probabilities of the classes, in the order of their labels: {labels}"
    return (
        f"{_normalization(model)}; 'Number of tiles' 1 as long as memory allows, "
        f"'Tile size has to be multiple of' {multiple}, 'Overlap between tiles' {overlap}{result}"
    )


def _normalization(model):
    from aeanet_tf.models.folder import prediction_normalization
    from aeanet_tf.models.preparation import NormalizationSection

    section = NormalizationSection() if model.basedir is None else prediction_normalization(model.logdir)
    if section.kind == "percentile":
        return f"'Percentile Bottom' {section.low:g}, 'Percentile Top' {section.high:g}"
    if section.kind == "range":
        return (
            f"'Normalize Input' off, after subtracting {section.low:g} and dividing by {section.high - section.low:g}"
        )
    if section.kind == "standard" and section.over == "nonzero":
        return (
            "'Normalize Input' off, after subtracting from each channel its mean and dividing it by its standard "
            "deviation, both of the positions where any channel is above 0"
        )
    if section.kind == "standard":
        return "'Normalize Input' off, after subtracting the image's mean and dividing by its standard deviation"
    return "'Normalize Input' off"


def zip_folder(folder, path):
    """Write the files and folders in ``folder`` into the zip ``path``, in the order of their names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for item in sorted(Path(folder).rglob("*")):
            archive.write(item, item.relative_to(folder).as_posix())


@contextlib.contextmanager
def _quiet():
    """Without TensorFlow's advice to leave its first version behind."""
    level = tf.get_logger().level
    tf.get_logger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        tf.get_logger().setLevel(level)


def _write_saved_model(folder, graph_def, source, result, network):
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        image, output = tf.import_graph_def(graph_def, return_elements=[source, result], name="")
        # Import infers shapes anew, and the plugin takes rank and channels from the signature.
        output.set_shape(network.output.shape)
        output = tf.identity(output, "output")
        signature = v1.saved_model.predict_signature_def(inputs={"input": image}, outputs={"output": output})
        with v1.Session(graph=graph, config=v1.ConfigProto(device_count={"GPU": 0})) as session:
            builder = v1.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(
                session, [TAG], signature_def_map={SIGNATURE: signature}, strip_default_attrs=True
            )
            builder.save()
    (folder / "variables").mkdir(exist_ok=True)


def _read_graph(folder):
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0].graph_def


def run_saved_model(folder, images):
    """Results of a SavedModel in ``folder``, as `export_fiji` writes it, for images ``(n, *spatial, channels)``."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        signature = v1.saved_model.load(session, [TAG], str(folder)).signature_def[SIGNATURE]
        source, result = signature.inputs["input"].name, signature.outputs["output"].name
        return [session.run(result, {source: image}) for image in images]


def frozen_graph(network, target):
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
    identity = list(range(len(labels)))
    if permutation == identity:
        return node.input[operand], False
    if permutation == [*identity[:-2], identity[-1], identity[-2]]:
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
            left, right = shapes[node.name]
            if not _agree(left, right):
                raise InputError(
                    f"{node.name}: multiplies arrays of shapes {_text(left)} and {_text(right)}, expected the same "
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


def _agree(left, right):
    """Whether no axis but the last two can broadcast: a 1 only meets a 1, an unknown size is the batch's."""
    if left.rank is None or left.rank != right.rank:
        return False
    pairs = zip(left.as_list()[:-2], right.as_list()[:-2], strict=True)
    return all(a == b for a, b in pairs)


def _text(shape):
    return "(" + ", ".join("?" if n is None else str(n) for n in shape.as_list()) + ")" if shape.rank else "unknown"
