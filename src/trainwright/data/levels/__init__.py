"""Tile levels as data: text files of levels, boards of symbol numbers, and what makes a Sokoban board playable."""
