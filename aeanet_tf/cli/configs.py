"""``aeanet configs``: the run configurations that come with the package."""

from aeanet_tf.cli.next_steps import say_next

HELP = "list the run configurations that come with the package"
DESCRIPTION = """\
List the run configurations that `aeanet train --config NAME` knows, each with what it trains and the paper that it
follows; or show one of them, as a file to begin one's own with."""


def add_arguments(parser):
    """Add the arguments of the command."""
    parser.add_argument("--show", metavar="NAME", help="print this configuration, and nothing else")


def run(args):
    """List, or show one."""
    from aeanet_tf.files import read_json
    from aeanet_tf.runs.shipped import find_config, first_sentence, shipped_configs

    if args.show is not None:
        path = find_config(args.show)
        read_json(path)
        # A mark of Windows' editors is none of the text.
        print(path.read_bytes().decode("utf-8-sig"), end="")
        return
    shipped = shipped_configs()
    width = max(map(len, shipped))
    for name, path in shipped.items():
        description = read_json(path)["description"]
        print(f"{name:{width}}  {first_sentence(description)}")
    say_next("aeanet train --config NAME --data FOLDER", "aeanet new NAME --data FOLDER, for images of your own")
