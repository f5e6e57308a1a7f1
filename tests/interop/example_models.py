"""Small models of every kind with weights that leave nothing at its initial value, for the tests of exports."""

import numpy as np

from aeanet_tf.layers import GlobalAttention
from aeanet_tf.layers.attention import START
from aeanet_tf.models import (
    AEANetConfig,
    ProjectionAEANetConfig,
    SegmentationAEANetConfig,
    SliceInterpolationConfig,
)
from aeanet_tf.models.folder import model_class
from aeanet_tf.networks.keras_internals import flattened_layers

REFERENCES = {"attention": {"shared_references": 5}}
_SOFTMAX = {"shared_references": 5, "normalization": "softmax"}
EXAMPLES = {
    "em": lambda: AEANetConfig("YX", preset="aeanet-em", unet_n_first=8, network=REFERENCES),
    "care": lambda: AEANetConfig("ZYX", unet_n_first=4, network=REFERENCES),
    "probabilistic": lambda: AEANetConfig("ZYX", probabilistic=True, unet_n_first=4, network=REFERENCES),
    "probabilistic-2d": lambda: AEANetConfig(
        "YX", 2, 2, probabilistic=True, preset="aeanet-em", unet_n_first=4, network=REFERENCES
    ),
    "labelfree": lambda: AEANetConfig("ZYX", preset="gvtnet-labelfree", unet_n_first=4),
    "variants": lambda: AEANetConfig(
        "YX",
        preset="gvtnet-care",
        unet_n_first=4,
        network={
            "downsampling": ["residual", "attention_v1"],
            "upsampling": ["attention_v2", "attention_v1"],
            "activation": "relu",
            "attention": {"normalization": "key_length", "key_filters": 6, "value_filters": 10},
        },
    ),
    "unet": lambda: AEANetConfig("YX", preset="unet-em", unet_n_first=4),
    # As many classes as channels, so that CSBDeep would map probabilities back; softmax in attention and at the end.
    "labels": lambda: SegmentationAEANetConfig(
        "YX", 2, 2, labels=[0, 255], unet_n_first=4, network={"attention": _SOFTMAX}
    ),
    "flywing": lambda: ProjectionAEANetConfig("ZYX", unet_n_first=4, network={"filters": 4, **REFERENCES}),
    # With 8 filters keys have one channel.
    "slices": lambda: SliceInterpolationConfig(network={"filters": 8, "blocks": 1, "convolutions": 2, "growth": 4}),
    "kernels": lambda: SliceInterpolationConfig(preset="sepconv", network={"filters": 4, "kernel_size": 5}),
    "flow": lambda: SliceInterpolationConfig(preset="flow-interpolation", network={"filters": 4}),
    "slices-aea": lambda: SliceInterpolationConfig(network={"attention": "aea", "filters": 8, "blocks": 1}),
}


def make_model(kind, basedir=None, name=None):
    """The model of an example; with ``basedir``, in a folder that holds its weights, so that `load_model` takes it."""
    config = EXAMPLES[kind]()
    config.train_seed = 0
    model = model_class(config.spec.model_kind)(config, name or kind, None if basedir is None else str(basedir))
    randomise(model.keras_model)
    if basedir is not None:
        model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))
    return model


def randomise(network, seed=0, attention=1 / START):
    """Move every weight from where it started: kernels by a tenth, which keeps the network well conditioned,
    those of zeros apart.

    Args:
        network: Keras model.
        seed: of the changes.
        attention: factor of the output projections of a network that is new: trained attention is not as small as that
            at the start, and what goes wrong with it has to show.
    """
    for layer in flattened_layers(network):
        if isinstance(layer, GlobalAttention) and layer.normalization != "softmax":
            layer.out_transform.kernel.assign(attention * layer.out_transform.kernel)
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        noise = 0.1 * rng.standard_normal(variable.shape).astype("float32")
        if variable.path.endswith("kernel") and variable.numpy().any():
            noise = noise * variable.numpy()
        elif "variance" in variable.path:
            noise = np.abs(noise)
        variable.assign(variable + noise)


def images(model, factors=((2, 2, 2), (3, 2, 4), (2, 5, 3)), seed=1):
    """Random images ``(*spatial, channels)`` of several sizes that the network takes as they are."""
    rng = np.random.default_rng(seed)
    divisor = model.spec.divisor
    sizes = [[max(4, f * n) for f, n in zip(factor, divisor, strict=False)] for factor in factors]
    return [rng.random((*size, model.config.n_channel_in), dtype=np.float32) for size in sizes]


def predictions(model, inputs):
    """What Python predicts from images that are normalised already: arrays ``(*spatial, channels)``.

    Of a segmentation model they are probabilities.
    """
    axes, found = model.config.axes, []
    for x in inputs:
        if model.config.probabilistic:
            result = model.predict_probabilistic(x, axes, normalizer=None)
            found.append(np.concatenate([result.mean(), result.scale()], axis=-1))
        elif model.spec.model_kind == "segmentation":
            found.append(model.predict_probabilities(x, axes, normalizer=None, tiling="whole"))
        else:
            found.append(model.predict(x, axes, normalizer=None))
    return found


def relative_error(found, expected):
    """The largest difference relative to the largest expected value; shapes must agree."""
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()
