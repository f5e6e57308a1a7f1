"""The experiments by name; nothing heavy is imported before one is run."""

from importlib import import_module
from typing import NamedTuple


class Experiment(NamedTuple):
    """An experiment: its module and function, and what it needs and gives, in one line."""

    module: str
    function: str
    description: str


EXPERIMENTS = {
    "table1": Experiment("paired_em", "run_table1", "AEANet paper, table I: paired EM, four networks"),
    "table2": Experiment("care", "run_table2", "AEANet paper, table II: denoising of planaria, three conditions"),
    "tribolium": Experiment("care", "run_tribolium", "GVTNet paper, section 2.3: denoising of tribolium"),
    "table3": Experiment("care", "run_table3", "AEANet paper, table III: projection of flywing, three conditions"),
    "table4": Experiment("iseg", "run", "AEANet paper, table IV: infant brains, each subject left out in turn"),
    "table5": Experiment("paired_em", "run_table5", "AEANet paper, table V: equivariance"),
    "table6": Experiment("paired_em", "run_table6", "AEANet paper, table VI: ablation of the AEA block"),
    "figure9": Experiment("paired_em", "run_figure9", "AEANet paper, figure 9: size of the predicted patches"),
    "transfer": Experiment(
        "care", "run_transfer", "GVTNet paper, figure 5: trained on one data set, tested on another"
    ),
    "figure3d": Experiment("figure3d", "run", "GVTNet paper, figure 3d: size of the predicted volumes, planaria"),
    "labelfree": Experiment("label_free", "run", "GVTNet paper, figure 2: fluorescence from transmitted light"),
    "w2s": Experiment("w2s", "run", "ours: CARE, U-Net, GVTNet and AEANets beside filters on W2S, one budget"),
    "volume": Experiment(
        "volume", "run", "ours: CARE, U-Net and AEANet on a stack with simulated noise, beside filters"
    ),
    "isotropic": Experiment("isotropic", "run", "ours: U-Net, AEANet and filters on a volume made coarse along Z"),
    "membranes": Experiment("membranes", "run", "ours: AEANet and U-Net on the membranes of ISBI 2012"),
    "interpolation": Experiment(
        "interpolation", "run", "SSAN paper, tables 1 to 4: slices from their neighbours, extractors, attention"
    ),
    "interpolation-membranes": Experiment(
        "interpolated_membranes", "run", "SSAN paper, table 5: membranes in interpolated slices"
    ),
}

TIMED = ("w2s", "volume")
"""Those that can give each training the same time."""


SELF_TRAINED = ("table1",)
"""Those that can train networks on single images, too."""


COMPARED = ("table1", "table6", "w2s", "volume")
"""Those whose networks can be chosen, with those from the literature."""


def run_experiment(name, lab):
    """Run one of `EXPERIMENTS` in a `Laboratory`, or what is left of it, and give the path of its report."""
    experiment = EXPERIMENTS[name]
    return getattr(import_module(f"aeanet_tf.experiments.{experiment.module}"), experiment.function)(lab)
