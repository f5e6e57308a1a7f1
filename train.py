"""Twin of `aeanet train`."""

from aeanet_tf.cli.main import run_command

if __name__ == "__main__":
    run_command("train")
