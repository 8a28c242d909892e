"""What tasks print and log: who wrote it, what is kept of it, and that it goes where it went before all the same."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dask
import pytest

import daskflow as fl
from daskflow import config, context, linejoin, logcapture, tasklogs
from daskflow.errors import OptionError, ProcessDied
from daskflow.execute import Execution
from daskflow.journal import Journal
from daskflow.loglines import LogLine, lines, visible
from daskflow.scope import Scope
from daskflow.stacks import root_frame

RUN = "r0123456789"
OPTIONS = {"logs.enabled": True, "logs.level": "INFO", "logs.node_bytes": 64 << 10}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    streams = sys.stdout, sys.stderr
    yield
    logcapture.uninstall()
    assert (sys.stdout, sys.stderr) == streams
    logging.getLogger("daskflow.task").setLevel(logging.NOTSET)


def told(entity: Any, **inputs: Any) -> list[LogLine]:
    """Execute an entity as a unit does, and return the lines that it tells."""
    journal = Journal()
    with contextlib.suppress(Oops):
        tasklogs.executed(execution(entity, inputs), journal, OPTIONS)
    report = journal.report()
    return lines(report) if report is not None else []


def execution(entity: Any, inputs: dict[str, Any]) -> Execution:
    """Return an execution of an entity."""
    entity.prepare()
    return Execution(root_frame(entity, inputs, Scope.of_run(RUN, None), "top"), lambda _: None)


def short(found: list[LogLine]) -> list[tuple[str, str, str]]:
    """Return lines without their times, and addresses without the run."""
    return [(one.address.removeprefix(f"{RUN}:"), one.level, one.text) for one in found]


class Oops(Exception):
    """A user's own."""


class Fixed:
    """An execution of one node, for as long as a test likes."""

    current = ("frame", 0)

    def __init__(self, address: str = f"{RUN}:a") -> None:
        self.at = address

    def address(self) -> str:
        """Return the node's address."""
        return self.at

    def run(self) -> Any:
        """Do nothing."""

    def go(self, address: str) -> None:
        """Be at another node."""
        self.at, self.current = address, ("frame", self.current[1] + 1)


@contextlib.contextmanager
def at(most: int = 64 << 10) -> Iterator[tuple[tasklogs.TaskLogs, Fixed]]:
    """Return logs that take what this thread writes, and what says at which node it is."""
    fixed = Fixed()
    logs = tasklogs.TaskLogs(most, fixed)
    outer, context.state.executing = context.state.executing, fixed.address
    try:
        with logs.taking():
            yield logs, fixed
    finally:
        context.state.executing = outer


# ---------------------------------------------------------------- who wrote what


@fl.task
def speak(a: int) -> int:
    print("a is", a)
    print("to err", file=sys.stderr)
    logging.getLogger("mine").warning("%s is odd", a)
    return a


@fl.workflow
def inner(a: int) -> int:
    return speak(a=a)


@fl.dynamic
def outer(n: int) -> list[int]:
    print("n is", n)
    return [inner(a=a) for a in range(n)]


def said(a: int) -> list[tuple[str, str]]:
    return [("stdout", f"a is {a}"), ("stderr", "to err"), ("WARNING", f"mine: {a} is odd")]


def test_a_task_is_known_by_its_address() -> None:
    """Each line has its node's address, level and time, in the order of writing, nested as deep as it may be."""
    began = time.time()
    found = told(outer, n=2)
    assert short(found) == [
        ("top", "stdout", "n is 2"),
        *[("top/inner[0]/speak", *line) for line in said(0)],
        *[("top/inner[1]/speak", *line) for line in said(1)],
    ]
    times = [line.when for line in found]
    assert began <= times[0] <= times[-1] <= time.time()
    assert times == sorted(times)


def test_items_of_maps() -> None:
    """A map's item has its index in the address."""
    found = told(fl.map_task(speak), a=[5, 6])
    assert short(found) == [*[("top[0]", *line) for line in said(5)], *[("top[1]", *line) for line in said(6)]]


@fl.task
def print_and_fail(a: int) -> int:
    print("going to fail", end="")
    raise Oops


def test_a_task_that_fails_has_its_lines_told() -> None:
    """What a task has printed before it fails is told, even where the line has no end."""
    assert short(told(print_and_fail, a=1)) == [("top", "stdout", "going to fail")]


@fl.task
def nothing(a: int) -> int:
    return a


def test_a_quiet_task_leaves_nothing() -> None:
    """Where nothing is written there is no report, and nothing is held."""
    assert told(fl.map_task(nothing), a=[1, 2]) == []


async def _piece(name: str, ready: Any, wait: Any) -> None:
    print(name, "begins")
    ready.set()
    await wait.wait()
    print(name, "ends")


@fl.task
async def together(a: int) -> int:
    import asyncio

    one, two = asyncio.Event(), asyncio.Event()
    await asyncio.gather(_piece("one", one, two), _piece("two", two, one))
    return a


def test_coroutines_of_a_task_are_that_task() -> None:
    """What is gathered in an async task writes as that task."""
    assert [line[2] for line in short(told(together, a=1))] == ["one begins", "two begins", "two ends", "one ends"]


@fl.eager
async def eager(n: int) -> list[int]:
    print("before", end="")
    values = [await speak(a=n)]
    print(" and after")
    return values


def test_an_eager_and_its_calls() -> None:
    """An eager's body and its calls are told apart, and its line goes on after a call."""
    assert short(told(eager, n=3)) == [*[("top/speak[0]", *line) for line in said(3)], ("top", "stdout", "before and after")]


@fl.task(timeout=60)
def timed(a: int) -> int:
    print("timed", a)
    fl.current_context().logging.info("by %s", threading.current_thread().name[:8])
    return a


@fl.task(timeout=fl.Timeout(60, killable=True))
def own_process(a: int) -> int:
    print("in a process", a)
    print("half", end="")
    fl.current_context().logging.info("logged\nin two lines")
    logging.getLogger("other").debug("not this")
    print("x" * 20_000, file=sys.stderr)
    return a


def test_an_attempt_in_a_thread_of_its_own() -> None:
    """An attempt that may be left alone writes as its node."""
    name = f"{timed.name}: by daskflow"
    assert short(told(timed, a=1)) == [("top", "stdout", "timed 1"), ("top", "INFO", name)]


def test_an_attempt_in_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    """What a killable attempt prints and logs comes too, and goes to our standard output as before."""
    found = short(told(own_process, a=1))
    assert found == [
        ("top", "stdout", "in a process 1"),
        ("top", "stdout", "half"),
        ("top", "INFO", f"{own_process.name}: logged"),
        ("top", "INFO", "in two lines"),
        ("top", "stderr", "x" * linejoin.MOST_LINE + "…(3 616 characters more)"),
    ]
    given = capfd.readouterr()
    assert (given.out, given.err) == ("in a process 1\nhalf", "x" * 20_000 + "\n")


@fl.task(timeout=fl.Timeout(0.5, killable=True))
def never_ends(a: int) -> int:
    while True:
        print("again")


@fl.task(timeout=fl.Timeout(60, killable=True))
def dies(a: int) -> int:
    print("last words")
    os.kill(os.getpid(), 9)
    return a


def test_a_process_that_writes_for_ever_is_killed_in_time(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines that come without an end do not put off the timeout, and are bounded."""
    journal = Journal()
    with pytest.raises(fl.TaskTimeout):
        tasklogs.executed(execution(never_ends, {"a": 1}), journal, OPTIONS)
    report = journal.report()
    assert report is not None
    found = lines(report)
    assert {line.text for line in found[1:]} == {"again"}
    assert found[0].text.endswith("lines left out here)")
    assert len(report) < 200_000


def test_a_process_that_dies_has_said_what_it_said() -> None:
    """A line counts once it is written, whatever becomes of the process."""
    journal = Journal()
    with pytest.raises(ProcessDied):
        tasklogs.executed(execution(dies, {"a": 1}), journal, OPTIONS)
    report = journal.report()
    assert report is not None
    assert short(lines(report)) == [("top", "stdout", "last words")]


@fl.task(retries=2)
def third_time(a: int) -> int:
    attempt = fl.current_context().attempt
    print("attempt", attempt, end="")
    if attempt < 2:
        raise fl.RecoverableException
    return a


def test_retries_write_as_their_node() -> None:
    """All attempts of a node have its address, and a line that one of them has left open ends with it."""
    assert short(told(third_time, a=1)) == [("top", "stdout", f"attempt {number}") for number in range(3)]


def test_threads_at_the_same_time() -> None:
    """Two executions on two threads of one process do not get each other's lines."""
    meet = threading.Barrier(2, timeout=30)

    @fl.task
    def one(name: str) -> str:
        for number in range(100):
            meet.wait()
            print(name, number)
        return name

    found: dict[str, list[LogLine]] = {}
    threads = [threading.Thread(target=lambda name=name: found.update({name: told(one, name=name)})) for name in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: [line.text for line in of] for name, of in found.items()} == {
        name: [f"{name} {number}" for number in range(100)] for name in ("x", "y")
    }


def test_a_thread_of_a_tasks_own_writes_only_where_it_did_before(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of threads that a task starts are not the task's, but are not lost."""
    with at() as (logs, _):
        thread = threading.Thread(target=print, args=("elsewhere",))
        thread.start()
        thread.join()
        assert logs.take() == []
    assert capsys.readouterr().out == "elsewhere\n"


# ---------------------------------------------------------------- bounds


@fl.task
def chatter(n: int) -> int:
    for number in range(n):
        print("line", number)
    return n


def test_a_hundred_thousand_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a task that prints very much the last lines are told, within bounds, and how many there were before; all go to its output."""
    found = told(chatter, n=100_000)
    left, kept = found[0], found[1:]
    assert sum(len(line.text) for line in kept) < 64 << 10
    assert (left.address, left.level) == (kept[0].address, "WARNING")
    assert left.text == f"({100_000 - len(kept):,} lines left out here)".replace(",", " ")
    assert [line.text for line in kept] == [f"line {number}" for number in range(100_000 - len(kept), 100_000)]
    assert capsys.readouterr().out.count("\n") == 100_000


def test_one_report_is_bounded() -> None:
    """Of very many nodes that print much, the oldest are left out, and that is said once."""
    with at() as (logs, node):
        for number in range(1000):
            node.go(f"{RUN}:n[{number}]")
            print("x" * 2000)
            print("y" * 2000)
    found = logs.take()
    assert sum(len(line[3]) for line in found) <= tasklogs.MOST_WAITING
    left = 2000 - len(found[1:])
    assert found[0][2:] == ("WARNING", f"({left:,} lines of this node and others left out here)".replace(",", " "))
    assert found[1][0] == f"{RUN}:n[{left // 2}]"
    assert found[-1][0] == f"{RUN}:n[999]"


def test_a_node_that_lasts_is_told_of_as_it_goes() -> None:
    """While a node lasts its lines are told, up to half of its share, and the rest at its end."""
    with at(most=4096) as (logs, _):
        print("first")
        assert [line[3] for line in logs.take()] == ["first"]
        total = 0
        for _ in range(100):
            for number in range(100):
                print("line", number)
            total += sum(len(line[3]) + 32 for line in logs.take())
        assert 1000 < total < 4096
        print("last")
    found = logs.take()
    assert found[-1][3] == "last"
    assert sum(len(line[3]) + 32 for line in found[1:]) + total < 4096 + 1024


def test_long_lines_are_cut_and_say_so() -> None:
    """A line of a mebibyte is cut, whether written at once or in parts."""
    with at() as (logs, _):
        print("a" * (1 << 20))
        for _ in range(1 << 10):
            print("b" * (1 << 10), end="")
        print()
    cut = "…(1 032 192 characters more)"
    assert [line[3] for line in logs.take()] == ["a" * (16 << 10) + cut, "b" * (16 << 10) + cut]


def test_a_line_is_kept_even_where_a_node_has_no_room() -> None:
    """A share of one byte still shows the last line."""
    with at(most=1) as (logs, _):
        print("one")
        print("two")
    assert [line[3] for line in logs.take()] == ["(1 line left out here)", "two"]


def test_nothing_is_taken_when_it_is_over() -> None:
    """What a thread writes that was left alone goes nowhere once the unit is over."""
    with at() as (logs, _):
        state = dict(vars(context.state))

    def late() -> None:
        vars(context.state).update(state)
        print("late")

    thread = threading.Thread(target=late)
    thread.start()
    thread.join()
    assert logs.take() == []


# ---------------------------------------------------------------- lines


def test_parts_are_joined_to_lines() -> None:
    """Parts of lines are joined for each stream; empty lines count; what is open is told when the next node writes, or at the end."""
    with at() as (logs, node):
        print("a", end="")
        print("e", end="", file=sys.stderr)
        print("b\n\nc", end="")
        assert [line[2:] for line in logs.take()] == [("stdout", "ab"), ("stdout", "")]
        node.go(f"{RUN}:b")
        print("of b")
        assert [line[0] + line[3] for line in logs.take()] == [f"{RUN}:ae", f"{RUN}:ac", f"{RUN}:bof b"]
        sys.stdout.writelines(["x\n", "y"])
    assert [line[3] for line in logs.take()] == ["x", "y"]


def test_what_a_carriage_return_overwrites_is_gone() -> None:
    """Of a progress bar the last state is told, as on a terminal; line ends of other systems are no such thing."""
    with at() as (logs, _):
        for done in range(1000):
            print(f"\r{done} of 999", end="")
        print("\nends so\r\nand\r", end="")
        print("then")
    assert [line[3] for line in logs.take()] == ["999 of 999", "ends so", "then"]


def test_odd_text_comes_as_it_is() -> None:
    """Markup, NUL, surrogates and text of a user's own class are kept as they are."""

    class Text(str):
        __slots__ = ()

    with contextlib.redirect_stdout(io.StringIO()) as out, at() as (logs, _):
        print("<script>alert(1)</script>")
        print("a\x00b \udc80 \U0001f600")
        sys.stdout.write(Text("own\n"))
    found = logs.take()
    assert [line[3] for line in found] == ["<script>alert(1)</script>", "a\x00b \udc80 \U0001f600", "own"]
    assert type(found[2][3]) is str
    assert out.getvalue().endswith("own\n")
    assert pickle.loads(pickle.dumps(found)) == found


def test_lines_are_shown_with_nothing_unseen() -> None:
    """As text a line has time, level and address, and its control characters are to be seen."""
    when = datetime(2024, 1, 2, 3, 4, 5, 678_900).timestamp()  # noqa: DTZ001
    line = LogLine(f"{RUN}:a", when, "ERROR", "tab\t\x1b[2J\u202e\x00\udc80\n<b>")
    assert str(line) == f"03:04:05.678 ERROR {RUN}:a  tab\t\\x1b[2J\\u202e\\x00\\udc80\\n<b>"
    assert visible("plain ä €") == "plain ä €"


# ---------------------------------------------------------------- loggers


def test_levels_names_and_tracebacks() -> None:
    """Levels are those of logging, odd ones the next below; a traceback follows its message, line by line."""
    logger = logging.getLogger("some.where")
    logger.setLevel(1)
    with at() as (logs, _):
        for level in (5, 10, 20, 25, 30, 40, 50, 60):
            logger.log(level, "level %d", level)
        try:
            raise Oops("why")
        except Oops:
            logger.exception("caught")
    logger.setLevel(logging.NOTSET)
    found = logs.take()
    assert [line[2] for line in found[:8]] == ["DEBUG", "DEBUG", "INFO", "INFO", "WARNING", "ERROR", "CRITICAL", "CRITICAL"]
    assert found[3][3] == "some.where: level 25"
    assert found[8][2:] == ("ERROR", "some.where: caught")
    assert found[9][3] == "Traceback (most recent call last):"
    assert found[-1][3].endswith("Oops: why")
    assert {line[2] for line in found[8:]} == {"ERROR"}


def test_a_record_that_cannot_be_formatted() -> None:
    """A message that does not fit its arguments is told as it is, and fails nothing."""

    class Bad:
        def __str__(self) -> str:
            raise Oops

    with at() as (logs, _):
        raising, logging.raiseExceptions = logging.raiseExceptions, False
        logging.getLogger("x").warning("%s", Bad())
        logging.raiseExceptions = raising
    assert logs.take()[0][3].startswith("x: '%s' cannot be formatted: ")


def test_what_does_not_reach_the_root_logger() -> None:
    """A logger that keeps its records to itself is not told of; what its handler prints is, as what it is."""
    logger = logging.getLogger("alone")
    logger.propagate = False
    with at() as (logs, _):
        handler = logging.StreamHandler(sys.stderr)
        logger.addHandler(handler)
        logger.warning("kept")
    logger.removeHandler(handler)
    logger.propagate = True
    assert [line[2:] for line in logs.take()] == [("stderr", "kept")]


def _in_a_process(code: str) -> tuple[str, str]:
    import subprocess

    program = f"import tests.unit.test_tasklogs as t, logging, sys\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_logging_that_is_not_configured_does_what_it_did() -> None:
    """A warning still goes to standard error, once, and basicConfig in a task still configures."""
    out, err = _in_a_process("""
with t.at() as (logs, _):
    logging.getLogger("x").warning("unconfigured")
    logging.basicConfig(level="INFO", format="%(message)s")
    logging.info("configured")
print([line[2:] for line in logs.take()])
""")
    assert err == "unconfigured\nconfigured\n"
    assert out == "[('WARNING', 'x: unconfigured'), ('INFO', 'root: configured')]\n"


def test_the_tasks_own_logger_has_a_level_of_its_own() -> None:
    """What a task logs by its context arrives from INFO on, whatever level the root logger has; or from what is configured on."""
    with at() as (logs, _):
        fl.current_context().logging.debug("no")
        fl.current_context().logging.info("yes")
        assert [line[2:] for line in logs.take()] == [("INFO", "local: yes")]
        logcapture.set_level(logging.DEBUG)
        fl.current_context().logging.debug("now")
        assert [line[2:] for line in logs.take()] == [("DEBUG", "local: now")]


def test_a_level_that_somebody_set_stays() -> None:
    """The level of the tasks' loggers that a program has set is not changed."""
    logging.getLogger("daskflow.task").setLevel(logging.ERROR)
    logcapture.set_level(logging.INFO)
    assert fl.current_context().logging.getEffectiveLevel() == logging.ERROR


def test_in_process_the_context_has_its_logger(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """In process nothing is captured: what is printed and logged goes where it goes."""

    @fl.task
    def one() -> int:
        fl.current_context().logging.info("hello")
        print(type(sys.stdout) is logcapture.Tap)
        return 1

    one()
    assert caplog.record_tuples == [(f"daskflow.task.{one.name}", logging.INFO, "hello")]
    assert capsys.readouterr().out == "False\n"


@pytest.mark.parametrize("level", ["LOUD", 3, None, "NOTSET"])
def test_levels_that_are_none(level: Any) -> None:
    """A level that logging does not have is refused by name."""
    with (
        dask.config.set({"daskflow.logs.level": level}),
        pytest.raises(OptionError, match=r"daskflow.logs.level must be one of DEBUG, INFO"),
    ):
        config.get("logs.level")


# ---------------------------------------------------------------- streams


def test_a_tapped_stream_is_the_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """Its attributes are the stream's own, it can be replaced meanwhile, and it is gone afterwards."""
    stream = sys.stdout
    with at() as (logs, _):
        assert isinstance(sys.stdout, logcapture.Tap)
        for name in ("buffer", "encoding", "errors", "isatty", "fileno", "flush", "name"):
            assert getattr(sys.stdout, name, None) == getattr(stream, name, None)
        assert not hasattr(sys.stdout, "nothing")
        assert pickle.loads(pickle.dumps(sys.stdout)) is sys.stdout
        assert repr(sys.stdout) == repr(stream)
        with contextlib.redirect_stdout(io.StringIO()) as caught:
            print("caught")
        print("shown")
    assert sys.stdout is stream
    assert caught.getvalue() == "caught\n"
    assert capsys.readouterr().out == "shown\n"
    assert [line[3] for line in logs.take()] == ["shown"]


def test_a_stream_that_was_replaced_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody has put in the place of a tapped stream is left there."""
    other = io.StringIO()
    with at():
        monkeypatch.setattr(sys, "stdout", other)
    assert sys.stdout is other
    monkeypatch.undo()


def test_a_stream_that_takes_what_is_no_text() -> None:
    """What a stream of a user's own takes is the stream's affair, and only text is a line."""
    taken: list[object] = []

    class Own(io.StringIO):
        def write(self, given: object) -> int:
            taken.append(given)
            return 1

    with contextlib.redirect_stdout(Own()), at() as (logs, _):
        sys.stdout.write(b"bytes")  # type: ignore[arg-type]
        print("text")
    assert taken == [b"bytes", "text", "\n"]
    assert [line[3] for line in logs.take()] == ["text"]


def test_what_writes_through_twice_is_told_once() -> None:
    """A stream of a user's that writes to a tapped one, and is tapped itself, gives one line."""

    class Tee(io.StringIO):
        def write(self, text: str) -> int:
            return below.write(text)

    below = logcapture.Tap(io.StringIO(), "stdout")
    with at() as (logs, _), contextlib.redirect_stdout(logcapture.Tap(Tee(), "stdout")):
        print("once")
    assert [line[3] for line in logs.take()] == ["once"]


def test_streams_that_come_and_go_while_others_print() -> None:
    """That a stream is tapped, and is no longer, does not matter to threads that are in the middle of a print."""
    out, err = _in_a_process("""
import threading, time
class Null:
    def write(self, text):
        time.sleep(0)
        return len(text)
    def flush(self):
        pass
over, stdout = threading.Event(), sys.stdout
def work():
    while not over.is_set():
        print("a", "b", "c", [1])
sys.setswitchinterval(1e-6)
sys.stdout = Null()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
until = time.monotonic() + 1
while time.monotonic() < until:
    with t.at():
        time.sleep(0)
over.set()
for thread in threads:
    thread.join()
sys.stdout = stdout
print("well")
""")
    assert (out, err) == ("well\n", "")


def test_a_copy_of_the_process_tells_nothing() -> None:
    """A process that a task forks has no place to tell anything."""
    with at() as (logs, _):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, str(context.state.logs).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100) == b"None"
        assert context.state.logs is logs
        os.close(reading)
        os.close(writing)
