"""One image file -> one ``(size, size, channels)`` array of bytes."""

import warnings

import numpy as np
from PIL import Image, ImageColor, ImageOps

from trainwright.data.config import Images
from trainwright.data.sources import Item

MAX_PIXELS = 200_000_000  # a decompression bomb is a broken file, not a reason to swap


def decode(item: Item, config: Images) -> np.ndarray:
    """Read the first frame, apply its EXIF rotation, make it square, and convert it.

    Returns:
        uint8 array of shape (size, size, channels); channels last, transparency laid on ``background`` unless kept.

    Raises:
        ValueError: the file cannot be read as an image; the message gives the reason in a few words.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with item.open() as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"has {image.width}x{image.height} pixels, more than {MAX_PIXELS:,}")
                rgba = _to_rgba(ImageOps.exif_transpose(image) or image)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(_why(error)) from None
    square = _square(rgba, config)
    return _channels(square, config)


def _why(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "is not an image that can be read"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened: {error.strerror.lower()}"
    return f"is damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def _to_rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):  # 16-bit grey would be clipped, not scaled, by PIL
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode != "F" else max(float(values.max()), 1e-9)
        image = Image.fromarray((values.clip(0, top) / top * 255).round().astype(np.uint8))
    return image.convert("RGBA")


def _square(image: Image.Image, config: Images) -> Image.Image:
    width, height = image.size
    side = min(width, height) if config.fit == "crop" else max(width, height)
    if config.fit == "crop":
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    elif config.fit == "pad":
        canvas = Image.new("RGBA", (side, side), (*ImageColor.getrgb(config.background)[:3], 0))
        canvas.paste(image, ((side - width) // 2, (side - height) // 2))
        image = canvas
    if image.size == (config.size, config.size):
        return image
    # Smooth resampling mixes colours across edges of transparency; premultiplied alpha ("RGBa") avoids that.
    if _nearest(image, config):
        return image.resize((config.size, config.size), Image.Resampling.NEAREST)
    return image.convert("RGBa").resize((config.size, config.size), Image.Resampling.LANCZOS).convert("RGBA")


def _nearest(image: Image.Image, config: Images) -> bool:
    if config.interpolation == "auto":
        return config.size % image.width == 0 and config.size % image.height == 0
    return config.interpolation == "nearest"


def _channels(image: Image.Image, config: Images) -> np.ndarray:
    if config.channels == 4:
        return np.asarray(image, dtype=np.uint8)
    canvas = Image.new("RGBA", image.size, (*ImageColor.getrgb(config.background)[:3], 255))
    canvas.alpha_composite(image)
    flat = canvas.convert("L" if config.channels == 1 else "RGB")
    return np.asarray(flat, dtype=np.uint8).reshape(config.size, config.size, config.channels)
