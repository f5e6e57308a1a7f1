"""Images that are given as arrays: checked against the model before anything is computed."""

import numpy as np
from csbdeep.utils import axes_check_and_normalize

from aeanet_tf.errors import InputError, expect, one_line
from aeanet_tf.io.image import check_finite, frame_axes


def given_axes(axes, ndim):
    """Letters for the dimensions of an array, in capitals.

    Raises:
        InputError: others than CSBDeep knows, one that stands twice, or another number of them.
    """
    try:
        return axes_check_and_normalize(axes, ndim)
    except (ValueError, TypeError) as error:
        raise InputError(f"axes: found {axes!r} for an image of {ndim} dimensions: {one_line(error)}") from None


def given_image(model, image, axes, name="image", frames=False):
    """An array to predict as real numbers, checked as the command line checks a file.

    Args:
        model: an `AEANet`.
        image: the array; bool becomes uint8, what is longer than float64 becomes float64.
        axes: one letter a dimension; those that the network lacks have length 1.
        name: of the image, for messages.
        frames: whether there may be frames along axes T and Z that the network lacks.

    Raises:
        InputError: no array, none of real numbers, or an empty one; axes or channels that the network does not take;
            values that are not finite or that float32 cannot hold.
    """
    if not hasattr(image, "dtype") or not hasattr(image, "shape"):
        raise InputError(f"{name}: found {type(image).__name__}, expected an array, or a list of arrays")
    # Also of other libraries' arrays and tensors.
    image = np.asarray(image)
    config, letters = model.config, given_axes(axes, image.ndim)
    expect(image.dtype.kind in "biuf", name, f"values of type {image.dtype}", "integers or floats")
    sizes = dict(zip(letters, image.shape, strict=True))
    expect(0 not in image.shape, name, f"an empty image, its shape is {tuple(image.shape)}", "pixels")
    ignored = frame_axes(letters, config.axes) if frames else ""
    known = all(a in config.axes or n == 1 or a in ignored for a, n in sizes.items())
    fits = known and {"Y", "X"} <= set(letters)
    expect(fits, name, f"shape {tuple(image.shape)} with axes {letters}", f"the model's axes {config.axes}")
    channels = sizes.get("C", 1)
    expect(
        channels == config.n_channel_in, name, f"{channels} channels", f"{config.n_channel_in}, which the model takes"
    )
    check_finite(name, image)
    if image.dtype.kind == "b":
        return image.astype(np.uint8)
    return image.astype(np.float64) if image.dtype.kind == "f" and image.dtype.itemsize > 8 else image


def check_predicted(name, *parts):
    """Check that what was predicted of an image is finite; ``None`` among the parts is passed over.

    Raises:
        InputError: it is not, which finite images come to where weights are not finite or have diverged.
    """
    for part in parts:
        if part is not None and part.size and not np.isfinite([part.min(), part.max()]).all():
            raise InputError(
                f"{name or 'image'}: the prediction holds NaN or infinite values, expected finite ones of a finite "
                "image; the weights are those of a training that diverged, or the image's values are too large"
            )
