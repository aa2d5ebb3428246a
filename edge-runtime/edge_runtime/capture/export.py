"""Captured inputs for others to use: as a data set that ``compress`` trains with, or as tasks for Label Studio.

1. ``export(..., "label-studio")`` writes ``tasks.json`` and ``labels.xml``. In Label Studio: a new project, the content
   of labels.xml as its labelling interface, tasks.json imported; pictures are inside the tasks, and the model's answer
   is shown as a prediction. Label, and export as JSON.
2. ``export(..., "dataset", labels=that file)`` writes ``captures.npz`` for a recipe's ``data: {source: npz}``, with the
   true labels; ``weight_train`` and ``weight_test`` say for how many inputs of the stream each sample stands. Without
   labels the classes are the model's own predictions, and the file says so (``labels``: "predicted").
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from edge_runtime.capture import items, png
from edge_runtime.capture.index import read_weights
from edge_runtime.errors import CaptureError
from edge_runtime.limits import LABELS_FILE_BYTES
from edge_runtime.update import durable
from edge_runtime.watch.alarms import rfc3339

FORMATS = ("dataset", "label-studio")
NUMBERS = 4096
"""Values of an input that is no picture which a task shows, at most."""


@dataclass(frozen=True)
class Item:
    """``weight``: for how many inputs of the stream this one stands."""

    id: str
    record: items.Record
    weight: float
    sample: np.ndarray


@dataclass(frozen=True)
class Exported:
    """``left_out``: why an input is not among the ``count`` exported, one line each."""

    count: int
    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def export(
    folder: Path,
    target: Path,
    form: str,
    *,
    labels: Path | None = None,
    classes: Sequence[str] = (),
    replace: bool = False,
) -> Exported:
    """Write the captures in ``folder`` into the folder ``target``, which is made if need be; only its owner may enter
    or read what is written, as with the captures. ``replace``: also where an export is already.

    ``labels``: a JSON export of Label Studio; only inputs that have a label there are written. ``classes``: the model's
    labels in its order, as far as they are known. Raises CaptureError when
    there is nothing to export, or ``labels`` cannot be read, or the files are there already, and OSError.
    """
    known = None if labels is None else read_labels(labels)
    weights = read_weights(folder)
    found: list[Item] = []
    left_out: list[str] = []
    for name, path in items.names(folder):
        if known is not None and name.id not in known:
            left_out.append(f"{name.id}: it has no label in {labels}")
            continue
        try:
            sample, record = items.read(path)
        except CaptureError as error:
            left_out.append(str(error))
            continue
        found.append(Item(name.id, record, max(weights.get(name.exact, 0.0), 1 / record.propensity), sample))
    if not found:
        raise CaptureError(
            f"{folder} has no captures to export{'' if known is None else f' with labels in {labels}'}; "
            "see `edge-runtime captures list`, or switch capturing on and wait"
        )
    if form == "label-studio":
        files = _tasks(found, classes)
    else:
        files, found, more = _dataset(found, known, classes)
        left_out += more
    files["captures.jsonl"] = b"".join(_line(item, known) for item in found)
    if not replace and (there := [name for name in files if os.path.lexists(target / name)]):
        raise CaptureError(f"{target / there[0]}: is there already; name another folder, or add --replace")
    with _private():
        durable.make_folders(target)
        for name, content in files.items():
            durable.write_file(target / name, content)
    return Exported(len(found), tuple(target / name for name in files), tuple(left_out))


@contextmanager
def _private() -> Iterator[None]:
    """What is made meanwhile is for its owner only, from its first moment. Holds for the whole process."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def read_labels(path: Path) -> dict[str, str]:
    """By id of a capture: the label chosen last in a JSON export of Label Studio. Raises CaptureError and OSError."""
    if path.stat().st_size > LABELS_FILE_BYTES:
        raise CaptureError(f"{path} is longer than {LABELS_FILE_BYTES} bytes; export without the pictures (JSON-MIN)")
    try:
        chosen = {}
        for task in json.loads(path.read_bytes()):
            data = task.get("data", task)
            for annotation in task.get("annotations", []):
                if not annotation.get("was_cancelled"):
                    for result in annotation["result"]:
                        if result.get("type") == "choices":
                            chosen[str(data["id"])] = str(result["value"]["choices"][0])
            if isinstance(task.get("label"), str):  # JSON-MIN: the data and the choice side by side
                chosen[str(data["id"])] = task["label"]
        return chosen
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise CaptureError(
            f"{path} is not a JSON export of Label Studio ({type(error).__name__}: {error}); export the project as JSON"
        ) from error


def _dataset(
    found: Sequence[Item], labels: Mapping[str, str] | None, order: Sequence[str]
) -> tuple[dict[str, bytes], list[Item], list[str]]:
    """``captures.npz`` as compress/data/npz.py reads it; a fifth of the samples, chosen by their hash, are the test."""
    left_out = []
    shape, dtype = found[-1].sample.shape, found[-1].sample.dtype  # the newest: what the model takes now
    usable = []
    for item in found:
        if (item.sample.shape, item.sample.dtype) != (shape, dtype):
            left_out.append(f"{item.id}: {item.sample.dtype} {item.sample.shape} where the newest is {dtype} {shape}")
        elif labels is None and item.record.prediction is None:
            left_out.append(f"{item.id}: it has neither a label nor a prediction")
        else:
            usable.append(item)
    if not usable:
        raise CaptureError("no capture has a label or a prediction; label them first: --format label-studio")
    names = [_class(item, labels) for item in usable]
    classes = _classes(usable, names, order)
    numbers = np.array([classes.index(name) for name in names], np.int64)
    test = np.array([int(item.id.split("-")[1][:8], 16) % 5 == 0 for item in usable])
    if len(test) > 1 and len(set(test.tolist())) == 1:
        test[0] = not test[0]  # both splits need one
    arrays: dict[str, np.ndarray] = {
        "classes": np.array(classes),
        "licence": np.array("unknown"),
        "labels": np.array("predicted" if labels is None else "true"),
    }
    for split, chosen in (("train", np.flatnonzero(~test)), ("test", np.flatnonzero(test))):
        samples = [usable[index].sample for index in chosen]
        arrays[f"x_{split}"] = np.stack(samples) if samples else np.zeros((0, *shape), dtype)
        arrays[f"y_{split}"] = numbers[chosen]
        arrays[f"weight_{split}"] = np.array([usable[index].weight for index in chosen])
        arrays[f"id_{split}"] = np.array([usable[index].id for index in chosen], np.str_)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return {"captures.npz": buffer.getvalue()}, usable, left_out


def _class(item: Item, labels: Mapping[str, str] | None) -> str:
    if labels is not None:
        return labels[item.id]
    prediction = item.record.prediction
    return str(prediction.index) if prediction.label is None else prediction.label


def _classes(found: Sequence[Item], names: Sequence[str], order: Sequence[str]) -> list[str]:
    """``order``, or else the labels that were predicted by their number in the model; then whatever else is in use."""
    predictions = [item.record.prediction for item in found if item.record.prediction is not None]
    known = {p.index: p.label for p in predictions if p.label is not None}
    ordered = list(dict.fromkeys(order or (known[index] for index in sorted(known))))
    rest = set(names) - set(ordered)
    return ordered + sorted(rest, key=lambda name: (len(name), name) if name.isdecimal() else (1_000, name))


def _tasks(found: Sequence[Item], order: Sequence[str]) -> dict[str, bytes]:
    pictures = all(png.is_picture(item.sample) for item in found)
    show = "image" if pictures else "text"
    tasks = [_task(item, show) for item in found]
    labels = _classes(found, [_class(item, None) for item in found if item.record.prediction is not None], order)
    tag = f'<Image name="{show}" value="${show}"/>' if pictures else f'<Text name="{show}" value="${show}"/>'
    choices = "".join(f"    <Choice value={quoteattr(label)}/>\n" for label in labels)
    choice = f'<Choices name="label" toName="{show}" choice="single">'
    config = f"<View>\n  {tag}\n  {choice}\n{choices}  </Choices>\n</View>\n"
    return {"tasks.json": json.dumps(tasks, indent=1, ensure_ascii=False).encode(), "labels.xml": config.encode()}


def _task(item: Item, show: str) -> dict[str, Any]:
    """https://labelstud.io/guide/predictions: ``data``, and ``predictions`` with the model's version and score."""
    record, sample = item.record, item.sample
    if show == "image":
        shown = "data:image/png;base64," + base64.b64encode(png.encode(sample)).decode()
    else:
        shown = json.dumps(sample.ravel()[:NUMBERS].tolist())
    data = {
        "id": item.id,
        show: shown,
        "time": rfc3339(record.time),
        "reasons": ", ".join(record.reasons),
        "propensity": record.propensity,
        "weight": item.weight,
    }
    task: dict[str, Any] = {"data": data}
    if record.prediction is not None:
        result = {
            "from_name": "label",
            "to_name": show,
            "type": "choices",
            "value": {"choices": [_class(item, None)]},
        }
        score = record.prediction.confidence
        task["predictions"] = [{"model_version": record.version, "score": score, "result": [result]}]
    return task


def _line(item: Item, labels: Mapping[str, str] | None) -> bytes:
    entry = {"id": item.id, **asdict(item.record), "weight": item.weight, "label": (labels or {}).get(item.id)}
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"
