"""Prediction of image files in overlapping patches, slab by slab."""

from tqdm import tqdm

from aeanet_tf.errors import InputError
from aeanet_tf.models.hardware import RESERVE, memory_budget
from aeanet_tf.models.predict_arrays import follow, patch_averages
from aeanet_tf.prediction.patch_average import averaging_bytes


def predict_in_patches(model, images, normalization, options, tag):
    """Predict images in overlapping patches, averaged, and write what is finished as the patches go on.

    Beside a batch of patches only the slab is in memory that patches still reach. An image that was begun by a run that
    was stopped begins anew.

    Args:
        model: an `AEANet`.
        images: list of `ImageRun`.
        normalization: a `NormalizationSection`.
        options: `PredictOptions`, whose ``tiling`` is `Patches`.
        tag: part of the names of partial files.

    Raises:
        InputError: a slab does not fit into the memory.
    """
    classes = model.keras_model.output_shape[-1]
    for image in images:
        with tqdm(disable=None, leave=False, unit="piece") as bar:
            image.read_ranges(normalization, follow(bar))
        for source in image.sources:
            _check_memory(options.max_memory, averaging_bytes(source.shape, options.tiling.size, classes), image.path)
        image.create_files(None, tag)
        with tqdm(disable=None, leave=False, unit="batch") as bar:
            for index, source in enumerate(image.sources):
                target = image.frame_target(index)
                for slices, values in patch_averages(model, source, options.tiling, options.precision, follow(bar)):
                    target.write(slices, values)
        image.finish()


def _check_memory(max_memory, needed, path):
    memory = memory_budget(max_memory, RESERVE)
    if memory is not None and needed > memory:
        raise InputError(
            f"{path}: overlapping patches hold {needed / 1e9:.2f} GB, expected at most {memory / 1e9:.2f} GB; smaller "
            "patches along the first axis, or tiling 'exact', take less"
        )
