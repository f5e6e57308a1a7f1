"""Export as ONNX, through the tf2onnx converter."""

import logging
from functools import partial
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing
from aeanet_tf.interop.tracing import check_agreement, prediction_function

logger = logging.getLogger("aeanet_tf")

OPSET = 17


def export_onnx(model, path):
    """Write the network of a model as an ONNX file with free sizes, checked in ONNX Runtime.

    The input is ``input``, float32 ``(batch, *spatial, channels)`` as in Python, sizes in multiples of the network's
    divisor; the output is ``output``. Needs the extra ``onnx`` (tf2onnx, onnxruntime).

    Args:
        model: an `AEANet` or one of its siblings.
        path: of the file.

    Returns:
        The path written.

    Raises:
        InputError: the converter is not installed, or the file cannot be written.
        RuntimeError: ONNX Runtime gives other values than the network, see `check_agreement`.
    """
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise InputError(f'--format onnx: {error.name} is not installed; run pip install "aeanet-tf[onnx]"') from None
    path = Path(path)
    network = model.keras_model
    converted = convert(network)
    axes = "".join(a.lower() for a in model.config.axes if a != "C")
    out_axes = "".join(a.lower() for a in model.axes_out if a != "C")
    _name_tensor(converted.graph, converted.graph.input[0], "input", axes)
    larger = model.spec.upscale > 1
    names = [f"{axis}_out" if larger else axis for axis in out_axes]
    _name_tensor(converted.graph, converted.graph.output[0], "output", names)
    content = converted.SerializeToString()
    _verify(onnxruntime, content, network, model.spec.divisor)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    logger.info("%s written, ONNX operator set %d, %.1f MB", path, OPSET, len(content) / 1e6)
    return path


def convert(network):
    """The ONNX model that tf2onnx makes of a Keras network, without a pass that at times adds an axis to its output.

    ``reshape_optimizer`` puts a ``Squeeze`` behind a ``Reshape``, and loses it where the ``Reshape`` gives the output.
    Whether it does follows from names that hold addresses in memory: 3 of 178 conversions of ``gvtnet-labelfree`` were
    wrong (tf2onnx 1.17). Without the pass the shapes are computed in the graph. The converter takes no list of passes.
    """
    from tf2onnx import convert, optimizer

    function, specification = prediction_function(network)
    # The converter reports every pass it makes.
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    passes = optimizer._optimizers
    optimizer._optimizers = {name: factory for name, factory in passes.items() if name != "reshape_optimizer"}
    try:
        return convert.from_function(function, input_signature=[specification], opset=OPSET)[0]
    finally:
        optimizer._optimizers = passes


def _verify(onnxruntime, content, network, divisor):
    """Check a graph in ONNX Runtime, as it is used; where that fails, as it is written, without the runtime's changes.

    Optimisations of some releases give infinite values now and then on some processors, of graphs that are right
    (issues 26669 and 29788 of microsoft/onnxruntime): that is worth a warning, and no reason to refuse a file.
    """
    levels = onnxruntime.GraphOptimizationLevel
    try:
        check_agreement(network, divisor, partial(_run, onnxruntime, content, levels.ORT_ENABLE_ALL))
    except RuntimeError as error:
        check_agreement(network, divisor, partial(_run, onnxruntime, content, levels.ORT_DISABLE_ALL))
        text = "ONNX Runtime %s with its graph optimisations: %s; without them it agrees: the file is right"
        logger.warning(text, onnxruntime.__version__, error)


def _run(onnxruntime, content, level, images):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return [session.run(None, {"input": image})[0] for image in images]


def _name_tensor(graph, value, name, axes):
    """Give an input or output of an ONNX graph its name everywhere, and names to its free axes."""
    for node in graph.node:
        for names in (node.input, node.output):
            for i, old in enumerate(names):
                if old == value.name:
                    names[i] = name
    value.name = name
    dimensions = value.type.tensor_type.shape.dim
    for dimension, axis in zip(dimensions, ["batch", *axes], strict=False):
        if not dimension.dim_value:
            dimension.dim_param = axis
