"""The images that the scale of a model is calibrated on, and whether others use them for something else."""

import logging
from pathlib import Path

from aeanet_tf.io.image_path import ImagePath
from aeanet_tf.runs.training_files import fingerprint, training_records

logger = logging.getLogger("aeanet_tf")


def fingerprints(paths):
    """Path -> `fingerprint` of each of these images."""
    files = dict.fromkeys(ImagePath.of(path).path for path in paths)
    return {path: fingerprint(path) for path in files}


def _recorded(record):
    """The `fingerprint` of an image that a training has noted."""
    return f"{record['size']}-{record['digest']}"


def held_out_fingerprints(folder):
    """Those of the images that the training of a model held out to validate on."""
    records = training_records(folder).values()
    return [_recorded(record) for record in records if "validation" in record]


def warn_of_training_images(folder, found):
    """Log a warning where images to calibrate on are some that the model was trained on.

    Args:
        folder: of the model.
        found: `fingerprints` of the images.
    """
    records = training_records(folder).values()
    trained = {_recorded(record) for record in records if "validation" not in record}
    known = [path for path, text in found.items() if text in trained]
    if known:
        logger.warning(
            "%d of %d files are images that the model was trained on, such as %s: it knows them, and errors on new "
            "images are larger; give images that it was not trained on",
            len(known),
            len(found),
            known[0],
        )


def warn_of_calibration_images(models, options, paths):
    """Log a warning where images to predict are those that the scale of a model was calibrated on.

    Args:
        models: list of `AEANet`.
        options: `FileOptions`.
        paths: of the images.
    """
    for model in models:
        if model.calibration is None or options.uncalibrated or not model.calibration.images:
            continue
        texts = set(model.calibration.images)
        sizes = {text.partition("-")[0] for text in texts}
        files = dict.fromkeys(Path(ImagePath.of(path).path) for path in paths)
        # Of most others the size is enough.
        alike = [path for path in files if path.is_dir() or str(path.stat().st_size) in sizes]
        known = [path for path in alike if fingerprint(path) in texts]
        if known:
            logger.warning(
                "%d of %d images are those that the scale of %s was calibrated on, such as %s: whether it is right is "
                "to be seen on others",
                len(known),
                len(files),
                model.name,
                known[0],
            )
