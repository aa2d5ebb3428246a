from __future__ import annotations

import json
import logging

from edge_runtime.serve.logs import JsonFormatter


def test_what_a_client_sends_cannot_write_control_characters_into_a_terminal():
    hostile = "a\x1b[2J\x9b2J\u202e\udc80\n"
    record = logging.makeLogRecord({"msg": "refused %s", "args": (hostile,), "path": hostile, "levelname": "INFO"})
    line = JsonFormatter().format(record)
    assert line.isascii() and line.isprintable()
    told = json.loads(line)
    assert (told["message"], told["path"], told["level"]) == (f"refused {hostile}", hostile, "info")
