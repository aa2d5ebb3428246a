"""Machines recorded as small file systems: what they are, and how they are doing."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from edge_runtime import machine

Record = Callable[[dict[str, str]], Path]

A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
ZONES = "sys/class/thermal/thermal_zone"
CPUS = "sys/devices/system/cpu/cpu"


def x86(name: str, flags: str, cores: int, threads_per_core: int = 1) -> dict[str, str]:
    blocks = [
        f"processor\t: {core * threads_per_core + thread}\nvendor_id\t: GenuineIntel\nmodel name\t: {name}\n"
        f"physical id\t: 0\ncore id\t\t: {core}\nflags\t\t: fpu lm sse2 {flags}\n"
        for core in range(cores)
        for thread in range(threads_per_core)
    ]
    return {
        "proc/cpuinfo": "\n".join(blocks) + "\n",
        "proc/meminfo": "MemTotal:       16000000 kB\nMemFree:         9000000 kB\n",
        "proc/sys/kernel/osrelease": "6.12.0\n",
        "etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    }


def arm(cores: list[tuple[str, str]], features: str, model: str, memory: int) -> dict[str, str]:
    blocks = [
        f"processor\t: {index}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: {implementer}\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n"
        for index, (implementer, part) in enumerate(cores)
    ]
    return {
        "proc/cpuinfo": "\n".join([*blocks, f"Revision\t: c03114\nModel\t\t: {model}\n"]),
        "proc/meminfo": f"MemTotal:       {memory} kB\n",
        "proc/device-tree/model": f"{model}\0",
    }


def pi4() -> dict[str, str]:
    features = "fp asimd evtstrm crc32 cpuid"
    return arm([("0x41", "0xd08")] * 4, features, "Raspberry Pi 4 Model B Rev 1.4", 3884360)


def pi5() -> dict[str, str]:
    return arm([("0x41", "0xd0b")] * 4, A76, "Raspberry Pi 5 Model B Rev 1.0", 8245248)


def orin() -> dict[str, str]:
    files = arm([("0x41", "0xd42")] * 6, A76, "NVIDIA Jetson Orin Nano Developer Kit", 7802740)
    return files | {"proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0"}


def test_an_x86_machine_with_avx2_alone(record: Record):
    here = machine.detect(record(x86("Intel(R) Core(TM) i5-6500T CPU @ 2.50GHz", "avx avx2 fma", cores=4)))
    assert (here.arch, here.cpu, here.cores) == ("x86_64", "Intel(R) Core(TM) i5-6500T CPU @ 2.50GHz", 4)
    assert here.features == ("avx2",)
    assert here.memory == 16_000_000 * 1024
    assert (here.os, here.kernel) == ("Debian GNU/Linux 13 (trixie)", "6.12.0")
    assert (here.model, here.gpu, here.sensors) == (None, (), ())


def test_an_x86_machine_with_vnni(record: Record):
    here = machine.detect(record(x86("Intel(R) Xeon(R) Platinum 8480+", "avx2 avx512f avx512_vnni amx_int8", cores=2)))
    assert here.features == ("avx2", "avx512f", "avx512_vnni", "amx_int8")
    here = machine.detect(record(x86("Intel(R) N100", "avx2 avx_vnni", cores=4)))
    assert here.features == ("avx2", "avx_vnni")


def test_hardware_threads_are_not_cores(record: Record):
    assert machine.detect(record(x86("Intel(R) Core(TM) i7", "avx2", cores=4, threads_per_core=2))).cores == 4


def test_a_raspberry_pi_4_has_no_dot_product(record: Record):
    here = machine.detect(record(pi4()))
    assert (here.arch, here.cpu, here.cores) == ("aarch64", "Cortex-A72", 4)
    assert here.features == ("asimd",)
    assert here.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert here.memory == 3_884_360 * 1024


def test_a_raspberry_pi_5_has(record: Record):
    here = machine.detect(record(pi5()))
    assert (here.cpu, here.model) == ("Cortex-A76", "Raspberry Pi 5 Model B Rev 1.0")
    assert here.features == ("asimd", "dotprod", "fp16")


def test_a_jetson_names_its_own_gpu(record: Record):
    here = machine.detect(record(orin()))
    assert (here.cpu, here.cores, here.gpu) == ("Cortex-A78AE", 6, ("NVIDIA Orin (Ampere)",))


def test_cores_of_two_kinds_are_both_named(record: Record):
    cores = [("0x41", "0xd07"), ("0x4e", "0x003"), ("0x4e", "0x003"), *[("0x41", "0xd07")] * 3]
    here = machine.detect(record(arm(cores, "fp asimd", "quill", 8000000)))
    assert (here.cpu, here.cores) == ("Cortex-A57 + Denver 2", 6)


def test_an_unknown_arm_core_keeps_its_numbers(record: Record):
    assert machine.detect(record(arm([("0x99", "0xabc")], A76, "board", 1))).cpu == "ARM 0x99 0xabc"


def test_a_32_bit_program_on_a_64_bit_machine_is_32_bit(record: Record):
    features = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32"
    here = machine.detect(record(arm([("0x41", "0xd08")] * 4, features, "Raspberry Pi 4 Model B Rev 1.4", 3884360)))
    assert (here.arch, here.features) == ("armv7l", ())


def test_an_nvidia_card_is_named(record: Record):
    information = "Model: \t\t NVIDIA GeForce RTX 4060\nIRQ:   \t\t 139\nGPU UUID: \t GPU-0\n"
    files = x86("AMD Ryzen 7", "avx2", cores=8) | {"proc/driver/nvidia/gpus/0000:01:00.0/information": information}
    here = machine.detect(record(files))
    assert (here.gpu, here.sensors) == (("NVIDIA GeForce RTX 4060",), ("nvml",))


def test_what_a_recording_leaves_out_is_not_made_up(record: Record):
    here = machine.detect(record({}))
    assert (here.memory, here.model, here.features, here.gpu, here.sensors) == (None, None, (), (), ())
    assert here.cpu.startswith("unknown ")


def test_this_machine_is_described_in_plain_json():
    here = machine.detect()
    assert json.loads(json.dumps(asdict(here)))["arch"] == here.arch
    assert here.arch in (platform.machine(), "armv7l")
    assert here.memory == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 1 <= here.cores <= os.cpu_count()
    assert here.kernel == platform.release()


def test_what_cannot_be_read_of_the_conditions_is_none(record: Record):
    assert set(asdict(machine.conditions(record({}))).values()) == {None}


def test_conditions_of_a_throttled_raspberry_pi(record: Record):
    now = machine.conditions(
        record(
            {
                f"{CPUS}0/cpufreq/scaling_governor": "ondemand\n",
                f"{CPUS}0/cpufreq/scaling_cur_freq": "600000\n",
                f"{CPUS}1/cpufreq/scaling_governor": "ondemand\n",
                f"{CPUS}1/cpufreq/scaling_cur_freq": "1500000\n",
                f"{ZONES}0/type": "cpu-thermal\n",
                f"{ZONES}0/temp": "82277\n",
                "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
                "proc/loadavg": "0.52 0.58 0.59 1/389 12345\n",
            }
        )
    )
    assert (now.governor, now.frequency, now.temperature) == ("ondemand", 1.5e9, 82.277)
    assert now.throttled is True
    assert now.load_average == (0.52, 0.58, 0.59)


@pytest.mark.parametrize(("bits", "now"), [("0", False), ("50000", False), ("1", True), ("80008", True), ("4", True)])
def test_a_pi_that_was_throttled_once_is_not_throttled_now(record: Record, bits: str, now: bool):
    path = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
    assert machine.conditions(record({path: bits})).throttled is now


@pytest.mark.parametrize(("state", "throttled"), [("0", False), ("2", True)])
def test_slowing_the_processor_is_throttling_and_turning_a_fan_is_not(record: Record, state: str, throttled: bool):
    folder = "sys/class/thermal/cooling_device"
    files = {f"{folder}0/type": "pwm-fan", f"{folder}0/cur_state": "3"}
    assert machine.conditions(record(files)).throttled is None
    files |= {f"{folder}1/type": "thermal-cpufreq-0", f"{folder}1/cur_state": state}
    assert machine.conditions(record(files)).throttled is throttled


def test_throttle_events_of_all_cores_are_counted(record: Record):
    files = {f"{CPUS}{core}/thermal_throttle/core_throttle_count": f"{core + 2}\n" for core in range(2)}
    assert machine.conditions(record(files)).throttle_count == 5


def test_governors_that_differ_are_both_named(record: Record):
    files = {f"{CPUS}{core}/cpufreq/scaling_governor": name for core, name in enumerate(["schedutil", "performance"])}
    assert machine.conditions(record(files)).governor == "performance+schedutil"


def test_a_frequency_the_kernel_does_not_know_is_none(record: Record):
    assert machine.conditions(record({f"{CPUS}0/cpufreq/scaling_cur_freq": "<unknown>"})).frequency is None


def test_the_temperature_is_the_processors_and_not_the_boards(record: Record):
    zones = {f"{ZONES}0/type": "acpitz", f"{ZONES}0/temp": "90000", f"{ZONES}1/type": "gpu-thermal"}
    assert machine.conditions(record(zones | {f"{ZONES}1/temp": "91000"})).temperature is None
    zones |= {f"{ZONES}2/type": "x86_pkg_temp", f"{ZONES}2/temp": "47000"}
    assert machine.conditions(record(zones)).temperature == 47.0


def test_without_a_thermal_zone_the_processors_sensor_chip_is_read(record: Record):
    chips = {
        "sys/class/hwmon/hwmon0/name": "nvme",
        "sys/class/hwmon/hwmon0/temp1_input": "60000",
        "sys/class/hwmon/hwmon1/name": "k10temp",
        "sys/class/hwmon/hwmon1/temp1_input": "51250",
    }
    assert machine.conditions(record(chips)).temperature == 51.25


def test_conditions_of_this_machine_can_be_read():
    now = machine.conditions()
    assert len(now.load_average) == 3
    assert now.temperature is None or 0 < now.temperature < 120
    assert now.frequency is None or 1e8 < now.frequency < 1e10
