"""Networks of the user's own, as the scripts of N2V's kind have them: a class that overrides ``_build``."""

import json
import logging
import shutil

import keras
import numpy as np
import pytest
from csbdeep.internals.nets import custom_unet
from tifffile import imread, imwrite

from aeanet_tf.cli.main import main
from aeanet_tf.errors import InputError
from aeanet_tf.models import AEANet, AEANetConfig, SegmentationAEANet, SegmentationAEANetConfig
from aeanet_tf.models.folder import load_model
from aeanet_tf.models.own_network import ARCHITECTURE
from aeanet_tf.prediction.stages import OwnAttention, PackedStages

layers = keras.layers


class FromCSBDeep(AEANet):
    """As in a script that builds on CSBDeep's blocks."""

    def _build(self):
        return custom_unet(
            self.config.unet_input_shape,
            "linear",
            n_depth=self.config.unet_n_depth,
            n_filter_base=2,
            kernel_size=(self.config.unet_kern_size,) * self.config.n_dim,
            pool_size=(2,) * self.config.n_dim,
            residual=True,
        )


class Padded(AEANet):
    """Layers that exact tiling does not know, none of them code."""

    def _build(self):
        x = image = keras.Input(self.config.unet_input_shape)
        x = layers.ZeroPadding2D(1)(x)
        x = layers.Conv2D(4, 3, activation="relu")(x)
        y = layers.MaxPooling2D(2)(x)
        y = layers.UpSampling2D(2)(y)
        return keras.Model(image, layers.Conv2D(1, 1)(layers.Add()([x, y])))


class Gate(layers.Layer):
    """Squeeze and excitation without weights: of the whole image."""

    def call(self, x):
        return x * keras.ops.sigmoid(keras.ops.mean(x, axis=(1, 2), keepdims=True))


class Gated(AEANet):
    """A layer of the script's own on top of a network of the package."""

    def _build(self):
        network = super()._build()
        return keras.Model(network.input, Gate()(network.output))


class Unconnected(AEANet):
    """Keras's other ways to write a model."""

    def _build(self):
        return keras.Sequential([layers.Conv2D(3, 3, padding="same"), layers.Conv2D(1, 3, padding="same")])


class WithItsOwnTiles(Padded):
    """CSBDeep's hooks for tiles."""

    def _axes_div_by(self, query_axes):
        return tuple(4 if a in "YX" else 1 for a in query_axes)

    def _axes_tile_overlap(self, query_axes):
        return tuple(9 if a in "YX" else 0 for a in query_axes)


def config(**fields):
    return AEANetConfig("YX", unet_n_depth=1, unet_n_first=2, unet_kern_size=3, train_batch_size=2, **fields)


def made(cls, basedir=None):
    return cls(config(), "own", None if basedir is None else str(basedir))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).random((40, 70)).astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A `Padded` in its folder, with weights."""
    model = made(Padded, tmp_path_factory.mktemp("models"))
    model.write_weights(model.logdir / "weights_best.h5")
    return model


def test_a_network_of_csbdeeps_blocks_is_tiled_exactly(image, caplog):
    model = made(FromCSBDeep)
    assert model.spec.kind == "own" and model.spec.divisor == (2, 2)
    found = model.predict(image, "YX", n_tiles=(3, 4))
    np.testing.assert_allclose(found, model.predict(image, "YX"), atol=1e-6)
    assert not [m for m in caplog.messages if "tiling" in m]
    # All convolutions of 3 x 3: two and two at full resolution and two at the coarser one, and the pooling.
    assert model.receptive_radius == (9, 9)


def test_layers_that_are_not_known_are_measured_and_named_once(folder, image, caplog):
    whole = folder.predict(image, "YX")
    assert not [m for m in caplog.messages if "tiling" in m]
    for tiles in ((3, 4), (1, 5)):
        np.testing.assert_allclose(folder.predict(image, "YX", n_tiles=tiles), whole, atol=1e-6)
    (warning,) = [m for m in caplog.messages if m.startswith("tiling")]
    assert "ZeroPadding2D, Conv2D: tiles overlap by" in warning and "as measured" in warning


def test_a_network_that_sees_the_whole_image_says_that_tiles_differ(image, caplog):
    model = made(Gated)
    whole, tiled = model.predict(image, "YX"), model.predict(image, "YX", n_tiles=(2, 2))
    assert np.abs(whole - tiled).max() > 1e-6
    (warning,) = [m for m in caplog.messages if m.startswith("tiling: exact tiling does not know Gate")]
    assert "so tiles differ from the image in one piece" in warning


def test_the_hooks_of_a_class_are_taken(image, caplog):
    model = made(WithItsOwnTiles)
    assert model.spec.divisor == (4, 4) and model.receptive_radius == (9, 9)
    np.testing.assert_allclose(model.predict(image, "YX", n_tiles=(1, 3)), model.predict(image, "YX"), atol=1e-6)
    assert [m for m in caplog.messages if "overlap by 9 x 9 pixels, as the class says" in m]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("cls", [Padded, Gated, Unconnected])
def test_it_trains_and_is_opened_again(cls, tmp_path, patches, image):
    model = cls(config(train_epochs=1, train_steps_per_epoch=2, train_learning_rate=0.1), "own", str(tmp_path))
    before, part = model.keras_model.get_weights(), [array[:4] for array in patches]
    history = model.train(*part, validation_data=part, verbose=0)
    assert len(history.history["val_loss"]) == 1
    assert any(not np.array_equal(*pair) for pair in zip(before, model.keras_model.get_weights(), strict=True))
    again = cls(None, "own", str(tmp_path))
    np.testing.assert_array_equal(again.predict(image, "YX"), model.predict(image, "YX"))
    assert again.config.preset == "own" and again.config.unet_kern_size == 3


def test_the_folder_is_opened_without_the_class(folder, image, tmp_path):
    """By commands, too: its layers are Keras's, and stand in the folder."""
    expected = folder.predict(image, "YX", n_tiles=(2, 2))
    model = load_model(folder.logdir)
    assert type(model) is AEANet
    np.testing.assert_allclose(model.predict(image, "YX", n_tiles=(2, 2)), expected, atol=1e-6)
    imwrite(tmp_path / "image.tif", image)
    words = ["predict", "--model", folder.logdir, "--input", tmp_path / "image.tif", "--output", tmp_path / "out"]
    assert main([*map(str, words), "--axes", "YX", "--n-tiles", "2", "2"]) == 0
    np.testing.assert_allclose(imread(tmp_path / "out" / "image.tif"), expected, atol=1e-5)


def test_a_folder_with_layers_of_a_script_says_what_opens_it(tmp_path):
    model = made(Gated, tmp_path)
    model.write_weights(model.logdir / "weights_best.h5")
    message = r"layers that cannot be made without their code \(Gate\); in Python, Gated\(None, 'own', BASEDIR\) of"
    with pytest.raises(InputError, match=message):
        load_model(model.logdir)
    (model.logdir / ARCHITECTURE).unlink()
    with pytest.raises(InputError, match=r"network.json: no such file, expected the layers that .*:Gated has built"):
        load_model(model.logdir)
    with pytest.raises(InputError, match=r"config.network: found one that .*:Gated has built, expected that class"):
        AEANet(model.config, "other", str(tmp_path))
    assert not (tmp_path / "other").exists()


def test_code_in_a_folder_is_not_run(folder, tmp_path, monkeypatch):
    """A folder is data: a Lambda, whose code would stand in it, is refused."""
    monkeypatch.chdir(tmp_path)
    ran = tmp_path / "ran"
    image = keras.Input((None, None, 1))
    network = keras.Model(image, layers.Lambda(lambda x: __import__("pathlib").Path("ran").touch() or x)(image))
    ran.unlink()
    copy = shutil.copytree(folder.logdir, tmp_path / "sent")
    (copy / ARCHITECTURE).write_text(network.to_json())
    with pytest.raises(InputError, match=r"layers that cannot be made without their code \(Lambda\)"):
        load_model(copy)
    assert not ran.exists()


def test_other_processes_build_it_from_its_layers(folder, image):
    stages = PackedStages(OwnAttention(folder.keras_model), folder.spec).stages()
    inner = [(0, n) for n in image.shape]
    (output, _), (expected, _) = (one.run(0, [image[..., None]], inner, []) for one in (stages, folder.stages(None)))
    np.testing.assert_allclose(output, expected, atol=1e-6)


def test_first_weights_follow_the_seed():
    one, other = made(Padded), made(Padded)
    assert all(np.array_equal(*pair) for pair in zip(*(m.keras_model.get_weights() for m in (one, other)), strict=True))


def test_precision_is_refused_in_a_line(folder, image):
    with pytest.raises(InputError, match="precision: found 'bfloat16', expected 'float32' for a network of your own"):
        folder.predict(image, "YX", precision="bfloat16")


def _model(output):
    image = keras.Input((None, None, 1))
    return keras.Model(image, output(image))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: "a network", "Wrong._build: found str, expected a Keras model"),
        (lambda: _model(layers.Conv2D(3, 1)), "an output of shape .* expected 2 spatial axes and 1 channels"),
        (
            lambda: _model(layers.MaxPooling2D()),
            "an output of another size than the input, expected",
        ),
        (lambda: _model(lambda x: [x, x]), "found 2 outputs, expected one"),
    ],
)
def test_what_does_not_fit_is_refused(network, message):
    class Wrong(AEANet):
        def _build(self):
            return network()

    with pytest.raises(InputError, match=message):
        made(Wrong)


def test_classes_with_losses_of_their_own_kind_refuse_it():
    class Labels(SegmentationAEANet):
        def _build(self):
            return _model(layers.Conv2D(2, 1))

    with pytest.raises(InputError, match="expected of a class that extends AEANet itself"):
        Labels(SegmentationAEANetConfig("YX"), "own", None)


def test_a_configuration_of_the_network_is_short(folder):
    fields = json.loads((folder.logdir / "config.json").read_text())
    assert fields["network"]["kind"] == "own" and fields["network"]["built_by"].endswith("test_own_networks:Padded")
    assert len(json.dumps(fields)) < 4000


def test_it_is_exported_where_it_can_be(folder, image, tmp_path):
    from aeanet_tf.interop.fiji import export_fiji
    from aeanet_tf.interop.saved_model import export_saved_model

    logging.getLogger("aeanet_tf").setLevel(logging.INFO)
    assert export_saved_model(folder, tmp_path / "saved").is_dir()
    assert export_fiji(folder, tmp_path / "fiji.zip").is_file()
