"""What /predict is asked about: a picture's file, a text, or JSON, as the body itself or as a form's only file."""

from __future__ import annotations

from typing import Any

from edge_runtime import limits
from edge_runtime.errors import ExtraMissingError, MediaTypeError, RequestError, RequestTooLargeError
from edge_runtime.serve.protocol import load_json

JSON_KEYS = ("text", "data")
"""What the object of a JSON body may hold: one of a text, and a (nested) list of numbers."""


def item(content: bytes, media_type: bytes, content_type: bytes) -> bytes | str | list[Any]:
    """What ``Model.prepare`` takes, from a body. ``content_type`` is the whole header, with its parameters.

    Raises RequestError, MediaTypeError, RequestTooLargeError.
    """
    if media_type == b"multipart/form-data":
        content = _only_file(content, content_type)
        media_type = b""
    if not content:
        raise RequestError("the body is empty; send a picture's file, a text, or JSON")
    if media_type == b"text/plain":
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise RequestError(f"the text is not UTF-8: {error.reason} at byte {error.start}") from None
    if media_type == b"application/json":
        return _from_json(content)
    if media_type.startswith(b"image/") or media_type in (b"", b"application/octet-stream"):
        return content
    if media_type == b"application/x-www-form-urlencoded":  # what curl says of every body, unless told
        if not _is_text(content):
            return content
        raise MediaTypeError(
            "is this text, JSON, or a form? say so: curl -H 'Content-Type: text/plain' or 'application/json'"
        )
    raise MediaTypeError(
        f"{media_type.decode('latin-1')!r:.80} is not read here; "
        "send image/*, application/octet-stream, text/plain, application/json or multipart/form-data"
    )


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _from_json(content: bytes) -> str | list[Any]:
    if len(content) > limits.INFER_JSON_BYTES:
        raise RequestTooLargeError(f"{len(content)} bytes of JSON, and at most {limits.INFER_JSON_BYTES} are taken")
    value = load_json(content)
    if type(value) is dict:
        if len(value) != 1 or next(iter(value)) not in JSON_KEYS:
            raise RequestError(f"a JSON object holds one of {' and '.join(map(repr, JSON_KEYS))}")
        [(key, value)] = value.items()
        if type(value) is not (str if key == "text" else list):
            raise RequestError(f"{key!r} must be {'a text' if key == 'text' else 'a list of numbers'}")
    if type(value) not in (str, list):
        raise RequestError("JSON must be a text, a list of numbers, or an object with one of them")
    return value


def _only_file(content: bytes, content_type: bytes) -> bytes:
    try:
        import multipart
    except ImportError:
        raise ExtraMissingError('forms need a library: python -m pip install "edge-runtime[serve]"') from None
    _, options = multipart.parse_options_header(content_type.decode("latin-1"))
    files: list[list[bytes]] = []
    try:
        with multipart.PushMultipartParser(
            options.get("boundary", ""),
            content_length=len(content),
            max_header_size=limits.MULTIPART_HEADER_BYTES,
            max_segment_count=limits.MULTIPART_PARTS,
            strict=True,
        ) as parser:
            for event in (*parser.parse(content), *parser.parse(b"")):
                if isinstance(event, multipart.MultipartSegment):
                    keeping = event.filename is not None
                    if keeping:
                        files.append([])
                elif event and keeping:
                    files[-1].append(bytes(event))
    except multipart.MultipartError as error:
        raise RequestError(f"the form is damaged: {error}") from None
    if len(files) != 1:
        raise RequestError(f"the form holds {len(files)} files; send one at a time")
    return b"".join(files[0])
