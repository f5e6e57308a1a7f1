"""What to do next, said where a command ends."""

import shlex

from aeanet_tf.errors import escaped


def command_line(*words):
    """The words as one line that a shell reads as these words."""
    return shlex.join(str(word) for word in words)


def say_next(*commands):
    """Print the commands that come next, one a line.

    Args:
        commands: lines as `command_line` gives them, in the order of use.
    """
    for command in commands:
        # Names may hold what moves a terminal's cursor.
        print(f"next: {escaped(command)}")
