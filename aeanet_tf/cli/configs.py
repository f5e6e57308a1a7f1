"""``aeanet configs``: the run configurations that come with the package."""

from aeanet_tf.cli.next_steps import say_next

HELP = "list the run configurations that come with the package"
DESCRIPTION = """\
List the run configurations that `aeanet train --config NAME` knows, each with what it trains and the paper that it
follows; or show one of them, as a file to begin one's own with."""


def add_arguments(parser):
    """Add the arguments of the command."""
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--show", metavar="NAME", help="print this configuration, and nothing else")
    shown.add_argument(
        "--schema", action="store_true", help="print the JSON schema of configurations, and nothing else, for editors"
    )


def run(args):
    """List, or show one."""
    import re

    from aeanet_tf.files import read_json
    from aeanet_tf.runs.shipped import SCHEMA, find_config, first_sentence, shipped_configs

    if args.schema:
        from aeanet_tf.runs.schema import schema_text

        print(schema_text(), end="")
        return
    if args.show is not None:
        path = find_config(args.show)
        read_json(path)
        # A mark of Windows' editors is none of the text. The schema is not beside the file that this becomes.
        text = path.read_bytes().decode("utf-8-sig")
        print(re.sub(r'("\$schema": *)"(?:\.\./)*schema\.json"', rf'\1"{SCHEMA.as_uri()}"', text, count=1), end="")
        return
    shipped = shipped_configs()
    width = max(map(len, shipped))
    for name, path in shipped.items():
        description = read_json(path)["description"]
        print(f"{name:{width}}  {first_sentence(description)}")
    say_next("aeanet train --config NAME --data FOLDER", "aeanet new NAME --data FOLDER, for images of your own")
