"""Import of the family's model class, after a check for the libraries that it needs."""

from importlib.util import find_spec
from typing import Any

from trainwright.engine.model import GenerativeModel
from trainwright.errors import UserError
from trainwright.metrics.features import PACKAGE

LIBRARIES = {"av": "PyAV", "cv2": "OpenCV", "geoopt": "geoopt", PACKAGE: "the feature network"}


def model(config: Any) -> type[GenerativeModel]:
    """Return the family's model class; it is the same for every config.

    Raises:
        UserError: PyAV, OpenCV, geoopt or the feature network is not installed.
    """
    missing = [title for module, title in LIBRARIES.items() if find_spec(module) is None]
    if missing:
        raise UserError(f"videos need {' and '.join(missing)}: pip install 'trainwright[video]'.")
    from trainwright.families.video_vaegan.model import VideoVaeGan

    return VideoVaeGan
