"""Recipes: configuration, data, models, training and evaluation of speech recognisers built on the mixers."""
