"""External meters: the line protocol, files that grow, serial lines, and plugs that answer over HTTP."""

from __future__ import annotations

import os
import pty
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from plug import SHELLY, Plug

from edge_runtime.energy import meter, meter_feeds
from edge_runtime.energy.meter import Meter, open_meter
from edge_runtime.energy.meter_feeds import Feed
from edge_runtime.energy.meter_lines import Line, parse
from edge_runtime.errors import MeterError, SensorError, SensorResetError


class Script(Feed):
    """A feed of what the test says next."""

    def __init__(self, *lines: str) -> None:
        self.next = list(lines)

    def take(self) -> list[str]:
        lines, self.next = self.next, []
        return lines


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "PATIENCE", 1.0)


def scripted(*lines: str) -> tuple[Meter, Script]:
    feed = Script(*lines)
    sensor = Meter(feed, "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "PATIENCE", 0.05)
        sensor.open()
    return sensor, feed


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("12.5", Line(None, 12.5, False, 0.1)),
        ("  12.5 W\r", Line(None, 12.5, False, 0.1)),
        ("3.201,12.5", Line(3.201, 12.5, False, 0.1)),
        ("3.201; 12", Line(3.201, 12.0, False, 1.0)),
        ("0\t.25", Line(0.0, 0.25, False, 0.01)),
        ("3.2,1500 mW", Line(3.2, 1.5, False, 1e-3)),
        ("15234.2 J", Line(None, 15234.2, True, 0.1)),
        ("1,2.5Wh", Line(1.0, 9000.0, True, 360.0)),
        ("0.004 kWh", Line(None, 14400.0, True, 3600.0)),
        ("-0.5", Line(None, -0.5, False, 0.1)),
        ("1.5e-3", Line(None, 0.0015, False, 1e-4)),
    ],
)
def test_a_line_is_watts_or_joules_with_or_without_seconds(text: str, line: Line):
    parsed = parse(text)
    assert parsed == pytest.approx(line)
    assert parsed.energy is line.energy


@pytest.mark.parametrize("text", ["", "   ", "# seconds,watts"])
def test_comments_and_empty_lines_say_nothing(text: str):
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "watts",
        "12 V",
        "1,2,3",
        "1,",
        ",5",
        "nan",
        "inf",
        "1e999",
        "12.5W extra",
        "0x10",
        "1_000",
        "\0\0",
        "1" * 70_000,
        "1e16",
    ],
)
def test_anything_else_is_no_line(text: str):
    with pytest.raises(ValueError, match="not a "):
        parse(text)


def test_lines_with_seconds_are_placed_by_the_meters_clock():
    sensor, feed = scripted("0.0,5", "0.5,5", "1.0,5")
    assert (sensor.counts, sensor.resolution.step, sensor.resolution.interval) == (False, 1.0, 0.5)
    feed.next = ["1.5,6"]
    assert sensor.samples(lambda: 100.0) == [(100.0, (6.0,))]
    feed.next = ["2.0,7", "2.5,8"]  # the first was held up on its way
    assert sensor.samples(lambda: 101.0) == [(100.5, (7.0,)), (101.0, (8.0,))]
    assert sensor.notes() == ()


def test_lines_without_seconds_are_placed_when_they_are_read_and_the_last_one_holds():
    sensor, feed = scripted("5")
    feed.next = ["6", "7"]
    assert sensor.samples(lambda: 100.0) == [(100.0, (7.0,))]


def test_energy_is_counted_from_the_moment_of_opening():
    sensor, feed = scripted("10 Wh")
    assert sensor.counts
    feed.next = ["10.5 Wh"]
    assert sensor.read() == 1800.0


def test_what_is_not_understood_is_counted_and_passed_over():
    sensor, feed = scripted("seconds,watts", "0,5", "1,5", "2,5")
    feed.next = ["#", "garbage", "3,1000 J", "3,6"]
    assert [sample.values for sample in sensor.samples(lambda: 9.0)] == [(6.0,)]
    assert sensor.notes() == ("3 lines were not understood, the first: 'seconds,watts'",)


def test_lines_out_of_order_are_left_out_and_told():
    sensor, feed = scripted("0,5", "1,5", "2,5")
    feed.next = ["3,6", "2.5,9", "4,7"]
    assert [sample.values for sample in sensor.samples(lambda: 9.0)] == [(6.0,), (7.0,)]
    feed.next = ["99999,99", "5,8"]  # a damaged number must not shift all that follow
    assert sensor.samples(lambda: 10.0) == [(10.0, (8.0,))]
    assert sensor.notes() == ("2 lines were out of order",)


def test_a_counter_that_begins_anew_is_told_once_and_nothing_before_it_is_lost():
    sensor, feed = scripted("100 J")
    feed.next = ["0,103 J", "1,105 J", "2,2 J", "3,4 J"]
    assert [sample.values for sample in sensor.samples(lambda: 9.0)] == [(3.0,), (5.0,)]
    with pytest.raises(SensorResetError):
        sensor.samples(lambda: 9.0)
    assert [sample.values for sample in sensor.samples(lambda: 9.0)] == [(7.0,)]


def test_a_meter_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meter, "PATIENCE", 0.1)
    with pytest.raises(SensorError, match=r"meter:test: no reading came within 0.1 s"):
        Meter(Script(), "test").open()
    with pytest.raises(SensorError, match=r"it said 'hello', which is no reading"):
        Meter(Script("hello"), "test").open()


def test_a_meter_that_falls_silent_has_no_reading(monkeypatch: pytest.MonkeyPatch):
    sensor, _ = scripted("0,5", "0.1,5", "0.2,5")
    assert sensor.read() == 5.0
    monkeypatch.setattr(meter, "STALE", 0)
    with pytest.raises(SensorError, match="no reading for"):
        sensor.read()


def test_a_file_is_read_from_its_end_on(tmp_path: Path):
    path = tmp_path / "feed.csv"
    path.write_text("0,1\n1,1\n2,")  # the last line is being written
    feed = meter_feeds.open_feed(str(path))
    assert feed.take() == []
    with path.open("a") as file:
        file.write("99\n3,5\n4,")
        file.flush()
        assert feed.take() == ["3,5"]
        file.write("6\n")
        file.flush()
        assert feed.take() == ["4,6"]
    feed.close()
    feed.close()


def test_a_file_that_is_begun_anew_is_read_from_its_beginning(tmp_path: Path):
    path = tmp_path / "feed"
    path.write_text("1\n2\n3\n")
    feed = meter_feeds.open_feed(str(path))
    feed.take()
    path.write_text("7\n")
    assert feed.take() == ["7"]
    feed.close()


def test_lines_without_an_end_take_no_memory(tmp_path: Path):
    path = tmp_path / "feed"
    path.write_text("")
    feed = meter_feeds.open_feed(str(path))
    feed.take()
    with path.open("a") as file:
        for _ in range(5):
            file.write("x" * 100_000)
            file.flush()
            assert feed.take() == []
        file.write("\n5\n" + "y" * 2000 + "\n6\n")
    assert feed.take() == ["5", "6"]
    assert feed.overlong == 2
    feed.close()


def test_a_real_file_with_a_writer_makes_a_meter(tmp_path: Path):
    path = tmp_path / "feed"
    path.write_text("")
    ended = threading.Event()

    def write() -> None:
        with path.open("a") as file:
            for index in range(1000):
                if ended.wait(0.05):
                    return
                file.write(f"{index * 0.05:.2f},{4 + index % 2}\n")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with open_meter(str(path)) as sensor:
            assert sensor.resolution.interval == pytest.approx(0.05, abs=0.001)
            time.sleep(0.3)
            assert {sample.values[0] for sample in sensor.samples(time.perf_counter)} == {4.0, 5.0}
    finally:
        ended.set()
        writer.join()


def test_a_serial_line_is_read_as_raw_bytes():
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    feed = meter_feeds.open_feed(f"{name}?baud=115200")
    try:
        feed.take()
        os.write(ours, b"the rest of a line\n12.5\r\n12")
        time.sleep(0.05)
        assert feed.take() == ["12.5"]
        os.write(ours, b".75\r\n")
        time.sleep(0.05)
        assert feed.take() == ["12.75"]
    finally:
        feed.close()
        os.close(ours)
        os.close(theirs)


def test_a_serial_line_that_is_unplugged_is_an_error():
    ours, theirs = pty.openpty()
    feed = meter_feeds.open_feed(os.ttyname(theirs))
    feed.take()
    os.close(theirs)
    os.close(ours)
    with pytest.raises(SensorError, match=r"/dev/pts/\d+: "):
        feed.take()
    with pytest.raises(SensorError, match=r"/dev/pts/\d+: "):
        feed.take()


def test_a_pipe_is_read_and_outlives_its_writers(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    feed = meter_feeds.open_feed(str(path))
    assert feed.take() == []
    for number in ("5", "6"):
        with path.open("w") as file:
            file.write(f"{number}\n")
        assert feed.take() == [number]
        assert feed.take() == []
    feed.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/dev/no-such-meter", "no such file or device"),
        ("ftp://plug/power", "no such file or device"),
        ("/dev/null?baud=fast", "baud must be a whole number"),
        ("http://plug/status#power:V", "the unit 'V' is none of"),
        ("/", "is a folder"),
    ],
)
def test_a_name_that_is_no_meter_is_refused(name: str, words: str):
    with pytest.raises(MeterError, match=words):
        open_meter(name)


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plug]:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # must not be asked
    server = Plug()
    yield server
    server.stop()


def test_a_shelly_plug_tells_watts(plug: Plug):
    with open_meter(plug.url) as sensor:
        assert sensor.read() == 8.9
        assert (sensor.counts, sensor.resolution.step, sensor.resolution.interval) == (False, pytest.approx(0.1), 1.0)
        plug.says(SHELLY | {"apower": 10.25})
        assert sensor.read() == 10.25


def test_another_field_of_another_plug_can_be_named(plug: Plug):
    plug.says({"meters": [{"power": 3.5}]})
    with open_meter(f"{plug.url}#meters.0.power") as sensor:
        assert sensor.read() == 3.5
    plug.says(SHELLY)
    with open_meter(f"{plug.url}#aenergy.total:Wh") as sensor:
        assert sensor.counts
        plug.says({"aenergy": {"total": 6.542}})
        assert sensor.read() == pytest.approx(36.0)


def test_an_address_may_answer_in_the_line_protocol(plug: Plug):
    plug.says("# since midnight\n1,5 W\n2,6 W\n")
    with open_meter(plug.url) as sensor:
        assert sensor.read() == 6.0


def test_a_plug_that_goes_away_is_an_error_until_it_is_back(plug: Plug):
    with open_meter(plug.url) as sensor:
        plug.answer = None
        with pytest.raises(SensorError, match=r"127.0.0.1.*: no answer: "):
            sensor.samples(time.perf_counter)
        plug.answer = (500, b"")
        with pytest.raises(SensorError, match="no answer: Internal Server Error"):
            sensor.samples(time.perf_counter)
        plug.says(SHELLY)
        assert [sample.values for sample in sensor.samples(time.perf_counter)] == [(8.9,)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"voltage": 230}, "no JSON with a number at 'apower'"),
        ({"apower": "8.9"}, "'apower' is '8.9' and not a number"),
        ({"apower": True}, "'apower' is 'True' and not a number"),
        ({"apower": None}, "'apower' is 'None' and not a number"),
        ("{", "no JSON with a number"),
        ("[" * 50_000, "no JSON with a number"),
        ("x" * 70_000, "more than 65536 bytes"),
    ],
    ids=range(7),
)
def test_an_answer_that_is_no_meters_is_an_error(plug: Plug, answer: object, words: str):
    plug.says(answer)
    with pytest.raises(SensorError, match=words):
        open_meter(plug.url).open()


def test_a_plug_that_asks_for_a_password_is_not_supported(plug: Plug):
    plug.answer = (401, b"")
    with pytest.raises(SensorError, match="a meter that asks for a password is not supported"):
        open_meter(plug.url).open()


def test_nobody_at_the_address_is_an_error():
    with pytest.raises(SensorError, match=r"no answer: .*refused"):
        open_meter("http://127.0.0.1:9/").open()
