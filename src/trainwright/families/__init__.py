"""One folder for each family of models; see ``docs/adding-a-family.md``."""
