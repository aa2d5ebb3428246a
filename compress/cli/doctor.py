"""`compress doctor`: what this machine has, what it lacks, and how to get it."""

from __future__ import annotations

from pathlib import Path

import click

from compress.cli.options import json_option, store_option

PACKAGES = {
    "torch": "training and export: pip install torch",
    "onnxruntime": "the runtime onnxruntime: pip install onnxruntime",
    "openvino": "the runtime openvino: pip install openvino",
    "nncf": "int8 for openvino: pip install nncf",
    "ai-edge-litert": "the runtime litert: pip install 'compress[litert]'",
    "ai-edge-quantizer": "int8 for litert: pip install 'compress[litert]'",
    "torch-pruning": "prune stages: pip install torch-pruning",
    "transformers": "teachers from the Hugging Face hub: pip install 'compress[huggingface]'",
    "datasets": "data from the Hugging Face hub: pip install 'compress[huggingface]'",
}
FASHION_MNIST = "the data of recipes/fashion-mnist.yaml: apt-get install dataset-fashion-mnist, or set $FASHION_MNIST"


@click.command()
@store_option
@json_option
@click.option("--install", metavar="NAME", help="Make the tool environment NAME (litert, tensorrt), and do no more.")
def doctor(store: str | None, as_json: bool, install: str | None) -> None:
    """Show this machine's processor, runtimes, tools, sensors, data and the targets it can measure."""
    import json

    from compress import isolated

    if install:
        click.echo(f"{install} is installed: {isolated.install(install, say=click.echo)}")
        return
    found = examine(store)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for part, lines in found.items():
        click.secho(part, bold=True)
        for name, value in lines.items():
            click.echo(f"  {name:<18} {value}")


def examine(store: str | None) -> dict[str, dict[str, str]]:
    """What there is, by part and name, in words."""
    import shutil

    from compress import isolated
    from compress.packages import version
    from compress.store import default_root
    from compress.targets.target import list_targets
    from edge_runtime.machine import conditions, detect

    here, now = detect(), conditions()
    root = Path(store) if store else default_root()
    place = next(folder for folder in [root, *root.absolute().parents] if folder.exists())
    reasons = {target.name: target.measurable_here(here) for target in list_targets()}
    return {
        "machine": {
            "processor": f"{here.cpu}, {here.cores} cores, {here.arch}",
            "instructions": ", ".join(here.features) or "none of those that matter",
            "memory": f"{here.memory / 1e9:.1f} GB" if here.memory else "not readable",
            "system": f"{here.os}, kernel {here.kernel}, Python {here.python}",
            "power sensors": _power_sensors(),
            "governor": now.governor or "not readable",
            "store": f"{root} ({shutil.disk_usage(place).free / 1e9:.1f} GB free)",
        },
        "packages": {name: version(name) or f"missing; {advice}" for name, advice in PACKAGES.items()},
        "tools": {name: _tool(name) for name in isolated.ENVIRONMENTS},
        "data": {"fashion-mnist": _fashion_mnist()},
        "targets": {name: "measurable here" if good else f"not here: {why}" for name, (good, why) in reasons.items()},
    }


def _power_sensors() -> str:
    from edge_runtime.energy.find import find

    found = find()
    readable = [sensor.name for sensor in found.sensors]
    locked = [f"{sensor.name} is there, but {sensor.reason}" for sensor in found.unusable]
    return "; ".join([", ".join(readable) or "none: energy cannot be measured here", *locked])


def _tool(name: str) -> str:
    from compress import isolated

    if isolated.installed(name):
        return str(isolated.folder(name))
    return f"missing; {isolated.ENVIRONMENTS[name].purpose}: compress doctor --install {name}"


def _fashion_mnist() -> str:
    import os

    folder = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
    there = (folder / "train-images-idx3-ubyte.gz").is_file()
    return str(folder) if there else f"missing; {FASHION_MNIST}"
