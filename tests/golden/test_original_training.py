"""One training step of the authors' graph: branches, gradients and batch-norm statistics."""

import keras
import numpy as np
import pytest

from aeanet_tf.networks import build_network
from tests.golden.original import load, load_original_weights, needs_golden, original_names, relative_error

pytestmark = needs_golden
tf = pytest.importorskip("tensorflow")


def step(images, label):
    """Outputs, gradients and updated variables of one step in training mode, from the checkpoint's weights."""
    model = build_network("aeanet-em")
    load_original_weights(model, "aeanet_lib64/model.ckpt-120000")
    block = model.get_layer("bottom_block.block_0")
    probe = keras.Model(model.input, [block.input, block.output, model.output])
    with tf.GradientTape() as tape:
        before, after, prediction = probe(images, training=True)
        mse = tf.reduce_mean((prediction - label) ** 2)
    # The golden statistics hold two updates with this batch: 0.997^2 of the old value, where one step gives 0.997.
    probe(images, training=True)
    names = [original_names(v.path)[0] for v in model.trainable_variables]
    gradients = tape.gradient(mse, [v.value for v in model.trainable_variables])
    return {
        "attention": np.asarray(after - before),
        "prediction": np.asarray(prediction),
        "mse": float(mse),
        "mae": float(tf.reduce_mean(abs(prediction - label))),
        "gradient": dict(zip(names, gradients, strict=True)),
        "updated_twice": {original_names(v.path)[0]: np.asarray(v) for v in model.non_trainable_variables},
    }


@pytest.fixture(scope="module")
def golden():
    return load("aeanet_lib64_train")


@pytest.fixture(scope="module")
def images(golden):
    return golden["input_uint16"].astype("float32") / 65535


@pytest.fixture(scope="module")
def result(images):
    return step(images, images[:, ::-1])


def test_prediction_and_losses(result, golden):
    assert relative_error(result["prediction"][:, ::2, ::2], golden["prediction"]) < 1e-4
    assert result["mse"] == pytest.approx(float(golden["loss_mse"]), rel=1e-4)
    assert result["mae"] == pytest.approx(float(golden["loss_mae"]), rel=1e-4)


def test_first_half_is_batch_aware_second_half_referenced(result, golden):
    attention = result["attention"][:, ::8, ::8]
    assert relative_error(attention[:2], golden["attention_batch_aware"]) < 1e-4
    assert relative_error(attention[2:], golden["attention_shared_reference"]) < 1e-4


def test_swapped_halves_would_be_noticed(images, golden):
    swapped = step(images[[2, 3, 0, 1]], images[[2, 3, 0, 1], ::-1])["attention"][[2, 3, 0, 1], ::8, ::8]
    assert relative_error(swapped[:2], golden["attention_batch_aware"]) > 1e-2
    assert relative_error(swapped[2:], golden["attention_shared_reference"]) > 1e-2


def test_gradients_of_the_mse(result, golden):
    keys = [k for k in golden if k.startswith("gradient/")]
    assert len(keys) == 8
    for key in keys:
        found = np.asarray(result["gradient"][key.removeprefix("gradient/")])
        expected = golden[key]
        assert relative_error(found.reshape(expected.shape), expected) < 5e-3, key


def test_updated_batch_norm_statistics(result, golden):
    keys = [k for k in golden if k.startswith("updated/")]
    assert len(keys) == 20
    for key in keys:
        assert relative_error(result["updated_twice"][key.removeprefix("updated/")], golden[key]) < 1e-4, key
