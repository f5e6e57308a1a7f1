"""Convolutions that other kernels than TensorFlow's own compute, against Keras's."""

import gc
import platform
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.layers import convolution, fast_paths, keras_convolutions
from aeanet_tf.layers.fast_paths import portable_arithmetic
from aeanet_tf.layers.keras_convolutions import Conv3D, Conv3DTranspose
from tests.layers.oracle import images, relative_error

# Sizes, kernel, strides: odd and even ones, kernels smaller than strides, larger than volumes, axes that differ.
CASES = [
    ((2, 5, 7, 6, 3), 3, 1),
    ((2, 4, 6, 8, 3), 2, 1),
    ((1, 4, 6, 8, 3), 1, 1),
    ((2, 6, 7, 9, 3), 3, 2),
    ((2, 4, 6, 8, 1), 7, 2),
    ((1, 3, 8, 6, 2), 4, 2),
    ((2, 6, 4, 8, 3), 1, 2),
    ((2, 6, 4, 8, 3), 2, 2),
    ((2, 4, 6, 8, 3), (1, 3, 5), (1, 2, 2)),
    ((2, 7, 6, 8, 3), (3, 3, 2), (3, 1, 2)),
]


def both(transposed, size, strides, dtype="float32", rank=3):
    """Our layer and Keras's."""
    ours = convolution(rank, 4, size, strides, transposed, use_bias=True, dtype=dtype)
    plain = type(ours).__base__
    assert plain.__module__.startswith("keras.")
    return ours, plain(4, size, strides=strides, padding="same", dtype=dtype)


def weighed(ours, theirs, x):
    for layer in (ours, theirs):
        layer.build(x.shape)
    ours.bias.assign(images(4))
    theirs.set_weights(ours.get_weights())


def gradients(layer, x):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(tf.cast(y, "float32") * images(*y.shape, seed=2))
    return y, tape.gradient(loss, [x, *layer.trainable_weights])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("shape", "size", "strides"), CASES)
def test_values_and_gradients_are_those_of_keras(shape, size, strides, transposed):
    x, (ours, theirs) = images(*shape), both(transposed, size, strides)
    weighed(ours, theirs, x)
    assert type(ours) is (Conv3DTranspose if transposed else Conv3D)
    (y, found), (expected, wanted) = gradients(ours, x), gradients(theirs, x)
    assert y.shape == expected.shape == ours.compute_output_shape(shape)
    assert relative_error(y, np.asarray(expected)) < 1e-5
    assert len(found) == len(wanted) == 3
    for one, other in zip(found, wanted, strict=True):
        assert relative_error(one, np.asarray(other)) < 1e-5


@pytest.mark.parametrize("transposed", [False, True])
def test_sizes_that_are_not_known_when_traced(transposed):
    x, (ours, theirs) = images(2, 4, 6, 8, 3), both(transposed, 3, 2)
    weighed(ours, theirs, x)
    free = keras.Input((None, None, None, 3))
    assert ours(free).shape == theirs(free).shape

    @tf.function(input_signature=[tf.TensorSpec((None,) * 4 + (3,))])
    def traced(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = ours(x)
        return y, tape.gradient(y, [x, ours.kernel], y)

    (y, found), expected = traced(x), np.asarray(theirs(x))
    assert relative_error(y, expected) < 1e-5
    with tf.GradientTape() as tape:
        x = tf.convert_to_tensor(x)
        tape.watch(x)
        again = theirs(x)
    for one, other in zip(found, tape.gradient(again, [x, theirs.kernel], again), strict=True):
        assert relative_error(one, np.asarray(other)) < 1e-5


@pytest.mark.parametrize("transposed", [False, True])
def test_in_half_precision_they_are_those_of_keras(transposed):
    """Sums of slices would be rounded: the gradient by the kernel had 4 times the error."""
    x, (ours, theirs) = images(2, 4, 6, 8, 3), both(transposed, 3, 2, dtype="mixed_bfloat16")
    weighed(ours, theirs, x)
    (y, found), (_, wanted) = gradients(ours, x), gradients(theirs, x)
    assert y.dtype == "bfloat16"
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("transposed", [False, True])
def test_exports_are_traced_into_the_operation_itself(transposed):
    ours, theirs = both(transposed, 3, 2)
    shape = tf.TensorSpec((1, 4, 6, 8, 3))
    for layer in (ours, theirs):
        layer.build((1, 4, 6, 8, 3))

    def operations(layer):
        return {op.type for op in tf.function(lambda x: layer(x)).get_concrete_function(shape).graph.get_operations()}

    name = "Conv3DBackpropInputV2" if transposed else "Conv3D"
    with portable_arithmetic():
        assert operations(ours) == operations(theirs) >= {name}
    assert (name in operations(ours)) != transposed
    assert ("Conv2DBackpropInput" in operations(ours)) == transposed


def test_what_was_traced_is_freed():
    """As with `tf.custom_gradient` it would not be."""
    layer = convolution(3, 2, 3, 2)
    layer.build((1, 4, 4, 4, 1))

    def traced():
        run = tf.function(lambda x: gradients(layer, x)[1])
        run(images(1, 4, 4, 4, 1))
        return weakref.ref(run.get_concrete_function(images(1, 4, 4, 4, 1)).graph)

    graph = traced()
    gc.collect()
    assert graph() is None


@pytest.mark.parametrize("transposed", [False, True])
def test_graphs_are_differentiated_from_outside(transposed):
    x, (ours, theirs) = images(2, 4, 6, 8, 3), both(transposed, 3, 2)
    weighed(ours, theirs, x)
    found = []
    for layer in (ours, theirs):
        run = tf.function(lambda x, layer=layer: layer(x))
        run.trainable_weights = layer.trainable_weights
        found.append(gradients(run, x)[1])
    for one, other in zip(*found, strict=True):
        assert relative_error(one, np.asarray(other)) < 1e-5


@pytest.mark.parametrize(
    ("size", "strides"), [(3, 2), (4, 2), (5, 2), (7, 2), ((4, 5), (2, 3)), ((5, 3), (1, 2)), (4, 3), (5, 4)]
)
def test_phases_of_a_transposed_convolution_of_images(size, strides, monkeypatch):
    monkeypatch.setattr(keras_convolutions, "phases_are_fastest", lambda: True)
    x, (ours, theirs) = images(2, 5, 6, 3), both(True, size, strides, rank=2)
    weighed(ours, theirs, x)
    traced = tf.function(lambda x: ours(x), input_signature=[tf.TensorSpec((None, None, None, 3))])
    names = {op.type for op in traced.get_concrete_function().graph.get_operations()}
    assert "Conv2D" in names and "Conv2DBackpropInput" not in names
    assert relative_error(traced(x), np.asarray(theirs(x))) < 1e-5
    (y, found), (expected, wanted) = gradients(ours, x), gradients(theirs, x)
    assert y.shape == expected.shape == ours.compute_output_shape(x.shape)
    for one, other in zip((y, *found), (expected, *wanted), strict=True):
        assert relative_error(one, np.asarray(other)) < 1e-5


@pytest.mark.parametrize(
    ("features", "settings", "expected"),
    [
        ({"AVX512F", "AVX2"}, {}, "avx512"),
        ({"AVX2"}, {}, "avx2"),
        ({"NEON"}, {}, None),
        ({"AVX512F", "AVX2"}, {"ONEDNN_MAX_CPU_ISA": "avx2"}, "avx2"),
        ({"AVX512F", "AVX2"}, {"ONEDNN_MAX_CPU_ISA": "SSE41"}, None),
        ({"AVX512F", "AVX2"}, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "avx512"),
        ({"AVX512F", "AVX2"}, {"TF_ENABLE_ONEDNN_OPTS": "0"}, None),
    ],
)
def test_what_onednn_may_use(features, settings, expected, monkeypatch):
    monkeypatch.setattr(fast_paths, "_processor_features", lambda: features)
    for name in ("ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert fast_paths.onednn_vectors() == expected
    assert fast_paths.depthwise_is_fastest() == (expected == "avx512")
    assert fast_paths.phases_are_fastest() == (expected == "avx2")


def test_the_features_of_this_processor_are_known():
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not cpuinfo.exists():
        pytest.skip("of x86, on Linux")
    flags = cpuinfo.read_text().split()
    for name in ("AVX2", "AVX512F"):
        assert (name in fast_paths._processor_features()) == (name.lower() in flags)
