"""The whole surface: every address, its method, and who may use it."""

from __future__ import annotations

OPEN, TOKEN, ADMIN = "open", "token", "admin"
"""Who may use an address: anybody, whoever has the token (if there is one), whoever has the administrator's."""

ROUTES: dict[str, tuple[str, str, str]] = {
    "live": ("GET", "/v2/health/live", OPEN),
    "ready": ("GET", "/v2/health/ready", OPEN),
    "server": ("GET", "/v2", TOKEN),
    "model": ("GET", "/v2/models/{name}", TOKEN),
    "model_version": ("GET", "/v2/models/{name}/versions/{version}", TOKEN),
    "model_ready": ("GET", "/v2/models/{name}/ready", TOKEN),
    "model_version_ready": ("GET", "/v2/models/{name}/versions/{version}/ready", TOKEN),
    "infer": ("POST", "/v2/models/{name}/infer", TOKEN),
    "infer_version": ("POST", "/v2/models/{name}/versions/{version}/infer", TOKEN),
    "predict": ("POST", "/predict", TOKEN),
    "metrics": ("GET", "/metrics", TOKEN),
    "openapi": ("GET", "/openapi.json", TOKEN),
    "status": ("GET", "/admin/status", ADMIN),
    "reload": ("POST", "/admin/reload", ADMIN),
    "outcomes": ("POST", "/admin/outcomes", ADMIN),
}
"""By endpoint: method, address, and who may use it."""

NONE = "none"
"""The endpoint of an address at which there is nothing."""

_FIXED = {path: endpoint for endpoint, (_, path, _) in ROUTES.items() if "{" not in path}
_MODELS = "/v2/models/"
_MODEL = {(): "model", ("ready",): "model_ready", ("infer",): "infer"}


def resolve(path: str) -> tuple[str, tuple[str, ...]]:
    """The endpoint at an address, ``NONE`` if there is none, and the model's name and version in it."""
    if path in _FIXED:
        return _FIXED[path], ()
    if path.startswith(_MODELS):
        name, *rest = path[len(_MODELS) :].split("/")
        if name and len(rest) >= 2 and rest[0] == "versions" and rest[1]:
            endpoint = _MODEL.get(tuple(rest[2:]))
            if endpoint:
                return endpoint.replace("model", "model_version").replace("infer", "infer_version"), (name, rest[1])
        elif name and tuple(rest) in _MODEL:
            return _MODEL[tuple(rest)], (name,)
    return NONE, ()


def allowed(endpoint: str, method: str) -> bool:
    """HEAD is answered wherever GET is."""
    wanted = ROUTES[endpoint][0]
    return method == wanted or (wanted == "GET" and method == "HEAD")


def allow(endpoint: str) -> bytes:
    """What an ``Allow`` header says of it."""
    return b"GET, HEAD" if ROUTES[endpoint][0] == "GET" else ROUTES[endpoint][0].encode()
