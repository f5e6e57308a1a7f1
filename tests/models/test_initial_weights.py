"""A network starts from what another has of the same names and shapes, and says what that is."""

import logging

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.tf1_checkpoint import import_checkpoint
from aeanet_tf.models import AEANet, AEANetConfig, ProjectionAEANet, ProjectionAEANetConfig
from tests.interop.tf1 import network, write_checkpoint
from tests.models import NETWORK


def make(name="m", basedir=None, seed=0, **kwargs):
    config = AEANetConfig("YX", preset="aeanet-em", network=NETWORK | kwargs.pop("network", {}), **kwargs)
    model = AEANet(config, name, basedir and str(basedir))
    rng = np.random.default_rng(seed)
    for weight in model.keras_model.weights:
        weight.assign(rng.uniform(0.5, 1, weight.shape))
    return model


def values(model):
    return {weight.path: np.array(weight) for weight in model.keras_model.weights}


def test_what_has_the_same_name_and_shape_is_taken_and_the_rest_stays(caplog):
    caplog.set_level(logging.INFO, "aeanet_tf")
    old = make("old", seed=1)
    new = make("new", seed=2, n_channel_out=3, network={"attention": {"shared_references": 5}})
    before = values(new)
    taken = new.take_weights(old)
    there, here = values(old), values(new)
    others = set(here) - set(taken)
    assert others == {"out_conv/kernel", "bottom_block.block_0/attention/nl_library"}
    for path, value in here.items():
        np.testing.assert_array_equal(value, before[path] if path in others else there[path], err_msg=path)
    counts, left = caplog.messages
    size = sum(here[path].size for path in taken), sum(value.size for value in here.values())
    assert counts.startswith(
        f"initial weights of old: {len(taken)} of {len(here)} variables, {size[0]} of {size[1]} values: first_conv"
    )
    whole = [path for path in here if path.startswith("bottom_block")]
    assert f"bottom_block ({len(whole) - 1} of {len(whole)})" in counts and "out_conv" not in counts
    assert "out_conv/kernel (shape (1, 1, 4, 1) there, (1, 1, 4, 3) here)" in left
    assert "attention/nl_library (shape (1, 4, 8) there, (1, 5, 8) here)" in left


def test_a_projection_starts_from_a_network_of_planes():
    planes = make()
    spec = {"filters": 4, "restoration": planes.spec.model_dump() | {"in_channels": 1}}
    wing = ProjectionAEANet(ProjectionAEANetConfig("ZYX", network=spec), "wing", basedir=None)
    taken, here = wing.take_weights(planes), values(wing)
    assert set(taken) == set(values(planes)) == {path for path in here if not path.startswith("projection")}
    for path, value in values(planes).items():
        np.testing.assert_array_equal(here[path], value)


def test_a_network_that_has_nothing_in_common_is_refused():
    new = make(network={"first_filters": 6})
    before = values(new)
    with pytest.raises(
        InputError,
        match=r"old: found no kernel of the name and shape of one here, expected some; "
        r"first_convolution/kernel: shape \(3, 3, 1, 4\) there, \(3, 3, 1, 6\) here",
    ):
        new.take_weights(make("old"))
    for path, value in values(new).items():
        np.testing.assert_array_equal(value, before[path])
    with pytest.raises(InputError, match="nowhere: no such model folder"):
        new.take_weights("nowhere")


def test_a_file_of_weights_can_be_named(tmp_path):
    model = make("old", tmp_path)
    model.keras_model.save_weights(str(tmp_path / "old" / "weights_best.h5"))
    best = values(model)
    for weight in model.keras_model.weights:
        weight.assign(weight + 1)
    model.keras_model.save_weights(str(tmp_path / "old" / "weights_last.h5"))
    for source, added in (("", 0), ("weights_last.h5", 1), ("weights_best.h5", 0)):
        new = make(seed=4)
        assert len(new.take_weights(tmp_path / "old" / source)) == len(best)
        for path, value in values(new).items():
            np.testing.assert_allclose(value, best[path] + added, rtol=1e-6)
    with pytest.raises(InputError, match=r"weights_none\.h5: no such model folder"):
        new.take_weights(tmp_path / "old" / "weights_none.h5")


def test_an_imported_checkpoint_is_a_beginning(tmp_path):
    new = make(seed=3)
    original, variables = network(new.spec)
    folder = import_checkpoint(write_checkpoint(tmp_path / "model.ckpt-7", variables), tmp_path / "imported")
    assert len(new.take_weights(folder)) == len(variables)
    for ours, theirs in zip(new.keras_model.weights, original.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
