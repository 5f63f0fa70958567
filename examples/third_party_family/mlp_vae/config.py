"""Configuration of an MLP VAE: its networks and its loss."""

from trainwright.config.base import Config, setting
from trainwright.config.schedules import Rate
from trainwright.data.config import ImageData
from trainwright.engine.config import RunConfig


class NetworkConfig(Config):
    """Encoder and decoder. All of these change the architecture, so they need a new run."""

    hidden_dim: int = setting(256, "Width of the hidden layer of both networks.", ge=1, le=4096)
    latent_dim: int = setting(16, "Length of the latent vector z.", ge=1, le=1024)
    output_gain: float = setting(1.0, "Factor on the decoder's output before its tanh.", gt=0)


class LossConfig(Config):
    """The loss and the optimizer. All of these can change in a running or resumed run."""

    beta: Rate = setting(1.0, "Weight of the KL; the squared error is a sum over all numbers of an image.", hot=True)
    learning_rate: Rate = setting(1e-3, "Learning rate of Adam.", hot=True)


class MlpVaeConfig(RunConfig):
    """A recipe of an MLP VAE."""

    data: ImageData = ImageData()
    model: NetworkConfig = NetworkConfig()
    optim: LossConfig = LossConfig()
