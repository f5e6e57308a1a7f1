"""Export as ONNX, through the tf2onnx converter."""

import logging
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
    """
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise InputError(f'--format onnx: {error.name} is not installed; run pip install "aeanet-tf[onnx]"') from None
    path = Path(path)
    network = model.keras_model
    function, specification = prediction_function(network)
    # The converter reports every pass it makes.
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    converted, _ = tf2onnx.convert.from_function(function, input_signature=[specification], opset=OPSET)
    axes = "".join(a.lower() for a in model.config.axes if a != "C")
    out_axes = "".join(a.lower() for a in model._axes_out if a != "C")
    _name_tensor(converted.graph, converted.graph.input[0], "input", axes)
    _name_tensor(converted.graph, converted.graph.output[0], "output", out_axes)
    content = converted.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    check_agreement(network, model.spec.divisor, lambda images: [session.run(None, {"input": x})[0] for x in images])
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    logger.info("%s written, ONNX operator set %d, %.1f MB", path, OPSET, len(content) / 1e6)
    return path


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
