"""Keys in files, and signatures held against other people's vectors and other people's software."""

from __future__ import annotations

import os
import sys

import pytest
from bundles import KEY, OTHER_KEY

from edge_runtime.bundle import signature
from edge_runtime.bundle.signature import PrivateKey, PublicKey, load_private, load_public, new, sign, verify
from edge_runtime.errors import KeyFileError, SignatureError, SignatureLibraryError, UnknownKeyError

# RFC 8032, section 7.1, TEST 1 to 3: seed, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465"
        "5141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb0"
        "0d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc0"
        "27beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "expected"), VECTORS)
def test_signatures_are_those_of_the_standard(seed, public, message, expected):
    key = PrivateKey(bytes.fromhex(seed), "vector")
    assert key.public.raw.hex() == public
    signed = sign(bytes.fromhex(message), key)
    assert signed[signature.ID_BYTES :].hex() == expected
    assert signed[: signature.ID_BYTES].hex() == key.public.id
    assert verify(bytes.fromhex(message), signed, [key.public]) == key.public


def test_the_key_that_signed_is_found_among_others():
    assert verify(b"message", sign(b"message", OTHER_KEY), [KEY.public, OTHER_KEY.public]) == OTHER_KEY.public


def test_every_flipped_bit_of_message_and_signature_is_refused():
    message, signed = b"some message", sign(b"some message", KEY)
    for position in range(8 * len(message)):
        with pytest.raises(SignatureError):
            verify(flipped(message, position), signed, [KEY.public])
    for position in range(8 * len(signed)):
        with pytest.raises(SignatureError):
            verify(message, flipped(signed, position), [KEY.public])


def test_an_unknown_key_and_a_wrong_signature_are_told_apart():
    signed = sign(b"message", OTHER_KEY)
    with pytest.raises(UnknownKeyError, match=OTHER_KEY.public.id):
        verify(b"message", signed, [KEY.public])
    with pytest.raises(SignatureError, match="changed afterwards") as caught:
        verify(b"other", signed, [OTHER_KEY.public])
    assert caught.value.code == "bundle-signature-invalid"


def test_a_key_id_of_a_trusted_key_before_a_strangers_signature_does_not_help():
    signed = bytes.fromhex(KEY.public.id) + sign(b"message", OTHER_KEY)[signature.ID_BYTES :]
    with pytest.raises(SignatureError, match="not what tests"):
        verify(b"message", signed, [KEY.public])


def test_a_key_of_small_order_signs_nothing():
    """Under the neutral point as a key, one signature fits every message; OpenSSL takes it, libsodium does not."""
    neutral = bytes([1]) + bytes(31)
    weak = PublicKey(neutral, "weak")
    for message in (b"one", b"another"):
        with pytest.raises(SignatureError):
            verify(message, bytes.fromhex(weak.id) + neutral + bytes(32), [weak])


def test_a_signature_with_a_number_out_of_range_is_refused():
    """The same signature with the group's order added to S verifies in careless software: one message, two of them."""
    order = 2**252 + 27742317777372353535851937790883648493
    signed = sign(b"message", KEY)
    number = int.from_bytes(signed[-32:], "little") + order
    with pytest.raises(SignatureError):
        verify(b"message", signed[:-32] + number.to_bytes(32, "little"), [KEY.public])


def test_keys_come_out_of_their_files_as_they_went_in(tmp_path):
    private, public = new("ci-2026")
    (tmp_path / "k.pub").write_text(public.line())
    write_secret(tmp_path / "k.key", private.line())
    assert load_public(tmp_path / "k.pub") == public
    assert load_private(tmp_path / "k.key") == private
    assert load_private(tmp_path / "k.key").public == public
    assert new("ci-2026")[0] != private


def test_a_file_that_was_edited_on_windows_holds_the_same_key(tmp_path):
    (tmp_path / "k.pub").write_bytes(KEY.public.line().replace("\n", "\r\n").encode())
    assert load_public(tmp_path / "k.pub") == KEY.public


def test_a_private_key_is_never_shown():
    assert "number 1" not in repr(KEY) and "number 1" not in str(KEY)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610, 0o644])
def test_a_private_key_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "k.key"
    path.write_text(KEY.line())
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        load_private(path)


def test_the_two_kinds_of_key_are_not_mixed_up(tmp_path):
    write_secret(tmp_path / "k", KEY.line())
    with pytest.raises(KeyFileError, match="a public key is needed here, and this file holds a private one"):
        load_public(tmp_path / "k")
    write_secret(tmp_path / "k", KEY.public.line())
    with pytest.raises(KeyFileError, match="a private key is needed here"):
        load_private(tmp_path / "k")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "edge-ed25519",
        "ssh-ed25519 AAAA me",
        "edge-ed25519 AAAA tests",
        "edge-ed25519 " + "A" * 44 + " tests",
        "edge-ed25519 " + "A" * 42 + "B= tests",  # 32 bytes, and bits that say nothing
        "edge-ed25519 " + "*" * 44 + " tests",
        "edge-ed25519 " + KEY.public.line().split()[1],
        KEY.public.line() + KEY.public.line(),
        KEY.public.line().replace("tests", "Tests"),
        KEY.public.line().replace("tests", "../tests"),
        KEY.public.line().replace("tests", "tests and more"),
        KEY.public.line().replace("tests", "t" * 65),
        KEY.public.line() + " " * 2000,
        "\u00e9",
    ],
)
def test_a_file_that_holds_no_key_is_refused(tmp_path, text):
    (tmp_path / "k.pub").write_text(text)
    with pytest.raises(KeyFileError, match=r"k\.pub") as caught:
        load_public(tmp_path / "k.pub")
    assert caught.value.code == "key-file-invalid"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path), lambda path: None])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, make):
    make(tmp_path / "k")
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_public(tmp_path / "k")


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "../x", "a/b", "-x", "x" * 65, "x\n"])
def test_a_name_that_could_be_more_than_a_name_is_refused(name):
    with pytest.raises(KeyFileError, match="cannot be a key's name"):
        new(name)


def test_without_the_library_a_signature_is_not_taken_on_trust(monkeypatch):
    monkeypatch.setitem(sys.modules, "nacl.signing", None)
    signed = bytes.fromhex(KEY_ID) + bytes(64)
    with pytest.raises(SignatureLibraryError, match=r"edge-runtime\[bundle\]"):
        verify(b"message", signed, [PUBLIC])


PUBLIC = KEY.public
KEY_ID = PUBLIC.id


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


def write_secret(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
