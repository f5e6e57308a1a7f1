"""Layers rebuilt from their configs, and whole networks reloaded in a process that knows the layers only."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from aeanet_tf import layers
from aeanet_tf.networks import build_network, presets
from tests.layers.oracle import images, randomised, relative_error

# No argument has its default value, wherever another one is possible.
ATTENTION = {
    "num_heads": 4,
    "shared_references": 3,
    "batch_aware": True,
    "normalization": "query_length",
    "kernel_initializer": "he_normal",
}
PREACTIVATION = {"batch_norm": True, "momentum": 0.9, "epsilon": 0.1, "activation": "relu"}
GVTO = {**ATTENTION, **PREACTIVATION, "computation": "direct", "value_filters": 12}
LAYERS = {
    "attention": layers.GlobalAttention(
        8, "up", key_filters=4, value_filters=12, use_bias=False, computation="moments", **ATTENTION
    ),
    "softmax": layers.GlobalAttention(8, "down", normalization="softmax", query="learned"),
    "gvto": layers.GVTO(8, "up", residual="v1", key_filters=4, **GVTO),
    "aea": layers.AEABlock(4, **{**GVTO, "batch_aware": False, "batch_norm": False, "query": "learned"}),
    "same": layers.SizePreservingGVTO(4, **GVTO),
    "down": layers.DownSamplingGVTO(4, residual="v1", **GVTO),
    "up": layers.UpSamplingGVTO(4, residual="v1", **GVTO),
    "preactivation": layers.PreActivation(**PREACTIVATION),
    "no batch norm": layers.PreActivation(batch_norm=False),
    "residual": layers.ResidualBlock(5, 2, kernel_initializer="he_normal", projection=True, **PREACTIVATION),
    "projection": layers.Projection(5, use_bias=False, kernel_initializer="he_normal"),
    "scale": layers.Scale(minimum=0.5),
    "lateral": layers.LateralUpSampling(),
    "sparse": layers.AttentionAwareLayer(key_reduction=4, value_reduction=1, kernel_initializer="he_normal"),
    "dense": layers.ResidualDenseBlock(2, 3, kernel_initializer="he_normal", **PREACTIVATION),
    "one level": layers.AttentionAwareLayer(key_reduction=4, kind="interlaced"),
    "swap": layers.SwapNeighbours(),
    "channels": layers.ChannelAttention(reduction=2, kernel_initializer="he_normal"),
    "global": layers.GlobalFeatures(5, kernel_initializer="he_normal"),
    "dilated": layers.DilatedConvolution(5, 3, kernel_initializer="he_normal"),
    "binomial": layers.BinomialFilter(),
    "neighbour": layers.OneNeighbour(1),
    "sub-pixels": layers.DepthToSpace(2),
    "cubic": layers.CubicUpSampling(4),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_rebuilt_from_its_config_is_the_same(name):
    """Training mode: the options that act there only are compared too."""
    layer, x = LAYERS[name], images(4, 4, 6, 4)
    randomised(layer, x)
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x, training=True), layer(x, training=True))
    assert [w.shape for w in copy.weights] == [w.shape for w in layer.weights]


def test_every_layer_is_covered():
    classes = {value for value in vars(layers).values() if isinstance(value, type)}
    of_several = {layers.WeightedMean, layers.MaskBlend, layers.SurfaceProjection}
    of_several |= {layers.LocalConvolution, layers.Warp}
    classes = {c for c in classes if issubclass(c, keras.layers.Layer)} - of_several
    # A unit of sparse attention is a part of the layer.
    assert classes - {layers.SparseAttentionUnit} == {type(layer) for layer in LAYERS.values()}


def test_initialisers_reach_the_weights():
    """An initialiser named in the config but left unused by a layer would go unnoticed above."""
    x = images(1, 4, 4, 4)
    for name in ("attention", "gvto", "down", "residual", "sparse", "dense"):
        config = {**LAYERS[name].get_config(), "kernel_initializer": keras.initializers.Constant(0.25)}
        layer = type(LAYERS[name])(**config)
        layer.build(x.shape)
        kernels = [w for w in layer.trainable_weights if w.name in ("kernel", "nl_library", "learned_query")]
        assert len(kernels) >= 3
        for kernel in kernels:
            assert np.unique(kernel).tolist() == [0.25], kernel.path


@pytest.mark.parametrize("name", ["attention", "gvto", "residual", "sparse", "dense"])
def test_weights_start_differently(name):
    """One seeded initialiser handed to several weights would give them the same values."""
    layer = type(LAYERS[name]).from_config(LAYERS[name].get_config())
    layer.build((None, 4, 4, 4))
    firsts = [float(np.ravel(w)[0]) for w in layer.trainable_weights if w.name in ("kernel", "nl_library")]
    assert len(set(firsts)) == len(firsts) > 2


RELOAD = """
import sys
import numpy as np
import aeanet_tf.layers
import keras
assert "aeanet_tf.networks" not in sys.modules
for stem in sys.argv[1:]:
    model = keras.models.load_model(stem + ".keras")
    np.save(stem + "_again.npy", np.asarray(model(np.load(stem + "_x.npy"), training=False)))
"""


def test_networks_reload_in_a_new_process_without_custom_objects(tmp_path):
    em = presets["aeanet-em"].replace(first_filters=4, attention__shared_references=5)
    flywing = presets["aeanet-flywing"].replace(
        filters=2, restoration__first_filters=2, restoration__probabilistic=True, restoration__batch_norm=True
    )
    cases = {"em": (em, images(2, 8, 12, 1)), "flywing": (flywing, images(1, 3, 16, 32, 1))}
    expected = {}
    for name, (spec, x) in cases.items():
        model = build_network(spec)
        rng = np.random.default_rng(0)
        for w in model.weights:
            w.assign(np.asarray(w) + rng.uniform(0, 0.1, w.shape))
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}_x.npy", x)
        expected[name] = np.asarray(model(x, training=False))
    stems = [str(tmp_path / name) for name in cases]
    done = subprocess.run([sys.executable, "-c", RELOAD, *stems], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, y in expected.items():
        assert relative_error(np.load(tmp_path / f"{name}_again.npy"), y) < 1e-6
