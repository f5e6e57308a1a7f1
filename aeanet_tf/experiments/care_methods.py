"""The data sets of CARE and what is trained on them: CSBDeep's own CARE, and U-Net, GVTNet and AEANet."""

from functools import partial

from aeanet_tf.datasets.care import care_test_images
from aeanet_tf.errors import InputError
from aeanet_tf.experiments.care_rival import CareRun, OwnCARE, ProjectingCARE
from aeanet_tf.experiments.laboratory import Case, Method
from aeanet_tf.runs.train import count_parameters, load_data, model_config

CARE = "CARE"
CONDITIONS = ("C3", "C2", "C1")
FOLDERS = {"planaria": "Denoising_Planaria", "tribolium": "Denoising_Tribolium", "flywing": "Projection_Flywing"}
# Suffix of the presets.
NETWORKS = {"planaria": "care", "tribolium": "care", "flywing": "flywing"}
# CSBDeep's default: 100 epochs of 400 steps.
CARE_STEPS = 40_000


def methods(dataset):
    """U-Net, GVTNet and AEANet for a data set."""
    network = NETWORKS[dataset]
    return [
        Method(label, key, f"{key}-{network}")
        for label, key in (("U-Net", "unet"), ("GVTNet", "gvtnet"), ("AEANet", "aeanet"))
    ]


def own_care(dataset, batch_size=16):
    """CSBDeep's CARE for a data set with its default configuration: a ``CARE``, for flywing a ``ProjectionCARE``."""
    kind = ProjectingCARE if dataset == "flywing" else OwnCARE
    return kind(CARE, f"{dataset}-care", "ZYX", batch_size)


def care_runs(lab, dataset, root):
    """A `CareRun` for each seed, on the patches that our methods are trained on, and validated on the same.

    As many steps as CSBDeep's examples have, shortened by the budget.
    """
    batch_size = min(16, lab.budget.batch_size or 16)
    steps = lab.budget.steps or max(1, round(lab.budget.fraction * CARE_STEPS))
    config = lab.config(dataset, methods(dataset)[0], lab.seeds[0], root)
    patches = partial(_patches, config)
    return [CareRun(own_care(dataset, batch_size), lab, seed, steps, patches) for seed in lab.seeds]


def _patches(config):
    images = load_data(config.data, model_config(config))
    return (images.X, images.Y), images.validation


def care_note(runs):
    """A paragraph on what was trained, of `care_runs`."""
    care, steps = runs[0].care, runs[0].care.steps(runs[0].steps)
    model = care.untrained()
    return (
        f"{CARE}: CSBDeep's own {type(model).__name__} with its default configuration "
        f"({count_parameters(model):,} parameters, mean absolute error, Adam at {model.config.train_learning_rate:g}, "
        f"halved after {care.patience} epochs that bring nothing), {steps:,} steps of {care.batch_size} on the same "
        "patches as the others. It is what the paper's tables call U-Net; U-Net here has the blocks of GVTNet."
    )


def dataset_root(folder, dataset, among_others=False):
    """The folder of one of `FOLDERS`: that of the owner's name in ``folder``, or ``folder`` itself.

    With ``among_others`` it cannot be ``folder`` itself, because others have to be there, too.

    Raises:
        InputError: there is no ``train_data``.
    """
    named = folder / FOLDERS[dataset]
    for root in (named,) if among_others else (named, folder):
        if (root / "train_data").is_dir():
            return root
    itself = "" if among_others else " and no train_data"
    raise InputError(f"--data: {folder} has no {FOLDERS[dataset]}/train_data{itself}; see docs/datasets.md")


def test_images(root, budget):
    """A `Case` for each test image and condition."""
    images = budget.some(care_test_images(root))
    return [
        Case(
            image.name,
            lambda i=image, c=condition: (i.read(c), i.read("GT")),
            "ZYX",
            condition,
            files=(image.path(condition), image.path("GT")),
        )
        for image in images
        for condition in CONDITIONS
    ]
