"""The portable network computes what the network computes, and loads where this package is not."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.portable import portable_network
from aeanet_tf.layers import GVTO, GlobalAttention
from aeanet_tf.networks import build_network, presets
from tests.layers.oracle import images, relative_error
from tests.networks.test_build import small, two_channels


def randomise(model):
    """Weights, biases and batch-norm statistics that no default value could stand in for."""
    rng = np.random.default_rng(0)
    for w in model.weights:
        if w.name in ("moving_variance", "gamma"):
            w.assign(rng.uniform(0.5, 2, w.shape))
        elif len(w.shape) > 1:
            w.assign(rng.normal(0, np.prod(w.shape[:-1]) ** -0.5, w.shape))
        else:
            w.assign(rng.normal(0, 0.3, w.shape))
    return model


def assert_same_prediction(model, *sizes, tolerance=2e-6):
    portable = portable_network(model)
    for size in sizes:
        x = images(2, *size, model.input_shape[-1])
        assert relative_error(portable(x), model(x)) < tolerance
    return portable


OPTIONS = {
    "attention on the way down": presets["aeanet-em"].replace(downsampling="attention"),
    "shortcut of its own": presets["aeanet-care"].replace(downsampling="attention", attention__residual="v1"),
    "operators of each level, ReLU": presets["aeanet-em"].replace(
        downsampling=("attention_v2", "attention_v1"),
        activation="relu",
        attention={"key_filters": 6, "value_filters": 10},
    ),
    "in 2D, without batch norm": presets["aeanet-em"].replace(batch_norm=False),
    "in 3D, with batch norm": presets["aeanet-care"].replace(batch_norm=True),
    "probabilistic": presets["gvtnet-care"].replace(dimension=2, probabilistic=True, last_activation="relu"),
    "softmax": presets["gvtnet-em"].replace(attention__normalization="softmax"),
    "channels": two_channels(presets["aeanet-em"]),
    "classes": two_channels(presets["aeanet-em"]).replace(last_activation="softmax"),
    "channels projected": two_channels(presets["aeanet-flywing"]),
    "slices": presets["ssan"].replace(attention="aea"),
    "slices, not symmetric": presets["ssan"].replace(attention="none", symmetric=False, batch_norm=True),
}


# Sparse attention has no counterpart, and U-Nets are alike.
NAMES = [name for name in presets if not name.startswith("unet") and name != "ssan"]


@pytest.mark.parametrize("name", [*NAMES, "unet-flywing", *OPTIONS])
def test_networks_predict_the_same(name):
    spec = small(OPTIONS.get(name) or presets[name])
    sizes = ((16, 32), (24, 16)) if spec.dimension == 2 else ((4, 16, 32), (8, 32, 16))
    if name.endswith("labelfree"):
        sizes = (8, 16, 8), (16, 8, 8)
    if spec.kind == "ce_net":
        sizes = (16, 24), (8, 16)
    if spec.kind == "fnet":
        sizes = (16, 32, 16), (32, 16, 16)
    if spec.kind == "unet" and spec.input_size:
        sizes = (spec.input_size,)
    assert_same_prediction(randomise(build_network(spec)), *sizes)


ATTENTIONS = {
    "references by key": {"shared_references": 5, "normalization": "key_length"},
    "references by query": {"shared_references": 5, "normalization": "query_length"},
    "by query": {"normalization": "query_length"},
    "softmax with references": {"shared_references": 5, "normalization": "softmax"},
    "learned query": {"query": "learned", "normalization": "key_length"},
    "one head": {"num_heads": 1, "shared_references": 3},
    "widths, no bias": {"key_filters": 4, "value_filters": 12, "use_bias": False},
}


@pytest.mark.parametrize("size", ["same", "down", "up", "up4"])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_alone_is_the_same(size, name):
    """In a whole network a mistake in the attention could hide behind the residual path."""
    options = dict(ATTENTIONS[name])
    if size == "up4" and options.get("query") != "learned":
        options["key_filters"] = 4
    spatial = (4, 6) if options.get("query") == "learned" else (None, None)
    x = keras.Input((*spatial, 4))
    model = keras.Model(x, GlobalAttention(8, size, name="attention", **options)(x))
    assert_same_prediction(randomise(model), *([(4, 6)] if spatial[0] else [(4, 6), (5, 3)]))


@pytest.mark.parametrize("options", [{"residual": "v1"}, {"residual": "v2"}, {"size": "same"}])
def test_residual_paths_of_an_operator_in_3d(options):
    x = keras.Input((None, None, None, 4))
    operator = GVTO(4, **{"size": "up", **options}, batch_norm=True, shared_references=3, name="operator")
    assert_same_prediction(randomise(keras.Model(x, operator(x))), (2, 4, 3), (3, 2, 2))


def test_a_compiled_network_of_mixed_precision_becomes_float32_and_bare():
    spec = small(presets["aeanet-em"])
    reference = randomise(build_network(spec))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build_network(spec)
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(reference.get_weights())
    model.compile("adam", loss=lambda y, z: z - y)
    portable = portable_network(model)
    assert {w.dtype for w in portable.weights} == {"float32"} and not portable.compiled
    x = images(1, 16, 16, 1)
    assert relative_error(portable(x), reference(x)) < 2e-6


def test_layers_are_keras_s_own_and_named_after_those_they_replace():
    model = build_network(small(presets["aeanet-em"]), name="em")
    portable = portable_network(model)
    assert portable.name == "em" and portable.input.name == model.input.name
    assert all(type(op).__module__.startswith("keras.") for op in portable.operations)
    names = {layer.name for layer in model.layers}
    for layer in portable.layers:
        if layer.weights:
            assert any(layer.name.startswith(name) for name in names), layer.name
    assert "bottom_block.block_0.attention.k_transform" in {layer.name for layer in portable.layers}


class Doubled(keras.layers.Layer):
    """A layer of somebody else."""

    def call(self, x):
        return 2 * x


def test_unknown_layers_are_named():
    x = keras.Input((None, None, 1))
    for layer in (Doubled(name="mine"), keras.layers.Lambda(lambda x: 2 * x, name="mine")):
        with pytest.raises(TypeError, match=f"layer mine: no built-in counterpart of {type(layer).__name__}"):
            portable_network(keras.Model(x, layer(x)))
    with pytest.raises(TypeError, match="functional"):
        portable_network(Doubled())


WITHOUT_THE_PACKAGE = """
import sys
import numpy as np

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "aeanet_tf":
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import keras
for stem in sys.argv[1:]:
    model = keras.models.load_model(stem + ".keras")
    np.save(stem + "_again.npy", np.asarray(model(np.load(stem + "_x.npy"), training=False)))
assert not any(name.startswith("aeanet_tf") for name in sys.modules)
"""


def test_the_file_loads_in_a_process_without_this_package(tmp_path):
    specs = {
        "em": presets["aeanet-em"].replace(attention__normalization="softmax", probabilistic=True),
        "flywing": presets["aeanet-flywing"],
    }
    expected = {}
    for name, spec in specs.items():
        model = randomise(build_network(small(spec)))
        portable_network(model).save(tmp_path / f"{name}.keras")
        x = images(2, *(16, 32, 16)[3 - spec.dimension :], 1)
        np.save(tmp_path / f"{name}_x.npy", x)
        expected[name] = model(x)
    stems = [str(tmp_path / name) for name in specs]
    done = subprocess.run([sys.executable, "-I", "-c", WITHOUT_THE_PACKAGE, *stems], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, y in expected.items():
        assert relative_error(np.load(tmp_path / f"{name}_again.npy"), y) < 2e-6


@pytest.mark.parametrize("kind", ["sparse", "interlaced"])
def test_sparse_attention_is_refused_by_name(kind):
    with pytest.raises(InputError, match=rf"network.attention: '{kind}' .*export to Fiji, SavedModel or ONNX"):
        portable_network(build_network(small(presets["ssan"], attention=kind)))
