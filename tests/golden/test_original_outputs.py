"""Every network against the outputs and losses of the original programs."""

import numpy as np
import pytest
from keras import ops

from aeanet_tf.networks import build_network, presets
from tests.golden.original import load, load_original_weights, needs_golden, relative_error

pytestmark = needs_golden

CARE = presets["gvtnet-care"]
CASES = {
    "gvtnet_care": (CARE.replace(probabilistic=True), "gvtnet_care/model.ckpt-pretrained"),
    "gvtnet_down_v2": (CARE.replace(downsampling="attention"), "gvtnet_down_v2/model.ckpt-1"),
    "gvtnet_up_v1": (CARE.replace(attention__residual="v1"), "gvtnet_up_v1/model.ckpt-1"),
    "gvtnet_labelfree": (
        presets["gvtnet-labelfree"].replace(output_offset=True),
        "gvtnet_labelfree/model.ckpt-pretrained",
    ),
    "gvtnet_flywing": (presets["gvtnet-flywing"], "gvtnet_flywing/model.ckpt-pretrained"),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    spec, prefix = CASES[request.param]
    model = build_network(spec)
    load_original_weights(model, prefix)
    golden = load(request.param)
    return model, golden, np.asarray(model(golden["input"]))


def test_prediction_is_the_originals(case):
    _, golden, output = case
    assert relative_error(output[..., :1], golden["prediction"]) < 1e-4


def test_network_output_before_the_offset(case):
    _, golden, output = case
    offset = golden.get("projected", golden["input"])
    assert relative_error(output[..., :1] - offset, golden["network_output"]) < 1e-4


def test_losses_are_the_originals(case):
    from aeanet_tf.training.losses import get_loss

    _, golden, output = case
    for key, name in {"loss_mae": "mae", "loss_mse": "mse", "loss_mae_prob": "laplace"}.items():
        if key in golden:
            loss = float(ops.mean(get_loss(name)(golden["label"], output)))
            assert loss == pytest.approx(float(golden[key]), rel=1e-4), key


def test_projected_image_is_the_originals():
    import keras

    spec, prefix = CASES["gvtnet_flywing"]
    model = build_network(spec)
    load_original_weights(model, prefix)
    golden = load("gvtnet_flywing")
    part = keras.Model(model.input, model.get_layer("projection.mean").output)
    assert relative_error(part(golden["input"]), golden["projected"]) < 1e-4


@pytest.fixture(scope="module")
def aeanet():
    model = build_network("aeanet-em")
    load_original_weights(model, "aeanet_lib64/model.ckpt-120000")
    golden = load("aeanet_lib64_infer")
    return model, golden, golden["input_uint16"].astype("float32") / 65535


def attention_model(model):
    import keras

    block = model.get_layer("bottom_block.block_0")
    return keras.Model(model.input, [block.input, block.output])


def test_aeanet_prediction(aeanet):
    model, golden, x = aeanet
    assert relative_error(model(x), golden["prediction"]) < 1e-4


def test_aeanet_attention(aeanet):
    model, golden, x = aeanet
    before, after = attention_model(model)(x)
    assert relative_error(np.asarray(after) - np.asarray(before), golden["attention"]) < 1e-4


@pytest.mark.parametrize("wrong", ["without_references_in_length", "length_of_the_query"])
def test_aeanet_attention_is_sensitive_to_the_length(aeanet, wrong):
    """The golden attention tells the length with references from the one without, which the query's equals."""
    model, golden, x = aeanet
    before, after = attention_model(model)(x)
    attention = np.asarray(after) - np.asarray(before)
    n = golden["attention"].shape[1] * golden["attention"].shape[2]
    bias = np.asarray(model.get_layer("bottom_block.block_0").attention.out_transform.bias)
    if wrong == "without_references_in_length":
        attention = (attention - bias) * (n + 64) / n + bias
    else:
        block = model.get_layer("bottom_block.block_0")
        block.attention.normalization = "query_length"
        attention = np.asarray(block.attention(block.batch_norm(before)))
        block.attention.normalization = "key_length"
    assert relative_error(attention, golden["attention"]) > 1e-2
