"""What a stream costs: errors by chunk and left context of trained runs; state and time of a chunk by its age."""
