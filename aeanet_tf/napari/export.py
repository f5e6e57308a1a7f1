"""Export for the plugin: what ``aeanet export`` does, without a command line."""

import argparse
from pathlib import Path

from aeanet_tf.cli import export as command
from aeanet_tf.cli.export import FORMATS
from aeanet_tf.napari.backend import load_beside_opengl
from aeanet_tf.napari.watch import Progress, remarks

__all__ = ["FORMATS", "default_target", "export_model"]


def default_target(folder, name):
    """Where a model is exported to in the format of this name, where nothing else is said."""
    folder = Path(folder)
    return folder / FORMATS[name][0].format(name=folder.name)


def export_model(folder, name, target, watch, authors="", license="", description=""):
    """Export the model of a folder.

    Args:
        folder: of the model.
        name: of the format, one of `FORMATS`.
        target: file or folder to write.
        watch: a `Watch`.
        authors: of a package of the BioImage Model Zoo, separated by semicolons.
        license, description: of such a package; the license is an SPDX identifier such as "CC-BY-4.0".

    Returns:
        The path that was written.

    Raises:
        InputError: a model that cannot be loaded or exported, a package without author or license.
    """
    words = ["--model", str(folder), "--format", name, "--output", str(target)]
    if name == "bioimageio":
        for author in filter(None, map(str.strip, authors.split(";"))):
            words.append(f"--author={author}")
        words += [f"--{key}={text}" for key, text in (("license", license), ("description", description)) if text]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with remarks(watch):
        watch.tell(Progress("loading TensorFlow, the model, and exporting it"))
        load_beside_opengl()
        command.run(parser.parse_args(words))
    return Path(target)
