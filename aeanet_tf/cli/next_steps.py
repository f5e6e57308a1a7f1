"""What to do next, said where a command ends."""

import shlex


def command_line(*words):
    """The words as one line that a shell reads as these words."""
    return shlex.join(str(word) for word in words)


def say_next(*commands):
    """Print the commands that come next, one a line.

    Args:
        commands: lines as `command_line` gives them, in the order of use.
    """
    for command in commands:
        print(f"next: {command}")
