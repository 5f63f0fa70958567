"""Settings of the controller of a recipe."""

from typing import Annotated, Literal

from pydantic import Field

from trainwright.config.base import Config, setting

Scale = Annotated[float, Field(gt=0, le=10)]


class ControllerSettings(Config):
    """Configuration of a controller, which multiplies the recipe's rates and momenta and never replaces them."""

    enabled: bool = setting(False, "Switches the controller on.", hot=True, aliases=("Q_CONTROLLER_ENABLED",))
    kind: Literal["q", "random", "balance"] = setting(
        "q",
        "`q`: tabular Q-learning of the video VAE-GAN guide; `random`: the same actions drawn at random, as a control; `balance`: the "
        "discriminator is paused while its loss is low, the generator while it is high.",
        hot=True,
    )
    lr_scales: list[Scale] = setting(
        [0.8, 0.9, 1.0, 1.1, 1.2], "Choices of the factor on a learning rate.", hot=True, min_length=1
    )
    momentum_scales: list[Scale] = setting(
        [0.95, 0.98, 1.0, 1.01, 1.02],
        "Choices of the factor on the momentum (Adam's first beta).",
        hot=True,
        min_length=1,
    )
    alpha: float = setting(0.01, "Q-learning: step size towards a new value.", hot=True, gt=0, le=1)
    gamma: float = setting(0.9, "Q-learning: weight of the next state's value.", hot=True, ge=0, lt=1)
    epsilon: float = setting(0.5, "Share of random choices at the start.", ge=0, le=1)
    epsilon_min: float = setting(0.05, "Lower bound of that share.", hot=True, ge=0, le=1)
    epsilon_decay: float = setting(0.9995, "Factor on that share at each choice.", hot=True, gt=0, le=1)
    history: int = setting(5, "Readings of each loss from which a trend is computed.", ge=3, le=1000)
    table: int = setting(
        20_000, "Greatest number of states in the table; the least useful are dropped.", hot=True, ge=10
    )
    lambda_kl_every: int = setting(0, "Steps between choices of the KL weight; 0: it is not changed.", hot=True, ge=0)
    lambda_kl_scales: list[Scale] = setting(
        [0.94, 0.97, 1.0, 1.03, 1.06], "Choices of the factor on the KL weight.", hot=True, min_length=1
    )
    low: float = setting(0.3, "`balance`: the discriminator is paused below this mean loss per term.", hot=True, ge=0)
    high: float = setting(0.8, "`balance`: the generator is paused above this mean loss per term.", hot=True, ge=0)
