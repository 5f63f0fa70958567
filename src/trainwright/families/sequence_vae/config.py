"""What a sequence VAE recipe can set: the networks, the objective and its reduction. The names are the guide's."""

from typing import Literal

from pydantic import model_validator

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate, Tanh
from trainwright.data.levels.config import LevelData
from trainwright.engine.config import RunConfig


class NetworkConfig(Config):
    """Encoder and decoder, LSTMs both. All of these change the architecture, so they need a restart."""

    decoder: Literal["repeat", "autoregressive"] = setting(
        "repeat",
        "`repeat`, the guide's: z at every step and nothing else; `autoregressive`: z and what came before, so that a step can choose "
        "one of several possibilities and the next ones know which.",
    )
    likelihood: Literal["gaussian", "mixture", "categorical"] = setting(
        "gaussian",
        "`gaussian`: one mean a step (squared errors); `mixture`: several Gaussians a step (Bishop 1994; Ha & Eck 2018), of which "
        "samples draw one; `categorical`: tiles.",
    )
    hidden_dim: int = setting(256, "Width of the LSTMs.", ge=1, le=8192)
    encoder_hidden: int | None = setting(None, "Width of the encoder, where it differs.", ge=1, le=8192)
    decoder_hidden: int | None = setting(None, "Width of the decoder, where it differs.", ge=1, le=8192)
    latent_dim: int = setting(1024, "Length of the latent vector z.", ge=1, le=65536)
    encoder_layers: int = setting(3, "LSTM layers of the encoder.", ge=1, le=16)
    decoder_layers: int = setting(3, "LSTM layers of the decoder.", ge=1, le=16)
    encoder_dropout: float = setting(0.3, "Dropout between the encoder's layers.", ge=0, lt=1)
    decoder_dropout: float = setting(0.7, "Dropout between the decoder's layers.", ge=0, lt=1)
    summary: Literal["cell", "hidden"] = setting(
        "cell", "What the heads see of the encoder: the last layer's cell at the end, or its output."
    )
    decoder_input_layer: bool = setting(False, "A dense layer between z and the decoder.")
    components: int = setting(16, "With `mixture`: Gaussians a step.", ge=1, le=256)
    embedding: int = setting(24, "With `categorical`: length of a symbol's vector.", ge=1, le=1024)
    prior: Literal["standard", "posteriors"] = setting(
        "standard",
        "What z is drawn from for samples. `standard`: N(0, I); `posteriors`: the posterior of a training level that is chosen at "
        "random, which is where the decoder was trained (ex-post density, Ghosh et al. 2020; 512 levels are kept).",
    )
    rules: Literal["none", "sokoban"] = setting(
        "none",
        "With `categorical`: `sokoban` draws no tile that opens the walls or adds a second player, and then makes the likeliest edits "
        "that give one player and as many boxes as goals. Changes only samples.",
    )


class LossConfig(Config):
    """The loss and the optimizer. All of these can change in a running or resumed run."""

    beta: Rate = setting(
        Tanh(kind="tanh"),
        "Weight of the KL term; the guide's is ½(tanh(epoch/200 - 2.5) + 1), which is .047 at epoch 200.",
        hot=True,
    )
    reduction: Literal["mean", "sum"] = setting(
        "mean",
        "`mean`, the guide's: errors (squared, or negative log-likelihoods) averaged over all numbers or tiles of a level, the KL "
        "over the latent dimensions; `sum`: the negative log-likelihood of a level and its KL, both in nats.",
        hot=True,
    )
    observation_std: float = setting(
        0.1, "With `gaussian` and `sum`: standard deviation that the decoder is taken to have.", hot=True, gt=0
    )
    free_bits: float = setting(
        0.0, "Nats of each latent dimension, averaged over the batch, that cost nothing.", hot=True, ge=0
    )
    target_noise: float = setting(
        0.01, "Points: standard deviation of the noise on what is to be reconstructed.", hot=True, ge=0
    )
    word_dropout: float = setting(
        0.0,
        "With `autoregressive`: share of steps that do not see what came before (Bowman et al. 2016).",
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
