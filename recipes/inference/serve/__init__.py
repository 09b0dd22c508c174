"""Live streams over WebSockets, many in one batch of the model, and a page to try them: see `__main__`."""
