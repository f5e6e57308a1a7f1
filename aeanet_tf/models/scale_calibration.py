"""The calibration of a probabilistic model: the factor that its scales are multiplied by, kept in its folder."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from aeanet_tf.field_errors import from_validation
from aeanet_tf.files import read_json, write_text
from aeanet_tf.models.preparation import Section
from aeanet_tf.models.weights_file import network_digest

logger = logging.getLogger("aeanet_tf")

CALIBRATION_FILE = "calibration.json"


class ScaleCalibration(Section):
    """How the scales of a model were calibrated.

    Attributes:
        factor: what the scales of the network are multiplied by.
        date: of the fit, such as "2026-11-28".
        network: digest of the network and the weights that it was fitted for; others have other errors.
        data: the images that it was fitted on, in words.
        images: of their files, inputs and ground truths, what tells their contents from others: sizes and digests.
        pixels: that were compared.
        error_before, error_after: expected calibration error on these images, with the factor 1 and with this one.
    """

    factor: Annotated[float, Field(gt=0)]
    date: str
    network: str
    data: str
    images: tuple[str, ...] = ()
    pixels: int
    error_before: float
    error_after: float

    def line(self):
        """For logs."""
        return f"times {self.factor:.3g}, calibrated on {self.data} on {self.date}"


def save_calibration(folder, calibration):
    """Keep a `ScaleCalibration` in a model folder.

    Raises:
        WriteError: it cannot be written.
    """
    write_text(Path(folder) / CALIBRATION_FILE, calibration.model_dump_json(indent=2) + "\n")


def read_calibration(folder):
    """The `ScaleCalibration` in a model folder, of whatever weights; ``None`` where there is none.

    Raises:
        InputError: the file is damaged.
    """
    path = Path(folder) / CALIBRATION_FILE
    if not os.path.lexists(path):
        return None
    try:
        return ScaleCalibration.model_validate(read_json(path))
    except ValidationError as error:
        raise from_validation(error, str(path), model=ScaleCalibration) from None


def calibration_of(model):
    """The `ScaleCalibration` in the folder of an `AEANet`, where it is for the weights that the model has now.

    Raises:
        InputError: the file is damaged.
    """
    if model.basedir is None or not model.config.probabilistic:
        return None
    found = read_calibration(model.logdir)
    if found is not None and found.network != network_digest(model):
        logger.warning(
            "%s: of other weights than those that are loaded, it is not used; `aeanet calibrate` fits it anew",
            model.logdir / CALIBRATION_FILE,
        )
        return None
    return found


def scale_factor(model, options):
    """What the scales of an `AEANet` are multiplied by with these `PredictionOptions`."""
    calibration = None if options.uncalibrated else model.calibration
    return 1.0 if calibration is None else calibration.factor


def without_calibration(options):
    """The options for the members of an ensemble of several models: each of them with the scale of its network.

    The mixture has the deviations of the models from each other in its scale, too. Measured, it is less sure than it
    should be, and the more so with the factors of its members (docs/uncertainty.md).
    """
    return replace(options, uncalibrated=True)


def say_calibration(models, options):
    """Log how the scale of a model is calibrated, or that it is not, and what an ensemble of several does."""
    if len(models) > 1 and options.uncalibrated:
        logger.info("scales as the networks give them: calibrations are of single models, not of their mixture")
        return
    for model in models:
        calibration = model.calibration
        if calibration is None:
            logger.info("%s: scale as the network gives it, `aeanet calibrate` fits it to true errors", model.name)
        elif options.uncalibrated:
            logger.info("%s: scale as the network gives it, not %s", model.name, calibration.line())
        else:
            logger.info("%s: scale %s", model.name, calibration.line())


def say_exported_scale(model):
    """Log what the scales of an exported network are to be multiplied by: it gives them as the network has them."""
    if model.calibration is not None:
        factor = model.calibration.factor
        logger.info("the exported network gives scales that are not calibrated: multiply them by %.4g", factor)
