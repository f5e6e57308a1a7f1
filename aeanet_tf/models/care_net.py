"""CARENet: the models that CSBDeep's own CARE has trained, with our prediction and exports."""

from csbdeep.models import Config

from aeanet_tf.errors import InputError
from aeanet_tf.models.aeanet import AEANet
from aeanet_tf.models.projection import ProjectionAEANet
from aeanet_tf.models.weights_file import load_ordered_weights
from aeanet_tf.networks.care_spec import CAREProjectionSpec, CARESpec


class CARENetConfig(Config):
    """Configuration of a `CARENet`: the fields of CSBDeep's ``Config``, or of its ``ProjectionConfig``.

    Args:
        axes, n_channel_in, n_channel_out, probabilistic, kwargs: CSBDeep's. With a field that begins with ``proj_`` it
            is the configuration of a network that projects a stack.

    Raises:
        InputError: a field that is wrong (it is named). Of fields that CSBDeep does not know AttributeError.

    Example:
        >>> from aeanet_tf.models import CARENetConfig
        >>> CARENetConfig("ZYX", unet_n_depth=3).spec.divisor
        (8, 8, 8)
    """

    # What predictions and exports ask of all configurations.
    preset, labels, learns_intensities = "CARE", None, True
    train_devices = train_seed = None

    def __init__(self, axes="YX", n_channel_in=1, n_channel_out=1, probabilistic=False, **kwargs):
        super().__init__(axes, n_channel_in, n_channel_out, probabilistic)
        if any(name.startswith("proj_") for name in kwargs):
            self.proj_axis = "Z"
            for name, value in CAREProjectionSpec().model_dump().items():
                setattr(self, f"proj_{name}", value)
        kwargs.pop("n_dim", None)
        self.update_parameters(False, **kwargs)
        CARESpec.of_configuration(vars(self))

    @classmethod
    def from_csbdeep(cls, config):
        """The same fields."""
        return cls(**vars(config))

    @property
    def spec(self):
        """The `CARESpec`."""
        return CARESpec.of_configuration(vars(self))

    @property
    def network(self):
        """The spec as plain data."""
        return self.spec.model_dump(mode="json")

    @property
    def projected_axis(self):
        """Index of the spatial axis of the input that predictions lack, ``None`` for none."""
        return None if self.spec.projection is None else 0


class CARENet(AEANet):
    """A network of CSBDeep's ``CARE``, ``ProjectionCARE``, ``IsotropicCARE`` or ``UpsamplingCARE``, trained there.

    It opens the folders that they write, whatever TensorFlow and Keras did the training, and predicts what they do:
    called as `AEANet`, in exact tiles and bounded memory, from arrays and from files, and exported to Fiji and others.
    The folders of the last two hold a network for images of its axes, and that is what is predicted; with what these
    two classes do to a volume before (upsampling, turning) `IsotropicCARENet` and `UpsamplingCARENet` open them.

    It does not train: CSBDeep does, and `AEANet` trains networks of its own.

    Args:
        config: ``None`` to load the model of a folder; or CSBDeep's ``Config``, or a `CARENetConfig`.
        name, basedir: of the folder, see `AEANet`.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import CARENet, CARENetConfig
        >>> model = CARENet(CARENetConfig("YX", unet_n_first=4), "care", basedir=None)
        >>> model.predict(np.random.rand(30, 21), "YX", n_tiles=(2, 1)).shape
        (30, 21)
    """

    config_class, of_csbdeep = CARENetConfig, True

    @classmethod
    def prepared_data(cls, config, X, Y, validation_data, steps=None, augmenter=None):
        """There is none.

        Raises:
            InputError: always.
        """
        raise InputError("model: a network of CSBDeep's CARE, expected an AEANet; csbdeep.models.CARE trains its own")

    def prepare_for_training(self, optimizer=None, metrics=None):
        """See `prepared_data`.

        Raises:
            InputError: always.
        """
        self.prepared_data(self.config, None, None, None)

    @property
    def purpose(self):
        """What it is for, in words."""
        return self._like.purpose

    @property
    def tags(self):
        """The same in tags of collections of models."""
        return self._like.tags

    @property
    def _like(self):
        return AEANet if self.config.projected_axis is None else ProjectionAEANet

    def _read_weights(self, path):
        load_ordered_weights(self.keras_model, path)

    @property
    def _axes_out(self):
        axes = self.config.axes
        return axes if self.config.projected_axis is None else axes[1:]
