"""Layers, networks and losses on JAX, in an environment without TensorFlow: ``make test-jax``."""

import importlib.util
import os
import sys

import numpy as np
import pytest

if os.environ.get("KERAS_BACKEND") != "jax":
    pytest.skip("needs KERAS_BACKEND=jax and an environment without TensorFlow", allow_module_level=True)

# Compiling takes minutes otherwise, for networks of milliseconds.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import keras

from aeanet_tf.layers import AttentionAwareLayer, GlobalAttention, context_moments, merge_moments
from aeanet_tf.networks import build_network, presets
from aeanet_tf.training.interpolation_losses import InterpolationLoss
from aeanet_tf.training.losses import get_loss
from tests.layers.oracle import attention, images, randomised, relative_error
from tests.layers.test_sparse_attention import dense
from tests.networks.literature import SMALL as LITERATURE
from tests.networks.literature import small

SPECS = {
    "aeanet-em": presets["aeanet-em"].with_depth(2).replace(first_filters=4, attention__shared_references=5),
    "aeanet-care": presets["aeanet-care"]
    .with_depth(2)
    .replace(first_filters=4, attention__shared_references=5, attention__batch_aware=True, probabilistic=True),
    "aeanet-flywing": presets["aeanet-flywing"].replace(filters=2, restoration__first_filters=2),
    "ssan": presets["ssan"].replace(filters=8, blocks=1, convolutions=2, growth=4),
    **{f"{name} {rank}D": small(name, dimension=rank) for name in LITERATURE for rank in (2, 3)},
    "sepconv": presets["sepconv"].replace(filters=4, resolutions=2, kernel_size=5),
    "flow-interpolation": presets["flow-interpolation"].replace(filters=4, resolutions=2),
}
SHAPES = {
    "aeanet-em": (4, 8, 8, 1),
    "aeanet-care": (4, 4, 8, 8, 1),
    "aeanet-flywing": (2, 3, 16, 16, 1),
    "ssan": (2, 13, 10, 2),
    **{f"{name} {rank}D": (2, *(8,) * rank, 1) for name in LITERATURE for rank in (2, 3)},
    "sepconv": (2, 12, 10, 2),
    "flow-interpolation": (2, 12, 10, 2),
}


def test_tensorflow_is_not_there():
    """Otherwise these tests would not show that the package does without it."""
    assert keras.backend.backend() == "jax"
    assert importlib.util.find_spec("tensorflow") is None
    assert not {"tensorflow", "csbdeep", "torch"} & set(sys.modules)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", ["same", "down", "up", "up4"])
def test_attention_is_the_papers(size, training):
    x = images(3, 4, 6, 4)
    layer = randomised(GlobalAttention(4, size, shared_references=5, batch_aware=True), x)
    assert relative_error(layer(x, training=training), attention(layer, x, training=training)) < 1e-5


def test_tiles_equal_the_whole():
    x = images(2, 6, 4, 4)
    layer = randomised(GlobalAttention(4, shared_references=5, normalization="query_length"), x)
    tiles = np.split(x, [2], axis=1)
    context = merge_moments(*map(context_moments, tiles))
    y = np.concatenate([layer(tile, context=context) for tile in tiles], axis=1)
    assert relative_error(y, attention(layer, x)) < 1e-5


@pytest.mark.parametrize("size", [(8, 27), (13, 10)])
def test_sparse_attention_is_the_papers(size):
    """Sizes that the factors divide, and sizes that are padded."""
    x = images(2, *size, 16)
    layer = randomised(AttentionAwareLayer(), x)
    assert relative_error(layer(x), dense(layer, x)) < 1e-5


def test_the_pixel_loss_of_interpolation_is_charbonniers():
    y_true, y_pred = images(2, 8, 9, 3), images(2, 8, 9, 1, seed=2)
    difference = y_true[..., :1].astype("float64") - y_pred
    expected = np.sqrt(difference**2 + 1e-6**2).mean(axis=(1, 2, 3))
    loss = InterpolationLoss("pixel")
    assert relative_error(loss(y_true, y_pred), expected) < 1e-5
    # A prediction that is right leaves the epsilon, which the absolute error does not have.
    np.testing.assert_allclose(loss(y_true, y_true[..., :1]), [1e-6, 1e-6], rtol=1e-4)


def _marked(name):
    """Of the networks from the literature a few are built by default: with pooling over the image, in 2D and 3D."""
    by_default = name.split(" ")[0] not in LITERATURE or name in ("rcan 2D", "rsgu-net 3D")
    return pytest.param(name, marks=() if by_default else pytest.mark.slow)


@pytest.mark.parametrize("name", map(_marked, SPECS))
def test_a_network_trains_saves_and_reloads(name, tmp_path):
    x = images(*SHAPES[name])
    interpolates = SPECS[name].kind == "ssan"
    target = x.mean(axis=1) if name == "aeanet-flywing" else x[..., :1] if interpolates else x
    model = build_network(SPECS[name])
    before = model.get_weights()
    loss = get_loss("laplace" if SPECS[name].probabilistic else "mae")
    model.compile(keras.optimizers.Adam(1e-3), loss)
    # What begins at zero, such as the gammas of attention, keeps all before it from learning in the first step.
    history = model.fit(x, target, batch_size=len(x), epochs=2 if interpolates else 1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    after = model.get_weights()
    assert all(np.isfinite(w).all() for w in after)
    unchanged = [v.path for v, a, b in zip(model.weights, before, after, strict=True) if np.array_equal(a, b)]
    if name == "aeanet-em":
        # Batch-aware with a batch of 4: half of it attends to the references, so they learn too.
        assert unchanged == []
    assert len(unchanged) < len(before) / 4, unchanged

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert relative_error(again.predict(x, verbose=0), model.predict(x, verbose=0)) < 1e-6
    assert "tensorflow" not in sys.modules
