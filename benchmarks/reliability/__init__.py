"""Accidents that must spoil nothing, tried: kills, several processes, mistakes, many files, many epochs."""
