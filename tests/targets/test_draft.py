from __future__ import annotations

import pytest

from compress.targets.draft import draft


def test_every_file_of_the_block_appears_beside_the_path(tmp_path):
    with draft(tmp_path / "out" / "model.xml") as file:
        file.write_text("graph")
        file.with_suffix(".bin").write_text("weights")
        assert not (tmp_path / "out" / "model.xml").exists()
    found = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert found == {"model.xml": "graph", "model.bin": "weights"}


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("old")
    with pytest.raises(RuntimeError), draft(path) as file:
        file.write_text("half")
        raise RuntimeError
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_text() == "old"
