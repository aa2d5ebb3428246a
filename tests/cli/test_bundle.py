"""`compress bundle` and `compress keys` as people type them; the work is tested in tests/bundle."""

from __future__ import annotations

import pytest

from edge_runtime.bundle.signature import load_public


@pytest.fixture
def pair(call, tmp_path):
    assert call("keys", "new", "ci", "-o", tmp_path / "keys").exit_code == 0
    return tmp_path / "keys" / "ci.key", tmp_path / "keys" / "ci.pub"


def test_a_new_pair_is_told_with_what_to_do_with_each(call, tmp_path):
    lines = call("keys", "new", "ci", "-o", tmp_path).stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'ci.key'}: signs bundles; keep it secret")
    assert lines[1].endswith(load_public(tmp_path / "ci.pub").id)


def test_a_pair_is_not_made_twice(call, tmp_path, pair):
    result = call("keys", "new", "ci", "-o", tmp_path / "keys")
    assert (result.exit_code, "exists; choose another name" in result.stderr) == (1, True)


def test_a_run_that_is_none_is_an_error_in_one_line(call, tmp_path, pair):
    result = call("bundle", tmp_path, "-o", tmp_path / "m.edge", "--key", pair[0])
    assert result.exit_code == 1
    assert (
        result.stderr == f"error: {tmp_path}: has no results.json that can be read; give the folder of a finished run\n"
    )


def test_the_public_key_does_not_sign(call, tmp_path, pair):
    result = call("bundle", tmp_path, "-o", tmp_path / "m.edge", "--key", pair[1])
    assert (result.exit_code, "a private key is needed here" in result.stderr) == (1, True)


@pytest.mark.parametrize("missing", ["-o", "--key"])
def test_out_and_key_must_be_given(call, tmp_path, pair, missing):
    options = {"-o": tmp_path / "m.edge", "--key": pair[0]}
    del options[missing]
    result = call("bundle", tmp_path, *(word for pair in options.items() for word in pair))
    assert (result.exit_code, missing in result.stderr) == (2, True)


@pytest.mark.parametrize("time", ["2030", "soon", "2030-01-31T00:00:00"])
def test_the_time_of_expiry_is_a_date_or_a_time_in_utc(call, tmp_path, pair, time):
    result = call("bundle", tmp_path, "-o", tmp_path / "m.edge", "--key", pair[0], "--expires", time)
    assert (result.exit_code, "'%Y-%m-%d'" in result.stderr) == (2, True)


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_a_sequence_number_starts_at_one(call, tmp_path, pair, number):
    result = call("bundle", tmp_path, "-o", tmp_path / "m.edge", "--key", pair[0], "--sequence", number)
    assert (result.exit_code, "--sequence" in result.stderr) == (2, True)
