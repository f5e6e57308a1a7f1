"""VGG-16 as a fixed measure of how alike two images look, and where its ImageNet weights come from."""

import warnings
from pathlib import Path

import keras
import numpy as np
from keras import ops

from aeanet_tf.downloads import fetch
from aeanet_tf.errors import InputError
from aeanet_tf.networks.build import dtype_policy
from aeanet_tf.networks.keras_internals import keras_home

# The file that Keras publishes and looks for itself, so that one copy serves both.
WEIGHTS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
WEIGHTS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{WEIGHTS_FILE}"
WEIGHTS_MD5 = "6d6bbae143d832006294945121d1f1fc"

# relu1_2, relu2_2, relu3_3 and relu4_3 by Keras's names.
VGG_LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3")
# ImageNet's mean blue, green and red, as keras.applications.vgg16.preprocess_input subtracts them.
_MEANS = np.array([103.939, 116.779, 123.68], "float32")
# One over the mean standard deviation of ImageNet's colours (0.229, 0.224, 0.225 of the range) in grey levels.
ACTIVATION_SCALE = 1 / (255 * 0.226)


def vgg_activations(weights=None, scale=ACTIVATION_SCALE):
    """The network of phi_1 to phi_4: VGG-16 up to relu4_3, not trainable, in float32 whatever the precision.

    Its input is ``(batch, y, x, 1)``, grey, which is repeated to three colours, or ``(batch, y, x, 3)``, RGB, with 1
    for the full range (0 to 1). As ``keras.applications.vgg16.preprocess_input`` does, it is brought to 0 to 255 and
    BGR, and ImageNet's means are subtracted. The outputs are the activations behind the ReLU of ``block1_conv2``,
    ``block2_conv2``, ``block3_conv3`` and ``block4_conv3``, with 64, 128, 256 and 512 channels and 1, 1/2, 1/4 and 1/8
    of the size (rounded down), times ``scale``. SSAN paper, section "Loss function", says "the 16-layer VGG network
    pretrained on ImageNet" and j = 1 to 4, not which layers: those here are of the work that it cites for its feature
    and style losses (Johnson et al. 2016).

    Args:
        weights: path of a weights file of ``keras.applications.VGG16(include_top=False)`` (``.h5``, ``.weights.h5``).
            None: ImageNet's, see `imagenet_weights`.
        scale: factor on the activations. The paper's program is written in PyTorch, whose VGG-16 takes images of about
            unit variance; Keras's takes grey levels, about 255 * 0.226 = 57.6 times as large, and so are its
            activations. Style losses go with their fourth power, feature losses with their second. The default divides
            by that factor, so that the paper's weights 1e6 : 1 : 1 keep about their meaning. This is approximate, for
            the two have been trained apart, and ours: the paper does not mention it. 1 leaves Keras's activations.

    Raises:
        InputError: the file is not there, not to be downloaded, or not VGG-16's weights.
    """
    if weights is not None and not Path(weights).is_file():
        raise InputError(f"vgg_weights: found no file {weights}, expected VGG-16's weights, such as {WEIGHTS_FILE}")
    weights = imagenet_weights() if weights is None else Path(weights)
    # The precision of these layers cannot be passed.
    with dtype_policy("float32"):
        # All of it, for a file is read by the order of the layers; what follows relu4_3 is dropped below.
        vgg = keras.applications.VGG16(include_top=False, weights=None)
        _load(vgg, weights)
        body = keras.Model(vgg.input, [vgg.get_layer(name).output for name in VGG_LAYERS])
        image = keras.Input((None, None, None), dtype="float32")
        # The means have three channels, to which one channel broadcasts.
        activations = body(ops.flip(image, axis=-1) * 255.0 - _MEANS)
        model = keras.Model(image, [activation * scale for activation in activations], name="vgg_activations")
    model.trainable = False
    return model


def imagenet_weights():
    """Path of ImageNet's weights in Keras's cache folder, downloaded (59 MB) where they are not there.

    The folder is ``$KERAS_HOME/models``, by default ``~/.keras/models``, the file the one that ``keras.applications``
    gets. Its MD5 is compared each time, so that no damaged file is used, and a file gets its name only when it is
    whole. Keras's own download can wait for ever.

    Raises:
        InputError: the file is neither there nor to be downloaded; the message says how to provide it.
    """
    path = keras_home() / "models" / WEIGHTS_FILE
    try:
        fetch(WEIGHTS_URL, path, f"md5:{WEIGHTS_MD5}")
    except InputError as error:
        kind = "a damaged file (another MD5)" if path.exists() else "no VGG-16 weights"
        raise InputError(
            f"vgg_weights: found {kind} at {path}, and none to fetch ({error}), expected {WEIGHTS_FILE}: put it there, "
            "or name a copy by training.vgg_weights, or train with loss 'pixel', which needs none"
        ) from error
    return path


def _load(model, path):
    for variable in model.weights:
        variable.assign(np.full(variable.shape, np.nan, "float32"))
    try:
        with warnings.catch_warnings():
            # Keras only warns of some of what it does not find in a file: hence the NaNs, which must all be gone.
            warnings.simplefilter("ignore")
            model.load_weights(path)
        if not all(np.isfinite(value).all() for value in model.get_weights()):
            raise ValueError("some weights are missing, or not numbers")
    except Exception as error:  # Keras's, h5py's and the operating system's, by what is wrong with the file.
        raise InputError(
            f"vgg_weights: {path} does not hold the weights of VGG-16 without its dense layers, expected a file such "
            f"as Keras publishes, {WEIGHTS_FILE}, or one of save_weights"
        ) from error
