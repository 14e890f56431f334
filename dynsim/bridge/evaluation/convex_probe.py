"""A linear probe without a schedule: the one optimum of a penalised loss, found by L-BFGS.

With a penalty the loss of a linear classifier is convex and has one minimum, up to a number that is common to all
biases. What comes out therefore depends on no learning rate and no order of batches, and loss and gradient norm show
how near the optimum is.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from dynsim.bridge.evaluation.features import working_type
from dynsim.bridge.evaluation.inputs import FeatureSet, check_feature_set
from dynsim.bridge.evaluation.linear import LinearClassifier, probe_loss
from dynsim.config.checks import number, positive_int


class ConvexProbe(NamedTuple):
    """The optimum that was found.

    Attributes:
        classifier: its weights and biases.
        loss: mean cross-entropy plus penalty.
        gradient_norm: length of the gradient of the loss with respect to all weights and biases.
        n_steps: steps that were made; as many as allowed if the gradient is not as small as wanted.
    """

    classifier: LinearClassifier
    loss: float
    gradient_norm: float
    n_steps: int


def lbfgs_probe(
    train: FeatureSet,
    n_classes: int,
    *,
    l2: float = 1e-3,
    tolerance: float = 1e-5,
    max_steps: int = 500,
) -> ConvexProbe:
    """Return the classifier with the smallest mean cross-entropy plus (l2 / 2) times the sum of squared weights.

    Biases are not penalised. The start is zero, so that nothing is random. The scale of the features matters: features
    of twice the size bear a quarter of the penalty.

    Args:
        train: features and labels. Choose `l2` on validation images.
        n_classes: number of classes.
        l2: the penalty, above 0.
        tolerance: stop where the gradient is not longer than this; in float32 the rounding of the loss keeps it
            from falling below about 1e-6.
        max_steps: stop after so many steps at the latest.

    Errors: in one line, `DataError` as for `adam_probe`, `ConfigError` for options out of range.
    """
    check_feature_set(train, n_classes, "training set", every_class=True)
    number("l2", l2, 0.0, open_low=True)
    number("tolerance", tolerance, 0.0)
    positive_int("max_steps", max_steps)
    x = jnp.asarray(train.features.astype(working_type(train.features.dtype)))
    zero = LinearClassifier(jnp.zeros((n_classes, x.shape[1]), x.dtype), jnp.zeros(n_classes, x.dtype))
    limits = jnp.asarray(l2, x.dtype), jnp.asarray(tolerance, x.dtype), jnp.int32(max_steps)
    # optax mixes types and ranks, which a caller may have forbidden
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        classifier, loss, norm, n_steps = _minimise(zero, x, jnp.asarray(train.labels, jnp.int32), *limits)
    return ConvexProbe(classifier, float(loss), float(norm), int(n_steps))


@jax.jit
def _minimise(
    start: LinearClassifier,
    features: Float[Array, "image feature"],
    labels: Int[Array, " image"],
    l2: Float[Array, ""],
    tolerance: Float[Array, ""],
    max_steps: Int[Array, ""],
) -> tuple[LinearClassifier, Array, Array, Array]:
    """Return the minimum, the loss and the gradient norm there, and the number of steps."""
    everywhere = jnp.ones(labels.shape, bool)

    def loss_of(classifier: LinearClassifier) -> Array:
        penalty = l2 / 2 * jnp.sum(jnp.square(classifier.weight))
        return probe_loss(classifier, features, labels, everywhere) + penalty

    optimiser = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(loss_of)

    def goes_on(carry: tuple[LinearClassifier, Any, Array]) -> Array:
        _, state, n = carry
        # the line search leaves the gradient at the new place in its state, where the first one is not known yet
        is_small = optax.tree.norm(optax.tree.get(state, "grad")) <= tolerance
        return (n == 0) | ((n < max_steps) & ~is_small)

    def step(carry: tuple[LinearClassifier, Any, Array]) -> tuple[LinearClassifier, Any, Array]:
        classifier, state, n = carry
        value, gradient = value_and_gradient(classifier, state=state)
        updates, state = optimiser.update(gradient, state, classifier, value=value, grad=gradient, value_fn=loss_of)
        return optax.apply_updates(classifier, updates), state, n + 1

    classifier, _, n = jax.lax.while_loop(goes_on, step, (start, optimiser.init(start), jnp.int32(0)))
    value, gradient = jax.value_and_grad(loss_of)(classifier)
    return classifier, value, optax.tree.norm(gradient), n
