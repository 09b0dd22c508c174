"""Recordings longer than a training utterance: encoded in windows that overlap, searched in pieces cut at silences.

windows         where the windows lie, and which of their frames are kept; imports no torch
encoding        encoding in windows, by torch
pieces          where a search may be cut
"""
