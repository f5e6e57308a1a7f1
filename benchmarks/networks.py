"""Prediction and training steps of the networks, against the same in plain Keras and against CSBDeep's CARE.

For each preset three Keras models run in turn in one process:

* ``aeanet_tf``: the network of an `AEANet`;
* ``plain``: the same network as one would write it with Keras's layers (plain_networks.py), with the same weights. It
  is checked to give the same outputs (1e-4 of the range), and the same loss in the first training step;
* ``CARE``: the U-Net of ``csbdeep.models.CARE`` with as many first filters and resolutions, and CSBDeep's defaults
  otherwise (in 2D kernels of 5 x 5). Another network: what one has who does not use attention.

With ``--xla`` also ``plain`` compiled by XLA (``jit_compile=True``), which takes a minute or two for each task.

A prediction is ``keras_model.predict_on_batch(x)`` of one image, without normalisation, padding and tiles; a step is
``train_on_batch(x, y)`` with Adam and MAE. All others are compiled with ``jit_compile=False``, as `AEANet` is. Images
are noise.

    python benchmarks/networks.py [--output networks.json]
    python benchmarks/networks.py --presets aeanet-em --predict-size 256 256 --step-size 4 64 64
    python benchmarks/networks.py --network '{"first_filters": 16}'
"""

from agreement import check_agreement
from hardware import facts, line
from options import add_network, check_positive, given, make_parser, network_changes
from tables import markdown, quiet, ratio, run_script, section, spread, write_results
from timing import alternate, clocked, summary

from aeanet_tf.errors import InputError

NAMES = ("aeanet_tf", "plain", "CARE")
XLA = "plain, XLA"
PRESETS = ("aeanet-em", "aeanet-care", "gvtnet-care")
PREDICT_SIZE = {2: (944, 944), 3: (32, 128, 128)}
STEP_SIZE = {2: (8, 256, 256), 3: (4, 16, 64, 64)}


def main(argv=None):
    """Check, measure, print the tables, and write the numbers where asked to."""
    options = parse(argv)
    check_positive(options)
    found = {"hardware": facts(), "options": given(options), "rows": []}
    cases, names = [make_case(preset, options) for preset in options.presets], NAMES + (XLA,) * options.xla
    section("Networks", line(found["hardware"]))
    for case in cases:
        with quiet():
            found["rows"] += measure(*case, options, names)
    section("Prediction and training steps (s)", times_table(found["rows"], names))
    section("Parameters", parameters_table(found["rows"]))
    write_results(options.output, found)


def parse(argv):
    """The options of the command line."""
    parser = make_parser(__doc__, rounds=9, seconds=40)
    add_network(parser)
    parser.add_argument("--presets", nargs="+", default=PRESETS, metavar="NAME")
    parser.add_argument("--xla", action="store_true", help="the plain network compiled by XLA, too")
    parse_sizes(parser)
    return parser.parse_args(argv)


def parse_sizes(parser):
    """Options for the size of the image and of the batch."""
    parser.add_argument("--predict-size", type=int, nargs="+", metavar="N", help="of the image: (z) y x")
    parser.add_argument("--step-size", type=int, nargs="+", metavar="N", help="of the batch: images (z) y x")


def make_case(preset, options):
    """Configuration of an `AEANet`, size of the image ``(*spatial)`` and of the batch ``(images, *spatial)``."""
    from aeanet_tf.models import AEANetConfig
    from aeanet_tf.networks import as_spec

    dimension = as_spec(preset).dimension
    config = AEANetConfig("ZYX"[-dimension:], preset=preset, network=network_changes(options), train_seed=0)
    image = _checked("--predict-size", options.predict_size or PREDICT_SIZE[dimension], config.spec, 0)
    return config, image, _checked("--step-size", options.step_size or STEP_SIZE[dimension], config.spec, 1)


def _checked(option, size, spec, before):
    """``size`` as a tuple, if it is one for the network: ``before`` axes and then the spatial ones."""
    spatial = size[before:]
    if len(spatial) != spec.dimension or any(n < 1 or n % d for n, d in zip(spatial, spec.divisor, strict=True)):
        steps = " x ".join(map(str, spec.divisor))
        axes = " ".join(["images"] * before + list("zyx"[-spec.dimension :]))
        raise InputError(f"{option}: {' '.join(map(str, size))}, expected {axes}, the latter in multiples of {steps}")
    return tuple(size)


def make_networks(config, names):
    """Name -> compiled Keras model."""
    import keras
    from plain_networks import plain_network

    from aeanet_tf.models import AEANet

    spec = config.spec
    own = AEANet(config, "model", None).keras_model
    networks = {"aeanet_tf": own, "plain": plain_network(spec, own)}
    if "CARE" in names:
        from csbdeep.models import CARE, Config

        care = Config(config.axes, unet_n_first=spec.first_filters, unet_n_depth=spec.depth - 1)
        networks["CARE"] = CARE(care, "care", None).keras_model
    if XLA in names:
        networks[XLA] = plain_network(spec, own)
    for name, network in networks.items():
        network.compile(keras.optimizers.Adam(), "mae", jit_compile=name == XLA)
    return networks


def measure(config, image_size, batch_size, options, names=NAMES):
    """Two rows for a preset, its prediction and its training step; see `timing.summary`."""
    import numpy as np

    networks, rng = make_networks(config, names), np.random.default_rng(0)
    image = rng.random((1, *image_size, 1), "float32")
    batch, target = rng.random((2, *batch_size, 1), "float32")
    tasks = {
        # In this order: steps change the weights.
        "predict": (image_size, {name: _predict(network, image) for name, network in networks.items()}),
        "step": (batch_size, {name: _step(network, batch, target) for name, network in networks.items()}),
    }
    parameters = {name: network.count_params() for name, network in networks.items()}
    rows = []
    for task, (size, programs) in tasks.items():
        difference = check({name: [run()] for name, run in programs.items()})
        times = alternate({name: clocked(run) for name, run in programs.items()}, options.rounds, options.seconds)
        row = {"preset": config.preset, "task": task, "size": size, "parameters": parameters, "difference": difference}
        rows.append({**row, "programs": summary(times, "aeanet_tf")})
    return rows


def _predict(network, image):
    # ``predict`` feeds the image through tf.data, which now and then waits for seconds in which nothing is computed.
    return lambda: network.predict_on_batch(image)


def _step(network, batch, target):
    return lambda: network.train_on_batch(batch, target)


def check(results, tolerance=1e-4):
    """Raise `DisagreementError` unless the plain network gave what the library's gave; CARE is another network."""
    return check_agreement({name: results[name] for name in NAMES[:2]}, "aeanet_tf", tolerance)


def times_table(rows, names=NAMES):
    """Markdown table, one line a preset and task."""
    lines = []
    for row in rows:
        found = [row["programs"][name] for name in names]
        size = " x ".join(map(str, row["size"]))
        lines.append([row["preset"], row["task"], size, *map(spread, found), *map(ratio, found[1:])])
    return markdown(["preset", "", "size", *names, *(f"{name} / aeanet_tf" for name in names[1:])], lines)


def parameters_table(rows):
    """Markdown table of the numbers of parameters."""
    sizes = {row["preset"]: row["parameters"] for row in rows}
    lines = [[preset, *(f"{found[name]:,}" for name in NAMES)] for preset, found in sizes.items()]
    return markdown(["preset", *NAMES], lines)


if __name__ == "__main__":
    run_script(main)
