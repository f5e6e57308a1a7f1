"""Pictures of the napari plugin at work, for the documentation: a prediction, and a training on two layers.

    python examples/napari_screenshot.py --model models/w2s --data data/w2s --output docs/images

The model is that of ``aeanet train --config w2s``. A screen with OpenGL is needed; without one:
``xvfb-run -s "-screen 0 1600x1000x24" python examples/napari_screenshot.py ...``
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from napari.qt import get_qapp
from PIL import Image

from aeanet_tf.io.read import find_images, read_image
from aeanet_tf.napari.predict_widget import PredictWidget
from aeanet_tf.napari.train_widget import TrainWidget

SIZE = 1200, 760


def wait(widget, seconds=1200):
    """Let the window work until the widget's job has ended."""
    end = time.monotonic() + seconds
    while widget.running:
        pause(0.05)
        if time.monotonic() > end:
            raise SystemExit(f"not done: {widget.line.text()}")
    pause(2)


def pause(seconds):
    """Let the window work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        get_qapp().processEvents()
        time.sleep(0.01)


def picture(viewer, path):
    """A picture of the whole window, of 256 colours."""
    viewer.reset_view()
    pause(2)
    shown = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(shown[..., :3]).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def new_viewer(widget_class, name, width):
    """A window with two images, one below the other, and a form."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    widget = widget_class(viewer)
    dock = viewer.window.add_dock_widget(widget, name=name, area="right")
    dock.setMinimumWidth(width)
    grid = viewer.canvas.grid
    grid.enabled, grid.shape, grid.stride = True, (2, 1), 1
    return viewer, widget


def prediction(model, data, path):
    """A held-out frame beside what the model makes of it."""
    viewer, widget = new_viewer(PredictWidget, "AEANet: Predict", 330)
    low = read_image(find_images(Path(data) / "test" / "low")[0]).array
    layer = viewer.add_image(low, name="frame", colormap="gray")
    widget.model.folder.value = model
    widget.on_start()
    wait(widget)
    result = viewer.layers[-1]
    # Both on one scale of grey.
    layer.contrast_limits = result.contrast_limits = np.percentile(result.data, (0.5, 99.8))
    picture(viewer, path)
    viewer.close()


def points(widget):
    """How many validations the curve of a training shows."""
    return len(widget.figure.axes[0].lines[0].get_xdata()) if widget.figure.axes else 0


def training(data, path):
    """A short training on two layers."""
    viewer, widget = new_viewer(TrainWidget, "AEANet: Train", 360)
    for side, name in (("low", "frames"), ("GT", "truth")):
        paths = find_images(Path(data) / "train" / side)[:6]
        stack = np.stack([read_image(file).array[128:384, 128:384] for file in paths])
        viewer.add_image(stack, name=name, colormap="gray", contrast_limits=np.percentile(stack, (0.5, 99.8)))
    widget.low.value, widget.gt.value = viewer.layers["frames"], viewer.layers["truth"]
    widget.first_filters.value, widget.steps.value, widget.name.value = 8, 400, "w2s_layers"
    with tempfile.TemporaryDirectory() as folder:
        # A short name to show.
        os.chdir(folder)
        widget.basedir.value = "models"
        widget.on_start()
        while widget.running and points(widget) < 8:
            pause(0.05)
        picture(viewer, path)
        widget.stop()
        wait(widget)
        os.chdir("/")
    viewer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the model of the configuration w2s")
    parser.add_argument("--data", required=True, help="folder of the data set w2s")
    parser.add_argument("--output", default="docs/images", help="folder of the pictures")
    args = parser.parse_args()
    output = Path(args.output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    prediction(args.model, args.data, output / "napari_predict.png")
    training(Path(args.data).absolute(), output / "napari_train.png")


if __name__ == "__main__":
    main()
