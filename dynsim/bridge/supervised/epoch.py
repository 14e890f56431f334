"""One epoch with labels as one compiled program: views, losses, gradient and update of every batch."""

import functools
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from dynsim.bridge import views
from dynsim.bridge.networks import NetworkShape
from dynsim.bridge.options.labels import Supervised
from dynsim.bridge.options.loss_parts import LossParts
from dynsim.bridge.options.views import ViewRecipe
from dynsim.bridge.supervised.memory import LabelledKeys, followed
from dynsim.bridge.supervised.objective import ClassFacts, Joint, Roles, Rows, joint_loss
from dynsim.bridge.supervised.parts import LabelParams, joined_parts, logit_scale, network_of, trained_part
from dynsim.bridge.training.schedules import optimizer


class LabelState(NamedTuple):
    """What an epoch changes."""

    params: LabelParams
    stats: Any
    optimizer: Any
    mask: Any
    centres: Float[Array, "class neuron"]
    """Running means of the embeddings of the classes, for the loss that uses them; otherwise zeros."""
    keys: LabelledKeys | None = None
    """Second network and queue, where the loss has them."""
    targets: Float[Array, "class neuron"] | None = None
    """TSC: the targets, which never change; their order is that in which they were made."""


class LabelInputs(NamedTuple):
    """What an epoch is given beside the state and the images."""

    order: Int[Array, "step row"]
    """The image of each row."""
    valid: Bool[Array, "step row"]
    """False for the rows that fill up a batch."""
    key: Key[Array, ""]
    """Key of the views of this epoch."""
    draws: Key[Array, ""]
    """Key of the positives that are drawn in this epoch, where they are."""
    learning_rate: Float[Array, " step"]
    counts: Float[Array, " class"]
    class_weights: Float[Array, " class"]
    weight: Float[Array, ""]
    temperature: Float[Array, ""]
    centre_momentum: Float[Array, ""]
    weight_decay: Float[Array, ""]
    momentum: Float[Array, ""]
    places: Int[Array, "step row"] | None = None
    """Where the pixels of each row lie among those that are handed over; None: at the number of its image."""


class LabelLog(NamedTuple):
    """What is noted at each step."""

    loss: Array
    classifier_loss: Array
    contrastive_loss: Array
    positive_weight: Array
    gradient_norm: Array


LabelEpoch = Callable[[LabelState, UInt8[Array, "image side side 3"], Array, LabelInputs], tuple[LabelState, LabelLog]]
"""(state, pixels, labels of all images, inputs) -> (state, log of the steps)."""


class LabelProgram(NamedTuple):
    """What decides the compiled program; runs that agree in it share one."""

    network: NetworkShape
    classifier: str
    contrastive: str
    parts: LossParts
    logit_scale: float
    semantics: str | None
    views: tuple[ViewRecipe, ...]
    roles: str
    blocks: tuple[int, ...]
    trained: str

    @classmethod
    def of(
        cls, options: Supervised, blocks: tuple[int, ...], recipes: tuple[ViewRecipe, ...] | None = None
    ) -> "LabelProgram":
        """Return the program of some options.

        Args:
            blocks: rows of each view.
            recipes: of the views; None: those that the options name.
        """
        return cls(
            options.network,
            options.classifier,
            options.contrastive,
            options.parts,
            logit_scale(options),
            options.masking.semantics if options.is_masked else None,
            recipes or tuple(views.RECIPES[name] for name in options.views),
            options.roles,
            blocks,
            options.trained,
        )


def drawn_views(key: Key[Array, ""], blocks: tuple[int, ...]) -> views.Draws:
    """Return the random numbers of all views, with two axes more: the block, and the place in the longest of them."""
    # the numbers of a row depend on its place alone, so all blocks are drawn by one program, as long as the longest
    keys = jax.vmap(lambda view: jax.random.fold_in(key, view))(jnp.arange(len(blocks), dtype=jnp.uint32))
    return jax.vmap(lambda one: views.draw_views(one, max(blocks)))(keys)


def views_of_rows(
    key: Key[Array, ""],
    pixels: UInt8[Array, "row height width 3"],
    recipes: tuple[ViewRecipe, ...],
    blocks: tuple[int, ...],
) -> Float[Array, "row side side 3"]:
    """Return the view of each row; the view of a row depends on the key, its block and its place in that.

    Args:
        pixels: the image of each row.
        recipes: that of each block.
        blocks: rows of each block; those of one recipe follow each other.
    """
    drawn = drawn_views(key, blocks)
    found, begin = [], 0
    for recipe, some in itertools.groupby(range(len(blocks)), key=lambda view: recipes[view]):
        places = [(view, slice(blocks[view])) for view in some]
        draws = jax.tree.map(partial(_joined, places=places), drawn)
        end = begin + sum(blocks[view] for view, _ in places)
        found.append(views.views_of(draws, pixels[begin:end], recipe))
        begin = end
    return jnp.concatenate(found)


def _joined(part: Array, places: list[tuple[int, slice]]) -> Array:
    """Return the numbers of some blocks, one block after the other."""
    return jnp.concatenate([part[place] for place in places])


@functools.lru_cache(maxsize=8)
def compiled_label_epoch(program: LabelProgram) -> LabelEpoch:
    """Return the compiled epoch of a program. The state that it is given is used up."""
    fixed = (program.classifier, program.contrastive, program.parts, program.logit_scale, program.semantics)
    joint = Joint(network_of(program.network), *fixed)
    roles = Roles.of(program.blocks, program.roles, program.semantics, program.contrastive)

    def step(
        state: LabelState, pixels: Array, labels: Array, inputs: LabelInputs, number: Array
    ) -> tuple[LabelState, LabelLog]:
        chosen = inputs.order[number]
        own = pixels[chosen if inputs.places is None else inputs.places[number]]
        seen = views_of_rows(jax.random.fold_in(inputs.key, number), own, program.views, program.blocks)
        rows = Rows(seen, labels[chosen], inputs.valid[number], chosen)
        facts = ClassFacts(inputs.counts, inputs.class_weights, state.centres, state.targets)
        keys = followed(state.keys, state.params["network"], program.parts)
        draws = jax.random.fold_in(inputs.draws, number)
        numbers = (inputs.weight, inputs.temperature, inputs.centre_momentum)
        trained, kept = trained_part(state.params, program.trained)

        def loss(trained: LabelParams) -> tuple[Array, Any]:
            params = joined_parts(trained, kept)
            found = joint_loss(joint, params, state.stats, state.mask, rows, roles, facts, keys, draws, *numbers)
            return found.loss, found

        (_, found), gradient = jax.value_and_grad(loss, has_aux=True)(trained)
        rule = optimizer("sgd", inputs.learning_rate[number], inputs.weight_decay, inputs.momentum)
        updates, after = rule.update(gradient, state.optimizer, trained)
        params = joined_parts(optax.apply_updates(trained, updates), kept)
        norm = optax.tree.norm(gradient)
        log = LabelLog(found.loss, found.classifier, found.contrastive, found.positive_weight, norm)
        return LabelState(params, found.stats, after, state.mask, found.centres, found.keys, state.targets), log

    def epoch(state: LabelState, pixels: Array, labels: Array, inputs: LabelInputs) -> tuple[LabelState, LabelLog]:
        numbers = jnp.arange(inputs.order.shape[0])
        return jax.lax.scan(lambda carry, number: step(carry, pixels, labels, inputs, number), state, numbers)

    return jax.jit(epoch, donate_argnums=0)
