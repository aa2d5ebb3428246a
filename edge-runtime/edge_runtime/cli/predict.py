"""``edge-runtime predict``: what a bundle says of files, without a server.

Every file has one line on standard output, written as soon as it is known, with tabs between its name, the label and
the confidence, and further labels and confidences with ``--top``; with ``--json`` it is one JSON object instead. A file
that cannot be read or is refused is told on standard error (with ``--json`` in its object too), the others are answered
all the same, and the exit status is then 1.

``--stdin`` goes on with lines from standard input, after the files. A line that begins with ``[``, ``{`` or ``"`` is
the item itself as JSON (pixels or numbers as a nested list, a text as a string); any other line is the path of a file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edge_runtime import limits
from edge_runtime.cli import printable
from edge_runtime.errors import EdgeRuntimeError, InputError, InputTooLargeError, UnknownKeyError

if TYPE_CHECKING:
    from edge_runtime.model import Model, Prediction

HELP = "classify files with a bundle, without a server"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit status: 0 if everything was answered, 1 if something was refused, 2 for wrong usage."
    parser.add_argument("bundle", type=Path, help="a bundle (.edge), or the folder of an unpacked one")
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="a picture, a text or an array (.npy, JSON)"
    )
    parser.add_argument(
        "--stdin",
        action="store_true",
        help='read one item a line from standard input: JSON if it begins with [, { or ", otherwise the path of a file',
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of columns")
    parser.add_argument("--top", type=_count, default=1, metavar="K", help="tell the K likeliest classes (1 to 5)")
    parser.add_argument("--threads", type=_threads, default=1, metavar="N", help="threads of one inference")
    parser.add_argument(
        "--key",
        action="append",
        type=Path,
        default=[],
        metavar="PUB",
        help="trust this public key too (may be repeated)",
    )


def run(arguments: argparse.Namespace) -> int:
    if not arguments.files and not arguments.stdin:
        print("edge-runtime predict: error: name a FILE, or give --stdin", file=sys.stderr)
        return 2
    from edge_runtime.bundle.signature import load_public
    from edge_runtime.model import open_model
    from edge_runtime.update.home import Home

    keys = [load_public(path) for path in arguments.key] + Home(arguments.home).trusted_keys()
    failed = False
    try:
        opened = open_model(arguments.bundle, keys=keys, threads=arguments.threads)
    except UnknownKeyError as error:
        hint = f"edge-runtime trust KEY.pub --home {arguments.home}, or for this once --key KEY.pub"
        raise UnknownKeyError(f"{error} ({hint})") from None
    with opened as model:
        for name, item in _items(arguments):
            failed |= not _answer(model, name, item, arguments)
    return 1 if failed else 0


def _items(arguments: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """The name under which an item is told, and the item: a path, what JSON said, or the error it was refused with."""
    for path in arguments.files:
        yield str(path), path
    if arguments.stdin:
        for number, line in enumerate(_lines(sys.stdin.buffer), 1):
            if line:
                yield _item(line, f"line {number}")


def _item(line: bytes | InputError, name: str) -> tuple[str, Any]:
    if isinstance(line, InputError):
        return name, line
    if not line.startswith((b"[", b"{", b'"')):
        path = Path(line.decode("utf-8", "surrogateescape"))
        return str(path), path
    try:
        return name, json.loads(line)
    except (ValueError, RecursionError) as error:
        return name, InputError(f"this line begins as JSON and is none: {error}; write one item a line")


def _lines(stream: BinaryIO) -> Iterator[bytes | InputError]:
    """Lines without their ends. Of one too long no more is kept than shows it."""
    while line := stream.readline(limits.INPUT_BYTES + 1):
        if len(line) > limits.INPUT_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(limits.INPUT_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield InputTooLargeError(f"a line may have {limits.INPUT_BYTES} bytes; put the item into a file")
        else:
            yield line.rstrip(b"\r\n")


def _answer(model: Model, name: str, item: Any, arguments: argparse.Namespace) -> bool:
    """Tell what the model says of one item; whether it said anything."""
    try:
        if isinstance(item, EdgeRuntimeError):
            raise item
        prediction = model.predict(item)
    except EdgeRuntimeError as error:
        message = str(error).removeprefix(f"{name}: ")
        print(f"error[{error.code}]: {printable(name)}: {printable(message)}", file=sys.stderr, flush=True)
        if arguments.json:
            _tell_json({"file": name, "error": {"code": error.code, "message": message}})
        return False
    if arguments.json:
        _tell_json({"file": name} | _fields(prediction, arguments.top))
    else:
        columns = [printable(name)]
        for label, confidence in prediction.top[: arguments.top]:
            columns += [printable(label), f"{confidence:.4f}"]
        print("\t".join(columns), flush=True)
    return True


def _fields(prediction: Prediction, top: int) -> dict[str, Any]:
    return {
        "label": prediction.label,
        "index": prediction.index,
        "confidence": prediction.confidence,
        "top": [list(pair) for pair in prediction.top[:top]],
    }


def _tell_json(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)  # ASCII: a name that is not UTF-8 stays as Python spells it


def _count(text: str) -> int:
    if text not in tuple("12345"):
        raise argparse.ArgumentTypeError(f"must be 1 to 5, not {text!r}")
    return int(text)


def _threads(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)
