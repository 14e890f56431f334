"""The default engine's step as an idiomatic PyTorch program: the peer that the benchmark is run against.

Same distribution of data drawn inside the step, same loss, threshold rule and penalty; written the way a PyTorch user
would write it (autograd, cross_entropy), for the aggregate rule with placed pairs, token-wise attention, sum pooling,
one-sided inner-product InfoNCE and norm-tracking thresholds.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from dynsim import theory
from dynsim.config import Config


class TorchPeer:
    """State and step of one run."""

    def __init__(self, config: Config, seed: int = 0) -> None:
        data, d = config.data, config.data.n_features
        self.config = config
        self.generator = torch.Generator().manual_seed(seed)
        gaussian = torch.randn(data.token_dim, d, generator=self.generator)
        self.dictionary = torch.linalg.qr(gaussian).Q
        self.weight = torch.randn(config.encoder.n_neurons, data.token_dim, generator=self.generator)
        self.weight *= config.encoder.init_std
        self.threshold = torch.zeros(config.encoder.n_neurons)
        prob = torch.tensor(data.activation_rate * theory.relative_frequency(data), dtype=torch.float32)
        none_up_to = torch.cumprod(1 - prob, 0)
        self.prob, self.first_cdf = prob, (1 - none_up_to) / (1 - none_up_to[-1])
        self.sigma = math.sqrt(theory.noise_variance(data))
        self.unit = config.threshold.kappa * math.sqrt(2 * math.log(d) / d)
        self.level = 2 * self.weight.square().sum(1).median()
        self.switched = False

    def draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries and keys (K, L, d1), and which keys each query is compared with (K, K)."""
        data = self.config.data
        K, L, d, d1 = data.batch_size, data.n_tokens, data.n_features, data.token_dim
        u = torch.rand(K, d)
        place = torch.arange(d)
        first = torch.searchsorted(self.first_cdf, torch.rand(K), right=True)[:, None]
        active = (place == first) | ((place > first) & (u < self.prob))
        positive = torch.where(place == first, u < 0.5, u < self.prob / 2)
        codes = torch.where(active, torch.where(positive, 1.0, -1.0), 0.0)
        tokens = torch.arange(L)[:, None]

        def view() -> torch.Tensor:
            where = torch.randint(L, (K, 1, d))
            placed = torch.where(where == tokens, codes[:, None, :], 0.0)
            return placed @ self.dictionary.T + self.sigma * torch.randn(K, L, d1)

        energy = codes.square().sum(1)
        same = energy[:, None] + energy[None, :] - 2 * codes @ codes.T < 0.5
        same.fill_diagonal_(False)
        return view(), view(), ~same

    def embed(self, weight: torch.Tensor, threshold: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (K, m) of samples (K, L, d1)."""
        s = tokens @ weight.T
        return (F.relu(s - threshold) - F.relu(-s - threshold)).sum(1)

    def loss(
        self,
        weight: torch.Tensor,
        threshold: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
        allowed: torch.Tensor,
    ) -> torch.Tensor:
        """Return InfoNCE with the temperature prefactor plus the L2 penalty."""
        loss, tau = self.config.loss, self.config.loss.temperature
        with torch.no_grad():
            fixed = self.embed(weight, threshold, key)
        logits = (self.embed(weight, threshold, query) @ fixed.T / tau).masked_fill(~allowed, -torch.inf)
        target = torch.arange(len(query))
        return tau * F.cross_entropy(logits, target) + loss.l2_penalty / 2 * weight.square().sum()

    def value_and_grad(
        self, weight: torch.Tensor, query: torch.Tensor, key: torch.Tensor, allowed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss and gradient."""
        leaf = weight.detach().requires_grad_()
        value = self.loss(leaf, self.threshold, query, key, allowed)
        (grad,) = torch.autograd.grad(value, leaf)
        return value.detach(), grad

    def step(self) -> torch.Tensor:
        """Make one update and return the loss."""
        value, grad = self.value_and_grad(self.weight, *self.draw())
        self.weight = self.weight - self.config.optimizer.learning_rate * grad
        square = self.weight.square().sum(1)
        self.switched = self.switched or bool(square.median() >= self.level)
        if self.switched:
            self.threshold = self.unit * square.sqrt()
        return value

    def compiled_step(self, *, draw_too: bool) -> Callable[[], torch.Tensor]:
        """Return `step` through torch.compile (mode "default"), in one graph without breaks and for these shapes only.

        What was tried on a CPU: torch.compile over `draw` and `value_and_grad` as they stand breaks the graph at
        autograd.grad and was the slowest. torch.func.grad_and_value lets the whole update become one graph. Compiling
        the draw along with it (`draw_too`) helps where the embedding is large and costs elsewhere, since the generated
        code draws its normals more slowly than PyTorch's own kernel: so the benchmark times both and takes the faster.
        """
        rate = self.config.optimizer.learning_rate

        def update(weight: torch.Tensor, threshold: torch.Tensor, switched: torch.Tensor, *batch: torch.Tensor) -> Any:
            grad, value = torch.func.grad_and_value(self.loss)(weight, threshold, *batch)
            weight = weight - rate * grad
            square = weight.square().sum(1)
            # the engine's rule for "the median has doubled"; sorting inside the graph would be slower
            switched = switched | (2 * (square >= self.level).sum() >= len(square))
            return weight, torch.where(switched, self.unit * square.sqrt(), 0.0), switched, value

        def whole(*state: torch.Tensor) -> Any:
            return update(*state, *self.draw())

        inner = torch.compile(whole if draw_too else update, fullgraph=True, dynamic=False)

        def step() -> torch.Tensor:
            state = self.weight, self.threshold, torch.as_tensor(self.switched)
            out = inner(*state) if draw_too else inner(*state, *self.draw())
            self.weight, self.threshold, self.switched, value = out
            return value

        return step
