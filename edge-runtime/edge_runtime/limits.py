"""Every cap on what comes from outside, in one place: what is larger is refused before it is read further."""

from __future__ import annotations

# Bundles
BUNDLE_BYTES = 2 * 1024**3
"""A bundle file; also keeps every offset in a ZIP archive within its 32 bits."""
MANIFEST_BYTES = 1024**2
"""manifest.json: room for 20,000 labels."""
NAME_LENGTH = 100
"""Characters of a model's name in a manifest."""
BUNDLE_FILES = 64
"""Files in a bundle, besides its manifest and signature."""
PATH_DEPTH = 4
"""Segments of a file's path in a bundle."""
PATH_LENGTH = 200
"""Characters of a file's path in a bundle."""
TEXT_LENGTH = 1000
"""Characters of a text in a manifest, such as a label or a name."""
LABELS = 65_536
"""Labels in a manifest."""
TENSORS = 16
"""Inputs, and outputs, of a model in a manifest."""
AXES = 8
"""Axes of a tensor in a manifest."""
JSON_DEPTH = 12
"""Nested objects and lists in a manifest."""
JSON_DIGITS = 40
"""Digits of a number in a manifest: converting thousands takes a time that grows with their square."""
KEY_FILE_BYTES = 1000
"""A key's file: one line."""
IMAGE_SIDE = 8192
"""Pixels of a side of a model's image."""
TOKENS = 65_536
"""Tokens of a model's text."""

# Inputs
INPUT_BYTES = 32 * 1024**2
"""One input before it is decoded: a picture's file, a text, an array in a file or in JSON."""
IMAGE_PIXELS = 25_000_000
"""Width times height of a picture: 100 MB at four bytes each while it is decoded; a phone's 24 megapixels pass."""
JPEG_SCANS = 32
"""Passes over the picture in a JPEG file: 42 bytes can ask for one, 20 ms at 25 megapixels. Cameras make 1 to 10.
"""
TEXT_CHARACTERS = 100_000
"""A text to classify: a tokenizer reads all of it, some tens of milliseconds, before it is cut to its length."""
NPY_HEADER_BYTES = 4096
"""The header of an array's file."""
JSON_BYTES_A_NUMBER = 64
"""JSON text for one number of a sample, spaces and brackets included."""

# Updates
STATE_BYTES = 64 * 1024
"""state.json; a file that is longer is not ours."""
BAD_VERSIONS = 100
"""Versions remembered as bad, the latest ones: each is one that somebody with a trusted key has signed."""
REASON_LENGTH = 500
"""Characters of a reason that is written to disk."""
HISTORY_BYTES = 256 * 1024
"""history.jsonl before it becomes history.1.jsonl, in the place of the one before: some 1,500 events in each."""
TRUSTED_KEYS = 16
"""Public keys in the folder of trusted keys."""
SPARE_BYTES = 8 * 1024**2
"""What must be free on the file system beyond the files of a new version: state, history, and others' work."""
SELF_TEST_SECONDS = 600.0
"""A self-test that takes longer has failed; on a small board TensorRT takes minutes to build its engine."""
SELF_TEST_OUTPUT = 64 * 1024
"""Bytes that a self-test may print on each of its two streams; one that prints more has failed."""
LOCK_SECONDS = 20.0
"""How long a short change of the state waits for another one."""
SERVING_SECONDS = 10.0
"""How long a server waits for another one of the same home to end, when it is restarted."""

# Serving
BODY_BYTES = 16 * 1024**2
"""A request's body, before and after it is decompressed; ``--max-body`` sets another."""
BODIES_BYTES = 64 * 1024**2
"""All bodies that are being read or waited for, together."""
HEADERS_BYTES = 16 * 1024
"""A request's line and headers; and its trailers, or what frames its chunks."""
HEADERS = 256
"""Headers, and trailers, of a request: each costs some 150 bytes of memory, however short it is."""
PIPELINED = 32
"""Requests that wait on a connection for the answer to the one before; the connection is closed after the last."""
INFER_JSON_BYTES = 8 * 1024**2
"""The JSON of one inference request, without the binary tensors after it: parsing it keeps other requests waiting."""
REQUEST_ID_LENGTH = 256
"""Characters of a request's id, which goes back with the answer."""
REQUEST_SAMPLES = 256
"""Samples of one request."""
DYNAMIC_AXIS = 4096
"""Size of a tensor's axis that the model leaves open, other than the batch."""
QUEUE_SAMPLES = 256
"""Samples that wait for their turn; ``--queue`` sets another."""
BATCH_SAMPLES = 16
"""Samples that one inference takes; ``--batch`` sets another."""
CONNECTIONS = 512
"""Open connections."""
HANDSHAKE_SECONDS = 5.0
"""Time that a client has for its TLS handshake."""
SEND_SECONDS = 30.0
"""Time that a client has to take the answers it is sent."""
DRAIN_SECONDS = 28.0
"""Time that requests under way may keep a stopping server; then their connections are cut."""
CLOSE_SECONDS = 10.0
"""Time that the model, and those who watch it, may keep it after that; in all less than the unit's TimeoutStopSec."""
PARALLEL = 64
"""Inferences at the same time, each in a thread of its own: ``--parallel``."""
THREADS = 256
"""Threads of one inference: ``--threads``."""
RECEIVE_SECONDS = 30.0
"""Time that a client has to send a whole request, and that a connection may stay without one."""
REQUEST_SECONDS = 30.0
"""Longest time that a request may wait for its inference; ``--timeout`` and clients may set a shorter one."""
OUTCOMES = 10_000
"""Samples of one request that tells whether the model was right."""
OUTCOMES_BYTES = 128 * 1024
"""Such a request."""
MULTIPART_HEADER_BYTES = 4096
"""Headers of a file in a multipart form."""
MULTIPART_PARTS = 8
"""Parts of a multipart form."""
TOKEN_BYTES = 4096
"""A file with a token."""
TOKEN_LENGTH = 16
"""Fewest characters of a token."""

# Watching and capturing
WATCH_STATE_BYTES = 4 * 1024**2
"""watch.json; it is some 20 kB, and 400 kB with the widest reference that is accepted."""
CAPTURE_BYTES = 8 * 1024**2
"""One captured input on disk; its file is read whole."""
CAPTURES = 50_000
"""Captured inputs in a folder: each costs some 200 bytes of memory."""
CAPTURE_SETTINGS_BYTES = 16 * 1024
"""settings.json of captures."""
LABELS_FILE_BYTES = 256 * 1024**2
"""What Label Studio exports, given back for an export with true labels."""
REFERENCE_BYTES = 8 * 1024**2
"""A bundle's drift reference; it is some 30 kB."""

# Measuring
METER_LINE_BYTES = 1000
"""A line of an external meter's feed; a longer one is passed over."""
METER_ANSWER_BYTES = 64 * 1024
"""An external meter's answer over HTTP; it is about 1 kB."""
PLAN_CHARACTERS = 1024**2
"""The plan of a benchmark."""
PLAN_VALUES = 256
"""Models, threads, batches and named axes in a plan."""
PLAN_FILES = 4096
"""Files that one model of a plan needs beside its own: some exporters write one for every tensor."""
