"""A network of the library beside the same in plain Keras, by the instructions that oneDNN may use.

oneDNN, which computes TensorFlow's convolutions on x86, chooses its kernels by what the processor has. Here it is told
to take less (``ONEDNN_MAX_CPU_ISA``), which is how it works on an older processor but for clock rates and memory, and
to leave everything to Eigen ("off", ``TF_ENABLE_ONEDNN_OPTS=0``: what TensorFlow does where it was built without
oneDNN). What is compared is that of networks.py, each set in a process of its own: compare along a row, rather than
along a column.

    python benchmarks/instruction_sets.py [--output instruction_sets.json]
    python benchmarks/instruction_sets.py --sets AVX2 off --predict-size 256 256 --step-size 4 64 64
"""

from types import SimpleNamespace

from fresh import call_apart
from hardware import instructions
from networks import measure, parse_sizes
from options import add_network, check_positive, given, make_parser
from tables import digits, markdown, quiet, run_script, section, spread, write_results

from aeanet_tf.errors import InputError

# Highest first: name of oneDNN -> the flag that Linux has for it.
SETS = {"AVX512_CORE": "avx512f", "AVX2": "avx2", "SSE41": "sse4_1", "off": None}
NAMES = ("aeanet_tf", "plain")


def main(argv=None):
    """Measure set by set, print the table, and write the numbers where asked to."""
    options = parse(argv)
    check_positive(options)
    names = options.sets or available()
    found = {"options": given(options), "sets": {}}
    for name in names:
        with quiet():
            found["sets"][name] = call_apart("instruction_sets:measured", environment(name), **arguments(options))
    first = next(iter(found["sets"].values()))
    section("Instruction sets", first["hardware"])
    section("Prediction and training steps (s)", times_table(found["sets"]))
    write_results(options.output, found)


def parse(argv):
    """The options of the command line."""
    parser = make_parser(__doc__, rounds=9, seconds=40)
    add_network(parser)
    parser.add_argument("--preset", default="aeanet-em", metavar="NAME", help="(aeanet-em)")
    parser.add_argument("--sets", nargs="+", metavar="SET", help=f"of {', '.join(SETS)}; those of this processor")
    parse_sizes(parser)
    options = parser.parse_args(argv)
    for name in options.sets or ():
        if name not in SETS:
            raise InputError(f"--sets: {name}, expected some of {', '.join(SETS)}")
    return options


def available():
    """The sets of this processor; where it does not tell, all of oneDNN's below the highest."""
    flags = instructions()
    return [name for name, flag in SETS.items() if flag is None or not flags or flag in flags]


def environment(name):
    """Variables with which a process uses a set."""
    return {"TF_ENABLE_ONEDNN_OPTS": "0"} if name == "off" else {"ONEDNN_MAX_CPU_ISA": name}


def arguments(options):
    """What `measured` takes, of the options."""
    kept = ("preset", "network", "predict_size", "step_size", "rounds", "seconds")
    return {name: getattr(options, name) for name in kept}


def measured(**options):
    """The machine, in a line, and the rows of a preset; in a process that has its instructions already."""
    from hardware import facts, line
    from networks import make_case

    options = SimpleNamespace(**options)
    return {"hardware": line(facts()), "rows": measure(*make_case(options.preset, options), options, NAMES)}


def times_table(sets):
    """Markdown table, one line a set and task."""
    lines = []
    for name, found in sets.items():
        for row in found["rows"]:
            own, plain = (row["programs"][program] for program in NAMES)
            size = " x ".join(map(str, row["size"]))
            lines.append([name, row["task"], size, spread(own), spread(plain), digits(1 / plain["ratio"])])
    return markdown(["instructions", "", "size", *NAMES, "aeanet_tf / plain"], lines)


if __name__ == "__main__":
    run_script(main)
