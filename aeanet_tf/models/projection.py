"""ProjectionAEANet: 3D to 2D, CSBDeep's ProjectionCARE with the attention networks inside."""

import numpy as np
from csbdeep.models import ProjectionCARE
from csbdeep.utils import axes_dict

from aeanet_tf.errors import InputError
from aeanet_tf.models.aeanet import AEANet
from aeanet_tf.models.config import ProjectionAEANetConfig


class ProjectionAEANet(AEANet, ProjectionCARE):
    """Combined projection along z and restoration, called like ``csbdeep.models.ProjectionCARE``.

    As `AEANet`, with a `ProjectionAEANetConfig`. Training targets have length 1 along the projected axis, as
    CSBDeep's ``create_patches_reduced_target`` makes them; predictions lack that axis.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import ProjectionAEANet, ProjectionAEANetConfig
        >>> small = {"filters": 4, "restoration": {"first_filters": 4}}
        >>> model = ProjectionAEANet(ProjectionAEANetConfig("ZYX", network=small), "wing", basedir=None)
        >>> model.predict(np.random.rand(3, 16, 16), "ZYX").shape
        (16, 16)
    """

    @property
    def _config_class(self):
        return ProjectionAEANetConfig

    def train(self, X, Y, validation_data, **kwargs):
        """See `AEANet.train`; ``Y`` has length 1 along the projected axis, or lacks it."""
        if isinstance(validation_data, (list, tuple)) and len(validation_data) == 2:
            validation_data = validation_data[0], self._without_projected_axis(validation_data[1], X)
        return AEANet.train(self, X, self._without_projected_axis(Y, X), validation_data, **kwargs)

    def _without_projected_axis(self, Y, X):
        if not isinstance(Y, np.ndarray) or Y.ndim < X.ndim:
            return Y
        axis = 1 + axes_dict(self.config.axes)[self.config.proj_axis]
        if Y.shape[axis] != 1:
            raise InputError(f"Y: length {Y.shape[axis]} along {self.config.proj_axis}, expected 1 after projection")
        return np.take(Y, 0, axis=axis)
