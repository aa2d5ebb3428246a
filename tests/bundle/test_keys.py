from __future__ import annotations

import os
import stat

import pytest

from compress.bundle.keys import new
from compress.errors import BundlingError
from edge_runtime.bundle.signature import load_private, load_public, sign, verify
from edge_runtime.errors import KeyFileError


def test_a_pair_signs_and_verifies(tmp_path):
    private, public = new("ci", tmp_path)
    assert (private.name, public.name) == ("ci.key", "ci.pub")
    key = load_public(public)
    assert verify(b"message", sign(b"message", load_private(private)), [key]) == key


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_only_the_owner_can_read_the_private_key_whatever_the_umask(tmp_path, mask):
    old = os.umask(mask)
    try:
        private, public = new("ci", tmp_path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["ci.key", "ci.pub"])
def test_a_key_that_is_there_is_never_replaced(tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(BundlingError, match=f"{name}: exists"):
        new("ci", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_name_that_leads_elsewhere_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be a key's name"):
        new("../ci", tmp_path / "keys")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundlingError, match="choose another folder"):
        new("ci", tmp_path / "file" / "keys")
