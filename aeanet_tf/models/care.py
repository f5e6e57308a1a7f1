"""CSBDeep's CARE with public names for what the package needs of it; nothing else reads its private ones."""

import io
import json
import os
import warnings
from pathlib import Path

import h5py
import numpy as np
from csbdeep.models import CARE
from csbdeep.models.base_model import save_weights_to_hdf5_group
from csbdeep.utils import axes_check_and_normalize

from aeanet_tf.errors import InputError, one_line, short
from aeanet_tf.files import read_json, replacing, write_text
from aeanet_tf.models.folder import is_care, weight_files
from aeanet_tf.models.scale_calibration import calibration_of
from aeanet_tf.models.weights_file import load_weights


class PublicCARE(CARE):
    """What all our models have of CSBDeep's.

    Class attributes:
        config_class: of their configurations.
        of_csbdeep: whether the network is one of CSBDeep's.

    Attributes: those of CARE; ``axes_out``, the axes of the network's output: all of ``config.axes`` but one that is
        projected; ``calibration``, the `ScaleCalibration` of a probabilistic model, ``None`` where its folder has none.
    """

    config_class = calibration = None
    of_csbdeep = False
    # Normaliser and resizer, in place of None those that do nothing; with a warning where nothing is mapped back.
    checked_normalizer = CARE._check_normalizer_resizer
    # A function of an array of axes that gives it the network's; and of a prediction, the image's again.
    permutation = CARE._make_permute_axes

    def __init__(self, config, name, basedir):
        build = self._build
        self._build = lambda: self.checked(build())
        super().__init__(config, name, basedir)
        # That of the class again: CSBDeep calls it once.
        del self._build
        self.axes_out = axes_check_and_normalize(self._axes_out)

    def checked(self, network):
        """The network of the model for what ``_build`` of its class gave."""
        return network

    @property
    def builds_its_own(self):
        """Whether ``_build`` is that of a user's class."""
        module = type(self)._build.__module__ or ""
        return module.partition(".")[0] not in ("aeanet_tf", "csbdeep")

    @property
    def prepared(self):
        """Whether the network is compiled and the callbacks are made, by us or by the user's script."""
        return self._model_prepared

    @prepared.setter
    def prepared(self, value):
        self._model_prepared = value

    def checkpoint_callbacks(self):
        """The callbacks that save weights: ``_checkpoint_callbacks``, which users' classes may override."""
        return [] if self.basedir is None else list(self._checkpoint_callbacks())

    @property
    def receptive_radius(self):
        """How far the convolutions of the network see, in pixels along each of its spatial axes."""
        return tuple(map(int, self.stages(None).stages[0].radius))

    def load_weights(self, name="weights_best.h5"):
        """Load the weights of a file in the model folder.

        Raises:
            InputError: there is none, it is damaged, its weights are those of another network, or some are NaN or
                infinite. Of the latter the network takes none.
        """
        if self.basedir is None:
            warnings.warn("load_weights: the model has no folder (basedir is None), nothing is loaded", stacklevel=2)
            return
        kept = self.keras_model.get_weights()
        self._read_weights(self.logdir / name)
        for variable in self.keras_model.weights:
            if not np.isfinite(np.asarray(variable)).all():
                self.keras_model.set_weights(kept)
                raise InputError(
                    f"{self.logdir / name}: {variable.path}: found NaN or infinite weights, expected finite ones; the "
                    "training diverged, or the file is damaged"
                )
        self.calibration = calibration_of(self)

    def write_weights(self, path):
        """Write the weights of the network to a file in CSBDeep's format; in Keras's where the name ends in
        ``.weights.h5``.

        In memory first: HDF5 leaves tracebacks, and files open, where the disk is full.
        """
        if str(path).endswith(".weights.h5"):
            self.keras_model.save_weights(str(path))
            return
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            save_weights_to_hdf5_group(file, self.keras_model)
        Path(path).write_bytes(content.getbuffer())

    def finish_training(self, last=True):
        """Save the last weights, if there are any to save, and load the best ones; nothing without a folder.

        Raises:
            WriteError: the file cannot be written; an earlier one is as it was.
        """
        if self.basedir is None:
            return
        if last and self.config.train_checkpoint_last is not None:
            with replacing(self.logdir / self.config.train_checkpoint_last) as partial:
                self.write_weights(partial)
        if self.config.train_checkpoint is not None and weight_files(self.logdir):
            print()
            self._find_and_load_weights(self.config.train_checkpoint)

    def configuration_class(self):
        """The class of configurations that are read: ``_config_class``, which users' classes may override."""
        theirs = self._config_class
        return theirs if issubclass(theirs, self.config_class) else self.config_class.extended_by(theirs)

    def write_config(self):
        """Write ``config.json``.

        Raises:
            InputError: a field that JSON cannot hold.
        """
        config, fields = self.config, dict(vars(self.config))
        if self.configuration_class() is self.config_class is not type(config):
            # Fields that a class of the user's has set itself, of which the one that reads them does not know.
            known = self.config_class(config.axes, config.n_channel_in, config.n_channel_out, config.probabilistic)
            own = sorted(set(fields) - set(vars(known)) - {"own_fields"})
            fields |= {"own_fields": own} if own else {}
        for name, value in fields.items():
            try:
                json.dumps(value, default=_plain)
            except (TypeError, ValueError):
                raise InputError(f"config.{name}: found {short(value)}, expected what JSON can hold") from None
        write_text(self.logdir / "config.json", json.dumps(fields, default=_plain))

    def _read_weights(self, path):
        load_weights(self.keras_model, path)

    # What CSBDeep's own methods call.

    def _set_logdir(self):
        if self.basedir is None:
            super()._set_logdir()
            return
        self.logdir = self.basedir / self.name
        path = self.logdir / "config.json"
        if self.config is None:
            if not os.path.exists(path):
                raise FileNotFoundError(f"{path.absolute()}: no such file, expected the configuration of a model")
            self.config = self._read_config(path)
            return
        # CSBDeep's own leaves half a file behind where it is killed, or the disk is full.
        if self.logdir.exists():
            warnings.warn(f"output path for model already exists: {self.logdir}", stacklevel=4)
        self.write_config()

    def _read_config(self, path):
        fields = read_json(path)
        if is_care(fields) and not self.of_csbdeep:
            raise InputError(
                f"{path}: the model of a CSBDeep CARE, expected that of an {type(self).__name__}; CARENet of "
                "aeanet_tf.models opens it, and so do all commands"
            )
        config_class = self.configuration_class()
        try:
            config = config_class(**config_class.update_loaded_config(fields))
            valid, invalid = config.is_valid(return_invalid=True)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        # CSBDeep does not look at what it is given.
        except Exception as error:
            raise InputError(f"{path}: not the configuration of this model ({one_line(error, 200)})") from error
        if not valid:
            raise InputError(f"{path}: found values that mean nothing for {', '.join(invalid)}")
        return config

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


def _plain(value):
    """NumPy's numbers and arrays, and paths, as JSON has them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError
