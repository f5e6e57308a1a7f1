"""Training: losses, schedules, patches, batch norm statistics, resumable runs. Keras and NumPy only."""

from aeanet_tf.startup import load_backend

load_backend()

# ruff: noqa: E402  the backend comes first
from aeanet_tf.training.batch_norm import ReestimateBatchNorm, reestimate
from aeanet_tf.training.callbacks import AveragedWeights, BestWeights, CSVHistory, StopAtNaN, read_history
from aeanet_tf.training.divergence import DIVERGED_FILE, StopAtDivergence, noted_divergence
from aeanet_tf.training.early_stopping import StopEarly
from aeanet_tf.training.finished import FINISHED_FILE, finished_steps, keep_finished, take_up
from aeanet_tf.training.losses import charbonnier, get_loss, laplace, mae, mse
from aeanet_tf.training.optimisation import adam, reduce_on_plateau, seed_everything, staircase, warmup_cosine
from aeanet_tf.training.patches import PatchSampler, TripletSampler, TripletValidationSet, ValidationSet
from aeanet_tf.training.progress import ProgressBar, StopAtStep, TrainingTime
from aeanet_tf.training.resume import ResumableState

__all__ = [
    "DIVERGED_FILE",
    "FINISHED_FILE",
    "AveragedWeights",
    "BestWeights",
    "CSVHistory",
    "PatchSampler",
    "ProgressBar",
    "ReestimateBatchNorm",
    "ResumableState",
    "StopAtDivergence",
    "StopAtNaN",
    "StopAtStep",
    "StopEarly",
    "TrainingTime",
    "TripletSampler",
    "TripletValidationSet",
    "ValidationSet",
    "adam",
    "charbonnier",
    "finished_steps",
    "get_loss",
    "keep_finished",
    "laplace",
    "mae",
    "mse",
    "noted_divergence",
    "read_history",
    "reduce_on_plateau",
    "reestimate",
    "seed_everything",
    "staircase",
    "take_up",
    "warmup_cosine",
]
