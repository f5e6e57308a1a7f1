"""Volumes that get planes between theirs: what is opened, and what of models and options they ask for."""

from aeanet_tf.errors import InputError, expect
from aeanet_tf.io.image import check_fits
from aeanet_tf.io.zoomed import zoomed_image

_VOLUME = "ZYXC"


def image_axes(options, axes):
    """The axes that images are to have: those of the model, or those of volumes whose planes it restores.

    Args:
        options: `FileOptions`.
        axes: of the model.
    """
    return axes if options.isotropic is None else _VOLUME


def check_takes_volumes(options, model, count=1):
    """Check that models make volumes isotropic, or restore upsampled ones, where `FileOptions` say so.

    Args:
        options: `FileOptions`.
        model: a `StoredModel`, the first of ``count``.
        count: of models.

    Raises:
        InputError: it does not, or there are several.
    """
    if options.upsample is not None:
        fits = "Z" in model.axes and not model.segments
        expect(fits, "--upsample", f"a model of axes {model.axes}", "one that restores volumes, axes ZYX")
    if options.isotropic is None:
        return
    restores = set(model.axes) == set("YXC") and not (model.segments or model.interpolates or model.projected)
    expect(restores, "--isotropic", f"a model of axes {model.axes}", "one that restores images, axes YX")
    expect(count == 1, "--isotropic", f"{count} models", "one")
    expect(model.upscale == 1, "--isotropic", f"a model of network.upscale {model.upscale}", "one that keeps the size")


def check_volume(image, model):
    """Check that an image is a volume whose planes a model restores.

    Args:
        image: an `Image`.
        model: a `StoredModel`.

    Raises:
        InputError: it is not, has other channels, or a single plane or row.
    """
    check_fits(image, _VOLUME, model.n_channel_in, frames=True)
    sizes = {a: n for a, n in zip(image.axes, image.array.shape, strict=True) if a in "ZYX"}
    if min(sizes.values()) < 2:
        raise InputError(f"{image.path}: sizes {sizes}, expected at least 2 along Z, Y and X")


def opened(image, options):
    """An image that was opened, interpolated along Z where `FileOptions` say that a model restores it upsampled."""
    return image if options.upsample is None else zoomed_image(image, options.upsample)
