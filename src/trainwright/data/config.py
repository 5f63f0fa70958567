"""The ``data`` section of a recipe for families that train on images."""

from typing import Annotated, ClassVar, Literal

from PIL import ImageColor
from pydantic import AfterValidator, Field

from trainwright.config.base import Config, setting


def _is_colour(name: str) -> str:
    try:
        ImageColor.getrgb(name)
    except ValueError:
        raise ValueError("should be a colour such as white, black or '#e0e0e0'") from None
    return name


def power_of_two(size: int) -> int:
    """Validate that a side is a power of two."""
    if size & (size - 1):
        raise ValueError("should be a power of two: 16, 32, 64, 128, ...")
    return size


class Augment(Config):
    """Random changes to each training image, drawn again each time it is used."""

    flip: float = setting(
        0.5, "Probability of a horizontal flip.", hot=True, ge=0, le=1, aliases=("HORIZONTAL_FLIP_PROB",)
    )
    rotation: float = setting(
        0.0, "Largest rotation in degrees, in either direction.", hot=True, ge=0, le=180, aliases=("ROTATION_DEGREES",)
    )
    color_jitter: Annotated[
        tuple[
            Annotated[float, Field(ge=0, le=1)],
            Annotated[float, Field(ge=0, le=1)],
            Annotated[float, Field(ge=0, le=1)],
            Annotated[float, Field(ge=0, le=0.5)],
        ],
        Field(strict=False),
    ] = setting(
        (0.0, 0.0, 0.0, 0.0),
        "Strength of brightness, contrast, saturation and hue jitter.",
        hot=True,
        aliases=("COLOR_JITTER",),
    )


class Images(Config):
    """Source of the images, and the format they are converted to."""

    shorthand: ClassVar[str | None] = "source"

    source: str = setting(
        "sprites",
        "A folder of images (searched through its subfolders), or packaged data: `sprites`, 949 CC0 sprites "
        "of 32 px; `emoji`, 1,897 of 32 px; `photos`, 1,165 CC0 photo patches of 64 px.",
    )
    size: Annotated[int, AfterValidator(power_of_two)] = setting(
        64, "Side of the square images in pixels, a power of two.", ge=16, le=1024
    )
    channels: Literal[1, 3, 4] = setting(3, "1 grey, 3 colour, 4 colour with transparency kept as a fourth channel.")
    background: Annotated[str, AfterValidator(_is_colour)] = setting(
        "white", "Colour behind transparent parts (for 1 and 3 channels) and of added borders."
    )
    fit: Literal["crop", "pad", "stretch"] = setting(
        "crop", "Conversion of an image that is not square: crop the centre, add borders, or stretch."
    )
    interpolation: Literal["auto", "nearest", "smooth"] = setting(
        "auto", "`auto`: nearest for integer upscaling (keeps pixel art sharp), smooth otherwise."
    )
    on_error: Literal["fail", "skip"] = setting(
        "fail", "A file that cannot be read as an image: stop and name it, or skip it and list it."
    )
    held_out: float = setting(0.1, "Share of images held out from training, chosen by their content.", ge=0, lt=1)
    workers: int | None = setting(None, "Threads for decoding; null: one per core.", hot=True, ge=1, le=256)


class ImageData(Images):
    """Images for a family that trains on pixels."""

    augment: Augment = Augment()
