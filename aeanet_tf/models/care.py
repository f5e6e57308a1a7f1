"""CSBDeep's CARE with public names for what the package needs of it; nothing else reads its private ones."""

import warnings

import numpy as np
from csbdeep.models import CARE
from csbdeep.utils import axes_check_and_normalize

from aeanet_tf.errors import InputError
from aeanet_tf.models.folder import weight_files


class PublicCARE(CARE):
    """What all our models have of CSBDeep's.

    Class attributes:
        config_class: of their configurations.

    Attributes: those of CARE; ``axes_out``, the axes of the network's output: all of ``config.axes`` but one that is
        projected.
    """

    config_class = None
    # Normaliser and resizer, in place of None those that do nothing; with a warning where nothing is mapped back.
    checked_normalizer = CARE._check_normalizer_resizer
    # A function of an array of axes that gives it the network's; and of a prediction, the image's again.
    permutation = CARE._make_permute_axes
    # Saves the last weights and loads the best ones.
    finish_training = CARE._training_finished

    def __init__(self, config, name, basedir):
        super().__init__(config, name, basedir)
        self.axes_out = axes_check_and_normalize(self._axes_out)

    @property
    def receptive_radius(self):
        """How far the convolutions of the network see, in pixels along each of its spatial axes."""
        return tuple(map(int, self.stages(None).stages[0].radius))

    def load_weights(self, name="weights_best.h5"):
        """Load a file of weights of the model folder; see ``csbdeep.models.CARE``.

        Raises:
            InputError: some are NaN or infinite; the network keeps those that it has.
        """
        kept = self.keras_model.get_weights()
        super().load_weights(name)
        for variable in self.keras_model.weights:
            if not np.isfinite(np.asarray(variable)).all():
                self.keras_model.set_weights(kept)
                raise InputError(
                    f"{self.logdir / name}: {variable.path}: found NaN or infinite weights, expected finite ones; the "
                    "training diverged, or the file is damaged"
                )

    # What CSBDeep's own methods call.

    @property
    def _config_class(self):
        return self.config_class

    def _axes_div_by(self, query_axes):
        return self._by_axis(query_axes, self.spec.divisor, 1)

    def _axes_tile_overlap(self, query_axes):
        return self._by_axis(query_axes, self.receptive_radius, 0)

    def _by_axis(self, query_axes, values, other):
        table = dict(zip(self.config.axes.replace("C", ""), values, strict=True))
        return tuple(table.get(a, other) for a in axes_check_and_normalize(query_axes))

    def _find_and_load_weights(self, prefer="best"):
        # CSBDeep's would also take the hidden file that a killed run was writing.
        if self.basedir is None:
            return
        files = weight_files(self.logdir)
        if not files:
            warnings.warn(f"{self.logdir}: no network weights (*.h5) to load", stacklevel=3)
            return
        chosen = ([path for path in files if prefer in path.name] or files)[-1]
        print(f"Loading network weights from '{chosen.name}'.")
        self.load_weights(chosen.name)
