"""A model that is dropped leaves no traced graphs behind."""

import gc
import weakref

import numpy as np
from tensorflow.python.framework.func_graph import FuncGraph

from aeanet_tf.models import AEANet
from aeanet_tf.models.traced import released_with


def graphs():
    gc.collect()
    return weakref.WeakSet(found for found in gc.get_objects() if issubclass(type(found), FuncGraph))


def test_a_dropped_model_takes_its_graphs_along(tiny, patches):
    """A training has more than a hundred: steps of training and of validation, with branches for each variable."""
    X, Y = patches
    # Those of earlier tests may go meanwhile.
    before = graphs()
    model = AEANet(tiny(train_epochs=1, train_steps_per_epoch=1), basedir=None)
    network = weakref.ref(model.keras_model)
    model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), verbose=0)
    assert len(graphs() - before) > 20
    # It trains on with what was traced.
    model.train(X[8:], Y[8:], validation_data=(X[:8], Y[:8]), verbose=0)
    assert np.isfinite(model.predict(X[0, ..., 0], "YX")).all()
    del model
    assert not graphs() - before and network() is None


def test_only_what_was_traced_in_the_block_goes(monkeypatch):
    registry = {"CustomGradient-1": 1, "Add": 2}
    monkeypatch.setattr("aeanet_tf.models.traced._gradients", lambda: registry)

    class Owner:
        pass

    owner = Owner()
    with released_with(owner):
        registry |= {"CustomGradient-2": 3, "Mul": 4}
    assert "CustomGradient-2" in registry
    del owner
    gc.collect()
    assert registry == {"CustomGradient-1": 1, "Add": 2, "Mul": 4}
