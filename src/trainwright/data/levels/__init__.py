"""Levels as data: points, text files of tiles, boards of symbol numbers, and the checks of a playable Sokoban board."""
