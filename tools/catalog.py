"""Families and recipes, wherever the package keeps them."""

try:
    from trainwright import catalog
except ImportError:
    from trainwright import recipes as catalog  # type: ignore[no-redef]

families, recipes, family, load = catalog.families, catalog.recipes, catalog.family, catalog.load
