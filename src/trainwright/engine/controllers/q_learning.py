"""Tabular Q-learning of rate and momentum factors: one policy for each parameter group, and one for the KL weight.

This is the controller of the video VAE-GAN guide. A factor multiplies the recipe's rate, never the current rate, so a rate stays within
20 % of it. It therefore cannot rescue a run as that guide hopes. A share of random choices always remains, so the rate keeps changing.
That guide's program chose the states to forget by time. Here steps decide, so that a resumed run is the same.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trainwright.engine.controllers.base import Controller, Losses
from trainwright.engine.controllers.rewards import (
    State,
    bounded,
    discriminator_reward,
    discriminator_state,
    exploring,
    generator_reward,
    generator_state,
    kl_reward,
    kl_state,
)
from trainwright.engine.controllers.settings import ControllerSettings

Q_LIMIT = 30.0
REWARDS = 50
LONG, SHORT = 10_000, 500  # steps: scales of a state's age and of the time since its last visit


class Policy:
    """One Q-table with the histories of the losses that it reads.

    Args:
        settings: of the recipe.
        actions: kind of action -> factors.
        state_of: histories and exploration bin -> state, or None where a loss is missing.
        reward_of: histories -> reward.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        actions: Mapping[str, list[float]],
        state_of: Callable[[Mapping[str, list[float]], int], State | None],
        reward_of: Callable[[Mapping[str, list[float]]], float],
    ) -> None:
        self.settings, self.actions, self.state_of, self.reward_of = settings, actions, state_of, reward_of
        self.epsilon = settings.epsilon
        self.histories: dict[str, list[float]] = {}
        self.table: dict[str, dict[str, list[float]]] = {}
        self.seen: dict[str, list[int]] = {}  # state -> visits, first and last step
        self.rewards: deque[float] = deque(maxlen=REWARDS)
        self.last: tuple[str, dict[str, int]] | None = None

    def choose(self, losses: Losses, rng: np.random.Generator, step: int) -> dict[str, float]:
        """Learn from the effect of the last choice, and choose again; all factors are 1.0 where a loss is missing."""
        length = self.settings.history
        for name, value in losses.items():
            before = self.histories.get(name)
            self.histories[name] = [value] * length if before is None else [*before, value][-length:]
        known = {name: self.histories[name] for name in losses}
        s = self.settings
        state = self.state_of(known, exploring(self.epsilon, s.epsilon_min, s.epsilon))
        if state is None:
            self.last = None
            return dict.fromkeys(self.actions, 1.0)
        key = ",".join(map(str, state))
        values = self._values(key, step)
        if self.last is not None:
            self._learn(values, known)
        chosen = {kind: self._pick(values[kind], rng) for kind in self.actions}
        self.epsilon = max(s.epsilon_min, self.epsilon * s.epsilon_decay)
        self.last = (key, chosen)
        return {kind: self.actions[kind][index] for kind, index in chosen.items()}

    def _values(self, key: str, step: int) -> dict[str, list[float]]:
        if key not in self.table:
            if len(self.table) >= self.settings.table:
                self._forget(step)
            self.table[key] = {kind: [0.0] * len(factors) for kind, factors in self.actions.items()}
            self.seen[key] = [0, step, step]
        visits, first, _ = self.seen[key]
        self.seen[key] = [visits + 1, first, step]
        return self.table[key]

    def _forget(self, step: int) -> None:
        def worth(key: str) -> float:
            visits, first, last = self.seen[key]
            return visits * (1 + math.log(1 + (step - first) / LONG)) / (1 + math.log(1 + (step - last) / SHORT))

        kept = self.last[0] if self.last else None
        least = min((k for k in self.table if k != kept), key=worth)
        del self.table[least], self.seen[least]

    def _learn(self, values: dict[str, list[float]], known: Mapping[str, list[float]]) -> None:
        assert self.last is not None
        key, chosen = self.last
        reward = bounded(self.reward_of(known), self.rewards)
        self.rewards.append(reward)
        for kind, index in chosen.items():
            old = self.table[key][kind][index]
            aim = reward + self.settings.gamma * max(values[kind])
            self.table[key][kind][index] = float(np.clip(old + self.settings.alpha * (aim - old), -Q_LIMIT, Q_LIMIT))

    def _pick(self, values: list[float], rng: np.random.Generator) -> int:
        if rng.random() < self.epsilon:
            return int(rng.integers(len(values)))
        best = max(values)
        return int(rng.choice([i for i, v in enumerate(values) if v == best]))

    def report(self) -> dict[str, float]:
        """Return values to log in addition to the factors."""
        reward = float(np.mean(self.rewards)) if self.rewards else 0.0
        return {"epsilon": self.epsilon, "states": len(self.table), "reward": reward}

    def state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        names = ("epsilon", "histories", "table", "seen")
        return {**{n: getattr(self, n) for n in names}, "rewards": list(self.rewards), "last": self.last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned; start with an empty table if the lists of factors changed."""
        self.epsilon, self.histories, self.seen = state["epsilon"], dict(state["histories"]), dict(state["seen"])
        self.table = dict(state["table"])
        self.rewards = deque(state["rewards"], maxlen=REWARDS)
        self.last = (state["last"][0], dict(state["last"][1])) if state["last"] else None
        sizes = {kind: len(factors) for kind, factors in self.actions.items()}
        if any({k: len(v) for k, v in values.items()} != sizes for values in self.table.values()):
            self.table, self.seen, self.last = {}, {}, None


class QLearningController(Controller):
    """The policies of a run. Losses that a family does not have count as steady in states and rewards."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        s = self.settings
        self.lambda_kl = 0.0
        actions = {"lr": s.lr_scales, "momentum": s.momentum_scales}
        self.policies: dict[str, Policy] = {}
        for group in self.groups:
            if self.is_discriminator(group):
                self.policies[group] = Policy(
                    s, actions, lambda h, e: discriminator_state(h, e, self.roles), discriminator_reward
                )
            else:
                self.policies[group] = Policy(
                    s,
                    actions,
                    lambda h, e: generator_state(h, self.lambda_kl, e, self.roles),
                    lambda h: generator_reward(h, self.lambda_kl),
                )
        self.kl_policy: Policy | None = None
        if s.lambda_kl_every and "lambda_kl" in self.roles:
            self.kl_policy = Policy(
                s,
                {"scale": s.lambda_kl_scales},
                lambda h, e: kl_state(h, self.lambda_kl, e, self.roles),
                lambda h: kl_reward(h, self.lambda_kl),
            )
        self.sums: dict[str, list[float]] = {}  # of the losses since the KL weight was last chosen
        self.quality: float | None = None

    def choose(self, losses: Losses, rng: np.random.Generator, step: int) -> dict[str, float]:
        """Apply every policy; that of the KL weight uses means over its interval, after the first held-out reading."""
        reported: dict[str, float] = {}
        self.lambda_kl = losses.get("lambda_kl", 0.0)
        seen = {name: value for name, value in losses.items() if name not in ("lambda_kl", "quality")}
        for group, policy in self.policies.items():
            for kind, factor in policy.choose(seen, rng, step).items():
                self.factors[f"{kind}/{group}"] = factor
            reported |= {f"{name}/{group}": value for name, value in policy.report().items()}
        if self.kl_policy is not None:
            self._choose_kl(self.kl_policy, {**seen, **{k: v for k, v in losses.items() if k == "quality"}}, rng, step)
        return reported

    def _choose_kl(self, policy: Policy, losses: Losses, rng: np.random.Generator, step: int) -> None:
        self.quality = losses.get("quality", self.quality)
        for name, value in losses.items():
            if name != "quality":
                total, count = self.sums.get(name, [0.0, 0])
                self.sums[name] = [total + value, count + 1]
        if (step + 1) % self.settings.lambda_kl_every or (self.quality is None and "quality" in self.roles):
            return
        means = {name: total / count for name, (total, count) in self.sums.items()}
        if self.quality is not None:
            means["quality"] = self.quality
        self.sums = {}
        name = "weight/" + self.roles["lambda_kl"].removeprefix("weight/")
        factor = self.factors.get(name, 1.0) * policy.choose(means, rng, step)["scale"]
        base = self.lambda_kl / self.factors.get(name, 1.0)
        if base > 0:  # the weight in force stays within the range of the video VAE-GAN guide
            factor = float(np.clip(base * factor, 1e-6, 0.5)) / base
        self.factors[name] = factor

    def state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        policies = {**self.policies, **({"lambda_kl": self.kl_policy} if self.kl_policy else {})}
        plain = {name: policy.state() for name, policy in policies.items()}
        return {**super().state(), "policies": plain, "sums": self.sums, "quality": self.quality}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Restore what :meth:`state` returned."""
        if not super().restore(state):
            return False
        self.sums, self.quality = dict(state.get("sums", {})), state.get("quality")
        for name, policy in {**self.policies, "lambda_kl": self.kl_policy}.items():
            kept = state.get("policies", {}).get(name)
            if policy is not None and kept is not None:
                policy.restore(kept)
        if self.kl_policy is None:
            self.reset_weight_factors()
        return True
