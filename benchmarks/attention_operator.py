"""Time and memory of global attention, by moments and otherwise, over the number of positions.

Four programs for `GlobalAttention(size="same", num_heads=2)`, described in attention_programs.py: from moments, with
queries, keys and values formed, with the attention matrix of all pairs, and Keras's softmax attention. They run in turn
in one process as compiled functions, forward, and forward with the gradients of input and weights. The first three are
checked to agree (1e-3) at the smallest length, gradients included.

* Time: median and quartiles in ms, and what the others take relative to moments.
* Memory: by how much the resident memory (on a GPU: TensorFlow's) grows at most during one call, beyond input, output
  gradient and weights, which are there before; what is given back counts. Each in a process of its own, see
  peak_memory.py. In units of the input, 4 bytes a number.
* Linearity: time a position, relative to that at 65,536 positions (or the most that were measured, without them).
* `--roofline`: arithmetic and memory traffic a second, as roofline.py counts them, against what the device achieves.

A dash stands where an attention matrix would exceed --memory, and where the program would not fit into the memory.

    python benchmarks/attention_operator.py [--roofline] [--output attention.json]
    python benchmarks/attention_operator.py --lengths 1024 65536 --channels 64 --peaks --rounds 3
    KERAS_BACKEND=jax python benchmarks/attention_operator.py --peaks    # times only: memory is TensorFlow's
"""

from itertools import product

from attention_tables import linearity_table, memory_table, roofline_table, times_table
from fresh import call_apart
from hardware import facts, line
from options import check_positive, given, make_parser
from tables import digits, quiet, run_script, section, write_results
from timing import alternate, clocked, summary

from aeanet_tf.errors import InputError

LENGTHS = (1024, 4096, 16384, 65536, 262144, 1048576)
CHANNELS = (32, 64, 128, 256)
MODES = ("forward", "forward+backward")


def main(argv=None):
    """Check, measure, print the tables, and write the numbers where asked to."""
    options = parse(argv)
    check_positive(options, "lengths", "channels", "peaks", "matrix", "array")
    for channels in (*options.channels, *options.peaks):
        if channels % 2:
            raise InputError(f"--channels, --peaks: {channels}, expected even numbers, for two heads")
    found = {"hardware": facts(), "options": given(options)}
    import attention_programs as programs

    if options.peaks and found["hardware"]["backend"] != "tensorflow":
        raise InputError("--peaks: memory is measured on TensorFlow only, give no numbers on another backend")
    section("Attention operator", line(found["hardware"]))
    with quiet():
        cases = product([min(options.lengths)], options.channels, options.modes)
        found["largest_difference"] = max(programs.check_programs(*case) for case in cases)
    found["times"] = []
    for mode in options.modes:
        with quiet():
            rows = [time_row(options, *case, mode) for case in product(options.channels, options.lengths)]
        section(f"Time, {mode} (ms)", times_table(rows, programs.PROGRAMS))
        found["times"] += rows
        # What is there is kept if the rest, which takes minutes, is stopped.
        write_results(options.output, found)
    section("Time a position", linearity_table(found["times"]))
    found["memory"] = [memory_row(options, *case) for case in product(options.modes, options.peaks, options.lengths)]
    if found["memory"]:
        section("Extra memory", memory_table(found["memory"], programs.PROGRAMS))
    if options.roofline:
        found["roofline"] = measure_roofline(options, found["times"])
    write_results(options.output, found)


def parse(argv):
    """The options of the command line."""
    parser = make_parser(__doc__, rounds=9, seconds=10)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, metavar="N", help="numbers of positions")
    parser.add_argument("--channels", type=int, nargs="+", default=CHANNELS, metavar="C", help="input and output")
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--memory", type=float, default=4, metavar="GB", help="the largest attention matrix")
    parser.add_argument(
        "--peaks",
        type=int,
        nargs="*",
        default=[64],
        metavar="C",
        help="channels to measure memory for; none: no memory",
    )
    parser.add_argument("--roofline", action="store_true", help="measure the rates of the device, too")
    parser.add_argument("--matrix", type=int, default=4096, metavar="N", help="of --roofline: size of the product")
    parser.add_argument("--array", type=int, default=2**26, metavar="N", help="of --roofline: numbers in an array")
    return parser.parse_args(argv)


def time_row(options, channels, positions, mode):
    """Times of all programs that fit, alternating; see `timing.summary`."""
    import attention_programs as programs

    arguments, measures = programs.inputs(positions, channels, mode), {}
    for name in programs.PROGRAMS:
        if programs.fits(name, positions, channels, mode, options.memory * 1e9):
            function = programs.make_function(name, channels, mode)
            if programs.starts(function, arguments):
                measures[name] = clocked(_call(function, arguments))
    # Where that one does not fit there is nothing to compare with; the others take more.
    times = alternate(measures if "moments" in measures else {}, options.rounds, options.seconds)
    return {"mode": mode, "channels": channels, "positions": positions, "programs": summary(times, "moments")}


def _call(function, arguments):
    return lambda: function(*arguments)


def memory_row(options, mode, channels, positions):
    """Extra bytes of each program that fits, each in a process of its own."""
    import attention_programs as programs

    case = {"channels": channels, "positions": positions, "mode": mode}
    extra = {}
    for name in programs.PROGRAMS:
        if programs.fits(name, positions, channels, mode, options.memory * 1e9):
            try:
                extra[name] = call_apart("attention_programs:extra_bytes", program=name, **case)
            except RuntimeError as error:
                if not programs.is_out_of_memory(error):
                    raise
    return {**case, "input_bytes": 4 * channels * positions, "extra_bytes": extra}


def measure_roofline(options, rows):
    """Rates of the device, and what each program achieved at the most positions."""
    import roofline

    with quiet():
        rates = roofline.device_rates(options.matrix, options.array, min(options.rounds, 5))
    longest = {}
    for row in rows:
        for name, times in row["programs"].items():
            # Rows ascend in length: what stays is the longest of each program.
            longest[row["mode"], row["channels"], name] = {**row, "programs": {name: times}}
    found = roofline.achieved(longest.values(), rates)
    giga = {name: digits(rate / 1e9) for name, rate in rates.items()}
    texts = [
        f"Elementwise product {giga['scale']} GB/s, sum {giga['sum']} GB/s ({options.array:,} numbers); product of "
        f"{options.matrix} x {options.matrix} matrices {giga['float32']} GFLOP/s in float32, {giga['bfloat16']} in "
        "bfloat16. Programs at the most positions that they were measured for:"
    ]
    section("Against the device", *texts, roofline_table(found))
    return {"rates": rates, "programs": found}


if __name__ == "__main__":
    run_script(main)
