"""Pictures of predicted files, beside them."""

from pathlib import Path

from aeanet_tf.evaluation.preview import write_preview
from aeanet_tf.io.read import open_image
from aeanet_tf.runs.outputs import preview_path


def draw_preview(image, target, labels=False):
    """Draw input and prediction, unless there is a picture that is newer than the prediction.

    Args:
        image: the `Image` of the input, which may be lazy.
        target: path of the prediction.
        labels: whether it is labels of classes.

    Returns:
        The path of the picture.

    Raises:
        InputError: the prediction cannot be read, or the picture not be written.
    """
    path, target = preview_path(target), Path(target)
    if not (path.is_file() and path.stat().st_mtime >= target.stat().st_mtime):
        write_preview(path, image, open_image(target), labels=labels)
    return path
