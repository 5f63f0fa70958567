"""Programs for those who work on Trainwright; nothing here is installed."""
