"""One folder for each family of models; see ``docs/how-to/add-a-family.md``."""
