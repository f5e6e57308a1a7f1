"""What a model is evaluated with: its network, in full or half precision, and the compiled stages of it."""

import weakref

from aeanet_tf.errors import expect
from aeanet_tf.models.own_network import own_graph
from aeanet_tf.networks import build_network
from aeanet_tf.prediction.machine import warn_if_emulated
from aeanet_tf.prediction.stages import OwnAttention, Stages


class Evaluated:
    """The networks and stages of an `AEANet`, each made when it is first needed.

    Args:
        model: the `AEANet`.
    """

    def __init__(self, model):
        # The model goes, with its graphs, when its user drops it.
        self._model, self._stages, self._half = weakref.ref(model), {}, None

    def network(self, precision):
        """The model's network, or for ``"bfloat16"`` a copy with its weights that computes in half precision.

        Raises:
            InputError: half precision for a network of the user's own.
        """
        model = self._model()
        if precision == "float32":
            return model.keras_model
        if self._half is None:
            expect(model.spec.kind != "own", "precision", repr(precision), "'float32' for a network of your own")
            warn_if_emulated(precision)
            self._half = build_network(model.spec, precision=precision)
        # Training may have changed them.
        self._half.set_weights(model.keras_model.get_weights())
        return self._half

    def stages(self, plan, precision):
        """See `AEANet.stages`."""
        network = self.network(precision)
        cached, stages = self._stages.get(precision, (None, {}))
        if cached is not network:
            stages = {}
            self._stages[precision] = network, stages
        shared = plan is not None and plan.shared
        key = plan.kept if shared else "own"
        if key not in stages:
            own = not shared and OwnAttention(network, **own_graph(self._model()))
            stages[key] = own or Stages(network, plan.kept)
        return stages[key]
