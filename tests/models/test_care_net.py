"""CSBDeep's own models opened here: what they predict is what CSBDeep's classes do, in tiles, too.

The folders in ``care_folders`` were trained for two steps, and their predictions made, by CSBDeep 0.7.4 with Keras
2.3.1 and TensorFlow 1.15.5 (``tf1_*``), and by CSBDeep 0.8.2 with Keras 2.11 and TensorFlow 2.11 (``tf2_*``). Those of
Keras 3 are made here.
"""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from csbdeep.models import CARE, Config, IsotropicCARE, ProjectionCARE, ProjectionConfig

from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig, CARENet, CARENetConfig
from aeanet_tf.models.folder import load_model

EARLIER = Path(__file__).parent / "care_folders"
# By name: CSBDeep's configuration, the size of an image and the axis of it that is cut into tiles.
CASES = {
    "plain": (Config("YX", unet_n_first=2), (150, 17), 0),
    "deep": (Config("YX", 1, 2, probabilistic=True, unet_n_first=2, unet_n_depth=3, unet_kern_size=3), (22, 203), 1),
    "wide": (Config("YX", 2, 2, unet_n_first=2, unet_kern_size=7, unet_last_activation="relu"), (200, 13), 0),
    "volume": (Config("ZYX", unet_n_first=2, unet_residual=False), (9, 90, 10), 1),
    "projection": (
        ProjectionConfig("ZYX", probabilistic=True, unet_n_first=2, proj_n_filt=2, proj_n_depth=2, proj_pool=(1, 2, 4)),
        (5, 17, 250),
        2,
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of CSBDeep and the one that its folder is here, by the name of a case; made once."""
    folder, found = tmp_path_factory.mktemp("care"), {}

    def get(name):
        if name not in found:
            config = CASES[name][0]
            kind = ProjectionCARE if name == "projection" else CARE
            model, rng = kind(config, name, str(folder)), np.random.default_rng(0)
            for variable in model.keras_model.weights:
                variable.assign(variable + 0.1 * rng.standard_normal(variable.shape))
            model.keras_model.save_weights(str(folder / name / "weights_best.h5"))
            found[name] = model, load_model(folder / name)
        return found[name]

    return get


def image(name):
    config, size, _ = CASES[name]
    several = config.n_channel_in > 1
    array = np.random.default_rng(1).uniform(100, 200, size + (config.n_channel_in,) * several)
    return array.astype("float32"), config.axes if several else config.axes.replace("C", "")


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", CASES)
def test_whole_and_in_tiles_it_predicts_what_csbdeep_does(name, made):
    model, ours = made(name)
    array, axes = image(name)
    cut = [3 if axis == CASES[name][2] else 1 for axis in range(array.ndim)]
    if not ours.config.probabilistic:
        expected = model.predict(array, axes)
        close(ours.predict(array, axes, tiling="whole"), expected)
        close(ours.predict(array, axes, n_tiles=cut), expected)
        return
    expected = model.predict_probabilistic(array, axes)
    for options in ({"tiling": "whole"}, {"n_tiles": cut}):
        found = ours.predict_probabilistic(array, axes, **options)
        close(found.mean(), expected.mean())
        close(found.scale(), expected.scale())


def test_a_short_halo_would_show(made):
    """So the images are large enough for the test above."""
    ours = made("plain")[1]
    array, axes = image("plain")
    whole = ours.predict(array, axes, normalizer=None)
    parts = np.concatenate([ours.predict(part, axes, normalizer=None) for part in np.split(array, 3)])
    assert np.abs(parts - whole).max() > 1e-3 * np.abs(whole).max()


@pytest.mark.parametrize("name", ["tf1_probabilistic", "tf1_projection", "tf2_volume"])
def test_folders_of_earlier_keras(name):
    model = load_model(EARLIER / name)
    with np.load(EARLIER / name / "prediction.npz") as file:
        axes = model.config.axes if model.config.n_channel_in > 1 else model.config.axes.replace("C", "")
        if model.config.probabilistic:
            found = model.predict_probabilistic(file["x"], axes)
            close(np.concatenate([found.mean(), found.scale()], -1), file["y"])
        else:
            close(model.predict(file["x"], axes), file["y"])


def test_weights_of_a_whole_saved_model(tmp_path):
    """Keras's ``model.save`` has them in a group of their own; long lists of names are in parts."""
    shutil.copytree(EARLIER / "tf1_projection", tmp_path / "m")
    path = tmp_path / "m" / "weights_best.h5"
    with h5py.File(path) as old, h5py.File(tmp_path / "new.h5", "w") as new:
        old.copy(old["/"], new, "model_weights")
        names = new["model_weights"].attrs.pop("layer_names")
        new["model_weights"].attrs.update(layer_names0=names[:2], layer_names1=names[2:])
    (tmp_path / "new.h5").replace(path)
    expected = load_model(EARLIER / "tf1_projection").keras_model.get_weights()
    for one, other in zip(load_model(tmp_path / "m").keras_model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_csbdeep_opens_what_is_written_here(tmp_path, made):
    ours = made("deep")[1]
    copy = CARENet(ours.config, "copy", str(tmp_path))
    copy.keras_model.set_weights(ours.keras_model.get_weights())
    copy.write_weights(tmp_path / "copy" / "weights_best.h5")
    array, _ = image("deep")
    close(
        IsotropicCARE(None, "copy", str(tmp_path)).keras_model(array[None, :16, :16, None]),
        made("deep")[0].keras_model(array[None, :16, :16, None]),
    )


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(EARLIER / "tf1_probabilistic", tmp_path / "m")
    return tmp_path / "m"


def refusal(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unet_kern_size": 4}, r"kern_size: found 4, expected an odd number"),
        ({"unet_n_depth": "two"}, "n_depth: found 'two', expected a whole number"),
        ({"unet_n_first": 10**6}, "a network of .* weights, expected what a file of .* bytes can hold"),
        ({"unet_n_first": 4}, "not the weights of this network .*shape"),
        ({"unet_n_depth": 2}, "not the weights of this network .*found 16 arrays, expected 24"),
        ({"axes": "ZYXC"}, "found values that mean nothing for unet_input_shape"),
        ({"axes": 5}, "axes: found 5, expected letters"),
        ({"n_channel_out": 1}, "residual: found True"),
        ({"proj_axis": "X"}, "proj_axis: found 'X', expected 'Y', the first of the axes YXC"),
        ({"proj_axis": "Y"}, "projection: found images of 2 axes"),
        ({"n2v_perc_pix": 1.5}, "Not allowed to add new parameters .n2v_perc_pix"),
        ({"unet_last_activation": "softmax"}, "last_activation"),
        ({"train_epochs": "many"}, "found values that mean nothing for train_epochs"),
    ],
)
def test_what_is_no_care_is_said_in_one_line(fields, message, folder):
    assert re.search(message, text := refusal(folder, **fields)), text
    assert str(folder) in text


def test_a_folder_without_weights(folder):
    (folder / "weights_best.h5").unlink()
    assert "no weights" in refusal(folder)


def test_each_class_says_what_opens_the_other_ones_folder(folder):
    with pytest.raises(InputError, match=r"the model of a CSBDeep CARE, expected that of an AEANet; CARENet .* opens"):
        AEANet(None, "m", str(folder.parent))
    AEANet(AEANetConfig("YX", unet_n_first=2), "own", str(folder.parent))
    with pytest.raises(InputError, match="not the configuration of this model"):
        CARENet(None, "own", str(folder.parent))


def test_it_does_not_train():
    model = CARENet(CARENetConfig("YX", unet_n_first=2), "m", None)
    x = np.zeros((1, 8, 8, 1), "float32")
    with pytest.raises(InputError, match=r"csbdeep\.models\.CARE trains"):
        model.train(x, x, validation_data=(x, x))
    with pytest.raises(InputError, match=r"csbdeep\.models\.CARE trains"):
        model.prepare_for_training()
