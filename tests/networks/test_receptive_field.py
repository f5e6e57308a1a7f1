"""`receptive_radius` is exact: the network, attention apart, sees that far and no pixel farther."""

import keras
import numpy as np
import pytest

from aeanet_tf.layers import GVTO, SurfaceProjection, WeightedMean
from aeanet_tf.networks import CARESpec, build_network, presets, receptive_radius

UNETS = {
    "unet-em": presets["unet-em"],
    "unet-care": presets["unet-care"],
    "unet-labelfree": presets["unet-labelfree"],
    "aeanet-em": presets["aeanet-em"],
    "aeanet-care": presets["aeanet-care"],
    "gvtnet-labelfree": presets["gvtnet-labelfree"],
    "aeanet-mri": presets["aeanet-mri"].replace(in_channels=1),
    "attention down v2": presets["gvtnet-care"].replace(downsampling="attention"),
    "attention up v1": presets["gvtnet-care"].replace(downsampling="attention", attention__residual="v1"),
    "operators of each level": presets["gvtnet-care"].replace(
        downsampling=("residual", "attention_v1"), upsampling=("attention_v2", "transposed_convolution")
    ),
    "depth 2": presets["unet-em"].with_depth(2),
    "depth 5": presets["unet-em"].with_depth(5),
    "shallow blocks": presets["unet-em"].replace(encoding_blocks=(0, 0, 0), decoding_blocks=(0, 0), bottom=()),
    "fine blocks": presets["unet-em"].replace(encoding_blocks=(9, 0, 0), decoding_blocks=(0, 0), bottom=()),
    "kernel 2": presets["unet-em"].replace(upsampling_kernel=2),
    "kernel 5": presets["unet-em"].replace(upsampling_kernel=5, output_kernel=5),
    "residual down 2D": presets["gvtnet-labelfree"].replace(depth=3, encoding_blocks=(1, 2, 1), decoding_blocks=(0, 1)),
}
FLYWING = {
    "unet-flywing": presets["unet-flywing"],
    "aeanet-flywing": presets["aeanet-flywing"],
    "one level": presets["unet-flywing"].replace(levels=1),
    "three levels": presets["unet-flywing"].replace(levels=3),
    "deep restoration": presets["unet-flywing"].replace(
        restoration=presets["unet-flywing"].restoration.with_depth(5).model_dump()
    ),
}


def only_local(model, positive):
    """Attention's output projection zero: the query and the residual path are left. Weights random, or all positive.

    Positive weights on an input of zeros make every reached output positive: nothing cancels, no ReLU blocks and
    no maximum hides a change.
    """
    rng = np.random.default_rng(0)
    for w in model.weights:
        if w.name == "kernel":
            fan_in = np.prod(w.shape[:-1])
            w.assign(rng.uniform(1, 3, w.shape) / fan_in if positive else rng.normal(0, 1.5, w.shape) / fan_in**0.5)
        elif w.name == "bias":
            w.assign(np.zeros(w.shape) if positive else rng.normal(0, 0.1, w.shape))
    for layer in model.layers:
        if isinstance(layer, GVTO):
            for w in layer.attention.out_transform.weights:
                w.assign(np.zeros(w.shape))
    return model


def lines(n, period):
    """``period`` images of n columns, each with one column of ones; the columns fill a period in the middle."""
    first = n // 2 // period * period
    columns = first + np.arange(period)
    images = np.zeros((period, n), "float32")
    images[np.arange(period), columns] = 1
    return images, columns


def farthest(outputs, columns):
    """Largest distance between a column that was changed and one that differs from 0 in the output."""
    changed = np.abs(outputs).max(axis=tuple(range(1, outputs.ndim - 2)) + (outputs.ndim - 1,)) > 0
    assert changed.any(axis=1).all()
    assert not changed[:, [0, -1]].any(), "the image is too small for the test"
    return max(abs(np.flatnonzero(row) - column).max() for row, column in zip(changed, columns, strict=True))


def width(radius, period):
    return -(-(2 * radius + 3 * period) // period) * period


@pytest.mark.parametrize("name", UNETS)
def test_exact_for_unets(name):
    """Each position of one period: in 2D, along a line; the axes of 3D are alike."""
    spec = UNETS[name].replace(dimension=2, first_filters=2)
    model = only_local(build_network(spec), positive=True)
    (radius, _), (period, _) = receptive_radius(model), spec.divisor
    images, columns = lines(width(radius, period), period)
    outputs = np.asarray(model(np.repeat(images[:, None, :, None], period, axis=1)))
    assert farthest(outputs, columns) == radius


@pytest.mark.parametrize("name", FLYWING)
def test_exact_for_projections(name):
    """The weights' network on the stack, then the restoration; the stack that is multiplied is one, as the
    product with the zeros around a column would hide what the weights see."""
    spec = FLYWING[name].replace(filters=2, restoration__first_filters=2)
    model = only_local(build_network(spec), positive=True)
    (z, radius, radius_x), (_, period, _) = receptive_radius(model), spec.divisor
    assert (z, radius) == (0, radius_x)
    weights = keras.Model(model.input, model.get_layer("projection.Conv_final").output)
    restoration = keras.Model(model.get_layer("projection.mean").output, model.output)
    images, columns = lines(width(radius, period), period)
    stack = np.repeat(images[:, None, None, :, None], period, axis=2)
    outputs = np.concatenate(
        [restoration(WeightedMean()([weights(one[None]), np.ones_like(one[None])])) for one in stack]
    )
    assert farthest(outputs, columns) == radius


@pytest.mark.parametrize(
    "fields", [{"kern_size": 3, "n_depth": 3}, {"kern_size": 5}, {"kern_size": 7, "n_depth": 1, "residual": False}]
)
def test_exact_for_care(fields):
    """Maxima over two positions see the one before the centre only, or the one behind it."""
    spec = CARESpec(n_first=2, **fields)
    model = only_local(build_network(spec), positive=True)
    (radius, _), (period, _) = receptive_radius(model), spec.divisor
    images, columns = lines(width(radius, period), period)
    outputs = np.asarray(model(np.repeat(images[:, None, :, None], period, axis=1)))
    assert farthest(outputs, columns) == radius


def test_exact_for_care_that_projects():
    """The plane is the sum of a stack of ones by what the surface's logits are, without the softmax, which does not
    change where planes are alike."""
    projection = {"n_filt": 2, "n_depth": 2, "kern": (1, 5, 3), "pool": (1, 2, 4)}
    spec = CARESpec(dimension=3, n_first=2, kern_size=3, n_depth=1, projection=projection)
    model = only_local(build_network(spec), positive=True)
    z, *radii = receptive_radius(model)
    weights = keras.Model(model.input, model.get_layer("projection.surface").output)
    restoration = keras.Model(model.get_layer("projection").output, model.output)
    assert z == 0 and isinstance(model.get_layer("projection"), SurfaceProjection)
    for axis, (radius, period) in enumerate(zip(radii, spec.divisor[1:], strict=True)):
        images, columns = lines(width(radius, period), period)
        stack = np.repeat(images[:, None, None, :, None], spec.divisor[2 - axis], axis=2)
        stack = stack if axis else np.swapaxes(stack, 2, 3)
        outputs = restoration(np.asarray(weights(np.repeat(stack, 2, axis=1))).sum(1))
        assert farthest(np.moveaxis(outputs, 1 + axis, -2), columns) == radius


@pytest.mark.parametrize("name", ["unet-em", "aeanet-care", "gvtnet-labelfree", "aeanet-flywing"])
def test_nothing_changes_beyond_the_radius(name):
    """The network as it is, with weights of either sign and batch norm in prediction, and both axes at once."""
    if name == "aeanet-flywing":
        spec = presets[name].replace(filters=2, restoration__first_filters=2)
    else:
        spec = presets[name].replace(dimension=2, first_filters=2)
    model = only_local(build_network(spec), positive=False)
    radius, period = receptive_radius(model)[-1], spec.divisor[-1]
    rng = np.random.default_rng(1)
    n = width(radius, period)
    planes = (2,) if spec.dimension == 3 else ()
    image = rng.normal(size=(*planes, n, n)).astype("float32")
    # Everything right of one column and below one row is another image.
    cut = n // 2 + 1
    other = image.copy()
    other[..., cut:, :] = rng.normal(size=other[..., cut:, :].shape)
    other[..., :, cut:] = rng.normal(size=other[..., :, cut:].shape)
    a, b = (np.asarray(model(x[None, ..., None]))[0, ..., 0] for x in (image, other))
    untouched = cut - radius
    assert untouched > 0
    np.testing.assert_array_equal(a[:untouched, :untouched], b[:untouched, :untouched])
    assert np.abs(a - b)[:cut, :cut].max() > 1e-3
