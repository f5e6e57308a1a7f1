"""Losses to train with, as configurations name them; nothing heavy is imported."""

RESTORATION_LOSSES = ("mae", "mse", "charbonnier", "laplace")
"""Of image to image: `aeanet_tf.training.losses.get_loss`."""

SEGMENTATION_LOSSES = ("cross_entropy", "dice", "cross_entropy_dice")
"""Of image to classes: `aeanet_tf.training.losses.get_segmentation_loss`."""

INTERPOLATION_LOSSES = ("pixel", "feature", "style")
"""Of a slice from its neighbours: `aeanet_tf.training.interpolation_losses.InterpolationLoss`."""
