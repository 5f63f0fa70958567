"""What a recipe can say of its controller."""

from typing import Annotated, Literal

from pydantic import Field

from trainwright.config.base import Config, setting

Scale = Annotated[float, Field(gt=0, le=10)]


class ControllerSettings(Config):
    """A controller multiplies the rates and momenta that the recipe has in force; it never replaces them."""

    enabled: bool = setting(False, "Whether a controller acts at all.", hot=True, aliases=("Q_CONTROLLER_ENABLED",))
    kind: Literal["q", "random", "balance"] = setting(
        "q",
        "`q`: tabular Q-learning of the video guide; `random`: the same actions drawn at random, the control; `balance`: the "
        "discriminator rests while its loss is low, the generator while it is high.",
        hot=True,
    )
    lr_scales: list[Scale] = setting(
        [0.8, 0.9, 1.0, 1.1, 1.2], "Factors on a learning rate to choose from.", hot=True, min_length=1
    )
    momentum_scales: list[Scale] = setting(
        [0.95, 0.98, 1.0, 1.01, 1.02],
        "Factors on the momentum (Adam's first beta) to choose from.",
        hot=True,
        min_length=1,
    )
    alpha: float = setting(0.01, "Q-learning: step towards a new value.", hot=True, gt=0, le=1)
    gamma: float = setting(0.9, "Q-learning: weight of the next state's value.", hot=True, ge=0, lt=1)
    epsilon: float = setting(0.5, "Share of choices that are drawn at random, at the start.", ge=0, le=1)
    epsilon_min: float = setting(0.05, "Below which that share never falls.", hot=True, ge=0, le=1)
    epsilon_decay: float = setting(0.9995, "Factor on it at each choice.", hot=True, gt=0, le=1)
    history: int = setting(5, "Readings of each loss that a trend is judged by.", ge=3, le=1000)
    table: int = setting(20_000, "States that are remembered; the least useful are dropped.", hot=True, ge=10)
    lambda_kl_every: int = setting(0, "Let it choose the KL weight too, every so many steps; 0: not.", hot=True, ge=0)
    lambda_kl_scales: list[Scale] = setting(
        [0.94, 0.97, 1.0, 1.03, 1.06], "Factors on the KL weight.", hot=True, min_length=1
    )
    low: float = setting(0.3, "`balance`: the discriminator rests below this mean loss a term.", hot=True, ge=0)
    high: float = setting(0.8, "`balance`: the generator rests above it.", hot=True, ge=0)
