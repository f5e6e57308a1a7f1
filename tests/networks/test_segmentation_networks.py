"""The segmentation networks of the AEANet paper, section VI-C: counted by hand, and their attention in NumPy."""

import itertools

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from aeanet_tf.interop.portable import portable_network
from aeanet_tf.layers import GVTO, GlobalAttention, ResidualBlock
from aeanet_tf.networks import as_spec, build_network, presets, receptive_radius
from aeanet_tf.prediction.liveness import stage_peak
from aeanet_tf.prediction.stages import OwnAttention, can_be_swept
from aeanet_tf.training import ResumableState
from tests.interop.test_portable import randomise
from tests.layers.oracle import attend, images, relative_error
from tests.prediction.exact import predict_exact

NONLOCAL, AEA = presets["nonlocal-unet-mri"], presets["aeanet-mri"]
NAMES = ["nonlocal-unet-mri", "aeanet-mri", "unet-mri"]
FLAT = {"dimension": 2, "first_filters": 4}


def parameters(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


# 27 taps of a kernel of 3 x 3 x 3; two numbers a channel of a batch normalisation; no bias but those of attention and
# of the output.
FIRST = 27 * 2 * 32
ENCODERS = {
    "encoding_block_1.res_0": (2 * 32 + 27 * 32 * 32) + (2 * 32 + 27 * 32 * 32) + 32 * 32,
    "encoding_block_2.downsampling": (2 * 32 + 27 * 32 * 64) + (2 * 64 + 27 * 64 * 64) + 32 * 64,
    "encoding_block_3.downsampling": (2 * 64 + 27 * 64 * 128) + (2 * 128 + 27 * 128 * 128) + 64 * 128,
}
BOTTOM = 2 * 128 + 4 * (128 * 128 + 128)  # Query, key, value and output.
UP_QUERY, UP_KEY_VALUE, UP_OUTPUT = 27 * 128 * 64 + 64, 2 * (128 * 64 + 64), 64 * 64 + 64
UP_SHORTCUT = 27 * 128 * 64
DECODERS = {
    "decoding_block_2.res_0": 2 * (2 * 64 + 27 * 64 * 64),
    "decoding_block_1.upsampling": 27 * 64 * 32,
    "decoding_block_1.res_0": 2 * (2 * 32 + 27 * 32 * 32),
    "output_preactivation": 2 * 32,
    "out_conv": 32 * 4 + 4,
}
BY_HAND = {
    "first_convolution": FIRST,
    **ENCODERS,
    "bottom_block.block_0": BOTTOM,
    "decoding_block_2.upsampling": 2 * 128 + UP_SHORTCUT + UP_QUERY + UP_KEY_VALUE + UP_OUTPUT,
    **DECODERS,
}
ALTERED = {
    "nonlocal-unet-mri": {},
    # 64 references of the features that each operator attends to.
    "aeanet-mri": {
        "bottom_block.block_0": BY_HAND["bottom_block.block_0"] + 64 * 128,
        "decoding_block_2.upsampling": BY_HAND["decoding_block_2.upsampling"] + 64 * 128,
    },
    "unet-mri": {
        "bottom_block.block_0": 2 * (2 * 128 + 27 * 128 * 128),
        "decoding_block_2.upsampling": 27 * 128 * 64,
    },
}
TOTALS = {"nonlocal-unet-mri": 1_760_452, "aeanet-mri": 1_776_836, "unet-mri": 2_337_220}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_by_hand(name):
    network = build_network(name)
    expected = {**BY_HAND, **ALTERED[name]}
    assert {layer.name: parameters(layer) for layer in network.layers if layer.trainable_weights} == expected
    assert sum(expected.values()) == parameters(network) == TOTALS[name]


# Layer, shape behind it for an input of 32 x 32 x 32, strides of the convolutions in it.
STRUCTURE = [
    ("first_convolution", (32, 32), 1),
    ("encoding_block_1.res_0", (32, 32), 1),
    ("encoding_block_2.downsampling", (16, 64), 2),
    ("encoding_block_3.downsampling", (8, 128), 2),
    ("bottom_block.block_0", (8, 128), None),
    ("decoding_block_2.upsampling", (16, 64), 2),
    ("decoding_block_2.skip", (16, 64), None),
    ("decoding_block_2.res_0", (16, 64), 1),
    ("decoding_block_1.upsampling", (32, 32), 2),
    ("decoding_block_1.skip", (32, 32), None),
    ("decoding_block_1.res_0", (32, 32), 1),
    ("output_preactivation", (32, 32), None),
    ("output_dropout", (32, 32), None),
    ("out_conv", (32, 4), 1),
]


def test_structure():
    network = build_network(NONLOCAL)
    assert [layer.name for layer in network.layers[1:]] == [name for name, *_ in STRUCTURE]
    outputs = keras.Model(network.input, [layer.output for layer in network.layers[1:]])
    shapes = outputs.compute_output_shape((1, 32, 32, 32, 2))
    assert [(s[1], s[-1]) for s in shapes] == [shape for _, shape, _ in STRUCTURE]
    assert all(s[1] == s[2] == s[3] for s in shapes)
    for name, _, strides in STRUCTURE:
        layer = network.get_layer(name)
        if isinstance(layer, ResidualBlock):
            assert layer.convolution_1.strides == (strides,) * 3 and layer.convolution_2.strides == (1,) * 3
            shortcut = layer.projection_shortcut
            assert (shortcut is not None) == name.startswith("encoding")
            assert shortcut is None or (shortcut.strides, shortcut.kernel_size) == ((strides,) * 3, (1,) * 3)
        elif strides and not isinstance(layer, GVTO):
            assert layer.strides == (strides,) * 3 and layer.use_bias == (name == "out_conv")
    bottom, up = (network.get_layer(name) for name in ("bottom_block.block_0", "decoding_block_2.upsampling"))
    assert [(o.attention.size, o.attention.num_heads, o.attention.dropout) for o in (bottom, up)] == [
        ("same", 2, 0.5),
        ("up", 1, 0.5),
    ]
    for transposed in (up.projection_shortcut, up.attention.q_transform):
        assert isinstance(transposed, keras.layers.Conv3DTranspose) and transposed.strides == (2, 2, 2)
    assert up.projection_shortcut.bias is None
    assert isinstance(network.get_layer("decoding_block_2.skip"), keras.layers.Add)
    norm = up.batch_norm.norm
    assert (norm.momentum, norm.epsilon) == (0.997, 1e-5)
    assert network.get_layer("output_dropout").rate == 0.5
    initializer = keras.initializers.get(NONLOCAL.kernel_initializer)
    assert initializer.distribution == "truncated_normal"


def preactivated(layer, x):
    norm = layer.norm
    gamma, beta, mean, variance = (
        np.asarray(w, "float64") for w in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    return np.clip((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0, 6)


def transposed_convolution(layer, x):
    """Kernel 3, stride 2: position i of the input adds to 2 i, 2 i + 1 and 2 i + 2 of the output."""
    kernel = np.asarray(layer.kernel, "float64")
    y = np.zeros((*(2 * n + 1 for n in x.shape[:3]), kernel.shape[-2]))
    for taps in itertools.product(range(3), repeat=3):
        places = tuple(slice(t, t + 2 * n, 2) for t, n in zip(taps, x.shape, strict=False))
        y[places] += x @ kernel[taps].T
    y = y[:-1, :-1, :-1]
    return y if layer.bias is None else y + np.asarray(layer.bias, "float64")


def test_attention_equals_numpy():
    """Both blocks at 32 x 32 x 32, every operation on the features before them in float64."""
    network = randomise(build_network(NONLOCAL))
    bottom, up = network.get_layer("bottom_block.block_0"), network.get_layer("decoding_block_2.upsampling")
    features = keras.Model(network.input, [bottom.input, bottom.output, up.output])(images(1, 32, 32, 32, 2))
    x, found, found_up = (np.asarray(t, "float64")[0] for t in features)

    h = preactivated(bottom.batch_norm, x)
    vectors = h.reshape(512, 128)
    q = vectors @ np.asarray(bottom.attention.q_transform.kernel) + np.asarray(bottom.attention.q_transform.bias)
    attended = attend(bottom.attention, q, vectors).reshape(x.shape)
    assert relative_error(found, x + attended) < 1e-5
    # It matters, and is not the mean of the values.
    assert np.abs(attended).max() > 0.1 * np.abs(x).max()
    assert attended.std(axis=(0, 1, 2)).max() > 1e-2

    h = preactivated(up.batch_norm, found)
    q = transposed_convolution(up.attention.q_transform, h)
    attended = attend(up.attention, q.reshape(4096, 64), h.reshape(512, 128)).reshape(16, 16, 16, 64)
    shortcut = transposed_convolution(up.projection_shortcut, h)
    assert relative_error(found_up, shortcut + attended) < 1e-5
    assert np.abs(attended).max() > 0.1 * np.abs(shortcut).max()
    assert attended.std(axis=(0, 1, 2)).max() > 1e-2


def test_configs_and_specs_from_before_load():
    config = GlobalAttention(8, normalization="softmax").get_config()
    assert GlobalAttention.from_config({k: v for k, v in config.items() if k not in ("dropout", "seed")}).dropout == 0
    config = ResidualBlock(8).get_config()
    assert not ResidualBlock.from_config({k: v for k, v in config.items() if k != "projection"}).projection
    data = presets["aeanet-em"].model_dump()
    for field in ("first_shortcut", "upsampling_heads", "output_dropout"):
        del data[field]
    del data["attention"]["dropout"]
    assert as_spec(data) == presets["aeanet-em"]


def test_a_network_rebuilt_from_its_config_is_the_same():
    network, x = build_network(NONLOCAL.replace(**FLAT)), images(1, 8, 8, 2)
    copy = keras.Model.from_config(network.get_config())
    copy.set_weights(network.get_weights())
    assert copy.get_config() == network.get_config()
    np.testing.assert_array_equal(copy(x), network(x))


@pytest.mark.parametrize("name", NAMES)
def test_networks_drop_in_training_only(name):
    """The output's features in all of them; batch norm's statistics are frozen, to see nothing else."""
    spec, x = presets[name].replace(**FLAT, batch_norm=False), images(2, 8, 8, 2)
    plain = build_network(spec.replace(attention__dropout=0, output_dropout=0))

    def draws():
        keras.utils.set_random_seed(1)
        network = build_network(spec)
        network.set_weights(plain.get_weights())
        np.testing.assert_array_equal(network(x), plain(x))
        np.testing.assert_array_equal(network(x, training=False), plain(x))
        return np.asarray([network(x, training=True) for _ in range(2)])

    found = draws()
    assert not np.array_equal(found[0], plain(x)) and not np.array_equal(*found)
    np.testing.assert_array_equal(draws(), found)


def test_attention_drops_inside_of_the_network():
    spec, x = NONLOCAL.replace(**FLAT, batch_norm=False, output_dropout=0), images(2, 8, 8, 2)
    network = build_network(spec)
    features = keras.Model(network.input, [o.output for o in network.layers if isinstance(o, GVTO)])
    for one, other in zip(features(x, training=True), features(x), strict=True):
        assert relative_error(one, other) > 1e-4


def test_training_resumed_draws_as_if_uninterrupted(tmp_path):
    """Two epochs at once, and one in each of two processes' networks: the same weights, to the last bit."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 4, 2)), rng.integers(0, 4, (2, 4, 4))

    def trained(folder, epochs, seed):
        keras.utils.set_random_seed(seed)
        network = build_network(NONLOCAL.replace(**FLAT).with_depth(2))
        network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        state = ResumableState(tmp_path / folder)
        first = state.restore(network, [state])
        network.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[state], initial_epoch=first, epochs=epochs)
        return network

    whole = trained("whole", 2, seed=1)
    trained("parts", 1, seed=1)
    # Other weights and other random states to begin with, all of which are replaced.
    resumed = trained("parts", 2, seed=2)
    for found, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(random_states(resumed)) == 2  # Of the attention at the bottom, and of the output.
    assert len(random_states(build_network(NONLOCAL.replace(**FLAT)))) == 3


def random_states(network):
    """What `ResumableState` saves beside the weights."""
    return [v for v in network.variables if v.name == "seed_generator_state"]


@pytest.mark.parametrize(("name", "precision"), [*((n, "float32") for n in NAMES), ("nonlocal-unet-mri", "bfloat16")])
def test_any_dimension_channels_and_classes_give_float32_logits(name, precision):
    spec = presets[name].replace(**FLAT, in_channels=3, out_channels=5)
    network = build_network(spec, precision=precision)
    y = np.asarray(network(images(2, 8, 12, 3)))
    assert y.shape == (2, 8, 12, 5) and y.dtype == "float32"
    assert y.min() < 0 and np.abs(y.sum(axis=-1) - 1).max() > 0.1
    spec = presets[name].replace(first_filters=4, in_channels=1, out_channels=2)
    assert build_network(spec, precision=precision)(images(1, 4, 8, 4, 1)).shape == (1, 4, 8, 4, 2)


def test_every_second_attention_and_each_depth():
    """One operator for each up-sampling, coarsest first; heads of their own."""
    spec = NONLOCAL.replace(**FLAT, upsampling=("transposed_convolution", "attention"), upsampling_heads=4)
    operators = [layer for layer in build_network(spec).layers if isinstance(layer, GVTO)]
    found = [(layer.name, layer.attention.num_heads) for layer in operators]
    assert found == [("bottom_block.block_0", 2), ("decoding_block_1.upsampling", 4)]
    assert spec.n_attention == 2 and spec.replace(upsampling=("attention",) * 2).n_attention == 3
    deeper, flatter = NONLOCAL.with_depth(4), NONLOCAL.with_depth(2)
    assert deeper.upsampling == ("attention", "attention", "transposed_convolution") and deeper.n_attention == 3
    assert flatter.upsampling == ("transposed_convolution",) and flatter.n_attention == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"upsampling": ("attention",)}, "upsampling: found 1 entries, expected 2"),
        ({"upsampling": ("attention", "nearest")}, r"upsampling(.|\n)*'attention'(.|\n)*nearest"),
        ({"upsampling": "nearest"}, r"upsampling(.|\n)*'attention'(.|\n)*nearest"),
        ({"upsampling_heads": 3}, "upsampling_heads: found 3, expected a divisor of the 64 filters at level 2"),
        ({"upsampling_heads": 0}, "upsampling_heads"),
        ({"attention__num_heads": 3}, "attention.num_heads: found 3, expected a divisor of the 128 filters at level 3"),
        ({"first_shortcut": "none"}, "first_shortcut"),
    ],
)
def test_specs_that_do_not_fit(fields, message):
    with pytest.raises(ValidationError, match=message):
        NONLOCAL.replace(**fields)


@pytest.mark.parametrize(
    ("dimension", "size", "tiles"), [(2, (72, 104), (2, 3)), (3, (4, 16, 24), (1, 2, 2))], ids=["2D", "3D"]
)
def test_tiles_equal_the_whole(dimension, size, tiles):
    spec = AEA.replace(dimension=dimension, first_filters=4, attention__shared_references=5)
    network = randomise(build_network(spec))
    # Brighter to the right: every tile's own attention is another.
    image = images(*size, 2) + np.linspace(0, 3, size[-1], dtype="float32")[:, None]
    whole = np.asarray(network(image[None]))[0]
    assert relative_error(predict_exact(network, spec, image, tiles), whole) < 1e-5
    # Without the shared context it is something else: attention reaches farther than the halo.
    half = size[-1] // 2
    alone = np.asarray(network(image[None, ..., :half, :]))[0]
    assert relative_error(alone[..., :4, :], whole[..., :4, :]) > 1e-3


def test_which_networks_are_exact_in_tiles():
    found = {name: can_be_swept(build_network(presets[name].replace(**FLAT))) for name in NAMES}
    assert found == {"nonlocal-unet-mri": False, "aeanet-mri": True, "unet-mri": True}


def test_dropout_is_nothing_in_prediction():
    """For the receptive field, the memory model and the portable network."""
    with_it, without = (build_network(AEA.replace(**FLAT, output_dropout=share)) for share in (0.5, 0))
    assert receptive_radius(with_it) == receptive_radius(without)
    peaks = []
    for network in (with_it, without):
        own = OwnAttention(network)
        peaks.append(stage_peak(own.graph, own.stages[0], (64, 64)))
    assert peaks[0] == peaks[1]
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in portable_network(with_it).layers)


def test_memory_of_the_weights_of_softmax():
    """Logits and weights of one head for each pair of a coarse position and one twice as fine, and little else."""
    own = OwnAttention(build_network(NONLOCAL.replace(**FLAT)))
    small, large = (stage_peak(own.graph, own.stages[0], (n, n)).between for n in (512, 1024))
    pairs = 4 * (1024 // 2) ** 2 * (1024 // 4) ** 2
    assert 2 * pairs < large < 2.02 * pairs
    assert large / small == pytest.approx(16, rel=0.02)


UNCHANGED = {
    "gvtnet-em": 564_288,
    "aeanet-care": 1_367_808,
    # Two convolutions of 32 channels less.
    "aeanet-care-fast": 1_367_808 - 2 * 27 * 32**2,
    "aeanet-labelfree": 6_188_609,
    "aeanet-flywing": 560_889,
    "unet-em": 793_408,
    "unet-care": 2_140_032,
    "unet-labelfree": 9_448_513,
    "unet-flywing": 744_489,
    "learned-query-em": 1_072_064,
    "ssan": 229_796,
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_the_other_networks_are_as_they_were(name):
    """Those whose number is not published, see `tests.networks.test_build`."""
    assert parameters(build_network(name)) == UNCHANGED[name]
