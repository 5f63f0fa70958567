"""The ``data`` section of a recipe for families that train on levels: sets of points, or maps of tiles."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from trainwright.config.base import Config, setting

SYMBOLS = "# $.*@+"  # XSB: wall, floor, box, goal, box on goal, player, player on goal
ALPHABET = SYMBOLS + "_"  # with the symbol that is printed for what lies outside the walls
KINDS = ("uniform", "gaussian_mixture", "links", "half", "polygon", "diagonal")


class LevelData(Config):
    """Source of the levels, and the sequences they are converted to."""

    shorthand: ClassVar[str | None] = "source"

    source: str = setting(
        "uniform",
        "Points generated on the fly: `uniform`, `gaussian_mixture`, `links`, `half` (of the first two), `polygon`, `diagonal`; your "
        "own points, a .npy file of (levels, points, 2); `sokoban`, 921 packaged levels; or text levels, a file or folder "
        "(.txt, .sok, .xsb).",
        aliases=("distribution",),
    )
    points: int = setting(50, "Points of a level that is generated on the fly.", ge=4, le=4096)
    epoch_size: int = setting(
        2**16, "Levels generated on the fly per epoch; each epoch draws new ones.", ge=2, le=2**30
    )
    clusters: Annotated[tuple[int, int], Field(strict=False)] = setting(
        (3, 6), "`gaussian_mixture`: smallest and largest number of clusters."
    )
    cluster_distance: float = setting(
        50.0, "`gaussian_mixture`: side of the square of the centres, in standard deviations of a cluster.", gt=0
    )
    order: Literal["x", "clusters", "drawn"] = setting(
        "x",
        "Points: `x`, sorted by their first coordinate; `clusters`, one group of neighbours after the other, the leftmost first; "
        "`drawn`, in the order of the source.",
    )
    size: Annotated[
        tuple[Annotated[int, Field(ge=3, le=128)], Annotated[int, Field(ge=3, le=128)]], Field(strict=False)
    ] = setting((10, 10), "Tiles: rows and columns of the canvas; levels that do not fit are skipped.")
    symbols: str | None = setting(
        None, "Tiles: the alphabet of levels that are not Sokoban, one character a tile; the first is the padding."
    )
    symmetries: bool = setting(True, "Tiles: train on the mirrored and rotated copies of each level too.")
    held_out: float = setting(0.1, "Share of levels held out from training, a level with all its copies.", ge=0, lt=1)

    @property
    def sokoban(self) -> bool:
        """True if tiles are Sokoban's."""
        return self.symbols in (None, SYMBOLS, ALPHABET)

    @property
    def alphabet(self) -> str:
        """The symbols of tiles."""
        return ALPHABET if self.sokoban else str(self.symbols)

    @property
    def of_points(self) -> bool:
        """True if levels are points, False for tiles."""
        return self.source in KINDS or self.source.endswith(".npy")

    @model_validator(mode="after")
    def _counts_fit(self) -> "LevelData":
        if not 1 <= self.clusters[0] <= self.clusters[1] <= 64:
            raise ValueError("clusters should be two numbers from 1 to 64, the fewest first")
        return self
