"""Export to Fiji: the zip that the CSBDeep plugin loads with its TensorFlow 1 runtime."""

import contextlib
import json
import logging
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import tensorflow as tf

import aeanet_tf
from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing, with_suffix
from aeanet_tf.interop.fiji_graph import tf1_graph
from aeanet_tf.interop.runtimes import check_graph, check_target
from aeanet_tf.interop.tracing import check_agreement

logger = logging.getLogger("aeanet_tf")

TAG, SIGNATURE = tf.saved_model.SERVING, "serving_default"


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
        InputError: an unknown target, a network whose input size is fixed, weights beyond 2 GB, or an operation
            that the runtime does not have.
    """
    check_target(target)
    if None not in model.keras_model.input.shape[1:-1]:
        raise InputError(
            f"{model.name}: the network takes images of one size only (learned query), expected any size as Fiji needs"
        )
    path = with_suffix(path, ".zip")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        graph, source, result = tf1_graph(model.keras_model, target)
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
    axes = model.config.axes
    labels = {"labels": list(model.config.labels)} if model.segments else {}
    return {
        "type": type(model).__name__,
        "version": aeanet_tf.__version__,
        "probabilistic": bool(model.config.probabilistic),
        "axes": axes,
        "axes_div_by": [int(n) for n in model._axes_div_by(axes)],
        "tile_overlap": [int(n) for n in model._axes_tile_overlap(axes)],
        "axes_out": model._axes_out,
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
