"""PreActivation's fused and folded evaluation against Keras's own batch normalisation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from aeanet_tf.layers import PreActivation, ResidualBlock, convolution
from aeanet_tf.layers.fast_paths import portable_arithmetic
from tests.layers.oracle import images, relative_error

SHAPES = [(2, 6, 10, 3), (2, 4, 5, 6, 3), (3, 12, 3)]


def normalised(shape, dtype="float32", trainable=True):
    """A `PreActivation`, and the Keras layer that it stands for with a momentum of 0.9, with the same weights."""
    layer = PreActivation(momentum=0.9, dtype=dtype)
    layer.build(shape)
    norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)
    norm.build(shape)
    rng = np.random.default_rng(0)
    values = [rng.uniform(0.3, 2, shape[-1:]) for _ in norm.weights]
    norm.set_weights(values)
    layer.norm.set_weights(values)
    layer.norm.trainable = norm.trainable = trainable
    return layer, norm


def gradients(function, x, weights):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.cast(function(x), "float32")
        loss = tf.reduce_sum(y * tf.sin(tf.reshape(tf.range(tf.size(y), dtype="float32"), tf.shape(y))))
    return [np.asarray(tf.cast(g, "float32")) for g in tape.gradient(loss, [x, *weights])]


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_output_gradients_and_statistics_are_those_of_keras(shape, training, trainable):
    x = tf.constant(2 * images(*shape))
    layer, norm = normalised(shape, trainable=trainable)

    def expected(x):
        return keras.ops.relu6(norm(x, training=training))

    assert relative_error(layer(x, training=training), expected(x)) < 1e-5
    # The first calls have moved the statistics: of 36 to 240 positions, so the unbiased variance would show.
    for own, other in zip(layer.norm.weights, norm.weights, strict=True):
        assert relative_error(own, other) < 1e-5
    found = gradients(lambda x: layer(x, training=training), x, layer.trainable_weights)
    for own, other in zip(found, gradients(expected, x, norm.trainable_weights), strict=True):
        assert relative_error(own, other) < 1e-4


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
@pytest.mark.parametrize("training", [True, False])
def test_other_precisions(training, dtype):
    x = tf.cast(images(2, 6, 10, 3), dtype.removeprefix("mixed_"))
    layer, norm = normalised(x.shape, dtype)
    y = layer(x, training=training)
    assert y.dtype == x.dtype
    expected = keras.ops.relu6(norm(x, training=training))
    assert relative_error(tf.cast(y, "float64"), tf.cast(expected, "float64")) < {"float64": 1e-6}.get(dtype, 2e-2)
    for own, other in zip(layer.norm.weights, norm.weights, strict=True):
        assert relative_error(own, other) < 2e-3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_folding_into_a_convolution_changes_nothing(shape, training):
    x = tf.constant(images(*shape))
    conv = convolution(len(shape) - 2, 5, 3, strides=2)
    conv.build(shape)
    layer, norm = normalised(conv.compute_output_shape(shape))
    expected = keras.ops.relu6(norm(conv(x), training=training))
    assert relative_error(layer.after(conv, x, training=training), expected) < 1e-5


@pytest.mark.parametrize("training", [True, False])
def test_relu_has_no_upper_limit(training):
    x = tf.constant(20 * images(2, 6, 10, 3))
    conv = convolution(2, 3, 3)
    conv.build(x.shape)
    layer, norm = normalised(x.shape)
    layer.activation = "relu"
    # Scales that take batches with a variance of 1 above 6, too.
    for one in (layer.norm, norm):
        one.gamma.assign([5, 10, 20])
    for found, before in ((lambda: layer(x, training=training), x), (lambda: layer.after(conv, x, training), conv(x))):
        expected = np.maximum(norm(before, training=training), 0)
        assert expected.max() > 12 and (expected == 0).any()
        assert relative_error(found(), expected) < 1e-5
    plain = PreActivation(batch_norm=False, activation="relu")
    np.testing.assert_array_equal(plain(np.array([[-1, 3, 9]], "float32")), [[0, 3, 9]])


def operations(function, *shape):
    graph = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(shape)).graph
    return [operation.type for operation in graph.get_operations()]


def test_exported_graphs_are_plain():
    block = ResidualBlock(3)
    block.build((None, 8, 8, 3))
    with portable_arithmetic():
        exported = operations(lambda x: block(x, training=False), None, 8, 8, 3)
    assert exported.count("Conv2D") == 2 and not any("Depthwise" in name for name in exported)
    # One normalisation is left to be applied to positions; the other is in a kernel.
    assert "FusedBatchNormV3" in operations(lambda x: block(x, training=True), None, 8, 8, 3)
