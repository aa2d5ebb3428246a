"""``edge-runtime serve``: the installed model, or one bundle, over HTTP until told to stop."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_runtime import limits

HELP = "serve the installed model, or one bundle, over HTTP"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE", help="serve this bundle; otherwise what is installed in the home"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (%(default)s); others than loopback need a token",
    )
    parser.add_argument(
        "--port", type=_whole(0, 65535), default=8000, metavar="N", help="(%(default)s); 0 for any that is free"
    )
    parser.add_argument("--unix", type=Path, metavar="PATH", help="listen on this socket file instead of an address")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file (mode 0600) with the token that clients must send"
    )
    parser.add_argument(
        "--admin-token-file", type=Path, metavar="FILE", help="file (mode 0600) with the token for /admin/"
    )
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="certificate and its chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM (mode 0600)")
    parser.add_argument(
        "--threads",
        type=_whole(1, limits.THREADS),
        default=1,
        metavar="N",
        help="threads of one inference (%(default)s)",
    )
    parser.add_argument(
        "--parallel",
        type=_whole(1, limits.PARALLEL),
        default=None,
        metavar="N",
        help="inferences at the same time (cores divided by --threads)",
    )
    parser.add_argument(
        "--batch",
        type=_whole(1),
        default=limits.BATCH_SAMPLES,
        metavar="N",
        help="most samples of one inference (%(default)s); 1 for no batching",
    )
    parser.add_argument(
        "--queue",
        type=_whole(1),
        default=limits.QUEUE_SAMPLES,
        metavar="N",
        help="most samples that may wait (%(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds(0.001, limits.REQUEST_SECONDS),
        default=limits.REQUEST_SECONDS,
        metavar="SECONDS",
        help="longest wait of a request (%(default)g)",
    )
    parser.add_argument(
        "--max-body",
        type=_whole(1),
        default=limits.BODY_BYTES,
        metavar="BYTES",
        help=f"largest body ({limits.BODY_BYTES / 2**20:g} MiB)",
    )
    parser.add_argument("--no-watch", action="store_true", help="neither watch for drift nor capture inputs")
    parser.add_argument(
        "--window",
        type=_whole(1),
        default=500,
        metavar="N",
        help="samples that are compared at a time with the bundle's reference (%(default)s)",
    )
    parser.add_argument(
        "--spacing",
        type=_seconds(0, 86_400),
        default=0.0,
        metavar="SECONDS",
        help="between inputs that are watched (%(default)g); for a camera, some",
    )
    parser.add_argument("--print-unit", action="store_true", help="print a systemd unit for this server, and leave")
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.errors import ExtraMissingError

    if arguments.print_unit:
        print((Path(__file__).parents[1] / "serve" / "edge-runtime.service").read_text(), end="")
        return 0
    try:
        from edge_runtime.serve import logs, server
        from edge_runtime.serve.core import Settings
    except ModuleNotFoundError as error:
        if error.name in (None, "edge_runtime") or error.name.startswith("edge_runtime."):
            raise
        raise ExtraMissingError(
            f'{error.name} is not installed; run: python -m pip install "edge-runtime[serve]"'
        ) from error
    from edge_runtime.model import Model, open_model
    from edge_runtime.update.home import Home

    observers = [] if arguments.no_watch else [_watching(arguments)]
    logs.configure(arguments.log_level)
    threads = arguments.threads
    return server.run(
        server.Options(
            home=arguments.home,
            bundle=arguments.bundle,
            host=arguments.host.strip("[]"),  # as an address is written in a URL
            port=arguments.port,
            unix=arguments.unix,
            token_file=arguments.token_file,
            admin_token_file=arguments.admin_token_file,
            certificate=arguments.tls_certificate,
            key=arguments.tls_key,
            max_body=arguments.max_body,
            service=Settings(
                threads=arguments.parallel or min(max(1, _cores() // threads), limits.PARALLEL),
                batch=arguments.batch,
                queue=arguments.queue,
                seconds=arguments.timeout,
            ),
        ),
        open_bundle=lambda path: open_model(path, keys=Home(arguments.home).trusted_keys(), threads=threads),
        open_installed=lambda contents: Model(contents, threads),
        observers=observers,
    )


def _watching(arguments: argparse.Namespace) -> Any:
    """Raises WatchError."""
    from edge_runtime.errors import WatchError
    from edge_runtime.watch.observers import Observers
    from edge_runtime.watch.reference import WINDOWS

    if arguments.window < min(WINDOWS):
        raise WatchError(f"a window of {arguments.window} samples tells nothing; --window takes {min(WINDOWS)} or more")
    return Observers(arguments.home, window=arguments.window, spacing=arguments.spacing)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """What makes a whole number of an option's value, for argparse."""

    def convert(text: str) -> int:
        with suppress(ValueError):
            if (value := int(text)) >= least and (most is None or value <= most):
                return value
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"must be a whole number {bounds}, not {text!r:.40}")

    return convert


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        with suppress(ValueError):
            if least <= (value := float(text)) <= most:
                return value
        raise argparse.ArgumentTypeError(f"must be a number from {least:g} to {most:g}, not {text!r:.40}")

    return convert
