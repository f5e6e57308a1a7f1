"""Models from checkpoints of the original programs (TensorFlow 1): ``aeanet import-tf1``."""

import logging
from itertools import permutations
from pathlib import Path

import numpy as np
from csbdeep.utils import save_json

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing_folder
from aeanet_tf.interop.tf1_files import find_prefix, read_checkpoint
from aeanet_tf.interop.tf1_identify import differences, hidden_fields, identify
from aeanet_tf.models.folder import model_class, save_normalization
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.networks import presets

logger = logging.getLogger("aeanet_tf")
OUTPUT_NAMES = {
    "output_preactivation": ("batch_normalization", "batch_norm_output"),
    "out_conv": ("out_conv", "output_convolution"),
}
"""Names of the layers behind the last block: AEANet's program has the first of each, GVTNet's either."""


def import_checkpoint(prefix, output, preset=None, axes=None, overrides=(), normalization=None):
    """Make a model folder from a TensorFlow 1 checkpoint of the AEANet or GVTNet programs.

    The network is told from names and shapes; what they cannot show (heads, normalisation of the attention, output
    offset, ...) is taken from the published network and logged, see
    `aeanet_tf.interop.tf1_identify.identify`. Every variable is accounted for: it is a weight of the network, or
    belongs to the optimiser and is listed in the log, or is an error. The normalisation of the images is not in
    a checkpoint either; ``aeanet predict`` and exports use the one given here, `AEANet.predict` takes its own.

    Args:
        prefix: of the checkpoint (``model.ckpt-120000``), one of its files, or its folder.
        output: the model folder to make; it must not exist, or be empty. It appears whole or not at all.
        preset: name of the published network; told from the variables by default.
        axes: of the images, ``"YX"`` or ``"ZYX"`` by default, by the number of dimensions.
        overrides: strings ``field=value`` that change fields of the spec, such as ``attention.num_heads=1``.
        normalization: the `NormalizationSection` to predict with; by default 0 to 255 for the networks of paired EM,
            as published (division by 255), each image standardised for label-free ones, and the percentiles 2 and
            99.8 for all others.

    Returns:
        The `pathlib.Path` of the folder, which ``AEANet(None, name, basedir)`` loads (``ProjectionAEANet`` if the
        network projects) and which holds ``config.json``, ``weights_best.h5`` and ``normalization.json``.

    Raises:
        InputError: files that are missing, truncated or damaged; a missing, extra or misshapen variable (all are
            named, up to ten); an unknown preset or field; axes that do not fit; an output folder in use.
    """
    output = check_output(output)
    prefix = find_prefix(prefix)
    variables, slots = read_checkpoint(prefix)
    try:
        published, spec = identify(variables, preset, overrides)
    except InputError as error:
        raise InputError(f"{prefix}: {error}") from None
    kind = model_class(spec.kind)
    config = _config(kind.config_class, published, spec, axes)
    model = kind(config, output.name, basedir=None)
    pairs, problems = match_variables(model.keras_model, variables)
    if problems:
        raise InputError(f"{prefix}: {_refusal(published, spec, problems, variables, preset)}")
    for variable, value in pairs:
        variable.assign(value)
    normalization = normalization or published_normalization(published)
    with replacing_folder(output) as partial:
        partial.mkdir()
        save_json(vars(config), str(partial / "config.json"))
        model.keras_model.save_weights(str(partial / "weights_best.h5"))
        save_normalization(partial, normalization)
    _report(prefix, published, spec, pairs, slots, overrides)
    logger.info("images are normalised by %s (--normalization changes it)", _fields(normalization.model_dump()))
    return output


def published_normalization(preset):
    """The `NormalizationSection` for a published network: see `import_checkpoint`."""
    if preset.endswith("-em"):
        return NormalizationSection(kind="range", low=0, high=255)
    return NormalizationSection(kind="standard" if preset.endswith("-labelfree") else "percentile")


def check_output(output):
    """The `pathlib.Path` of a model folder to be made.

    Raises:
        InputError: it is a file, or a folder with something in it.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file, expected the name of a new folder")
    if output.is_dir() and any(output.iterdir()):
        raise InputError(f"{output}: the folder is not empty, expected the name of a new one")
    return output.resolve() if output.name in ("", "..") else output


def _config(config_class, published, spec, axes):
    """The model's configuration."""
    dimension = spec.dimension
    axes = axes or {2: "YX", 3: "ZYX"}[dimension]
    spatial = axes.upper().removesuffix("C")
    if spatial not in map("".join, permutations("TZYX", dimension)):
        raise InputError(f"axes: found {axes!r}, expected {dimension} different letters of TZYX for this checkpoint")
    return config_class(
        axes.upper(),
        spec.in_channels,
        spec.out_channels,
        spec.probabilistic,
        preset=published,
        network=spec.model_dump(mode="json"),
    )


def _refusal(published, spec, problems, variables, preset, limit=10):
    items = [f"{name}: {problem}" for name, problem in problems.items()]
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    message = f"the variables do not fit {published}: {'; '.join(items[:limit])}{more}"
    if preset is not None:
        return message + _otherwise(spec, variables)
    if any(name.endswith("/nl_library") and text.startswith("missing") for name, text in problems.items()):
        message += "; if the network has no references, say --set attention.shared_references=0"
    return message


def _otherwise(spec, variables):
    """What the checkpoint looks like when no preset is given, and where that differs from ``spec``."""
    try:
        name, told = identify(variables)
    except InputError:
        return ""
    fields = differences(spec, told, hidden=False)
    if not fields:
        return ""
    differing = ", ".join(f"{key} = {_text(there)}, not {_text(here)}" for key, (here, there) in fields.items())
    return f"; the checkpoint looks like {name} ({differing})"


def _report(prefix, published, spec, pairs, slots, overrides):
    changed = differences(spec, presets[published])
    network = f"{published} with {_fields({k: v for k, (v, _) in changed.items()})}" if changed else published
    logger.info("%s: %s", prefix, network)
    parameters = sum(value.size for _, value in pairs)
    logger.info("imported %d variables with %d values", len(pairs), parameters)
    if slots:
        logger.info("not imported, %d variables of the optimiser: %s", len(slots), ", ".join(slots))
    given = {text.partition("=")[0].strip() for text in overrides}
    decided = {key: value for key, value in hidden_fields(spec).items() if key not in given}
    logger.info("not shown by a checkpoint, as published (--set changes them): %s", _fields(decided))


def _fields(fields):
    return ", ".join(f"{key} = {_text(value)}" for key, value in fields.items())


def _text(value):
    return str(list(value)) if isinstance(value, tuple) else str(value)


def original_names(path):
    """Names that a variable may have in the original programs.

    Args:
        path: of a Keras variable of `aeanet_tf.networks.build_network`, such as
            ``encoding_block_1.res_0/batch_norm_1/norm/gamma``.

    Returns:
        List of names, such as ``["encoding_block_1/res_0/batch_norm_1/gamma"]``; two for the output layers, which the
        programs name differently.
    """
    name = path.replace(".", "/").replace("/norm/", "/")
    name = name.replace("/downsampling/kernel", "/downsampling/convolution/kernel")
    name = name.replace("/upsampling/kernel", "/upsampling/transposed_convolution/kernel")
    first, _, rest = name.partition("/")
    return [f"{alternative}/{rest}" for alternative in OUTPUT_NAMES.get(first, (first,))]


def match_variables(model, variables):
    """Find the value of every variable of a network, and the network's variable of every value.

    Args:
        model: of `aeanet_tf.networks.build_network`.
        variables: dict from original name to array.

    Returns:
        ``(pairs, problems)``: a list of ``(Keras variable, array of its shape)``, and a dict from name to what is
        wrong: missing, of another shape than expected, not finite, or not a variable of this network.
    """
    dimension = len(model.get_layer("first_convolution").kernel.shape) - 2
    left, pairs, problems = dict(variables), [], {}
    for variable in model.weights:
        names, shape = original_names(variable.path), tuple(variable.shape)
        name = next((n for n in names if n in left), None)
        expected = _original_shape(names[0], shape, dimension)
        if name is None:
            problems[_likely(names, variables)] = f"missing, expected shape {expected}"
            continue
        value = np.asarray(left.pop(name))
        if value.shape != expected:
            problems[name] = f"shape {value.shape}, expected {expected}"
        elif not np.isfinite(value).all():
            problems[name] = "holds values that are not finite"
        else:
            pairs.append((variable, value.reshape(shape)))
    problems.update({name: f"not in this network, shape {np.shape(left[name])}" for name in sorted(left)})
    return pairs, problems


def _original_shape(name, shape, dimension):
    # Ours are matrices where the original programs have convolutions of kernel size 1.
    if name.endswith("_transform/kernel") and len(shape) == 2:
        return (1,) * (3 if name.startswith("projection/") else dimension) + shape
    return shape


def _likely(names, variables):
    """Of the alternatives for a missing name, the one whose layer the checkpoint has."""
    heads = {name.partition("/")[0] for name in variables}
    return next((n for n in names if n.partition("/")[0] in heads), names[0])
