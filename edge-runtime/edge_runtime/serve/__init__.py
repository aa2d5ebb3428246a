"""A model behind HTTP: the Open Inference Protocol v2, and a plain /predict.

The way of a request: ``guard`` (connection) -> ``app`` (address, token, body) -> ``protocol`` (tensors) -> ``core``
(which version, is there room) -> ``batcher`` (threads, one inference for several requests) -> back. ``core``,
``batcher`` and ``protocol`` know nothing of HTTP servers; ``app`` is an ASGI application; ``server`` runs it on
uvicorn.
"""
