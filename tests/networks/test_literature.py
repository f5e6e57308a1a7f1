"""Networks from the literature: the published numbers of parameters, and what their papers say of them."""

import keras
import numpy as np
import pytest
from scipy.signal import correlate

from aeanet_tf.models import AEANetConfig
from aeanet_tf.networks import NetworkGraph, build_network, presets, receptive_radius
from aeanet_tf.networks.size import kernel_weights
from tests.layers.oracle import images, relative_error
from tests.networks.literature import SMALL, small

RGB = {"in_channels": 3, "out_channels": 3}


def parameters(spec):
    return sum(int(np.prod(w.shape)) for w in build_network(spec).trainable_weights)


BASELINE = {"filters": 64, "blocks": 16, "residual_scale": 1.0}


@pytest.mark.parametrize(
    ("spec", "published"),
    [
        # Lim et al. 2017, table 1: 1.5 M and 43 M, which are those for a factor of 4.
        (presets["edsr"].replace(**RGB, **BASELINE, upscale=4), 1.5),
        pytest.param(presets["edsr"].replace(**RGB, upscale=4), 43, marks=pytest.mark.slow),
        # Zhang et al. 2018, by its first author: 15.44 and 15.59 M for factors of 2 and 4 (yulunzhang/RCAN, issue 56).
        pytest.param(presets["rcan"].replace(**RGB, upscale=2), 15.44, marks=pytest.mark.slow),
        pytest.param(presets["rcan"].replace(**RGB, upscale=4), 15.59, marks=pytest.mark.slow),
        # Kim et al. 2016 give 20 layers of 64 filters; later comparisons 665 k (jmis.org, volume 8, issue 2, page
        # 101, table 3) or 666 k, rounded down or to the nearest.
        (presets["vdsr"], 0.666),
        # Zhou et al. 2018, table 3: U-Net++ 9.04 M, and its U-Net 7.76 M.
        pytest.param(
            presets["unet-plusplus"].replace(in_channels=3, output_offset=False), 9.04, marks=pytest.mark.slow
        ),
        (presets["unet-plusplus"].replace(in_channels=3, output_offset=False, skip="concat"), 7.76),
        # Oktay et al. 2018, table 1: their U-Net in 3D 5.88 M.
        (presets["attention-unet"].replace(dimension=3, skip="concat"), 5.88),
    ],
    ids=[
        "edsr baseline",
        "edsr",
        "rcan x2",
        "rcan x4",
        "vdsr",
        "unet-plusplus",
        "its U-Net",
        "U-Net of attention-unet",
    ],
)
def test_published_number_of_parameters(spec, published):
    digits = len(str(published).partition(".")[2])
    assert round(parameters(spec) / 1e6, digits) == published


def test_ce_net_has_the_published_number_of_parameters():
    """The 29.0 M that are quoted for it, whose table we have not seen.

    Its parts add up to that where the branches share their convolutions, as those of public implementations do: four
    (of rates 1, 3 and 5, and of 1) for four branches.
    """

    def residual(channels, filters, blocks):
        """Blocks of two convolutions without bias, 1x1 on the shortcut where channels change, norms behind each."""
        first = 9 * channels * filters + 9 * filters**2 + 4 * filters
        if channels != filters:
            first += channels * filters + 2 * filters
        return first + (blocks - 1) * (18 * filters**2 + 4 * filters)

    def decoder(channels, filters):
        quarter = channels // 4
        return channels * quarter + 9 * quarter**2 + quarter * filters + 3 * (2 * quarter + filters)

    # ResNet-34 without its classifier has 21,284,672 (torchvision: 21,797,672 with the 513,000 of that).
    encoder = 49 * 3 * 64 + 128 + residual(64, 64, 3) + residual(64, 128, 4) + residual(128, 256, 6)
    encoder += residual(256, 512, 3)
    assert encoder == 21_797_672 - 513_000
    atrous = 3 * (9 * 512**2 + 512) + 512**2 + 512
    up = decoder(516, 256) + decoder(256, 128) + decoder(128, 64) + decoder(64, 64)
    up += 16 * 64 * 32 + 32 + 9 * 32**2 + 32 + 9 * 32 + 1
    # One channel of each pooling by one convolution of 1, which all four share.
    published = encoder + atrous + 513 + up
    assert round(published / 1e6, 1) == 29.0
    # Ours has no norms: those of the encoder, then of the decoder; a bias in the stem, a convolution for each pooling.
    norms = 2 * (64 + 6 * 64 + 9 * 128 + 13 * 256 + 7 * 512) + 2 * (514 + 256 + 128 + 96)
    expected = published - norms + 64 + 3 * 513
    assert parameters(presets["ce-net"].replace(in_channels=3, output_offset=False)) == expected


def test_the_kernels_of_the_published_rcan_are_counted_without_building_it():
    # 200 blocks of two convolutions and two projections, 12 convolutions of as many channels, first and last.
    expected = 200 * (2 * 9 * 64 * 64 + 2 * 64 * 4) + 11 * 9 * 64 * 64 + 2 * 9 * 64
    assert kernel_weights(presets["rcan"]) == expected
    assert presets["rcan"].n_attention == 200


def drawn(spec):
    """The network with every weight drawn, so that ReLUs and biases show."""
    network, rng = build_network(spec), np.random.default_rng(0)
    for w in network.weights:
        w.assign(rng.normal(0, (2 / max(1, np.prod(w.shape[:-1]))) ** 0.5 if w.name == "kernel" else 0.1, w.shape))
    return network


def test_rcan_is_that_of_its_paper():
    """Equations 2 to 12, in NumPy."""
    spec = small("rcan", blocks=2)
    network = drawn(spec)

    def weights(name):
        return [np.asarray(w) for w in network.get_layer(name).weights]

    def conv(x, name):
        kernel, bias = weights(name)
        sums = [
            sum(correlate(x[..., i], kernel[..., i, o], "same") for i in range(x.shape[-1])) for o in range(len(bias))
        ]
        return bias + np.stack(sums, -1)

    def block(x, name):
        h = conv(np.maximum(0, conv(x, f"{name}.convolution_1")), f"{name}.convolution_2")
        down, down_bias, up, up_bias = weights(f"{name}.attention")
        assert down.shape == (8, 2)
        z = np.maximum(0, h.mean((0, 1)) @ down + down_bias) @ up + up_bias
        return x + h / (1 + np.exp(-z))

    def group(x, name):
        h = block(block(x, f"{name}.block_1"), f"{name}.block_2")
        return x + conv(h, f"{name}.convolution")

    image = images(1, 7, 9, 1)
    head = conv(image[0], "head")
    x = head + conv(group(group(head, "group_1"), "group_2"), "body.convolution")
    assert relative_error(network(image)[0], conv(x, "out_conv")) < 1e-5


def test_edsr_scales_its_residuals_and_vdsr_adds_its_input():
    network, x = drawn(small("edsr", blocks=1)), images(1, 6, 8, 1)
    parts = keras.Model(
        network.input, [network.get_layer(f"body.block_1.{n}").output for n in ("convolution_2", "sum")]
    )
    h, y = map(np.asarray, parts(x))
    head = np.asarray(keras.Model(network.input, network.get_layer("head").output)(x))
    assert relative_error(y, head + 0.1 * h) < 1e-5
    network = drawn(small("vdsr"))
    residual = keras.Model(network.input, network.get_layer("out_conv").output)(x)
    assert relative_error(np.asarray(network(x)) - x, residual) < 1e-4


def test_gates_that_are_open_leave_the_u_net():
    gated, x = drawn(small("attention-unet", dimension=2)), images(1, 8, 12, 1)
    share = gated.get_layer("decoder_2.gate.share")
    assert [layer.name for layer in gated.layers if layer.name.endswith(".gate")] == ["decoder_2.gate"]
    plain = build_network(small("attention-unet", dimension=2, skip="concat"))
    for layer in plain.layers:
        layer.set_weights(gated.get_layer(layer.name).get_weights())
    assert relative_error(gated(x), plain(x)) > 1e-3
    share.set_weights([np.zeros_like(share.get_weights()[0]), np.full(1, 50)])
    assert relative_error(gated(x), plain(x)) < 1e-6


def test_a_node_of_u_net_plus_plus_takes_all_before_it():
    network = build_network(small("unet-plusplus"))
    channels = {
        layer.name: layer.input[0].shape[-1] * len(layer.input) for layer in network.layers if "skip" in layer.name
    }
    assert channels == {"node_1_1.skip": 8, "node_2_1.skip": 16, "node_1_2.skip": 12}


def test_branches_of_the_dense_atrous_block_see_3_7_9_and_19_positions():
    """Gu et al. 2019, section II-B."""
    graph = NetworkGraph(build_network(small("ce-net")))
    stop = next(n.output for n in graph.nodes if n.layer.name == "encoder_2.block_1")
    stride = graph.strides(stop)[0]
    seen = []
    for i in range(1, 5):
        branch = next(n.output for n in graph.nodes if n.layer.name == f"dense_atrous.branch_{i}.activation")
        seen.append(2 * graph.radius([branch], [stop])[0] // stride + 1)
    assert seen == [3, 7, 9, 19]


def test_range_scaling_multiplies_the_input():
    x = images(1, 8, 8, 1)
    network = drawn(small("rsgu-net", output_offset=False))
    factor = keras.Model(network.input, network.get_layer("out_conv").output)(x)
    assert relative_error(network(x), factor * x) < 1e-6
    network = drawn(small("rsgu-net"))
    outputs = [network.get_layer(name).output for name in ("range_scaling.factor", "out_conv")]
    factor, correction = keras.Model(network.input, outputs)(x)
    assert relative_error(network(x), factor * x + correction + x) < 1e-6
    others = build_network(small("rsgu-net", out_channels=2, output_offset=False))
    assert "range_scaling" not in [layer.name for layer in others.layers]


@pytest.mark.parametrize("name", SMALL)
def test_how_far_it_sees(name):
    """A change of one pixel reaches as far as is said, and no farther; what is pooled over the image left out."""
    spec = small(
        name, **({"reduction": None} if name == "rcan" else {"bottom": "convolutions"} if "rsgu" in name else {})
    )
    network = build_network(spec)
    for w in network.weights:
        # Positive throughout, so that nothing is cut off or cancels out.
        w.assign(np.full(w.shape, 1.0 if w.name == "bias" else 1 / np.prod(w.shape[:-1])))
    radius, step = receptive_radius(network)[0], spec.divisor[0]
    middle = -(-(radius + 8) // step) * step
    image = np.ones((1, step, 2 * middle, 1), "float32")
    reached = []
    for place in range(middle, middle + step):
        changed = image.copy()
        changed[0, :, place] = 9
        columns = np.nonzero(np.abs(np.asarray(network(changed) - network(image))).max((0, 1, 3)) > 0)[0]
        reached += [place - columns.min(), columns.max() - place]
    assert max(reached) <= radius
    # Interpolation and pooling may see less than the steps that stand for them.
    assert max(reached) >= 0.6 * radius


@pytest.mark.parametrize("name", SMALL)
def test_csbdeeps_attributes_say_the_width(name):
    """What a model folder keeps of a configuration gives the same network again."""
    config = AEANetConfig("ZYX", 2, 2, probabilistic=True, preset=name, network=SMALL[name])
    assert (config.spec.dimension, config.spec.in_channels, config.spec.probabilistic) == (3, 2, True)
    assert config.is_valid()
    again = AEANetConfig(**vars(config))
    assert again.spec == config.spec
    wider = AEANetConfig("YX", preset=name, unet_n_first=12).spec
    assert getattr(wider, wider.width) == 12


@pytest.mark.parametrize("name", ["rcan", "attention-unet", "rsgu-net", "ce-net"])
def test_half_precision_is_close(name):
    spec = small(name)
    exact, half = drawn(spec), build_network(spec, precision="bfloat16")
    half.set_weights(exact.get_weights())
    x = images(1, 16, 16, 1)
    assert half(x).dtype == "float32"
    assert relative_error(half(x), exact(x)) < 0.05
