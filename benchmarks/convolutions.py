"""Convolutions of volumes, and transposed ones, beside Keras's own: results, and with both gradients.

Which kernels the library takes instead of TensorFlow's is said in aeanet_tf/layers/convolution_operations.py. The
layers have the same weights and are checked to give the same. Times of Keras's depend on the size of the processor's
cache, as TensorFlow's choice between two ways does.

    python benchmarks/convolutions.py [--output convolutions.json]
"""

from agreement import check_agreement
from hardware import facts, line
from options import check_positive, given, make_parser
from tables import markdown, quiet, ratio, run_script, section, spread, write_results
from timing import alternate, clocked, summary

# Input without channels, channels, filters, kernel, strides, whether transposed.
CASES = (
    ((4, 16, 64, 64), 32, 32, 3, 1, False),
    ((4, 16, 64, 64), 64, 32, 3, 1, False),
    ((4, 8, 32, 32), 32, 32, 3, 1, False),
    ((4, 16, 64, 64), 32, 64, 3, 2, False),
    ((4, 8, 32, 32), 32, 64, 3, 2, False),
    ((4, 8, 32, 32), 1, 16, 7, 2, False),
    ((1, 16, 64, 64), 64, 32, 3, 2, True),
    ((4, 8, 32, 32), 64, 32, 3, 2, True),
    ((4, 4, 16, 16), 16, 8, 4, 2, True),
    ((1, 472, 472), 64, 32, 4, 2, True),
    ((8, 128, 128), 64, 32, 4, 2, True),
)
NAMES = ("aeanet_tf", "Keras")


def main(argv=None):
    """Check, measure, print the table, and write the numbers where asked to."""
    parser = make_parser(__doc__, rounds=7, seconds=20)
    parser.add_argument("--cases", type=int, nargs="+", metavar="I", help="numbers of lines of the table, from 0")
    options = parser.parse_args(argv)
    check_positive(options)
    found = {"hardware": facts(), "options": given(options), "rows": []}
    section("Convolutions", line(found["hardware"]))
    chosen = CASES if options.cases is None else [CASES[i] for i in options.cases]
    for case in chosen:
        with quiet():
            found["rows"].append(measure(case, options))
    section("Results, and these with gradients by input and kernel (ms)", times_table(found["rows"]))
    write_results(options.output, found)


def measure(case, options):
    """A row: the case and, for ``"forward"`` and ``"gradients"``, what `timing.summary` gives."""
    import numpy as np
    import tensorflow as tf

    shape, channels, filters, size, strides, transposed = case
    layers, rng = _layers(len(shape) - 1, filters, size, strides, transposed), np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((*shape, channels)).astype("float32"))
    for layer in layers.values():
        layer.build(x.shape)
    layers["Keras"].set_weights(layers["aeanet_tf"].get_weights())
    upstream = tf.constant(rng.standard_normal(layers["Keras"].compute_output_shape(x.shape)).astype("float32"))
    row = {"case": case}
    for task in ("forward", "gradients"):
        programs = {name: _program(layer, task, x, upstream) for name, layer in layers.items()}
        results = {name: [np.asarray(result) for result in run()] for name, run in programs.items()}
        row["difference"] = check_agreement(results, "aeanet_tf", 1e-4)
        times = alternate({name: clocked(run) for name, run in programs.items()}, options.rounds, options.seconds)
        row[task] = summary(times, "aeanet_tf")
    return row


def _layers(rank, filters, size, strides, transposed):
    from aeanet_tf.layers import convolution

    own = convolution(rank, filters, size, strides, transposed)
    plain = type(own).__base__
    return {"aeanet_tf": own, "Keras": plain(filters, size, strides=strides, padding="same", use_bias=False)}


def _program(layer, task, x, upstream):
    import tensorflow as tf

    @tf.function
    def forward():
        return [layer(x)]

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, [x, layer.kernel], upstream)

    return {"forward": forward, "gradients": gradients}[task]


def times_table(rows):
    """Markdown table, one line a case."""
    lines = []
    for row in rows:
        shape, channels, filters, size, strides, transposed = row["case"]
        kind = f"{'transposed, ' if transposed else ''}kernel {size}, stride {strides}"
        cells = [kind, " x ".join(map(str, shape)), f"{channels} to {filters}"]
        for task in ("forward", "gradients"):
            own, plain = (row[task][name] for name in NAMES)
            cells += [spread(own, 1e3), spread(plain, 1e3), ratio(plain)]
        lines.append(cells)
    header = ["convolution", "input", "channels"]
    for task in ("", "gradients: "):
        header += [f"{task}aeanet_tf", f"{task}Keras", f"{task}Keras / aeanet_tf"]
    return markdown(header, lines)


if __name__ == "__main__":
    run_script(main)
