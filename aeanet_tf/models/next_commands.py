"""What to run with a trained model: said by the report of its training, and where the command ends that trained it."""

_SUFFIXES = {"fiji": ".zip", "onnx": ".onnx"}


def report_path(model):
    """Path of the report in the folder of a model; ``None`` where none was written."""
    from aeanet_tf.reports.page import PAGE

    path = model.logdir / PAGE
    return path if path.is_file() else None


def commands_after_training(model):
    """Commands that use a model, each a tuple of words; what is in capitals is for the user to fill in.

    Args:
        model: an `AEANet` with a folder.
    """
    folder = str(model.logdir)
    if model.interpolates:
        repair = ("aeanet", "interpolate", "--model", folder, "--input", "STACK.tif")
        return [(*repair, "--output", "repaired.tif", "--missing", "5")]
    form = "fiji" if model.spec.upscale == 1 else "onnx"
    return [
        ("aeanet", "predict", "--model", folder, "--input", "IMAGES", "--output", "restored"),
        ("aeanet", "export", "--model", folder, "--format", form, "--output", f"{model.name}{_SUFFIXES[form]}"),
    ]
