"""Keys at the top of a recipe that describe it and set nothing."""

from ruamel.yaml.comments import CommentedMap

from trainwright.config.base import Config, setting
from trainwright.config.reading import Settings, plain, validate


class RecipeHeader(Config):
    """Description of a recipe. A recipe that extends another one does not inherit it."""

    use_for: str = setting("", "Purpose of the recipe, in one line.")
    minutes: float | None = setting(None, "Measured length of a run on two cores, in minutes.", gt=0)
    hidden: bool = setting(False, "Not in the default list: made to fail, or of historical interest only.")


def take_header(mapping: CommentedMap, label: str) -> RecipeHeader:
    """Remove the describing keys from a recipe's mapping and return them.

    Raises:
        UserError: a wrong type or value, with its line; ``label`` names the recipe.
    """
    settings = Settings()
    for key in RecipeHeader.model_fields.keys() & mapping.keys():
        settings.put((key,), plain(mapping[key]), f"{label}: line {mapping.lc.key(key)[0] + 1}")
    for key in settings.values:
        del mapping[key]
    return validate(settings, RecipeHeader)
