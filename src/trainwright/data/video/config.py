"""The ``data`` section of a recipe for families that train on videos."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from trainwright.config.base import Config, setting
from trainwright.data.config import power_of_two


class VideoData(Config):
    """Source of the videos, and the frames of a sample."""

    shorthand: ClassVar[str | None] = "source"

    source: str = setting(
        "clips",
        "A video file, a folder of videos (searched through its subfolders), or packaged data: `clips`, three short real videos; "
        "`square`, a square that moves and changes its colour by a rule, generated.",
    )
    size: Annotated[int, AfterValidator(power_of_two)] = setting(
        32, "Side of the square frames in pixels, a power of two.", ge=16, le=512, aliases=("IMAGE_H", "IMAGE_W")
    )
    fit: Literal["crop", "stretch"] = setting(
        "crop", "Conversion of a frame that is not square: crop the centre, add borders, or stretch."
    )
    context: int = setting(3, "Number of given frames.", ge=1, le=64, aliases=("NUM_INPUT_FRAMES",))
    predict: int = setting(1, "Number of frames to predict.", ge=1, le=64, aliases=("NUM_PREDICT_FRAMES",))
    skip: int = setting(
        1, "Distance between the frames of a window: 2 takes every second frame.", ge=1, le=64, aliases=("FRAME_SKIP",)
    )
    cut: float | None = setting(
        0.3,
        "A cut is where the colours of two frames in a row differ by this share of the pixels; no window spans one. null: none.",
        gt=0,
        lt=1,
    )
    flow: bool = setting(
        True, "Compute the optical flow (DIS) of every pair of frames once and store it with the frames."
    )
    flip: float = setting(0.5, "Probability that a window is mirrored.", hot=True, ge=0, le=1)
    turn: float = setting(
        0.0,
        "Probability that a window is rotated by 90, 180 or 270 degrees; useful where up and down matter little.",
        hot=True,
        ge=0,
        le=1,
    )
    held_out: float = setting(
        0.15,
        "Share of each video held out from training, in blocks that share no frame with a training window.",
        ge=0,
        lt=1,
    )
    block: int = setting(20, "Windows in a held-out block.", ge=1, le=10_000, aliases=("VAL_BLOCK_SIZE",))
    on_error: Literal["fail", "skip"] = setting(
        "fail", "A file that cannot be read as a video: stop and name it, or skip it and list it."
    )

    @property
    def frames(self) -> int:
        """Number of frames in a window."""
        return self.context + self.predict

    @property
    def span(self) -> int:
        """Number of frames from the first to the last of a window, skipped ones included."""
        return (self.frames - 1) * self.skip + 1
