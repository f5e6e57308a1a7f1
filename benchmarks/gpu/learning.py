"""Training on one device with nothing coming and going: images lie on it, crops are made there, steps run in a loop.

A call of the compiled program does as many steps as it is told to; how many there will be in all, which the learning
rate depends on, is an argument too. So one compilation of a network serves for all runs and all lengths.
"""

import math
from time import perf_counter

import jax
import jax.numpy as jnp
import keras
import numpy as np
from images import normalised, training_pair
from jax import lax
from scores import normalised_truth, score_all

from aeanet_tf.networks import build_network
from aeanet_tf.training.losses import get_loss

WARM_UP = 0.1
VALIDATIONS = 10
# Between two looks at the clock.
CALL_SECONDS = 2.0


def network_and_step(spec, precision, loss="mae", clip=1.0):
    """A network, the function of its training step, and the first state.

    Args:
        spec: of the network.
        precision: "float32" or "bfloat16", see `build_network`.
        loss: name of a loss of `aeanet_tf.training.losses`.
        clip: the global norm that gradients are clipped to.

    Returns:
        ``(network, step, state)``; ``step(state, x, y, rate) -> (state, loss)`` does a step of Adam with the learning
        rate given.
    """
    network = build_network(spec, precision=precision)
    optimizer = keras.optimizers.Adam(1.0, epsilon=1e-8, global_clipnorm=clip)
    optimizer.build(network.trainable_variables)
    (rate_at,) = (i for i, variable in enumerate(optimizer.variables) if variable.name == "learning_rate")
    loss = get_loss(loss)

    def objective(trainable, others, x, y):
        prediction, others = network.stateless_call(trainable, others, x, training=True)
        return jnp.mean(loss(y, prediction)), others

    def step(state, x, y, rate):
        slots = list(state["slots"])
        slots[rate_at] = jnp.asarray(rate, slots[rate_at].dtype)
        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, others), gradients = gradient(state["trainable"], state["others"], x, y)
        trainable, slots = optimizer.stateless_apply(slots, gradients, state["trainable"])
        return {"trainable": list(trainable), "others": list(others), "slots": list(slots)}, value

    state = {**weights(network), "slots": [variable.value for variable in optimizer.variables]}
    return network, step, state


def weights(network):
    """The values of a network's variables, trainable ones and others."""
    return {
        "trainable": [variable.value for variable in network.trainable_variables],
        "others": [variable.value for variable in network.non_trainable_variables],
    }


def learning_rate(step, total, peak):
    """Linear warm-up over the first tenth of all steps, then the half wave of a cosine to 0."""
    done = (step + 0.5) / total
    falling = 0.5 + 0.5 * jnp.cos(jnp.pi * (done - WARM_UP) / (1 - WARM_UP))
    return peak * jnp.where(done < WARM_UP, done / WARM_UP, falling)


def random_crops(key, images, batch, patch):
    """Crops at random places, each turned or mirrored in one of the eight ways.

    Args:
        key: of JAX's random numbers.
        images: ``(image, y, x, 2)``, input and target.
        batch: number of crops.
        patch: their side.

    Returns:
        Inputs and targets ``(batch, patch, patch, 1)``.
    """
    count, height, width, _ = images.shape
    limits = jnp.array([count, height - patch + 1, width - patch + 1, 8])
    places = jax.random.randint(key, (batch, 4), 0, limits)

    def crop(place):
        pair = lax.dynamic_slice(images, (*place[:3], 0), (1, patch, patch, 2))[0]
        pair = jnp.where(place[3] & 1, pair[::-1], pair)
        pair = jnp.where(place[3] & 2, pair[:, ::-1], pair)
        return jnp.where(place[3] & 4, jnp.swapaxes(pair, 0, 1), pair)

    pairs = jax.vmap(crop)(places)
    return pairs[..., :1], pairs[..., 1:]


class Material:
    """The images of all networks, normalised and on the device.

    Args:
        splits: of `images.read_pairs`.
    """

    def __init__(self, splits):
        pairs = [training_pair(*pair) for pair in zip(splits["train"].low, splits["train"].truth, strict=True)]
        self.train = jnp.asarray(np.stack([np.stack(pair, axis=-1) for pair in pairs]))
        self.inputs = {split: _inputs(splits[split]) for split in ("val", "test")}
        truths = [normalised_truth(truth).astype("float32") for truth in splits["val"].truth]
        self.truths, self.test = jnp.asarray(np.stack(truths)), splits["test"]


def _inputs(pairs):
    return [jnp.asarray(normalised(low)[0][None, :, :, None]) for low in pairs.low]


@jax.jit
def mean_psnr(truths, images):
    """Mean PSNR by the care protocol of images against normalised truths, on the device: for validation."""
    axes = (1, 2)
    images = images - images.mean(axes, keepdims=True)
    n = truths[0].size
    scale = jnp.sum(truths * images, axes, keepdims=True) / (n - 1) / jnp.mean(images**2, axes, keepdims=True)
    return jnp.mean(-10 * jnp.log10(jnp.mean((truths - scale * images) ** 2, axes)))


class Learner:
    """One network: its compiled programs, and runs of training with them.

    Args:
        spec: of the network, 2D, one channel.
        material: the images.
        batch, patch: number and side of the crops of a step.
        rate: highest learning rate.
        clip: the norm that gradients are clipped to.
        precision: see `build_network`.
    """

    def __init__(self, spec, material, batch, patch, rate, clip=1.0, precision="float32"):
        self.spec, self.material, self.precision = spec, material, precision
        self.network, step, self._state = network_and_step(spec, precision, clip=clip)

        def advance(state, images, key, first, count, total):
            def body(number, carry):
                state, summed = carry
                crops = random_crops(jax.random.fold_in(key, number), images, batch, patch)
                state, loss = step(state, *crops, learning_rate(number, total, rate))
                return state, summed + loss

            state, summed = lax.fori_loop(first, first + count, body, (state, jnp.float32(0)))
            return state, summed / count

        def predict(trainable, others, x):
            return self.network.stateless_call(trainable, others, x, training=False)[0][..., 0]

        number = jnp.int32(0)
        # Traced here, one after another; compiled by `compile`, which may run in a thread of its own. The state that
        # goes in is overwritten, so that there is room for one only.
        arguments = (self._state, material.train, jax.random.PRNGKey(0), number, number, number)
        self._lowered_advance = jax.jit(advance, donate_argnums=0).lower(*arguments)
        arguments = (self._state["trainable"], self._state["others"], material.inputs["test"][0])
        self._lowered_predict = jax.jit(predict).lower(*arguments)

    def compile(self):
        """Compile both programs; returns the seconds that it took."""
        start = perf_counter()
        self._advance, self._predict = self._lowered_advance.compile(), self._lowered_predict.compile()
        return perf_counter() - start

    def initial(self, seed):
        """The state before the first step, with weights drawn by a seed."""
        keras.utils.set_random_seed(seed)
        state = {**self._state, **weights(build_network(self.spec, precision=self.precision))}
        return jax.tree.map(jnp.copy, state)

    def seconds_a_step(self, least):
        """Measured by a few steps that lead nowhere, which take about ``least`` seconds."""
        state, key, count = self.initial(0), jax.random.PRNGKey(0), 1
        state, _ = self._timed(state, key, 0, 1, 1)[0]
        while True:
            (state, _), seconds = self._timed(state, key, 0, count, count)
            if seconds >= least / 2:
                return seconds / count
            count = max(2 * count, math.ceil(0.8 * least * count / max(seconds, 1e-6)))

    def seconds_of_predictions(self):
        """Measured: what a run spends on the validations and on restoring the test images."""
        state, inputs = self.initial(0), self.material.inputs
        self.validate(state)
        start = perf_counter()
        self.validate(state)
        return (perf_counter() - start) * (VALIDATIONS + len(inputs["test"]) / len(inputs["val"]))

    def _timed(self, state, key, first, count, total):
        start = perf_counter()
        result = self._advance(state, self.material.train, key, *map(jnp.int32, (first, count, total)))
        jax.block_until_ready(result)
        return result, perf_counter() - start

    def run(self, seed, clock, seconds=None, steps=None):
        """Train, validate ten times on the way, score the test images.

        Args:
            seed: of the weights and the crops; the crops are the same for every network.
            clock: `record.Clock`; past its end the run stops and has no scores.
            seconds: how long the steps are to take; decides their number, by the time of a few.
            steps: their number, in place of ``seconds``.

        Returns:
            ``(entry, weights)``: what is recorded, and the trained weights or ``None``.
        """
        per_step = self.seconds_a_step(0.04 * seconds if seconds else 0.2)
        steps = steps or max(1, round(seconds / per_step))
        entry = {"seed": seed, "parameters": self.network.count_params(), "precision": self.precision, "steps": steps}
        entry |= {"seconds_a_step_before": per_step, "seconds": 0.0, "curve": [], "complete": False}
        state, key, done, losses = self.initial(seed), jax.random.PRNGKey(seed), 0, []
        for stop in sorted({math.ceil(steps * (i + 1) / VALIDATIONS) for i in range(VALIDATIONS)}):
            while done < stop:
                if clock.left < 0:
                    return entry, None
                count = min(stop - done, max(1, int(CALL_SECONDS / per_step)))
                (state, loss), taken = self._timed(state, key, done, count, steps)
                done, entry["seconds"] = done + count, entry["seconds"] + taken
                losses.append((count, float(loss)))
            counts, values = zip(*losses, strict=True)
            point = {"step": done, "seconds": entry["seconds"], "loss": float(np.average(values, weights=counts))}
            entry["curve"].append({**point, "psnr": self.validate(state)})
            losses = []
        entry["test"], entry["complete"] = score_all(self.material.test, self.predict(state, "test")), True
        return entry, {name: state[name] for name in ("trainable", "others")}

    def validate(self, state):
        """Mean PSNR of the validation images."""
        images = [self._predict(state["trainable"], state["others"], x)[0] for x in self.material.inputs["val"]]
        return float(mean_psnr(self.material.truths, jnp.stack(images)))

    def predict(self, state, split):
        """The restored images of a split, NumPy."""
        images = self.material.inputs[split]
        return [np.asarray(self._predict(state["trainable"], state["others"], x)[0]) for x in images]
