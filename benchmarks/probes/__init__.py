"""Probes: small tasks on vectors that show what a mixer can carry from one end of a sequence to the other."""
