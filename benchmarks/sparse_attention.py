"""Time and memory of two-level sparse softmax attention (SSAN paper), next to global and to dense attention.

Four programs add attention to features of 1 x n x n x 64. They run in turn in one process, compiled, forward only:

* ``sparse``: `AttentionAwareLayer`, gammas not zero, compiled for the size;
* ``sparse, any size``: the same compiled once for all sizes, as prediction does it. The graph then always pads and
  masks; the two are checked to agree (1e-4) at the smallest size;
* ``global``: `AEABlock`, normalised by length, two heads, with the 64 references and the batch normalisation of the
  AEANet paper;
* ``dense``: the softmax over all pairs, `GVTO(normalization="softmax")`, at --dense-sizes only: n^4 weights a head.

* Time: median and quartiles in ms, and what the others take relative to ``sparse``. All sizes alternate, too.
* Growth: e of time ~ (n^2)^e between the smallest and the largest of --sizes (of --dense-sizes for ``dense``), medians,
  and the quartiles over the rounds; and that of the number of weights, padding included. 1 is linear, 2 quadratic, 4/3
  the paper's.
* Memory, at --peaks: by how much the resident memory (on a GPU: TensorFlow's) grows at most during one call, beyond the
  input and the weights, which are there before; and what is resident at most, TensorFlow and all (CPU only). Each in a
  process of its own, see peak_memory.py.

A dash stands where a program was not asked for or would not fit into the memory.

    python benchmarks/sparse_attention.py [--output sparse.json]
    python benchmarks/sparse_attention.py --sizes 64 128 --dense-sizes 32 --rounds 3
    KERAS_BACKEND=jax python benchmarks/sparse_attention.py --peaks    # times only: memory is TensorFlow's
"""

import math
import re
from functools import cache

import numpy as np
from fresh import call_apart
from hardware import available_memory, facts, gpus, line
from options import check_positive, given, make_parser
from tables import ABSENT, digits, markdown, quiet, ratio, run_script, section, spread, write_results
from timing import alternate, clocked, summary, wait

from aeanet_tf.errors import InputError

SIZES, DENSE_SIZES = (256, 512, 1024), (64, 96)
PROGRAMS = SPARSE, ANY_SIZE, GLOBAL, DENSE = "sparse", "sparse, any size", "global", "dense"
# `AttentionAwareLayer` divides the channels by this for its keys.
KEY_REDUCTION = 8
# What is alive at a time, rounded up: features in units of the input, and arrays of one step's weights.
FEATURES, MATRICES = 8, 3
TINY = 16


def main(argv=None):
    """Check, measure, print the tables, and write the numbers where asked to."""
    options = parse(argv)
    check_positive(options, "sizes", "dense_sizes", "peaks", "channels")
    if options.channels % KEY_REDUCTION:
        raise InputError(f"--channels: {options.channels}, expected a multiple of {KEY_REDUCTION}")
    found = {"hardware": facts(), "options": given(options)}
    tensorflow = found["hardware"]["backend"] == "tensorflow"
    if options.peaks and not tensorflow:
        raise InputError("--peaks: memory is measured on TensorFlow only, give no numbers on another backend")
    # JAX compiles for each size in any case.
    names = [name for name in PROGRAMS if tensorflow or name != ANY_SIZE]
    section("Sparse attention", line(found["hardware"]))
    with quiet():
        found["difference"] = check(min(options.sizes), options.channels) if tensorflow else None
        found["times"] = measure(options, names)
    section(f"Time, {options.channels} channels (ms)", times_table(found["times"], names))
    found["growth"] = growth(found["times"], options, names)
    if found["growth"]:
        section("Growth", growth_table(found["growth"]))
    # What is there is kept if the rest, which takes minutes, is stopped.
    write_results(options.output, found)
    found["memory"] = [memory_row(options, size, names) for size in options.peaks]
    if found["memory"]:
        section("Memory", memory_table(found["memory"], names))
    write_results(options.output, found)


def parse(argv):
    """The options of the command line; sizes ascend."""
    parser = make_parser(__doc__, rounds=7, seconds=240)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="sides of the image")
    parser.add_argument("--dense-sizes", type=int, nargs="*", default=DENSE_SIZES, metavar="N", help="with dense, too")
    parser.add_argument("--peaks", type=int, nargs="*", metavar="N", help="for memory (--sizes); none: no memory")
    parser.add_argument("--channels", type=int, default=64, metavar="C", help="of the features (64)")
    parser.add_argument("--heads", type=int, default=1, choices=(1, 2), help="of dense attention (1, as sparse has)")
    options = parser.parse_args(argv)
    options.peaks = options.sizes if options.peaks is None else options.peaks
    for name in ("sizes", "dense_sizes", "peaks"):
        setattr(options, name, sorted(set(getattr(options, name))))
    return options


def make_layer(program, channels, heads=1):
    """The built layer of a program; the two sparse ones have the same weights."""
    from aeanet_tf.layers import GVTO, AEABlock, AttentionAwareLayer

    if program == GLOBAL:
        layer = AEABlock(channels)
    elif program == DENSE:
        layer = GVTO(channels, num_heads=heads, normalization="softmax")
    else:
        layer = AttentionAwareLayer(key_reduction=KEY_REDUCTION)
    layer.build((1, None, None, channels))
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        # The gammas of sparse attention, its only scalars, begin at zero, with which all layers would agree.
        scalar = variable.shape == ()
        variable.assign(0.5 if scalar else rng.standard_normal(variable.shape).astype("float32") / channels**0.5)
    return layer


def make_function(program, size, channels, heads=1):
    """The program compiled: a function of the features. Those for any size are compiled once."""
    # Global and dense attention compute the same in either case.
    return _compiled(program, size if program == SPARSE else None, channels, heads)


@cache
def _compiled(program, size, channels, heads):
    layer = make_layer(program, channels, heads)
    # After the library, which chooses Keras's backend.
    from compiled import compiled, forward
    from keras import backend

    if backend.backend() == "jax":
        # `forward` would hand `training` to a layer that does not know it, on JAX past what Keras takes out.
        return compiled(lambda x: layer(x, training=False))
    return forward(layer, (1, size, size, channels))


def features(size, channels):
    """Noise of ``1 x size x size x channels`` on the device."""
    from keras import ops

    return ops.convert_to_tensor(np.random.default_rng(1).standard_normal((1, size, size, channels), "float32"))


def steps(program, size, heads=1):
    """Numbers of attention weights that a program forms one after the other, padding included."""
    from aeanet_tf.layers import sparse_factors

    if program == GLOBAL:
        return []
    if program == DENSE:
        return [heads * size**4]
    p, inner, q = sparse_factors(size)
    padded = p * inner * q
    # The short windows are padded to whole windows only.
    return [(side * own) ** 2 for side, own in ((padded, q), (padded, inner), (math.ceil(size / p) * p, p))]


def fits(program, size, channels, heads):
    """Whether a program may be started with the memory that is free."""
    needed = 4 * (FEATURES * size**2 * channels + MATRICES * max(steps(program, size, heads), default=0))
    # A GPU's allocator says itself when it has no more.
    return bool(gpus()) or needed < 0.9 * available_memory()


def check(size, channels, tolerance=1e-4):
    """Raise `DisagreementError` unless both sparse programs agree; the largest difference; see `check_agreement`."""
    from agreement import check_agreement
    from keras import ops

    x = features(size, channels)
    results = {name: [ops.convert_to_numpy(make_function(name, size, channels)(x))] for name in (SPARSE, ANY_SIZE)}
    return check_agreement(results, SPARSE, tolerance)


def measure(options, names):
    """A row a size with the times of all programs that fit; see `timing.summary`."""
    measures, rows = {}, []
    sizes = sorted({*options.sizes, *options.dense_sizes})
    for size in sizes:
        x = features(size, options.channels)
        for name in names:
            asked = name != DENSE or size in options.dense_sizes
            if asked and fits(name, size, options.channels, options.heads):
                function = make_function(name, size, options.channels, options.heads)
                measures[size, name] = clocked(_call(function, x))
    # All in one comparison: a drift of the machine's speed would change the growth as well as the ratios.
    times = alternate(measures, options.rounds, options.seconds)
    for size in sizes:
        here = {name: times[size, name] for name in names if (size, name) in times}
        weights = {name: sum(steps(name, size, options.heads)) for name in here if name != GLOBAL}
        row = {"size": size, "channels": options.channels, "weights": weights}
        # Where sparse attention does not fit there is nothing to compare with.
        rows.append({**row, "programs": summary(here, SPARSE) if SPARSE in here else {}})
    return rows


def _call(function, *arguments):
    return lambda: function(*arguments)


def growth(rows, options, names):
    """The exponent of each program between the smallest and the largest size it was measured at, where there are two.

    That is of ``--dense-sizes`` for dense attention, of ``--sizes`` for the others.
    """
    found = []
    for name in names:
        sizes = options.dense_sizes if name == DENSE else options.sizes
        there = [row for row in rows if row["size"] in sizes and name in row["programs"]]
        if len(there) > 1:
            small, large = (row["programs"][name] for row in (there[0], there[-1]))
            sides, weights = ([row[key] for row in (there[0], there[-1])] for key in ("size", "weights"))
            positions = 2 * math.log(sides[1] / sides[0])
            exponents = np.log(np.divide(large["seconds"], small["seconds"])) / positions
            counted = math.log(weights[1][name] / weights[0][name]) / positions if name in weights[0] else None
            found.append(
                {
                    "program": name,
                    "sizes": sides,
                    "ratio": large["median"] / small["median"],
                    "exponent": math.log(large["median"] / small["median"]) / positions,
                    "exponent_quartiles": [float(value) for value in np.quantile(exponents, (0.25, 0.75))],
                    "weights_exponent": counted,
                }
            )
    return found


def memory_row(options, size, names):
    """Memory of each program that fits, each in a process of its own."""
    case, found = {"size": size, "channels": options.channels, "heads": options.heads}, {}
    for name in names:
        asked = name != DENSE or size in options.dense_sizes
        if asked and fits(name, **case):
            found[name] = call_apart("sparse_attention:peak", program=name, **case)
    return {**case, "input_bytes": 4 * size**2 * options.channels, "programs": found}


def peak(program, size, channels, heads):
    """Memory that one call takes beyond weights and input, and what is resident at most; for a process of its own.

    Returns:
        ``{"extra_bytes": see `extra_memory`, "resident_bytes": of the whole process, ``None`` on a GPU}``.
    """
    from peak_memory import STATUS, extra_memory

    # Traced before the memory is watched: once for both sizes, or for each.
    functions = {n: make_function(program, n, channels, heads) for n in (TINY, size)}

    def prepare(n):
        x = features(n, channels)

        def run():
            result = functions[n](x)
            wait(result)
            return result

        return run

    extra = extra_memory(prepare, TINY, size)
    if gpus():
        return {"extra_bytes": extra, "resident_bytes": None}
    # The high-water mark, which was set back before the call.
    return {"extra_bytes": extra, "resident_bytes": 1024 * int(re.search(r"VmHWM:\s+(\d+)", STATUS.read_text())[1])}


def times_table(rows, names):
    """Markdown table, one line a size."""
    header = ["pixels", *names, *(f"{name} / {SPARSE}" for name in names[1:])]
    lines = []
    for row in rows:
        found = [row["programs"].get(name) for name in names]
        lines.append([_pixels(row["size"]), *(spread(one, 1e3) for one in found), *map(ratio, found[1:])])
    return markdown(header, lines)


def growth_table(found):
    """Markdown table, one line a program."""
    lines = []
    for one in found:
        low, high = map(digits, one["exponent_quartiles"])
        exponent = f"{digits(one['exponent'])} ({low} to {high})"
        sides = map(_pixels, one["sizes"])
        lines.append([one["program"], *sides, digits(one["ratio"]), exponent, digits(one["weights_exponent"])])
    return markdown(["program", "from", "to", "times as long", "exponent", "exponent of the weights"], lines)


def memory_table(rows, names):
    """Markdown table: memory in MB beyond the input, and in brackets all that is resident; one line a size."""
    lines = []
    for row in rows:
        cells = []
        for name in names:
            found = row["programs"].get(name)
            extra, resident = (found and found[key] for key in ("extra_bytes", "resident_bytes"))
            # Not known of a GPU.
            whole = f" ({digits(resident / 1e6)})" if resident else ""
            cells.append(ABSENT if found is None else f"{digits(extra / 1e6)}{whole}")
        lines.append([_pixels(row["size"]), digits(row["input_bytes"] / 1e6), *cells])
    table = markdown(["pixels", "input (MB)", *(f"{name} (MB)" for name in names)], lines)
    return f"{table}\n\nBeyond the input and the weights; in brackets all that is resident."


def _pixels(size):
    return f"{size} x {size}"


if __name__ == "__main__":
    run_script(main)
