"""AEANet: CSBDeep's CARE with the attention networks inside."""

import logging
import warnings
from dataclasses import replace

import numpy as np
from csbdeep.data import PadAndCropResizer
from csbdeep.internals.probability import ProbabilisticPrediction
from csbdeep.models import Config

from aeanet_tf.errors import InputError
from aeanet_tf.models.adversarial import say_adversarial
from aeanet_tf.models.care import PublicCARE
from aeanet_tf.models.compiling import make_ready, prepare
from aeanet_tf.models.config import AEANetConfig
from aeanet_tf.models.default_settings import NOISE2VOID
from aeanet_tf.models.ensemble import predict_ensemble
from aeanet_tf.models.evaluated import Evaluated
from aeanet_tf.models.initial_weights import assign, common_weights, seeded, source_model
from aeanet_tf.models.network_size import LOADED, check_size
from aeanet_tf.models.own_network import base_spec, check_builder, checked, kept_network
from aeanet_tf.models.percentiles import SafePercentileNormalizer
from aeanet_tf.models.predict_arrays import possible_tiles, predict_images
from aeanet_tf.models.scale_calibration import say_calibration
from aeanet_tf.models.training_data import training_data
from aeanet_tf.models.training_run import run_training
from aeanet_tf.networks import build_network
from aeanet_tf.paths import check_name
from aeanet_tf.prediction.machine import EvaluationMemory
from aeanet_tf.prediction.options import PredictionOptions
from aeanet_tf.training import BestWeights, get_loss
from aeanet_tf.training.devices import find_devices
from aeanet_tf.training.noisy_patches import HiddenPixelLoss

logger = logging.getLogger("aeanet_tf")


class AEANet(PublicCARE):
    """Image restoration with global attention; everything a ``csbdeep.models.CARE`` does, called the same way.

    Args:
        config: an `AEANetConfig`, a plain ``csbdeep.models.Config`` (a CARE script runs with the class name
            changed), or ``None`` to load the model of an existing folder with its best weights.
        name: of the model and its folder; a time stamp by default.
        basedir: where the folder is made; ``None`` writes nothing to disk.

    It has ``config``, ``keras_model``, ``name``, ``logdir``, as in CARE; ``spec``, the network's validated spec;
    ``memory``, the `EvaluationMemory` of its predictions; ``trained_network``, the compiled network that training
    changes, `keras_model` or one beside it, ``None`` before the first training.

    The folder holds ``config.json``, ``weights_best.h5`` and ``weights_last.h5``, ``history.csv``, TensorBoard's
    ``logs`` and, while training is unfinished, ``resume``.

    Example:
        >>> import numpy as np
        >>> from aeanet_tf.models import AEANet, AEANetConfig
        >>> config = AEANetConfig("YX", preset="aeanet-em", unet_n_first=4, train_batch_size=2)
        >>> model = AEANet(config, "example", basedir=None)
        >>> X, Y = np.random.rand(2, 4, 16, 16, 1).astype("float32")
        >>> history = model.train(X, Y, validation_data=(X, Y), epochs=1, steps_per_epoch=2, verbose=0)
        >>> model.predict(np.random.rand(30, 21), "YX").shape
        (30, 21)
    """

    config_class = AEANetConfig
    # What the predictions of a class of models are: labels of classes, or slices between two.
    segments = interpolates = False
    # Whether they are means of what the network makes of several views of the image.
    averages_views = False
    # The same in words, and in tags of collections of models; ``rank`` and ``classes`` are filled in.
    purpose, tags = "restores {rank}D microscopy images", ("image-restoration", "unet")
    default_metrics = ("mse", "mae")

    def __init__(self, config, name=None, basedir="."):
        if isinstance(config, Config) and not isinstance(config, self.config_class):
            config = self.config_class.from_csbdeep(config)
        if isinstance(config, self.config_class):
            find_devices(config.train_devices, config.train_batch_size)
            check_size(config.spec)
            if not self.builds_its_own:
                check_builder(config)
        if name is not None and config is not None:
            check_name(str(name), "name")
        self._evaluated, self.trained_network, self.compiled_with, self.steps = Evaluated(self), None, None, None
        self.memory, self.spec, self.built = EvaluationMemory(), None, None
        with seeded(config):
            super().__init__(config, name, basedir)
        if config is None:
            say_adversarial(self)
        # The graph of the network, which every prediction needs.
        self.stages(None)

    @property
    def _trained_spec(self):
        """Of the network that losses see; its weights are those of `keras_model`."""
        return self.spec

    def _build(self):
        self.spec = self.config.spec
        if self.spec.kind == "own" and not self.builds_its_own:
            self.built = kept_network(self)
            return self.built
        # A class of the user's may begin with it.
        self.spec = base_spec(self.config)
        check_size(self.spec, LOADED)
        self.built = build_network(self.spec)
        return self.built

    def checked(self, network):
        """See `PublicCARE.checked`; what a user's class gave is kept with the model."""
        return checked(self, network)

    def take_weights(self, source):
        """Start from the weights of another model, or of the part of it that has the same names and shapes.

        What is taken, and what stays as it was, is logged. Called before `train`, it is what
        ``training.initial_weights`` is in a run configuration: a longer training, other images, another number of
        output channels or references, a network whose operators differ in part (docs/training.md).

        Args:
            source: an `AEANet`; the folder of a trained model, or of one imported from TensorFlow 1, of which the
                best weights are taken; or one of the files of weights in it, such as
                ``"models/NAME/weights_last.h5"``.

        Returns:
            Names of the variables that were taken.

        Raises:
            InputError: no such model, or none of its kernels has the name and shape of one of this network.

        Example:
            >>> from aeanet_tf.models import AEANet, AEANetConfig
            >>> small = {"preset": "aeanet-em", "unet_n_first": 4}
            >>> grey = AEANet(AEANetConfig("YX", **small), "grey", basedir=None)
            >>> pairs = AEANet(AEANetConfig("YX", n_channel_out=2, **small), "pairs", basedir=None)
            >>> set(v.path for v in pairs.keras_model.weights) - set(pairs.take_weights(grey))
            {'out_conv/kernel'}
        """
        model, name = (source, source.name) if isinstance(source, AEANet) else (source_model(source), source)
        weights = common_weights(self.keras_model, model, name)
        assign(self.keras_model, weights)
        return list(weights)

    def prepare_for_training(self, optimizer=None, metrics=None):
        """Compile the network and make the callbacks, which `train` does by itself if it was not done before.

        Args:
            optimizer: a Keras optimiser, or the name of one, which then has the configuration's learning rate; Adam
                with the configuration's learning rate and betas by default. With ``config.train_devices`` a new one
                like it is used. There, and with ``config.train_precision`` of half, what is compiled is a network
                beside `keras_model`, which is given the weights.
            metrics: names of losses to report beside the one that is trained; ``default_metrics`` of the class by
                default. CSBDeep's weighting of the background (``loss_bg_thresh``) is not offered: it does not run on
                Keras 3 in CSBDeep either.

        The callbacks are then in ``callbacks``, which a script may change, and those that save weights, which
        ``_checkpoint_callbacks`` of the class gives, in ``checkpoints``. A model whose ``keras_model`` a script has
        compiled, and whose ``callbacks`` and ``_model_prepared = True`` it has set, is trained so, as in CSBDeep.

        Raises:
            InputError: ``config.train_devices`` that this machine does not have, or that do not divide the batch size;
                an unknown name of an optimiser.
        """
        prepare(self, optimizer, metrics)

    def make_ready(self, steps):
        """Call `prepare_for_training` if that was not done, and let the learning rate end with the training.

        Args:
            steps: of the training in all, those that are done counted.
        """
        make_ready(self, steps)

    def _checkpoint_callbacks(self):
        if self.basedir is None or self.config.train_checkpoint is None:
            return []
        return [BestWeights(self.logdir / self.config.train_checkpoint, self.write_weights)]

    def _loss(self, name):
        """The loss or metric called ``name``."""
        return HiddenPixelLoss(name) if self.config.train_target == NOISE2VOID else get_loss(name)

    def measured(self, validation):
        """Callbacks that add to the logs of an epoch what is to be in the history."""
        return []

    def train(
        self,
        X,
        Y=None,
        validation_data=None,
        epochs=None,
        steps_per_epoch=None,
        augmenter=None,
        *,
        resume=False,
        verbose=1,
    ):
        """Train the network.

        Args:
            X, Y: source and target, arrays ``(n, *spatial, channels)`` of patches whose sizes divide by
                ``spec.divisor``; or, with ``config.train_patch_size``, lists of whole images ``(*spatial, channels)``
                of any size, from which patches of that size are cropped at random.
            validation_data: pair ``(X, Y)`` in the same form. Images are validated whole, cut to the smallest common
                size that the network can take. With ``config.train_target`` "noise2void" there is no Y, and
                ``validation_data`` are noisy images, too: ``train(X, X_val)``, as in N2V. With "noise2noise" Y are
                other noisy images of the same (docs/noise2void.md).
            epochs, steps_per_epoch: instead of the configuration's.
            augmenter: function ``(x, y) -> (x, y)`` of single patches; otherwise ``config.train_augment`` decides.
            resume: go on after the last finished epoch of the training in this folder: of an interrupted one as if it
                had not been interrupted; of one that has ended where ``epochs`` are more now (docs/training.md). What
                has all its epochs is left as it is. Where there is nothing, it begins at the beginning.
            verbose: Keras's: 1 for a progress bar, which also shows the minutes that are left, 2 for a line an epoch.

        Returns:
            Keras's ``History``, also of the epochs of earlier runs; the network then has its best weights.

        Raises:
            InputError: data whose shapes or channels do not fit each other, the configuration or the network, or that
                are not finite in float32. The model is as it was.
            BusyError: another process trains in the folder.
            DivergedError: the loss, the validation or the weights became no finite numbers. The network then has its
                best weights of the epochs before; ``weights_last.h5`` are those of the last good epoch.
            MemoryError: memory ran out, with a line on what takes less.
        """
        data = self.prepared_data(self.config, X, Y, validation_data, steps_per_epoch, augmenter)
        return self.fit(*data, epochs, resume=resume, verbose=verbose)

    @classmethod
    def prepared_data(cls, config, X, Y, validation_data, steps=None, augmenter=None):
        """What `fit` is given, checked before a model is made: its arguments ``sampler`` and ``validation``.

        Args:
            config: of the model.
            X, Y, validation_data, augmenter: see `train`.
            steps: of an epoch; the configuration's by default.

        Raises:
            InputError: see `train`.
        """
        return training_data(config, X, Y, validation_data, steps, augmenter)

    def fit(self, sampler, validation, epochs=None, *, steps=None, resume=False, verbose=1, told=None):
        """Train the network on what `prepared_data` gives.

        Args:
            sampler: a `PatchSampler`.
            validation: a `ValidationSet`.
            epochs, resume, verbose: see `train`.
            steps: of the optimiser in all, in place of epochs; the last epoch has what is left of them.
            told: what the report says of the images: ``names``, ``pixel_size`` and ``unit`` of `TrainingReport`.

        Returns:
            Keras's ``History``; see `train`.
        """
        return run_training(self, sampler, validation, epochs, steps=steps, resume=resume, verbose=verbose, told=told)

    def report(self, X=None, Y=None, validation_data=None):
        """Write ``report.html`` and ``report.png`` of the training once more, with the weights that the model has now.

        Args:
            X, Y, validation_data: as for `train`; by default the images of its run are read again, for a model that was
                trained by the command (``run.json`` in its folder).

        Returns:
            Path of ``report.html``, which a notebook shows as a link.

        Raises:
            InputError: a model without a folder, or no images: none are given, and none are known or there any more.
        """
        from aeanet_tf.models.renewed_report import renew_report

        return renew_report(self, X, Y, validation_data)

    def predict(
        self,
        img,
        axes,
        normalizer=SafePercentileNormalizer(),  # noqa: B008  CSBDeep's defaults, which it does not change
        resizer=PadAndCropResizer(),  # noqa: B008
        n_tiles=None,
        tiling="exact",
        max_memory=None,
        context="image",
        precision="float32",
        ensemble=None,
    ):
        """Restore an image; as ``csbdeep.models.CARE.predict``, but tiles share the attention of the whole image.

        Args:
            img: an array; along axes T and Z that the model lacks, its frames or planes are restored one by one. Or a
                list of arrays with the same axes, of any sizes.
            axes: of ``img``, or of each array of the list.
            normalizer, resizer: as in CSBDeep, applied to each image and frame by itself. CSBDeep's percentiles, where
                they coincide, give way to others (`SafePercentileNormalizer`).
            n_tiles: number of tiles along each axis of ``img``, of an array no more than the network has steps. By
                default the whole image where it fits into ``max_memory``, and as many tiles as it takes where not.
                Tiles are halved when memory runs out.
            tiling: ``"exact"``, tiles give what the whole image would (`aeanet_tf.prediction.sweeps.run_job`);
                ``"overlap"``, each tile has attention of its own, as in CSBDeep and the original programs; or
                ``"whole"``, no tiles. Networks whose attention is not normalised by length, and without attention,
                are predicted with ``"overlap"``, which is exact for the latter.
            max_memory: what the process may hold in all, in bytes or as a text such as ``"4GB"``, from which the number
                of tiles follows. By default 80 % of the memory that is available; on a GPU the whole image is tried.
            context: ``"image"``, each image and frame attends to itself, as in the papers; ``"group"``, all images
                and frames of the call share one attention context, which takes one more sweep for each attention
                operator. The latter is batch-aware attention (AEANet paper, equation 5) carried over to prediction,
                and ours: docs/large_images.md.
            precision: ``"float32"``, or ``"bfloat16"`` to compute in half precision with the same weights, which is
                faster where the processor or the GPU has instructions for it and costs what docs/performance.md says.
            ensemble: ``"flips"`` predicts the image in its 8 orientations in YX (4 for a network whose grid is not the
                same in Y and X), turns each prediction back and gives their mean; ``"flips-z"`` also with Z reversed,
                which makes it 16. It takes as many times as long, and one more array (docs/ensembles.md).

        Returns:
            The restored image (the mean, for probabilistic models), axes as in CSBDeep; a list for a list.

        Raises:
            InputError: an image whose axes or channels the network does not take, that is empty, or not finite in
                float32; a prediction that is not finite; an unknown ``tiling``, ``context``, ``precision`` or
                ``ensemble``, ``n_tiles`` that do not fit the image, ``max_memory`` that does not suffice.
        """
        options = PredictionOptions(n_tiles, tiling, max_memory, context, precision, ensemble)
        results = self._predict(img, axes, normalizer, resizer, options, scale=False)
        return [mean for mean, _ in results] if isinstance(img, (list, tuple)) else results[0]

    def checked_tiling(self, tiling=None, patch_size=None, step=None):
        """How the model is to tile, decided and checked: the name of a tiling.

        Args:
            tiling: see `predict`; ``None`` for ``"exact"``.
            patch_size, step: of patches, which only models that segment have.

        Raises:
            InputError: patches.
        """
        for name, value in (("patch_size", patch_size), ("step", step)):
            if value is not None:
                raise InputError(f"{name}: {value!r}, expected None: the model does not segment")
        if tiling == "patches":
            raise InputError("tiling: 'patches', expected exact, overlap or whole: the model does not segment")
        return tiling or "exact"

    def decided(self, options):
        """`PredictionOptions`, or `FileOptions`, with the tiling that `checked_tiling` gives."""
        return replace(options, tiling=self.checked_tiling(options.tiling, options.patch_size, options.step))

    def predict_probabilistic(
        self,
        img,
        axes,
        normalizer=SafePercentileNormalizer(),  # noqa: B008
        resizer=PadAndCropResizer(),  # noqa: B008
        n_tiles=None,
        **options,
    ):
        """Restore an image as a distribution for each pixel: CSBDeep's ``ProbabilisticPrediction``; see `predict`.

        With an ``ensemble`` the distribution has the mean and the variance of the mixture of all predictions, see
        `EnsembleStatistics`. The scale is multiplied by the factor that `aeanet calibrate` has found, where it was run
        for the model; ``uncalibrated=True`` leaves it as the network gives it (docs/uncertainty.md).

        Args:
            img, axes, normalizer, resizer, n_tiles, options: those of `predict`, and ``uncalibrated``.

        Raises:
            ValueError: the model is not probabilistic.
        """
        if not self.config.probabilistic:
            raise ValueError("This is not a probabilistic model.")
        options = PredictionOptions(n_tiles, **options)
        if self.calibration is not None and not options.uncalibrated:
            say_calibration([self], options)
        results = self._predict(img, axes, normalizer, resizer, options)
        if isinstance(img, (list, tuple)):
            return [ProbabilisticPrediction(*result) for result in results]
        return ProbabilisticPrediction(*results)

    def _predict(self, img, axes, normalizer, resizer, options, scale=True):
        """``(mean, scale)`` of an image, or a list of them; an ensemble's scale is ``None`` where it is not wanted."""
        options = self.decided(options)
        # As in CSBDeep, which interpolates nothing.
        if hasattr(img, "shape") and not self.interpolates:
            options = replace(options, n_tiles=possible_tiles(self, img, axes, options.n_tiles))
        if options.ensemble is None:
            return predict_images(self, img, axes, normalizer, resizer, options)
        each = [(normalizer, resizer, options)]
        results = predict_ensemble([self], img, axes, each, scale and self.config.probabilistic)
        return [result[:2] for result in results] if isinstance(img, (list, tuple)) else results[:2]

    def _predict_mean_and_scale(self, img, axes, normalizer, resizer, n_tiles=None):
        # What classes that extend CSBDeep's call, with its remark on a single number.
        if np.isscalar(n_tiles):
            warnings.warn("n_tiles should be a tuple with an entry for each image axis", stacklevel=2)
        return tuple(self._predict(img, axes, normalizer, resizer, PredictionOptions(n_tiles)))

    def stages(self, plan, precision="float32"):
        """The compiled stages of a `Plan`, ``None`` for one network with its own attention; made once for each."""
        return self._evaluated.stages(plan, precision)

    def export_TF(self, fname=None, target="tf1.15"):
        """Write the zip that the CSBDeep plugin of Fiji loads; `interop.fiji.export_fiji` says what is in it.

        Args:
            fname: of the zip; ``TF_SavedModel.zip`` in the model folder by default.
            target: the plugin's TensorFlow, ``"tf1.15"`` or ``"tf1.12"``.

        Returns:
            The path written.

        Raises:
            InputError: a model without a folder and no ``fname``, or a network that Fiji cannot run.
        """
        from aeanet_tf.interop.fiji import export_fiji

        if fname is None:
            if self.basedir is None:
                raise InputError("fname: missing, and the model has no folder (basedir is None) to write to")
            fname = self.logdir / "TF_SavedModel.zip"
        return export_fiji(self, fname, target)
