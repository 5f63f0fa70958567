"""Settings of a sequence VAE recipe: the networks, the objective and its reduction.

The names are those of the sequence VAE guide.
"""

from typing import Literal

from pydantic import model_validator

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate, Tanh
from trainwright.data.levels.config import LevelData
from trainwright.engine.config import RunConfig


class NetworkConfig(Config):
    """Encoder and decoder, both LSTMs. Each setting changes the architecture, so it needs a new run."""

    decoder: Literal["repeat", "autoregressive"] = setting(
        "repeat",
        "Input of the decoder. `repeat`, as in the sequence VAE guide: z at every step and nothing else; `autoregressive`: z and the "
        "elements before, so that a step can choose one of several possibilities and the next steps depend on the choice.",
    )
    likelihood: Literal["gaussian", "mixture", "categorical"] = setting(
        "gaussian",
        "Output of the decoder. `gaussian`: one mean for each step (squared errors); `mixture`: several Gaussians for each step "
        "(Bishop 1994; Ha & Eck 2018), of which a sample draws one; `categorical`: tiles.",
    )
    hidden_dim: int = setting(256, "Width of the LSTMs.", ge=1, le=8192)
    encoder_hidden: int | None = setting(
        None, "Width of the encoder, where it differs from `hidden_dim`.", ge=1, le=8192
    )
    decoder_hidden: int | None = setting(
        None, "Width of the decoder, where it differs from `hidden_dim`.", ge=1, le=8192
    )
    latent_dim: int = setting(1024, "Length of the latent vector z.", ge=1, le=65536)
    encoder_layers: int = setting(3, "LSTM layers of the encoder.", ge=1, le=16)
    decoder_layers: int = setting(3, "LSTM layers of the decoder.", ge=1, le=16)
    encoder_dropout: float = setting(0.3, "Dropout between the encoder's layers.", ge=0, lt=1)
    decoder_dropout: float = setting(0.7, "Dropout between the decoder's layers.", ge=0, lt=1)
    summary: Literal["cell", "hidden"] = setting(
        "cell",
        "Input of the heads for mean and variance: cell state of the encoder's last layer after the last step, or its hidden state.",
    )
    decoder_input_layer: bool = setting(False, "A dense layer between z and the decoder.")
    components: int = setting(16, "With `mixture`: number of Gaussians for each step.", ge=1, le=256)
    embedding: int = setting(24, "With `categorical`: length of a symbol's embedding.", ge=1, le=1024)
    prior: Literal["standard", "posteriors"] = setting(
        "standard",
        "Distribution of z for samples. `standard`: N(0, I); `posteriors`: the posterior of a training level that is chosen at "
        "random, because the decoder was trained on posteriors (ex-post density, Ghosh et al. 2020; 512 levels are kept).",
    )
    rules: Literal["none", "sokoban"] = setting(
        "none",
        "With `categorical`: `sokoban` draws no tile that opens the walls or adds a second player. Then it makes the likeliest edits "
        "that give one player and equal numbers of boxes and goals. Changes only samples.",
    )


class LossConfig(Config):
    """Loss and optimizer. Each setting can change in a running or resumed run."""

    beta: Rate = setting(
        Tanh(kind="tanh"),
        "Weight of the KL term. That of the sequence VAE guide is ½(tanh(epoch/200 - 2.5) + 1): 0.047 at epoch 200.",
        hot=True,
    )
    reduction: Literal["mean", "sum"] = setting(
        "mean",
        "Reduction of the loss terms. `mean`, as in the sequence VAE guide: errors (squared, or negative log-likelihoods) averaged "
        "over all numbers or tiles of a level, the KL over the latent dimensions; `sum`: the negative log-likelihood of a level and "
        "its KL, both in nats.",
        hot=True,
    )
    observation_std: float = setting(
        0.1, "With `gaussian` and `sum`: assumed standard deviation of the decoder's Gaussian.", hot=True, gt=0
    )
    free_bits: float = setting(
        0.0,
        "Nats of KL in each latent dimension, averaged over the batch, that add nothing to the loss.",
        hot=True,
        ge=0,
    )
    target_noise: float = setting(
        0.01,
        "With points: standard deviation of the noise that is added to the targets of reconstruction.",
        hot=True,
        ge=0,
    )
    word_dropout: float = setting(
        0.0,
        "With `autoregressive`: share of steps from which the elements before are hidden (Bowman et al. 2016).",
        hot=True,
        ge=0,
        le=1,
    )
    learning_rate: Rate = setting(1e-3, "Learning rate of Adam.", hot=True)
    weight_decay: float = setting(0.0, "Decoupled weight decay (AdamW).", hot=True, ge=0)


class SequenceVaeConfig(RunConfig):
    """A sequence VAE recipe."""

    data: LevelData = LevelData()
    model: NetworkConfig = NetworkConfig()
    optim: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _likelihood_fits(self) -> "SequenceVaeConfig":
        tiles = not self.data.of_points
        if tiles != (self.model.likelihood == "categorical"):
            wanted = "categorical" if tiles else "gaussian or mixture"
            raise ValueError(
                f"model.likelihood should be {wanted} for levels from {self.data.source!r}, not {self.model.likelihood}"
            )
        if self.model.rules == "sokoban" and not (tiles and self.data.sokoban):
            raise ValueError("model.rules=sokoban is for Sokoban levels")
        return self
