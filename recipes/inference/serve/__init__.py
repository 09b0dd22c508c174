"""Live streams of many clients over WebSockets, as one batch of the model: `python -m recipes.inference.serve`.

app             the page, and the socket of a client
live            the clients and the loop that computes their chunks
outbox          messages on their way to a client
limits          what a client may take
"""
