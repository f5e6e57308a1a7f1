"""``aeanet explain``: what the attention of a model computes for the user's own images."""

import re
from contextlib import contextmanager

MOST_IMAGES = 6
MOST_REFERENCES = 12
# As in the paper's figure.
DEFAULT_REFERENCES = 4


def add_parser(subparsers):
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "explain",
        help="draw what the attention of a model computes",
        description="Draw to which parts of images the learned shared references are relevant (relevance.png, and all "
        "maps as NAME_relevance.tif), and how query and attention output follow a rotation of the image "
        "(NAME_equivariance.png). Images are normalised as in training. docs/explain.md says what the maps mean.",
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="model folder")
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="PATH", help=f"images, at most {MOST_IMAGES} (folders, patterns)"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the pictures and maps")
    parser.add_argument("--axes", help="axes of the files, such as ZYX (default: as each file states)")
    parser.add_argument(
        "--operator", metavar="NAME", help="attention operator, by name or number (default: that of the bottom block)"
    )
    parser.add_argument(
        "--references",
        metavar="N|LIST",
        help=f"how many references to show, the most different ones, at most {MOST_REFERENCES} "
        f"(default: {DEFAULT_REFERENCES}), or which, from 1: 3,17,42",
    )
    parser.add_argument("--seed", type=int, help="draw the references at random with this seed, as in the paper")
    parser.set_defaults(run=run)


def run(args):
    """Evaluate the operator on all images, then draw and write."""
    from aeanet_tf.io.image import check_axes
    from aeanet_tf.io.read import find_images
    from aeanet_tf.models.folder import load_model, prediction_normalization
    from aeanet_tf.startup import load_backend

    axes = None if args.axes is None else check_axes(args.axes)
    wanted = _wanted(args.references, args.seed)
    paths = find_images(args.input)
    targets = _targets(args.output, paths)
    normalization = prediction_normalization(args.model)
    load_backend()
    model = load_model(args.model)
    from aeanet_tf.evaluation.attention_maps import choose_operator

    operator = choose_operator(model.keras_model, args.operator)
    if args.references is None:
        wanted = ("count", min(DEFAULT_REFERENCES, operator.attention.shared_references), args.seed)
    else:
        _check_wanted(wanted, operator)
    images = [_read(model, path, axes, normalization) for path in paths]
    # All of it before anything is written.
    rotations = [_rotation(model, operator, *one) for one in images]
    if operator.attention.shared_references:
        maps = [_maps(model, operator, *one) for one in images]
        _relevance(model, operator, images, maps, wanted, targets)
    else:
        print(f"operator {operator.name}: no shared references, so no relevance maps")
    _equivariance(operator, images, rotations, targets)


def _wanted(text, seed):
    """``("count", n, seed)`` or ``("these", numbers from 0, None)`` of what the command line says."""
    from aeanet_tf.errors import InputError

    if seed is not None and seed < 0:
        raise InputError(f"--seed: {seed}, expected a number of at least 0")
    text = str(DEFAULT_REFERENCES) if text is None else text.strip()
    if not re.fullmatch(r"\d+|\d+(,\d+)*,?", text):
        raise InputError(f"--references: {text!r}, expected a number, or numbers with commas such as 3,17,42")
    if "," not in text:
        kind, found = "count", int(text)
    else:
        kind, found = "these", [int(part) - 1 for part in text.strip(",").split(",")]
        if len(set(found)) < len(found):
            raise InputError(f"--references: {text}, expected each reference once")
        if seed is not None:
            raise InputError("--seed: given with a list of references, expected with a number of them")
    shown = found if kind == "count" else len(found)
    if not 1 <= shown <= MOST_REFERENCES:
        raise InputError(f"--references: {shown} of them, expected 1 to {MOST_REFERENCES}; the tif holds all maps")
    return kind, found, seed


def _check_wanted(wanted, operator):
    """Refuse references that the operator does not have."""
    from aeanet_tf.errors import InputError

    kind, found, _ = wanted
    count = operator.attention.shared_references
    if not count:
        raise InputError(f"--references: the model has no shared references in operator {operator.name}")
    if kind == "count" and found > count:
        raise InputError(f"--references: {found}, expected a number from 1 to {count}, those of the model")
    if kind == "these" and not 0 <= min(found) <= max(found) < count:
        raise InputError(f"--references: {[i + 1 for i in found]}, expected numbers from 1 to {count}")


def _targets(output, paths):
    """What will be written: ``{"relevance": png, path: (tif, png), ...}``; refuses to write over an input."""
    from pathlib import Path

    from aeanet_tf.errors import InputError
    from aeanet_tf.io.image import image_stem

    if len(paths) > MOST_IMAGES:
        raise InputError(f"--input: {len(paths)} images, expected at most {MOST_IMAGES}, the rows of one figure")
    output = Path(output)
    targets = {"relevance": output / "relevance.png"}
    for path in paths:
        stem = image_stem(path)
        targets[path] = (output / f"{stem}_relevance.tif", output / f"{stem}_equivariance.png")
    files = [targets["relevance"], *(file for path in paths for file in targets[path])]
    inputs = {path.resolve() for path in paths}
    for file in files:
        if files.count(file) > 1:
            raise InputError(f"{file}: would be written for two images of the same name; explain them apart")
        if file.resolve() in inputs:
            raise InputError(f"{output}: {file.name} would replace an input, choose another output folder")
    return targets


def _read(model, path, axes, normalization):
    """The `Image` and the network's normalised input ``(1, *spatial, channels)``."""
    from aeanet_tf.io.read import read_image
    from aeanet_tf.models.normalizers import make_normalizer
    from aeanet_tf.runs.image_data import network_image

    image = read_image(path, axes)
    config = model.config
    x = network_image(image, config.axes, config.n_channel_in, make_normalizer(normalization))[None]
    _check_memory(model, path, x.shape[1:-1])
    return image, x


def _check_memory(model, path, size):
    """Refuse what would take more memory than there is: maps are evaluated in one piece."""
    from math import prod

    from aeanet_tf.errors import InputError
    from aeanet_tf.models.hardware import RESERVE, memory_budget
    from aeanet_tf.prediction.plan import Budget, make_plan

    padded = tuple(-(-n // step) * step for n, step in zip(size, model.spec.divisor, strict=True))
    plan = make_plan(model.keras_model, model.spec, [padded], Budget(memory_budget(None, RESERVE)))
    if prod(plan.n_tiles) > 1:
        shape = " x ".join(map(str, size))
        raise InputError(f"{path}: {shape} pixels do not fit into memory in one piece, which maps need; crop the image")


def _rotation(model, operator, image, x):
    from aeanet_tf.evaluation.rotation import rotate_input

    with _naming(image.path):
        return rotate_input(model.keras_model, x, operator.name)


def _maps(model, operator, image, x):
    from aeanet_tf.evaluation.attention_maps import relevance_maps

    with _naming(image.path):
        return relevance_maps(model.keras_model, x, operator.name)


@contextmanager
def _naming(path):
    from aeanet_tf.errors import InputError

    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _relevance(model, operator, images, maps, wanted, targets):
    from aeanet_tf.evaluation import attention_maps, map_correlations, map_figures
    from aeanet_tf.evaluation.drawing import save_figure
    from aeanet_tf.io.tiff_write import write_image

    correlations = map_correlations.map_correlations(maps)
    kind, found, seed = wanted
    if kind == "count" and seed is None:
        found = map_correlations.most_different(correlations, found)
    elif kind == "count":
        found = map_correlations.random_references(len(correlations), found, seed)
    strides = attention_maps.map_strides(model.keras_model, operator.name)
    _report(operator, strides, correlations, found)
    spatial = model.config.axes.replace("C", "")[-len(strides) :]
    names = [image.path.name for image, _ in images]
    title = f"Relevance to shared references ({operator.name})"
    figure = map_figures.relevance_figure([x[0, ..., 0] for _, x in images], maps, found, names, title)
    for (image, _), one in zip(images, maps, strict=True):
        sizes = {a: image.pixel_size[a] * s for a, s in zip(spatial, strides, strict=True) if a in image.pixel_size}
        tif, _ = targets[image.path]
        write_image(tif, one, f"C{spatial}", sizes, image.unit)
        print(f"{tif}: all {len(one)} maps, channel n is reference n")
    save_figure(figure, targets["relevance"])
    print(targets["relevance"])


def _report(operator, strides, correlations, shown):
    from aeanet_tf.evaluation.map_correlations import independent_patterns, mean_absolute_correlation

    step = " x ".join(map(str, strides))
    print(f"operator {operator.name}: {len(correlations)} shared references, a map position is {step} pixels")
    if len(correlations) > 1:
        print(
            f"mean absolute correlation between the maps: {mean_absolute_correlation(correlations):.3f} "
            f"(as different as {independent_patterns(correlations):.1f} uncorrelated maps)"
        )
    part = mean_absolute_correlation(correlations[shown][:, shown])
    among = f", mean absolute correlation {part:.3f}" if len(shown) > 1 else ""
    print(f"shown: references {', '.join(str(i + 1) for i in shown)}{among}")


def _equivariance(operator, images, rotations, targets):
    from aeanet_tf.evaluation.drawing import save_figure
    from aeanet_tf.evaluation.map_figures import equivariance_figure

    for (image, _), found in zip(images, rotations, strict=True):
        channels = range(min(2, found.query.raw.shape[-1], found.attention.raw.shape[-1]))
        title = f"{image.path.name}: query and attention output ({operator.name})"
        _, png = targets[image.path]
        save_figure(equivariance_figure(found, tuple(channels), title), png)
        print(
            f"{png}: difference after a rotation by 90°: query {100 * found.query.relative_difference:.1f} %, "
            f"attention output {100 * found.attention.relative_difference:.1f} % of the standard deviation"
        )
