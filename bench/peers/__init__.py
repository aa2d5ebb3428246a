"""Other tools that time a model file, one file each: run as their users run them, their output read.

Every tool runs in a process of its own, a fresh one for every figure, on one thread and with one sample a call. What it
needs and this project does not is installed into an environment of its own in the user's cache.
"""

from __future__ import annotations

from compress.bench.peers import benchmark_app, olive_latency, optimum_benchmark, ort_loop, torch_timer
from compress.bench.peers.base import Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (ort_loop.PEER, benchmark_app.PEER, torch_timer.PEER, olive_latency.PEER, optimum_benchmark.PEER)
}
