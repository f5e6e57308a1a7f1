"""Execute notebooks in place, each in a temporary folder: `make notebooks`.

python examples/execute.py                              # all of them
python examples/execute.py examples/denoise_2d.ipynb

What is left in them are results: neither messages on standard error, nor times, nor what the notebook was run with.
"""

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image
from scipy.spatial import cKDTree

EXAMPLES = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# Keras's times of an epoch and of a step, which are those of the machine.
TIMES = re.compile(r" - \d+m?s - \d+m?s/step")
# Of a picture, since noise makes large files: greys, which stay grey, and those of everything else.
GREYS, COLOURS = 64, 192


def execute(path):
    """Execute a notebook and write it with its outputs."""
    notebook = nbformat.read(path, 4)
    # None of the real data sets, and the full length.
    for name in [name for name in os.environ if name.startswith("AEANET_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        options = {"timeout": 3600, "kernel_name": "python3", "coalesce_streams": True, "record_timing": False}
        NotebookClient(notebook, resources={"metadata": {"path": folder}}, **options).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = [_cleaned(output) for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, path)


def _cleaned(output):
    if output.output_type == "stream":
        lines = (TIMES.sub("", line.rstrip()) for line in output.text.splitlines())
        output.text = "".join(f"{line}\n" for line in lines if line)
    elif "image/png" in output.data:
        output.data["image/png"] = base64.b64encode(_smaller(base64.b64decode(output.data["image/png"]))).decode()
    return output


def _smaller(png):
    """A PNG with a palette."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    pixels, places = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_inverse=True)
    palette = np.repeat(np.linspace(0, 255, GREYS).round(), 3).astype(np.uint8)
    colours = np.asarray(picture).reshape(1, -1, 3)
    colours = colours[np.ptp(colours, axis=-1) > 8]
    # Common ones for pictures, and rare ones for bars of colours, which would lose their ends.
    for method in (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE) if len(colours) else ():
        palette = np.append(palette, Image.fromarray(colours[None]).quantize(COLOURS // 2, method).getpalette())
    nearest = cKDTree(palette.reshape(-1, 3)).query(pixels)[1].astype(np.uint8)
    smaller = Image.fromarray(nearest[places.ravel()].reshape(picture.size[::-1]))
    smaller.putpalette(palette.tolist())
    stream = io.BytesIO()
    smaller.save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    for argument in sys.argv[1:] or sorted(EXAMPLES.glob("*.ipynb")):
        print(argument)
        execute(Path(argument))
