"""What the attention of a model computes for the user's own images, drawn and written."""

from math import prod

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation import attention_maps, map_figures
from aeanet_tf.evaluation.equivariance import rotate_input
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.prediction.machine import RESERVE
from aeanet_tf.prediction.plan import Budget, make_plan
from aeanet_tf.runs.frames import padded_size
from aeanet_tf.runs.image_data import network_image

# As in the paper's figure.
DEFAULT_REFERENCES = 4


def explain_files(model, targets, normalization, axes=None, operator=None, references=None, seed=None):
    """Draw to which parts of images shared references are relevant, and how attention follows a rotation.

    Prints what is written, and how different the maps are. docs/explain.md says what they mean.

    Args:
        model: an `AEANet`.
        targets: dict of each image to the files of its maps and of its rotation, ``(tif, png)``, and of "relevance" to
            the picture of all.
        normalization: the `NormalizationSection` of its training.
        axes: of the image files; ``None`` as they state.
        operator: name or number of an attention operator; ``None`` for that of the bottom block.
        references: how many to show, or the list of which, from 0; ``None`` for `DEFAULT_REFERENCES`
            where there are any.
        seed: draws a number of them at random; ``None`` for the most different ones.

    Raises:
        InputError: an operator or references that the model does not have, an image that it does not take, or that does
            not fit into memory in one piece.
    """
    operator = attention_maps.choose_operator(model.keras_model, operator)
    if references is None:
        references = min(DEFAULT_REFERENCES, operator.attention.shared_references)
    else:
        _check_references(references, operator)
    images = [_read(model, path, axes, normalization) for path in targets if path != "relevance"]
    # All of it before anything is written.
    rotations = _of_each(rotate_input, model, operator, images)
    if operator.attention.shared_references:
        maps = _of_each(attention_maps.relevance_maps, model, operator, images)
        _relevance(model, operator, images, maps, (references, seed), targets)
    else:
        print(f"operator {operator.name}: no shared references, so no relevance maps")
    _equivariance(operator, images, rotations, targets)


def _check_references(wanted, operator):
    """Refuse references that the operator does not have."""
    count = operator.attention.shared_references
    if not count:
        raise InputError(f"--references: the model has no shared references in operator {operator.name}")
    if isinstance(wanted, int):
        if wanted > count:
            raise InputError(f"--references: {wanted}, expected a number from 1 to {count}, those of the model")
    elif not 0 <= min(wanted) <= max(wanted) < count:
        raise InputError(f"--references: {[i + 1 for i in wanted]}, expected numbers from 1 to {count}")


def _read(model, path, axes, normalization):
    """The `Image` and the network's normalised input ``(1, *spatial, channels)``."""
    image = read_image(path, axes)
    config = model.config
    x = network_image(image, config.axes, config.n_channel_in, make_normalizer(normalization))[None]
    _check_memory(model, path, x.shape[1:-1])
    return image, x


def _check_memory(model, path, size):
    """Refuse what would take more memory than there is: maps are evaluated in one piece."""
    padded = [padded_size(size, model.spec.divisor)]
    plan = make_plan(model.stages(None), model.spec, padded, Budget(model.memory.left(None, RESERVE)))
    if prod(plan.n_tiles) > 1:
        shape = " x ".join(map(str, size))
        raise InputError(f"{path}: {shape} pixels do not fit into memory in one piece, which maps need; crop the image")


def _of_each(function, model, operator, images):
    """What a function of a network, its input and the name of an operator gives for each image."""
    results = []
    for image, x in images:
        try:
            results.append(function(model.keras_model, x, operator.name))
        except InputError as error:
            raise InputError(f"{image.path}: {error}") from error
    return results


def _relevance(model, operator, images, maps, wanted, targets):
    correlations = attention_maps.map_correlations(maps)
    shown, seed = wanted
    if isinstance(shown, int) and seed is None:
        shown = attention_maps.most_different(correlations, shown)
    elif isinstance(shown, int):
        shown = attention_maps.random_references(len(correlations), shown, seed)
    strides = attention_maps.map_strides(model.keras_model, operator.name)
    _report(operator, strides, correlations, shown)
    spatial = model.config.axes.replace("C", "")[-len(strides) :]
    names = [image.path.name for image, _ in images]
    title = f"Relevance to shared references ({operator.name})"
    figure = map_figures.relevance_figure([x[0, ..., 0] for _, x in images], maps, shown, names, title)
    for (image, _), image_maps in zip(images, maps, strict=True):
        sizes = {a: image.pixel_size[a] * s for a, s in zip(spatial, strides, strict=True) if a in image.pixel_size}
        tif, _ = targets[image.path]
        write_image(tif, image_maps, f"C{spatial}", sizes, image.unit)
        print(f"{tif}: all {len(image_maps)} maps, channel n is reference n")
    save_figure(figure, targets["relevance"])
    print(targets["relevance"])


def _report(operator, strides, correlations, shown):
    step = " x ".join(map(str, strides))
    print(f"operator {operator.name}: {len(correlations)} shared references, a map position is {step} pixels")
    if len(correlations) > 1:
        mean = attention_maps.mean_absolute_correlation(correlations)
        patterns = attention_maps.independent_patterns(correlations)
        print(
            f"mean absolute correlation between the maps: {mean:.3f} (as different as {patterns:.1f} uncorrelated maps)"
        )
    part = attention_maps.mean_absolute_correlation(correlations[shown][:, shown])
    among = f", mean absolute correlation {part:.3f}" if len(shown) > 1 else ""
    print(f"shown: references {', '.join(str(i + 1) for i in shown)}{among}")


def _equivariance(operator, images, rotations, targets):
    for (image, _), rotation in zip(images, rotations, strict=True):
        channels = range(min(2, rotation.query.raw.shape[-1], rotation.attention.raw.shape[-1]))
        title = f"{image.path.name}: query and attention output ({operator.name})"
        _, png = targets[image.path]
        save_figure(map_figures.equivariance_figure(rotation, tuple(channels), title), png)
        print(
            f"{png}: difference after a rotation by 90°: query {100 * rotation.query.relative_difference:.1f} %, "
            f"attention output {100 * rotation.attention.relative_difference:.1f} % of the standard deviation"
        )
