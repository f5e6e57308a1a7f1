"""The U-Net of label-free prediction against its definition in NumPy and SciPy."""

import numpy as np
from scipy.signal import correlate

from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.networks import FNetSpec, build_network, receptive_radius
from tests.layers.oracle import relative_error

SPEC = FNetSpec(dimension=2, depth=2, first_filters=2)


def convolved(x, kernel, bias):
    """A 3x3 convolution over ``(y, x, channels)`` with zeros around."""
    return bias + np.stack(
        [
            sum(correlate(x[..., i], kernel[..., i, o], "same") for i in range(x.shape[-1]))
            for o in range(kernel.shape[-1])
        ],
        -1,
    )


def halved(x, kernel, bias):
    """Each block of 2x2 pixels to one."""
    blocks = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1)
    return bias + np.einsum("ymxni,mnio->yxo", blocks, kernel)


def doubled(x, kernel, bias):
    """Each pixel to a block of 2x2, by a kernel ``(y, x, channels out, channels in)``."""
    blocks = np.einsum("yxi,mnoi->ymxno", x, kernel)
    return bias + blocks.reshape(2 * x.shape[0], 2 * x.shape[1], -1)


def test_the_network_is_that_of_its_definition():
    network, rng = build_network(SPEC), np.random.default_rng(0)
    for w in network.weights:
        # Activations beyond 6 tell ReLU from ReLU6.
        low, high = {"moving_variance": (0.01, 0.1), "gamma": (1, 3)}.get(w.name, (-1, 1))
        w.assign(rng.uniform(low, high, w.shape))

    def weights(name):
        return [np.asarray(w) for w in network.get_layer(name).weights]

    def activated(operation, x, name):
        gamma, beta, mean, variance = weights(f"{name}.norm")
        return np.maximum(0, gamma * (operation(x, *weights(name)) - mean) / np.sqrt(variance + 1e-5) + beta)

    def twice(x, name):
        return activated(convolved, activated(convolved, x, f"{name}.convolution_0"), f"{name}.convolution_1")

    image = rng.normal(size=(6, 8, 1))
    skip = twice(image, "level_1.down")
    assert skip.max() > 6
    x = twice(activated(halved, skip, "level_1.downsampling"), "level_2.down")
    x = np.concatenate([activated(doubled, x, "level_1.upsampling"), skip], -1)
    expected = convolved(twice(x, "level_1.up"), *weights("out_conv"))
    assert relative_error(network(image[None].astype("float32"))[0], expected) < 1e-5


def test_how_far_it_sees():
    # Two convolutions at full size, two of twice the spacing, and three more; blocks of two pixels add one.
    assert receptive_radius(build_network(SPEC)) == (2 + 2 * 2 + 3 + 1,) * 2


def test_tiles_give_the_whole_image():
    model = AEANet(AEANetConfig("YX", preset="fnet-labelfree", network={"depth": 3, "first_filters": 2}), "f", None)
    image = np.random.default_rng(1).random((50, 44)).astype("float32")
    whole = model.predict(image, "YX", normalizer=None)
    assert relative_error(model.predict(image, "YX", normalizer=None, n_tiles=(3, 2)), whole) < 1e-5
