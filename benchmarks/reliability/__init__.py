"""Accidents that must do no harm: kills, several processes, mistakes, many files, many epochs."""
