"""The ``data`` section of a recipe whose images are written as Gaussians: the images, the fit, and the form trained on."""

from typing import Literal

from pydantic import model_validator

from trainwright.config.base import Config, setting
from trainwright.data.config import Images


class Fit(Config):
    """Configuration of the fit of Gaussians to an image. Changing any of these requires a new fit."""

    count: int = setting(512, "Gaussians for each image.", ge=4, le=16384)
    layout: Literal["adaptive", "slots"] = setting(
        "adaptive",
        "`adaptive`: start where the image's gradient is large, as Image-GS does; `slots`: start on a fixed lattice and "
        "stay near it, so that the n-th Gaussian of every image has about the same place.",
    )
    variables: Literal["inverse_scale", "log_covariance"] = setting(
        "inverse_scale",
        "What is optimised: inverse scales and an unbounded angle, as Image-GS does, or the logarithm of the covariance, "
        "in which every Gaussian has one description.",
    )
    blend: Literal["normalised", "sum"] = setting(
        "normalised",
        "`normalised`: weighted mean of the strongest Gaussians (Image-GS); `sum`: plain sum (GaussianImage).",
    )
    top_k: int = setting(
        10, "With `normalised`: number of the strongest Gaussians that contribute to a pixel.", ge=1, le=256
    )
    max_steps: int = setting(
        500, "Largest number of optimizer steps for an image; a fit stops earlier when it no longer improves.", ge=20
    )
    enough: float = setting(40.0, "PSNR in dB above which an image counts as nearly done.", gt=0, le=99)
    progressive: bool = setting(
        True,
        "With `adaptive`: start with half of the Gaussians and add an eighth four times where the error is largest.",
    )
    loss: Literal["l2", "l1_ssim"] = setting(
        "l2", "`l2`: squared error, which is what PSNR measures; `l1_ssim`: L1 + 0.1 (1 - SSIM), as Image-GS does."
    )
    places_seed: int = setting(0, "Seed of the random places.", ge=0, lt=2**31)


class GaussianData(Images):
    """Images that are fitted with Gaussians."""

    workers: int | None = setting(
        None, "Threads for decoding and processes for fitting; null: one per core.", hot=True, ge=1, le=256
    )
    fitting: Fit = Fit()
    form: Literal["raw", "canonical"] = setting(
        "canonical",
        "`raw`: x, y, inverse scales, angle, colour, as in the Gaussian VAE guide; `canonical`: x, y, logarithms of the larger and "
        "the smaller scale, the doubled angle's cosine and sine (fading to 0 for round Gaussians), colour.",
    )
    order: Literal["morton", "fitted"] = setting(
        "morton", "Order of the Gaussians: along the Morton curve of their places, or as the fit has them."
    )
    normalise: Literal["parameter", "slot"] = setting(
        "parameter",
        "Mean and standard deviation over the training data: of each parameter, or of each parameter of each place in the order.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "GaussianData":
        if self.fitting.layout == "adaptive" and self.order == "fitted":
            raise ValueError("data.order: fitted needs fitting.layout: slots; an adaptive fit has no order of its own")
        return self
