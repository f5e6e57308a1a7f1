"""The notebooks in ``examples`` run from top to bottom, and what is committed of them is their result."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

if not (find_spec("nbclient") and find_spec("ipykernel")):
    pytest.skip("nbclient and ipykernel are not installed", allow_module_level=True)

import nbformat
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
# The commands that the others have, too; of slices docs/interpolation.md is run. The others take as long each.
QUICK = ("denoise_2d",)
# A line of a table of scores: a method, and its PSNR or the Dice ratio of its membranes.
SCORE = re.compile(r"^(\S.*?) +(?:PSNR|Dice of membranes) ([\d.]+)", re.MULTILINE)
OURS = {"AEANet", "SSAN"}
# Nothing is left of the notebook before. Two steps take less time than tracing and compiling them.
BEGIN = """
import os
from aeanet_tf.startup import load_backend

load_backend()
import tensorflow as tf

tf.config.run_functions_eagerly(True)
os.chdir({folder!r})
get_ipython().run_line_magic("reset", "-f")
"""


def read(path):
    return nbformat.read(path, as_version=4)


def outputs(path):
    return [output for cell in read(path).cells for output in cell.get("outputs", ())]


def printed(path):
    return "".join(output.text for output in outputs(path) if output.output_type == "stream")


@pytest.fixture(scope="module")
def kernel():
    """One for all notebooks: most of the time of a short one is the import of TensorFlow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEANET_NOTEBOOK_STEPS", "2")
        for name in ("AEANET_W2S", "AEANET_PLANARIA", "AEANET_FLYWING", "AEANET_ISBI2012"):
            patch.delenv(name, raising=False)
        manager, client = start_new_kernel(kernel_name="python3")
    yield manager
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=() if path.stem in QUICK else pytest.mark.slow) for path in NOTEBOOKS],
)
def test_runs_from_top_to_bottom(path, kernel, tmp_path):
    notebook = read(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(BEGIN.format(folder=str(tmp_path))))
    NotebookClient(notebook, km=kernel, timeout=300).execute()
    assert list(tmp_path.glob("models/*/TF_SavedModel.zip")) and list(tmp_path.glob("models/*/weights_best.h5"))


def test_there_is_one_for_each_task():
    tasks = {"denoise_2d", "denoise_3d", "projection", "membranes", "slice_repair", "care_to_fiji"}
    assert set(NAMES) == tasks
    tutorials = ROOT / "docs" / "tutorials"
    assert {path.stem: path.resolve() for path in tutorials.glob("*.ipynb")} == dict(zip(NAMES, NOTEBOOKS, strict=True))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_is_committed_with_its_results(path):
    notebook = read(path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in output.get("data", {}) for output in outputs(path)) >= 3
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs(path))
    assert notebook.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    # Of whoever executed it.
    texts = printed(path) + "".join(output.get("data", {}).get("text/plain", "") for output in outputs(path))
    assert not re.search(r"(?<![\w.])/(?:home|work|tmp|Users|root|usr|opt)/|[A-Z]:\\", texts)
    assert path.stat().st_size < 600_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_shows_a_network_that_is_better_than_simple_methods(path):
    scores = {name: float(value) for name, value in SCORE.findall(printed(path))}
    ours = [name for name in scores if name in OURS]
    assert len(ours) == 1 and len(scores) >= 3
    assert all(scores[ours[0]] > value for name, value in scores.items() if name not in OURS), scores


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_says_first_what_its_data_are_and_links_to_what_is_there(path):
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    assert re.search(r"\*\*The data(?: are simulated by us\*\*|: real tissue, simulated noise\.\*\*)", texts[0])
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]+)(?:#([^)]*))?\)", "\n".join(texts)):
        document = path.parent / target
        assert document.is_file(), target
        headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings]
