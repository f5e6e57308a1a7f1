"""Every preset as a Keras model: the published numbers of parameters, shapes, probabilistic output."""

import keras
import numpy as np
import pytest

from aeanet_tf.layers import GlobalAttention
from aeanet_tf.networks import build_network, presets
from aeanet_tf.networks.keras_internals import flattened_layers
from tests.layers.oracle import images, relative_error
from tests.networks.literature import SMALL

TINY = {"first_filters": 4}


def small(spec, **changes):
    """The same network with few channels; every attention still has its heads."""
    if spec.kind == "projection":
        changes = {f"restoration__{k}": v for k, v in {**TINY, **changes}.items()}
        return spec.replace(filters=4, **changes)
    if spec.kind == "ssan":
        return spec.replace(filters=8, blocks=1, convolutions=2, growth=4, **changes)
    name = next((n for n in SMALL if presets[n] == spec), None)
    if name is not None:
        return spec.replace(**{**SMALL[name], **changes})
    if spec.input_size is not None:
        changes = {"input_size": (16,) * changes.get("dimension", spec.dimension), **changes}
    return spec.replace(**TINY, **changes)


def build(spec):
    """The network with weights that are the same in every run."""
    model = build_network(spec)
    rng = np.random.default_rng(0)
    for w in model.trainable_weights:
        if w.name in ("kernel", "nl_library", "learned_query"):
            w.assign(rng.normal(0, np.prod(w.shape[:-1]) ** -0.5, w.shape))
        elif w.name in ("bias", "beta"):
            w.assign(rng.normal(0, 0.1, w.shape))
    return model


def two_channels(spec):
    if spec.kind == "unet":
        return spec.replace(in_channels=2, out_channels=2)
    return spec.replace(in_channels=2, restoration={"in_channels": 2, "out_channels": 2})


@pytest.mark.parametrize(
    ("spec", "parameters"),
    [
        (presets["aeanet-em"], 572_480),
        (presets["gvtnet-labelfree"], 6_172_225),
        (presets["fnet-labelfree"], 23_280_769),
        (presets["gvtnet-flywing"], 538_873),
        (presets["gvtnet-care"], 1_347_328),
        (presets["gvtnet-care"].replace(probabilistic=True), 1_347_328 + 32),
    ],
    ids=[
        "aeanet-em",
        "gvtnet-labelfree",
        "fnet-labelfree",
        "gvtnet-flywing",
        "gvtnet-care",
        "gvtnet-care-probabilistic",
    ],
)
def test_published_number_of_trainable_parameters(spec, parameters):
    model = build_network(spec)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == parameters


def test_shared_references_are_all_that_aeanet_adds():
    """64 references for each attention, of the channels it attends to."""

    def parameters(name):
        return sum(int(np.prod(w.shape)) for w in build_network(name).trainable_weights)

    # care: the bottom and the first up-sampling see 128 channels, the second 64.
    assert parameters("aeanet-care") - parameters("gvtnet-care") == 64 * (128 + 128 + 64)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("name", presets)
def test_every_preset_predicts(name, dimension):
    spec = presets[name]
    if (dimension == 2 and spec.kind == "projection") or (dimension == 3 and spec.kind == "ssan"):
        pytest.skip("a network of the other dimension")
    if spec.kind == "projection":
        model, shape = build(small(spec)), (2, 3, 16, 32)
        out = (2, 16, 32, 1)
    elif spec.kind == "ssan":
        model, shape = build(small(spec)), (2, 13, 18) if spec.divisor == (1, 1) else (2, 12, 20)
        out = (*shape, 1)
    else:
        model = build(small(spec, dimension=dimension))
        sizes = (16, 32, 16) if spec.kind == "fnet" else (8, 16, 8) if spec.input_size is None else (16, 16, 16)
        shape = (2, *sizes[:dimension])
        out = (*shape, spec.out_channels)
    y = np.asarray(model(images(*shape, spec.in_channels)))
    assert y.shape == out
    assert y.dtype == "float32"
    assert y.std() > 0
    if model.input_shape[1] is None:
        assert model.output_shape == (None,) * (y.ndim - 1) + out[-1:]


@pytest.mark.parametrize("name", ["aeanet-em", "aeanet-flywing"])
def test_one_model_takes_any_divisible_size(name):
    """A tile is the same image for the network, whatever came before: nothing of a size is remembered."""
    spec = small(presets[name])
    model = build(spec)
    fresh = build(spec)
    fresh.set_weights(model.get_weights())
    sizes = [(8, 12), (4, 4), (24, 8)] if spec.dimension == 2 else [(3, 16, 16), (5, 32, 16), (1, 16, 48)]
    found = [np.asarray(model(images(1, *size, 1))) for size in sizes]
    for size, y in zip(reversed(sizes), reversed(found), strict=True):
        assert y.shape == (1, *size[-2:], 1)
        assert relative_error(fresh(images(1, *size, 1)), y) < 1e-6


@pytest.mark.parametrize("name", ["aeanet-care", "aeanet-flywing"])
def test_probabilistic_output_is_mean_then_scale(name):
    """The mean is the network's without scale; the scale is softplus of a 1x1 convolution, plus 1e-3."""
    plain = two_channels(small(presets[name]))
    field = "restoration__probabilistic" if plain.kind == "projection" else "probabilistic"
    model, reference = build(plain.replace(**{field: True})), build(plain)
    sigma = model.get_layer("out_sigma_conv")
    weights = dict(zip((w.path for w in model.weights), model.get_weights(), strict=True))
    del weights[sigma.kernel.path]
    reference.set_weights(list(weights.values()))
    x = images(2, 4, 16, 16, 2)
    # Of the last block's features, before the output's pre-activation.
    block = model.get_layer("decoding_block_1.res_0")
    features = np.asarray(keras.Model(model.input, block.output)(x), "float64")
    assert features.min() < 0
    # Scales near the minimum as well as large ones.
    kernel = 10 * np.random.default_rng(0).normal(size=(features.shape[-1], 2)) / features.std()
    sigma.kernel.assign(kernel.reshape(sigma.kernel.shape))
    y = np.asarray(model(x))
    mean, scale = y[..., :2], y[..., 2:]
    assert mean.shape == scale.shape == np.shape(reference(x))
    assert relative_error(mean, reference(x)) < 1e-5
    np.testing.assert_allclose(scale, np.logaddexp(0, features @ kernel) + 1e-3, rtol=1e-3)
    assert scale.min() >= np.float32(1e-3)
    assert scale.min() < 2e-3 < 1 < scale.max()


@pytest.mark.parametrize("probabilistic", [False, True])
def test_last_activation_is_of_the_mean_after_the_offset(probabilistic):
    spec = small(presets["gvtnet-care"], probabilistic=probabilistic, last_activation="relu", dimension=2)
    model, linear = build(spec), build(spec.replace(last_activation="linear"))
    linear.set_weights(model.get_weights())
    x = images(1, 8, 8, 1)
    y, expected = np.asarray(model(x)), np.array(linear(x))
    assert expected[..., 0].min() < -0.1 < 0.1 < expected[..., 0].max()
    expected[..., 0] = np.maximum(expected[..., 0], 0)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gvtnet-care", "gvtnet-flywing"])
def test_offset_adds_the_input_or_its_projection(name):
    spec = small(presets[name])
    offset = "restoration__output_offset" if spec.kind == "projection" else "output_offset"
    model, without = build(spec), build(spec.replace(**{offset: False}))
    without.set_weights(model.get_weights())
    x = images(1, 4, 16, 16, 1)
    added = x
    if spec.kind == "projection":
        # The mean over z of the weights times the stack, not a softmax nor a sum.
        weights = keras.Model(model.input, model.get_layer("projection.Conv_final").output)(x)
        added = (np.asarray(weights, "float64") * x).sum(axis=1) / 4
    assert relative_error(np.asarray(model(x)) - np.asarray(without(x)), added) < 1e-5


def test_train_and_predict_differ_by_batch_awareness():
    """The spec's option reaches the layer: with it, training mode mixes the images of the group."""
    for batch_aware in (True, False):
        spec = small(presets["aeanet-em"], batch_norm=False, attention__batch_aware=batch_aware)
        model = build(spec)
        x = images(4, 8, 8, 1)
        y = model(x, training=True)
        x[1] *= 2
        y_changed = model(x, training=True)
        moved = [not np.array_equal(a, b) for a, b in zip(np.asarray(y), np.asarray(y_changed), strict=True)]
        assert moved == [batch_aware, True, False, False]


@pytest.mark.parametrize("preset", ["aeanet-care", "gvtnet-em", "aeanet-flywing"])
def test_attention_starts_small(preset):
    """The output projections against Glorot's standard deviation, the others beside them."""
    keras.utils.set_random_seed(0)
    found = [layer for layer in flattened_layers(build_network(preset)) if isinstance(layer, GlobalAttention)]
    assert found
    for layer in found:
        for projection, expected in ((layer.out_transform, 0.1), (layer.v_transform, 1)):
            kernel = np.asarray(keras.ops.convert_to_tensor(projection.kernel))
            assert kernel.std() * np.sqrt(sum(kernel.shape) / 2) == pytest.approx(expected, rel=0.3)


def test_a_softmax_bounds_attention_so_that_it_starts_as_drawn():
    keras.utils.set_random_seed(0)
    parts = flattened_layers(build_network("nonlocal-unet-mri"))
    layer = next(part for part in parts if isinstance(part, GlobalAttention))
    kernels = [np.std(keras.ops.convert_to_tensor(part.kernel)) for part in (layer.out_transform, layer.v_transform)]
    assert kernels[0] == pytest.approx(kernels[1], rel=0.2)
