"""Mixed precision: float32 moments and output, close results, one training step."""

import keras
import numpy as np
import pytest

from aeanet_tf.layers import GVTO, AEABlock, GlobalAttention, ResidualBlock
from aeanet_tf.networks import build_network, presets
from tests.layers.oracle import images, randomised, relative_error

POLICIES = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


@pytest.fixture(params=POLICIES)
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


LAYERS = {
    "attention": (GlobalAttention, {"shared_references": 5}),
    "direct": (GlobalAttention, {"computation": "direct", "shared_references": 5}),
    "softmax": (GlobalAttention, {"normalization": "softmax"}),
    "learned": (GlobalAttention, {"query": "learned"}),
    "up4": (GlobalAttention, {"size": "up4"}),
    "aea": (AEABlock, {"shared_references": 5}),
    "down": (GVTO, {"size": "down"}),
    "up v1": (GVTO, {"size": "up", "residual": "v1"}),
    "residual": (ResidualBlock, {"strides": 2}),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", POLICIES)
def test_layers_are_close_to_float32(name, dtype):
    make, options = LAYERS[name]
    x = images(4, 4, 6, 4)
    full, half = make(4, **options), make(4, dtype=dtype, **options)
    randomised(full, x)
    half.build(x.shape)
    half.set_weights(full.get_weights())
    y = half(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == POLICIES[dtype]
    y = keras.ops.cast(y, "float32")
    assert relative_error(y, full(x, training=True)) < 5e-2
    assert {w.dtype for w in half.weights} == {"float32"}


@pytest.mark.parametrize("dtype", POLICIES)
def test_attended_moments_are_float32(dtype):
    """100,000 positions overflow float16; a sum over them in half precision is off by far more than 1e-3."""
    x = images(1, 320, 320, 2) + 3
    block = GVTO(2, shared_references=5, dtype=dtype)
    block.build(x.shape)
    seen = []
    fold = block.attention._fold
    block.attention._fold = lambda moments, length: seen.append(moments) or fold(moments, length)
    y = np.asarray(keras.ops.cast(block(x), "float32"))
    for moments in (seen[0], block.context_moments(x)):
        assert {keras.backend.standardize_dtype(m.dtype) for m in moments} == {"float32"}
        h = np.clip(x.reshape(-1, 2), 0, 6).astype("float64")
        assert relative_error(moments.second[0], h.T @ h / len(h)) < 1e-3
    assert float(seen[0].weight[0]) == 320 * 320 + 5
    assert np.isfinite(y).all()


SPECS = {
    "aeanet-em": presets["aeanet-em"].replace(first_filters=4, attention__shared_references=5, probabilistic=True),
    "aeanet-flywing": presets["aeanet-flywing"].replace(filters=2, restoration__first_filters=2),
}


@pytest.mark.parametrize("name", SPECS)
def test_networks_predict_in_float32_and_2d_ones_train(name, policy):
    if (name, policy) == ("aeanet-flywing", "mixed_float16"):
        pytest.skip("TensorFlow has no MaxPool3D in float16 on the CPU")
    spec = SPECS[name]
    x = images(2, 4, 16, 16, 1) if spec.dimension == 3 else images(2, 8, 8, 1)
    keras.utils.set_random_seed(0)
    model = build_network(spec)
    assert model.compute_dtype == POLICIES[policy]
    rng = np.random.default_rng(0)
    for w in model.trainable_weights:
        if w.name == "kernel":
            w.assign(rng.normal(0, np.prod(w.shape[:-1]) ** -0.5, w.shape))
    y = model(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    y = np.asarray(y)
    half_weights = model.get_weights()

    keras.config.set_dtype_policy("float32")
    full = build_network(spec)
    full.set_weights(half_weights)
    # bfloat16 has three bits less than float16, and processors without it round after each operation.
    assert relative_error(y, full(x)) < (8e-2 if policy == "mixed_float16" else 0.2)
    keras.config.set_dtype_policy(policy)

    if spec.dimension == 3:
        # TensorFlow's filter gradient of such a network is garbage in bfloat16 on a processor: `AEANet.train` refuses.
        return

    model.compile("adam", "mse", run_eagerly=True)
    history = model.fit(x, np.ones_like(y[..., :1]), epochs=1, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    trained = model.get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(half_weights, trained, strict=True)]
    assert np.mean(changed) > 0.8
    assert np.isfinite(model.predict(x, verbose=0)).all()
    assert all(np.isfinite(w).all() for w in trained)
