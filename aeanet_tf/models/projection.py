"""ProjectionAEANet: 3D to 2D, CSBDeep's ProjectionCARE with the attention networks inside."""

import numpy as np
from csbdeep.models import ProjectionCARE
from csbdeep.utils import axes_dict

from aeanet_tf.errors import InputError
from aeanet_tf.models.aeanet import AEANet
from aeanet_tf.models.sibling_configs import ProjectionAEANetConfig


class ProjectionAEANet(AEANet, ProjectionCARE):
    """Combined projection along z and restoration, called like ``csbdeep.models.ProjectionCARE``.

    As `AEANet`, with a `ProjectionAEANetConfig`. Training targets have length 1 along the projected axis, as
    CSBDeep's ``create_patches_reduced_target`` makes them, or lack it; predictions lack that axis.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import ProjectionAEANet, ProjectionAEANetConfig
        >>> small = {"filters": 4, "restoration": {"first_filters": 4}}
        >>> model = ProjectionAEANet(ProjectionAEANetConfig("ZYX", network=small), "wing", basedir=None)
        >>> model.predict(np.random.rand(3, 16, 16), "ZYX").shape
        (16, 16)
    """

    config_class = ProjectionAEANetConfig
    purpose, tags = "projects 3D stacks to 2D and restores microscopy images", (*AEANet.tags, "projection")

    @classmethod
    def prepared_data(cls, config, X, Y, validation_data, steps=None, augmenter=None):
        """See `AEANet.prepared_data`; ``Y`` has length 1 along the projected axis, or lacks it."""
        if isinstance(validation_data, (list, tuple)) and len(validation_data) == 2:
            validation_data = validation_data[0], _without_projected_axis(config, validation_data[1])
        Y = _without_projected_axis(config, Y)
        return super().prepared_data(config, X, Y, validation_data, steps, augmenter)


def _without_projected_axis(config, Y):
    # Axes of an image, and that of the images.
    if not isinstance(Y, np.ndarray) or Y.ndim != len(config.axes) + 1:
        return Y
    axis = 1 + axes_dict(config.axes)[config.proj_axis]
    if Y.shape[axis] != 1:
        raise InputError(f"Y: length {Y.shape[axis]} along {config.proj_axis}, expected 1 after projection")
    return np.take(Y, 0, axis=axis)
