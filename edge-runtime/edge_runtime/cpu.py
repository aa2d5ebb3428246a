"""The processor, from the kernel's /proc/cpuinfo: its name, its cores, and the instructions that make int8 fast."""

from __future__ import annotations

from dataclasses import dataclass

FEATURES = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
    "asimd": "asimd",
    "dotprod": "asimddp",
    "i8mm": "i8mm",
    "sve": "sve",
    "fp16": "asimdhp",
    "bf16": "bf16",
}
"""Our name of an instruction set: the kernel's flag."""

ARM_CORES = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd0d"): "Cortex-A77",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x41", "0xd80"): "Cortex-A520",
    ("0x41", "0xd81"): "Cortex-A720",
    ("0x4e", "0x003"): "Denver 2",
    ("0x4e", "0x004"): "Carmel",
}
"""(implementer, part) of an ARM core: its name. Arm's MIDR_EL1 assignments, as in the kernel's asm/cputype.h."""


@dataclass(frozen=True)
class Cpu:
    """``arch`` is None where the text does not say; ``cores`` are physical ones."""

    name: str | None
    arch: str | None
    cores: int
    features: tuple[str, ...]


def parse(text: str) -> Cpu:
    """Read the text of /proc/cpuinfo."""
    blocks = [dict(map(_entry, block.splitlines())) for block in text.strip().split("\n\n")]
    processors = [block for block in blocks if "processor" in block]
    flags = {flag for block in processors for key in ("flags", "Features") for flag in block.get(key, "").split()}
    # Two hardware threads of an x86 core share its core id; ARM lists cores only.
    cores = {(block.get("physical id"), block.get("core id", block["processor"])) for block in processors}
    features = tuple(name for name, flag in FEATURES.items() if flag in flags)
    return Cpu(_name(processors), _arch(flags), len(cores), features)


def _entry(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), value.strip()


def _name(processors: list[dict[str, str]]) -> str | None:
    """The processor's name; the kinds of cores of a big.LITTLE one joined with a plus."""
    names = {}
    for block in processors:
        core = (block.get("CPU implementer"), block.get("CPU part"))
        name = ARM_CORES.get(core) or block.get("model name") or ("ARM {} {}".format(*core) if all(core) else None)
        names[name] = True
    return " + ".join(filter(None, names)) or None


def _arch(flags: set[str]) -> str | None:
    """What a program here is: to a 32-bit program a 64-bit ARM machine shows other flags (neon, not asimd)."""
    for flag, arch in {"lm": "x86_64", "asimd": "aarch64", "neon": "armv7l"}.items():
        if flag in flags:
            return arch
    return None
