"""``aeanet configs``: the run configurations that come with the package."""

HELP = "list the run configurations that come with the package"
DESCRIPTION = """\
List the run configurations that `aeanet train --config NAME` knows, each with what it trains and the paper that it
follows; or show one of them, as a file to begin one's own with."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("--show", metavar="NAME", help="print this configuration, and nothing else")


def run(args):
    """List, or show one."""
    import json

    from aeanet_tf.runs.shipped import find_config, first_sentence, shipped_configs

    if args.show is not None:
        print(find_config(args.show).read_text(encoding="utf-8"), end="")
        return
    shipped = shipped_configs()
    width = max(map(len, shipped))
    for name, path in shipped.items():
        description = json.loads(path.read_text(encoding="utf-8"))["description"]
        print(f"{name:{width}}  {first_sentence(description)}")
