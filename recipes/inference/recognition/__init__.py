"""From whole recordings to transcripts by a trained model; `recipes.inference.Transcriber` is how it is used.

loading         a model with its weights, tokenizer and search (`loaded_model`), from the folder of a run or a release
recognition     a batch of recordings through the model: encoding, search, words
description     how a model transcribes, in words for the screen
engine          the interface that a trained model and an exported one share; imports no torch
"""
