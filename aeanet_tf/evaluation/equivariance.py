"""How far a network is from turning its output when its input is turned (section VI-D, table V of the AEANet paper)."""

from collections.abc import Callable, Iterable

import numpy as np

from aeanet_tf.errors import InputError

Transformation = Callable[[np.ndarray], np.ndarray]

# Named as the columns of table V; all in the last two axes, YX. Counter-clockwise, as NumPy turns; which way the paper
# turns is open, and 90 and 270 degrees change places with it.
TRANSFORMATIONS: dict[str, Transformation] = {
    "Rot. 90": lambda x: np.rot90(x, 1, axes=(-2, -1)),
    "Rot. 180": lambda x: np.rot90(x, 2, axes=(-2, -1)),
    "Rot. 270": lambda x: np.rot90(x, 3, axes=(-2, -1)),
    "Transpose": lambda x: np.swapaxes(x, -2, -1),
}


def equivariance_errors(predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> dict[str, float]:
    """Mean absolute error between predict(T(x)) and T(predict(x)) for each transformation T; 0 is equivariant.

    Args:
        predict: array to array, both with YX as their last axes; a projection may lose the axes before them. Its
            result is in the units of the error: the paper's, and ours, are those of the normalised images.
        image: input x, of axes ...YX; turned by 90 degrees it has its sides exchanged.

    Returns:
        Error by name: "Rot. 90", "Rot. 180", "Rot. 270", "Transpose".

    Raises:
        InputError: the image has no two axes, or predictions of an image and of the image turned differ in shape.
    """
    image = np.asarray(image)
    if image.ndim < 2:
        raise InputError(f"image: shape {image.shape}, expected at least the two axes YX")
    expected = np.asarray(predict(image), np.float64)
    errors = {}
    for name, transform in TRANSFORMATIONS.items():
        # Copied, so that predict meets an ordinary array and not a view with negative strides.
        found = np.asarray(predict(np.ascontiguousarray(transform(image))), np.float64)
        turned = transform(expected)
        if found.shape != turned.shape:
            raise InputError(f"{name}: the prediction has shape {found.shape}, expected {turned.shape}")
        errors[name] = float(np.mean(np.abs(found - turned)))
    return errors


def mean_equivariance_errors(
    predict: Callable[[np.ndarray], np.ndarray], images: Iterable[np.ndarray]
) -> dict[str, float]:
    """`equivariance_errors` averaged over images, each counting the same whatever its size.

    Raises:
        InputError: as there, or there are no images.
    """
    errors = [equivariance_errors(predict, image) for image in images]
    if not errors:
        raise InputError("images: got none, expected at least one")
    return {name: float(np.mean([each[name] for each in errors])) for name in TRANSFORMATIONS}
