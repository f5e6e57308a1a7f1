"""Export as a package of the BioImage Model Zoo."""

import contextlib
import logging
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import pydantic
import tensorflow as tf
from pydantic_core import PydanticSerializationError

import aeanet_tf
from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing, with_suffix
from aeanet_tf.interop import bioimageio_contents as contents
from aeanet_tf.interop.portable import portable_network

logger = logging.getLogger("aeanet_tf")


def export_bioimageio(model, path, *, authors, license, normalization, test_image=None, description=None):
    """Write a model as a package that bioimageio.core runs without this library.

    The zip follows the specification of the installed bioimageio.spec. It holds the weights twice, as ``keras_v3``
    (Keras's own layers) and as ``tensorflow_saved_model_bundle`` (for TensorFlow 1.15 and later); a test input and
    the output that `AEANet.predict` gives for it (a segmentation model: `predict_probabilities`); a cover;
    documentation; sizes, halo and channels of input and output; normalisation as pre- and postprocessing. Percentiles
    cannot be mapped back in a package: that output stays normalised, as the documentation says. The format is
    validated, offline, before the file gets its name.

    Args:
        model: an `AEANet` or one of its siblings.
        path: of the zip, ``.zip`` is added where it is missing.
        authors: strings ``"Name"`` or ``"Name, Affiliation"``, at least one.
        license: SPDX identifier such as ``"CC-BY-4.0"``.
        normalization: a `NormalizationSection`, for instance from `prediction_normalization`.
        test_image: an array in the model's axes (a single channel needs no axis), cut to a size that the network
            takes; synthetic noisy blobs by default.
        description: a sentence about the model, 1024 letters at most.

    Returns:
        The path written.

    Raises:
        InputError: bioimageio.spec is missing or unfit for the installed pydantic; an author, licence, description or
            normalisation that the specification does not allow (the field is named); a test image that does not fit;
            a network whose input size is fixed; a path that cannot be written.
    """
    require_spec()
    from aeanet_tf.interop.fiji import export_graph

    path = with_suffix(path, ".zip")
    _check_normalization(normalization)
    authors = _authors(authors)
    description = contents.default_description(model) if description is None else description
    image = contents.example_image(model, normalization, test_image)
    output = contents.example_output(model, normalization, image)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        folder = Path(folder)
        np.save(folder / "test_input.npy", image[None])
        np.save(folder / "test_output.npy", output[None])
        contents.draw_cover(folder / "cover.png", model, image, output)
        portable_network(model.keras_model).save(folder / "weights.keras")
        export_graph(model, folder / "saved_model.zip")
        package = _description(model, folder, output, authors, license, normalization, description)
        with replacing(path) as temporary:
            _save(package, temporary)
    logger.info("%s written for the BioImage Model Zoo, %.1f MB", path, path.stat().st_size / 1e6)
    return path


def require_spec():
    """Raise an `InputError` that tells what to install unless bioimageio.spec is there and works."""
    try:
        import bioimageio.spec
        from bioimageio.spec.model import v0_5
    except ImportError:
        raise InputError('bioimageio.spec is not installed, run: pip install "aeanet-tf[bioimageio]"') from None
    with bioimageio.spec.ValidationContext(perform_io_checks=False):
        entry = v0_5.TorchscriptWeightsDescr(source=Path(__file__), pytorch_version=v0_5.Version("2.0"))
    try:
        entry.model_dump(mode="json")
    except (TypeError, PydanticSerializationError):
        # bioimageio.spec 0.5.12 hands its serialisers an argument that pydantic 2.14 refuses.
        raise InputError(
            f"bioimageio.spec {bioimageio.spec.__version__} does not work with pydantic {pydantic.VERSION}, "
            'run: pip install "pydantic<2.14"'
        ) from None


@contextlib.contextmanager
def _quiet():
    """Without the log that bioimageio.spec writes to the terminal, and `export_graph`'s of a temporary file."""
    from loguru import logger as log

    level = logger.level
    log.disable("bioimageio")
    logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
    try:
        with warnings.catch_warnings():
            # Its check of what it wrote does not find the files in the zip at first.
            warnings.filterwarnings("ignore", message="Found mapping with 'source'")
            yield
    finally:
        logger.setLevel(level)
        log.enable("bioimageio")


def _check_normalization(normalization):
    # Left out, every program that runs the package would give the network what it was not trained on.
    if normalization.over != "all":
        raise InputError(
            f"normalization.over: found {normalization.over!r}, expected 'all': a package cannot say that mean and "
            "deviation are those of some positions only; export savedmodel or onnx, which leave normalisation to the "
            "program"
        )


def _authors(authors):
    pairs = []
    for author in [authors] if isinstance(authors, str) else authors:
        name, _, affiliation = (part.strip() for part in author.partition(","))
        if not name:
            raise InputError(f'authors: found {author!r}, expected "Name" or "Name, Affiliation"')
        pairs.append((name, affiliation or None))
    if not pairs:
        raise InputError('authors: none given, expected at least one "Name" or "Name, Affiliation"')
    return pairs


def _description(model, folder, output, authors, license, normalization, description):
    """The ``ModelDescr`` of the files in ``folder``."""
    from bioimageio.spec import ValidationContext
    from bioimageio.spec.model import v0_5

    from aeanet_tf.interop.bioimageio_tensors import input_tensor, output_tensor

    text = contents.documentation(model, description, normalization)
    (folder / "README.md").write_text(text, encoding="utf-8")
    version = v0_5.Version(tf.__version__)
    try:
        # Checks of files, none of which lies on the net.
        with ValidationContext(root=folder, perform_io_checks=True, log_warnings=False):
            return v0_5.ModelDescr(
                name=contents.package_name(model),
                description=description,
                # As data, so that an error says that it lies in the authors.
                authors=[{"name": name, "affiliation": affiliation} for name, affiliation in authors],
                license=license,
                cite=[
                    v0_5.CiteEntry(text=text, doi=v0_5.Doi(doi))
                    for text, doi in contents.citations(model.spec, model.config.preset)
                ],
                tags=contents.tags(model),
                covers=[v0_5.FileDescr(source=folder / "cover.png")],
                documentation=v0_5.FileDescr(source=folder / "README.md"),
                inputs=[input_tensor(model, normalization, folder / "test_input.npy")],
                outputs=[output_tensor(model, normalization, folder / "test_output.npy")],
                weights=_weights(folder, version),
                config=_config(model, output),
            )
    except pydantic.ValidationError as error:
        raise InputError(_refusal(error)) from None


def _weights(folder, version):
    from bioimageio.spec.model import v0_5

    return v0_5.WeightsDescr(
        keras_v3=v0_5.KerasV3WeightsDescr(
            source=folder / "weights.keras",
            keras_version=v0_5.Version(keras.__version__),
            backend=("tensorflow", version),
            comment="Keras's own layers only; for prediction.",
        ),
        tensorflow_saved_model_bundle=v0_5.TensorflowSavedModelBundleWeightsDescr(
            source=folder / "saved_model.zip",
            tensorflow_version=version,
            parent="keras_v3",
            comment="A graph with constants that TensorFlow 1.15 and later run; signature serving_default.",
        ),
    )


def _config(model, output):
    """Facts of the model, and what the specification leaves to programs: enough to build the network again."""
    from bioimageio.spec.model import v0_5

    # The specification's own tolerance is absolute, for values around 1, and it allows 1 % of the largest value.
    largest = float(output.max())
    tolerance = [v0_5.ReproducibilityTolerance(absolute_tolerance=1e-3 * largest)] if largest > 0 else []
    return v0_5.Config(
        bioimageio=v0_5.BioimageioConfig(
            reproducibility_tolerance=tolerance,
            architecture_type=_architecture(model.spec),
            model_parameter_count=model.keras_model.count_params(),
            task="semantic segmentation" if model.segments else "image restoration",
        ),
        aeanet_tf={
            "version": aeanet_tf.__version__,
            "axes": model.config.axes,
            "preset": model.config.preset,
            "network": model.config.network,
        },
    )


def _architecture(spec):
    name = "residual network" if spec.kind == "super_resolution" else "U-Net"
    return f"{name} with global attention" if spec.n_attention else name


def _refusal(error):
    """One line for a pydantic error, whose messages list every identifier that there is."""
    reasons = {}
    for item in error.errors():
        field = str(item["loc"][0]) if item["loc"] else "(whole)"
        message = " ".join(item["msg"].removeprefix("Value error, ").split())
        if field == "license":
            message = f"{item['input']!r} is no SPDX identifier, expected for instance CC-BY-4.0"
        reasons.setdefault(field, message if len(message) < 200 else f"{message[:200]}...")
    return "; ".join(f"{field}: {message}" for field, message in reasons.items())


def _save(package, path):
    from bioimageio.spec import ValidationContext, load_description, save_bioimageio_package

    with ValidationContext(perform_io_checks=True, log_warnings=False):
        save_bioimageio_package(package, output_path=path)
        summary = load_description(path).validation_summary
    if summary.status not in ("valid-format", "passed"):
        raise RuntimeError(f"the package is not valid, please report this: {summary.format()}")
    for detail in summary.details:
        for warning in detail.warnings:
            logger.debug("%s: %s", ".".join(map(str, warning.loc)), warning.msg)
