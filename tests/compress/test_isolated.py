"""Tool environments: made whole or not at all, and found only while they fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress import isolated
from compress.errors import ToolError


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A tool `probe` of no packages, its list, and a folder for environments. `probe(module, packages)` changes it."""
    monkeypatch.setenv("COMPRESS_ENVIRONMENTS", str(tmp_path / "environments"))
    monkeypatch.setattr(isolated, "LISTS", tmp_path)

    def change(module: str = "json", packages: str = "# none\n", torch: bool = False) -> None:
        (tmp_path / "probe.txt").write_text(packages)
        monkeypatch.setitem(isolated.ENVIRONMENTS, "probe", isolated.Environment("probing", module, torch, 1e6))

    change()
    return change


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed: the folder alone is made."""
    monkeypatch.setattr(isolated, "_build", lambda draft, name: draft.mkdir())


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "environments").iterdir())


def test_an_unknown_tool_suggests_the_nearest():
    with pytest.raises(ToolError, match=r"no tool environment 'liteRT'.*litert"):
        isolated.folder("liteRT")


def test_every_list_is_pinned():
    for name in isolated.ENVIRONMENTS:
        lines = (isolated.LISTS / f"{name}.txt").read_text("utf-8").splitlines()
        packages = [line for line in lines if not line.startswith("#")]
        assert len(packages) > 3
        assert all(line.count("==") == 1 for line in packages)


def test_what_is_missing_comes_with_the_command(probe):
    with pytest.raises(ToolError, match=r"probing needs a tool environment .*compress doctor --install probe"):
        isolated.run("probe", "script.py")


def test_an_environment_is_made_once(probe, quick, tmp_path):
    told = []
    first = isolated.install("probe", say=told.append)
    assert isolated.install("probe", say=told.append) == first == isolated.folder("probe")
    assert isolated.installed("probe")
    assert len(told) == 1


def test_a_changed_list_makes_another_environment_and_removes_the_old(probe, quick, tmp_path):
    old = isolated.install("probe", say=str)
    probe(packages="# other\n")
    assert not isolated.installed("probe")
    new = isolated.install("probe", say=str)
    assert left(tmp_path) == [new.name] != [old.name]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), OSError("disk full"), ToolError("no such package")])
def test_an_interrupted_installation_leaves_nothing(probe, tmp_path, monkeypatch, interruption):
    def interrupted(draft, name):
        (draft / "half").mkdir(parents=True)
        raise interruption

    monkeypatch.setattr(isolated, "_build", interrupted)
    with pytest.raises((KeyboardInterrupt, ToolError)):
        isolated.install("probe", say=str)
    assert left(tmp_path) == []


def test_a_full_disk_is_told_before_anything_is_done(probe, tmp_path, monkeypatch):
    monkeypatch.setitem(isolated.ENVIRONMENTS, "probe", isolated.Environment("probing", "json", False, 1e18))
    with pytest.raises(ToolError, match="GB are free; making 'probe' takes"):
        isolated.install("probe", say=str)
    assert left(tmp_path) == []


@pytest.mark.integration
def test_a_script_runs_there_and_its_last_line_is_the_reason(probe, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "shadow.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "mine"))
    (tmp_path / "hello.py").write_text(
        "import importlib.util, sys\nprint(sys.prefix, importlib.util.find_spec('shadow'), sys.argv[1])\n"
    )
    (tmp_path / "fails.py").write_text("import sys\nprint('noise', file=sys.stderr)\nsys.exit('the reason')\n")
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(60)\n")
    probe(torch=True)
    place = isolated.install("probe", say=str)
    assert isolated.run("probe", "hello.py", "x").split() == [str(place), "None", "x"]
    with pytest.raises(ToolError, match=r"^the reason$"):
        isolated.run("probe", "fails.py")
    with pytest.raises(ToolError, match="did not end within 0 s"):
        isolated.run("probe", "hangs.py", timeout=0.3)
    # PyTorch is ours, and only what is in its folder comes with it.
    (tmp_path / "torch.py").write_text("import importlib.util\nprint(importlib.util.find_spec('torch').origin)\n")
    import torch

    assert isolated.run("probe", "torch.py").strip() == torch.__file__


@pytest.mark.integration
def test_a_tool_that_does_not_import_is_not_kept(probe, tmp_path):
    probe(module="a_module_that_is_not_there")
    with pytest.raises(ToolError, match="a_module_that_is_not_there cannot be imported: ModuleNotFoundError"):
        isolated.install("probe", say=str)
    assert left(tmp_path) == []
