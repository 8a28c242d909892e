"""The history: what was written is read, by anybody and whatever becomes of the one who writes."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daskflow import historyfile, historyqueue, historyschema, historywriter
from daskflow.errors import HistoryError, OptionError, UnknownRun
from daskflow.history import History, RunRow
from daskflow.historylife import birth_of, own
from daskflow.historyrows import MOST_TEXT, bounded, from_json, to_json
from daskflow.historywriter import Writer

RUN = "r0123456789"
T = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "kept" / "history.db")


@contextmanager
def writing(path: str, **options: Any) -> Iterator[Writer]:
    writer = Writer(path, **options)
    try:
        yield writer
    finally:
        assert writer.close(30)


def row(id: str = RUN, **fields: Any) -> RunRow:
    return RunRow(**{"id": id, "name": "fits", "entity": "flows.fits", "started": T, **fields})


def write_runs(writer: Writer, count: int) -> None:
    for number in range(count):
        writer.begin(row(f"r{number:010x}", started=T + number))
        writer.end(f"r{number:010x}", "SUCCEEDED", T + number + 1)


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, f"did not come: {what}"
        time.sleep(0.02)
    return found


def ask(path: str, sql: str, *parameters: Any) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    program = "import sys, time\nfrom daskflow.history import RunRow\nfrom daskflow.historywriter import Writer\n" + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_what_was_given_is_read_back(path: str) -> None:
    """A run's row, its submission, reports, lines and result are as they were given, with lengths and sizes."""
    full = row(
        kind="workflow", mode="RECOVERED", source="r9999999999", owner="me@here", labels={"team": "a"}, inputs={"n": "3"},
        target={"module": "flows", "path": ["x", 1]},
    )  # fmt: skip
    with writing(path) as writer:
        writer.begin(full, b"what to run")
        writer.report(RUN, b"one")
        writer.report(RUN, b"two")
        writer.logs(RUN, [(f"{RUN}:fit[0]", T + 1, "INFO", "a line"), ("fit[1]", T + 2, "stderr", "another")])
        assert writer.flush(30)
        live = History(path).run(RUN)
        assert live is not None
        assert (live.live, live.status, live.counts, live.scheduler) == (True, "RUNNING", {}, writer.scheduler)
        writer.end(RUN, "FAILED", T + 5, {"failure": ("ValueError", b"\0pickled", None)}, "fit[1]", b"result", lambda: {"FAILED": 1})
    history = History(path)
    (found,) = history.runs()
    assert found == history.run(RUN) == history.find(RUN)
    for name in ("id", "name", "entity", "kind", "mode", "source", "owner", "labels", "inputs", "target", "started"):
        assert getattr(found, name) == getattr(full, name), name
    assert (found.status, found.ended, found.failed, found.counts) == ("FAILED", T + 5, "fit[1]", {"FAILED": 1})
    assert found.error == {"failure": ["ValueError", b"\0pickled", None]}
    assert (found.submission_nbytes, found.result_nbytes) == (11, 6)
    assert found.nbytes > 11 + 6 + 6
    assert (history.submission(RUN), history.result(RUN), history.reports(RUN)) == (b"what to run", b"result", [b"one", b"two"])
    ((first, _), (second, _)) = history.reports_since(RUN, 0)
    assert history.reports_since(RUN, first) == [(second, b"two")]
    assert [line[1:] for line in history.logs(RUN)] == [("fit[0]", T + 1, "INFO", "a line"), ("fit[1]", T + 2, "stderr", "another")]


def test_without_a_file_there_is_nothing(path: str) -> None:
    """Reading makes no file, whether there is a folder or not, and an empty file has no runs."""
    history = History(path)
    for prepare in (lambda: None, lambda: os.makedirs(os.path.dirname(path), 0o700)):
        prepare()
        assert (history.runs(), history.run(RUN), history.reports(RUN), history.logs(RUN), history.submission(RUN)) == (
            [],
            None,
            [],
            [],
            None,
        )
        with pytest.raises(UnknownRun, match="it has no runs"):
            history.find(RUN)
        with pytest.raises(UnknownRun, match="no run @last: .* has 0$"):
            history.find("@last")
        assert not os.path.exists(path)
    Path(path).touch(0o600)
    assert history.runs() == []
    assert os.path.getsize(path) == 0


def test_runs_are_chosen(path: str) -> None:
    """By status, name, entity, labels and time, newest first, in pages; also runs of which only the reader knows that they are lost."""
    with writing(path) as writer:
        for number, status in enumerate(["SUCCEEDED", "FAILED", "ABORTED", "SUCCEEDED"]):
            labels = {"team": "ab"[number % 2], "odd key\"'": "x"}
            writer.begin(row(f"r{number}", name=f"fit{number}", entity=f"flows{number % 2}.fits", started=T + number, labels=labels))
            writer.end(f"r{number}", status, T + 10)
        writer.begin(row("r4", name="other", started=T + 4))
    history = History(path)

    def ids(**chosen: Any) -> str:
        return "".join(run.id[1:] for run in history.runs(**chosen))

    assert ids() == "43210"
    assert (ids(limit=2), ids(limit=2, offset=1), ids(offset=3), ids(limit=0)) == ("43", "32", "10", "")
    assert (ids(status="SUCCEEDED"), ids(status=["ABORTED", "FAILED"]), ids(status="RUNNING"), ids(status=[])) == ("30", "421", "", "")
    assert (ids(name="fit*"), ids(name="fit[!03]"), ids(name="fit")) == ("3210", "21", "")
    assert (ids(entity="flows1.*"), ids(labels={"team": "b"}), ids(labels={"odd key\"'": "x", "team": "a"})) == ("31", "31", "20")
    assert (ids(since=T + 3), ids(until=T + 1), ids(since=datetime.fromtimestamp(T + 1, UTC), until=T + 3)) == ("43", "0", "21")
    assert ids(status="SUCCEEDED", limit=1, offset=1) == "0"


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ({"status": "DONE"}, "no status 'DONE'; there are QUEUED, RUNNING"),
        ({"limit": -1}, "limit must be an integer from 0 on; got -1"),
        ({"offset": 1.5}, "offset must be an integer from 0 on; got 1.5"),
        ({"name": 3}, "name must be a pattern in a text, such as 'fit\\*'; got 3"),
        ({"entity": b"flows"}, "entity must be a pattern in a text"),
        ({"labels": ["team"]}, r"labels must be a dict of text by name; got \['team'\]"),
        ({"labels": {"team": 1}}, "labels must be a dict of text by name"),
        ({"since": "yesterday"}, "since must be a datetime, or seconds since the epoch; got 'yesterday'"),
        ({"until": float("nan")}, "until must be a datetime, or seconds"),
    ],
)
def test_what_cannot_be_chosen_is_refused(path: str, chosen: Any, text: str) -> None:
    """A status that there is not, or a number that makes no sense, is refused by name."""
    with pytest.raises(OptionError, match=text):
        History(path).runs(**chosen)


def test_runs_are_found_by_the_beginning_of_their_ids(path: str) -> None:
    """A unique beginning, a whole id that another one begins with, and how many runs ago; what is not one run is refused, by name."""
    with writing(path) as writer:
        for number, id in enumerate(["raa", "rab", "rabc", "rb%", *(f"rc{n}" for n in range(7))]):
            writer.begin(row(id, started=T + number))
    history = History(path)
    found = {which: history.find(which).id for which in ("raa", "rab", "rabc", "rb", "@last", "@last-1", "@last-10")}
    assert found == {"raa": "raa", "rab": "rab", "rabc": "rabc", "rb": "rb%", "@last": "rc6", "@last-1": "rc5", "@last-10": "raa"}
    with pytest.raises(
        UnknownRun, match=r"'ra' is the beginning of the ids of 3 runs: rabc \(fits, FAILED\), rab \(.*\), raa \(.*\); give more"
    ):
        history.find("ra")
    with pytest.raises(UnknownRun, match=r"of 7 runs: rc6 .*, rc5 .*, rc4 .*, rc3 .*, rc2 \(fits, FAILED\), \.\.\.; give"):
        history.find("rc")
    for unknown in ("rx", "%", "_", ""):
        with pytest.raises(UnknownRun, match="begins with .*; the newest are rc6, rc5, rc4, rc3, rc2$"):
            history.find(unknown)
    odd: Any = RUN.encode()
    with pytest.raises(OptionError, match="the beginning of one, or as @last, in a text; got b'r01"):
        history.find(odd)
    with pytest.raises(UnknownRun, match="no run @last-11: .* has 11$"):
        history.find("@last-11")


def test_lines_are_those_of_a_node_and_of_what_is_below_it(path: str) -> None:
    """An address stands for its subtree, not for names that begin alike; lines come in order, after a number, so many."""
    addresses = ["", "a", "a/b", "a[0]", "a[0]/b", "ab", "a-b", "c/a"]
    with writing(path) as writer:
        writer.begin(row())
        writer.logs(RUN, [(address, T, "INFO", address) for address in addresses])
        writer.logs("r-other", [("a", T, "INFO", "of a run that is not known")])
    history = History(path)
    assert [line.text for line in history.logs(RUN)] == addresses
    assert [line.text for line in history.logs(RUN, "a")] == ["a", "a/b", "a[0]", "a[0]/b"]
    assert [line.text for line in history.logs(RUN, f"{RUN}:a[0]")] == ["a[0]", "a[0]/b"]
    assert [line.text for line in history.logs(RUN, f"{RUN}:")] == addresses
    second = history.logs(RUN)[1]
    assert [line.text for line in history.logs(RUN, after=second.seq, limit=2)] == ["a/b", "a[0]"]
    assert history.logs("r-other") == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters() | st.characters(categories=["Cs"])))
def test_any_text_is_kept(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Every text comes back as it was, wherever it stands; a lone surrogate, which no file can hold, as its escape."""
    path = str(tmp_path_factory.mktemp("texts") / "history.db")
    kept = text.encode("utf-8", "backslashreplace").decode()
    with writing(path) as writer:
        writer.begin(row(name=text, inputs={text: text}, labels={text: text}, owner=text))
        writer.logs(RUN, [(text, T, text, text)])
        writer.end(RUN, "FAILED", T, {"lost": text}, text)
    found = History(path).find(RUN)
    assert (found.name, found.owner, found.failed, found.error) == (kept, kept, kept, {"lost": kept})
    assert found.inputs == found.labels == {kept: kept}
    assert History(path).logs(RUN)[0][1:] == (kept.removeprefix(f"{RUN}:"), T, kept, kept)
    assert [run.id for run in History(path).runs(labels={text: text})] == [RUN]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
    )
)
def test_records_are_kept(record: Any) -> None:
    """What is made of what JSON knows, and of bytes, comes back as it was."""
    assert from_json(to_json(record)) == record


@pytest.mark.parametrize("text", ["<script>alert('x')</script>", "\0a\0", "a'; DROP TABLE runs; --"])
def test_awkward_texts_are_only_texts(path: str, text: str) -> None:
    """What looks like markup, SQL or the end of a text is neither."""
    with writing(path) as writer:
        writer.begin(row(name=text))
        writer.end(RUN, "FAILED", T, {"message": text})
    found = History(path).find("@last")
    assert (found.name, found.error) == (text, {"message": text})


@pytest.mark.parametrize("key", ["$bytes", "$$bytes", "bytes", "$"])
def test_a_users_key_is_no_sign_of_ours(path: str, key: str) -> None:
    """A label whose key is what stands for bytes in the file is a label, and the listing of runs goes on."""
    with writing(path) as writer:
        writer.begin(row(labels={key: "blue"}))
    assert History(path).find(RUN).labels == {key: "blue"}
    assert [run.id for run in History(path).runs(labels={key: "blue"})] == [RUN]


def test_long_texts_are_cut_and_say_so(path: str) -> None:
    """Of 1 MiB the beginning is kept, with a note of how much more there was; what is cut already is not cut again."""
    long = "x" * (1 << 20)
    with writing(path) as writer:
        writer.begin(row(name=long, inputs={"n": long}))
        writer.logs(RUN, [("a", T, "stdout", long)])
        writer.end(RUN, "FAILED", T, {"trace": [long]})
    found = History(path).find(RUN)
    assert found.error is not None
    for text in (found.name, found.inputs["n"], found.error["trace"][0], History(path).logs(RUN)[0].text):
        kept, _, note = text.partition("…")
        more = (1 << 20) - len(kept)
        assert (len(text) <= MOST_TEXT, note) == (True, f"({more:,} characters more)".replace(",", " "))
        assert bounded(text) == text
    exact = "y" * MOST_TEXT
    assert bounded(exact) == exact


def test_what_is_too_large_is_not_kept_and_the_row_says_so(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a submission or a result that is too long, or for which there is no room now, the length is -1; the run is kept."""
    monkeypatch.setattr(historywriter, "MOST_SUBMISSION", 10)
    monkeypatch.setattr(historyqueue, "MOST_SUBMITTED", 15)
    monkeypatch.setattr(historyqueue, "WINDOW", 60)
    with writing(path) as writer:
        assert writer.flush(30)
        writer.begin(row("r1"), b"x" * 11)
        writer.begin(row("r2"), b"x" * 10)
        writer.begin(row("r3"), b"x" * 6)
        writer.begin(row("r4"))
        writer.end("r1", "SUCCEEDED", T, result=b"x" * ((1 << 20) + 1))
        writer.end("r2", "SUCCEEDED", T, result=b"x" * (1 << 20))
    history = History(path)
    assert [history.find(id).submission_nbytes for id in ("r1", "r2", "r3", "r4")] == [-1, 10, -1, None]
    assert [history.submission(id) for id in ("r1", "r2", "r3", "r4")] == [None, b"x" * 10, None, None]
    assert [history.find(id).result_nbytes for id in ("r1", "r2", "r3")] == [-1, 1 << 20, None]
    assert history.result("r1") is None


def test_what_finds_no_room_is_dropped_and_counted(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports and lines that come faster than they are written are dropped, and the run's row says how many; its end is kept."""
    monkeypatch.setattr(historyqueue, "MOST_TOLD", 2_000)
    monkeypatch.setattr(historyqueue, "WINDOW", 60)
    with writing(path) as writer:
        assert writer.flush(30)
        writer.begin(row())
        for _ in range(5):
            writer.report(RUN, b"x" * 600)
        writer.logs(RUN, [("a", T, "INFO", "x")] * 7)
        writer.end(RUN, "SUCCEEDED", T)
        assert writer.flush(30)
        writer.report(RUN, b"there is room again")
    found = History(path).find(RUN)
    assert (found.dropped_reports, found.dropped_logs, found.status) == (2, 7, "SUCCEEDED")
    assert [len(data) for data in History(path).reports(RUN)] == [600, 600, 600, 19]


def test_what_is_no_record_harms_nothing_else(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Something that cannot be a record is logged and left out; all before and after it is kept, and nothing is raised."""
    circle: list[Any] = []
    circle.append(circle)
    with writing(path) as writer:
        writer.begin(row())
        writer.logs(RUN, [("a", float("nan"), "INFO", "never")])
        writer.end(RUN, "FAILED", T, {"circle": circle})
        writer.report(RUN, b"kept")
        assert writer.flush(30)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        f"something of run {RUN} is not kept in the history, since it is not what it should be"
    ] * 2
    assert History(path).reports(RUN) == [b"kept"]
    with pytest.raises(OptionError, match="run r0123456789 cannot have the status 'DONE'"):
        row(status="DONE")


def test_a_file_is_its_owners_alone(path: str) -> None:
    """The folder is made with mode 0700 and its files with 0600, also those beside, and also where the file was open to others."""
    old = os.umask(0)
    try:
        with writing(path) as writer:
            writer.begin(row())
            assert writer.flush(30)
            names = os.listdir(os.path.dirname(path))
            modes = {name: os.stat(os.path.join(os.path.dirname(path), name)).st_mode & 0o777 for name in names}
            assert modes == {"history.db": 0o600, "history.db-wal": 0o600, "history.db-shm": 0o600}
    finally:
        os.umask(old)
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    os.chmod(path, 0o644)
    with writing(path) as writer:
        assert writer.flush(30)
        assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(path: str, mode: int) -> None:
    """Whoever reads or writes is told the folder, and what to do."""
    with writing(path) as writer:
        writer.begin(row())
    os.chmod(os.path.dirname(path), mode)
    for use in (lambda: Writer(path), lambda: History(path).runs()):
        with pytest.raises(HistoryError, match=r"the folder .*kept belongs to somebody else, or others can write to it.*mode 0700"):
            use()


def test_what_is_no_file_of_ours_is_refused_and_left(path: str) -> None:
    """A text, another program's database, a symbolic link, and a folder are refused, and stay as they are."""
    os.makedirs(os.path.dirname(path), 0o700)

    def refused(text: str) -> None:
        for use in (lambda: Writer(path), lambda: History(path).runs()):
            with pytest.raises(HistoryError, match=text):
                use()

    Path(path).write_text("my diary\n" * 200)
    refused("not a database")
    assert Path(path).read_text() == "my diary\n" * 200
    os.unlink(path)
    ask(path, "CREATE TABLE recipes (name)")
    before = Path(path).read_bytes()
    refused("a database of another program")
    assert Path(path).read_bytes() == before
    os.rename(path, f"{path}.other")
    os.symlink(f"{path}.other", path)
    refused("is no file, but a folder, a symbolic link")
    os.unlink(path)
    os.mkdir(path)
    refused("is no file, but a folder")


def test_an_older_file_is_brought_up_to_date(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step that an older file lacks is taken, once, by who reads as by who writes, and its rows stay."""
    with writing(path) as writer:
        writer.begin(row(), b"submission")
        writer.end(RUN, "SUCCEEDED", T)
    first = historyschema.MIGRATIONS
    second = (
        "ALTER TABLE runs ADD COLUMN mood TEXT NOT NULL DEFAULT 'good'",
        "CREATE TABLE moods (mood TEXT)",
        "INSERT INTO moods VALUES ('good')",
    )
    monkeypatch.setattr(historyschema, "MIGRATIONS", [*first, second])
    assert History(path).find(RUN).status == "SUCCEEDED"
    assert (ask(path, "PRAGMA user_version"), ask(path, "SELECT id, mood FROM runs")) == ([(len(first) + 1,)], [(RUN, "good")])
    monkeypatch.setattr(
        historyschema, "MIGRATIONS", [*first, second, ("INSERT INTO moods VALUES ('bad')",), ("INSERT INTO moods VALUES ('odd')",)]
    )
    with writing(path) as writer:
        writer.begin(row("r2"))
    assert (ask(path, "PRAGMA user_version"), ask(path, "SELECT mood FROM moods")) == ([(len(first) + 3,)], [("good",), ("bad",), ("odd",)])
    assert [run.id for run in History(path).runs()] == ["r2", RUN]
    assert History(path).submission(RUN) == b"submission"


def make_version_1(path: str) -> None:
    """Make a file of the first version, with a run that keeps outputs, one that does not, and one that is being removed."""
    os.makedirs(os.path.dirname(path), 0o700)
    columns = (
        "id, name, entity, kind, status, mode, started, ended, owner, labels, inputs, target, counts, scheduler, nbytes, "
        "dropped_reports, dropped_logs"
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in historyschema.MIGRATIONS[0]:
            connection.execute(statement)
        for id, target in (("r1", {"outputs": "/cache", "lineage": "r0"}), ("r2", {"outputs": None, "lineage": None}), ("r3", {})):
            values = (id, "fits", "flows.fits", "task", "SUCCEEDED", "MANUAL", T, T, "", "{}", "{}", to_json(target), "{}", "s", 0, 0, 0)
            connection.execute(f"INSERT INTO runs ({columns}) VALUES ({', '.join('?' * len(values))})", values)
        connection.execute("INSERT INTO pruned VALUES ('rgone')")
        connection.execute("PRAGMA user_version = 1")
        connection.execute(f"PRAGMA application_id = {historyschema.APPLICATION}")


def test_a_file_of_the_first_version(path: str) -> None:
    """It says now where outputs of its runs are, goes on removing what it had begun to, and takes what older writers write."""
    make_version_1(path)
    assert {run.id: (run.cache, run.lineage) for run in History(path).runs()} == {
        "r1": ("/cache", "r0"), "r2": (None, None), "r3": (None, None),
    }  # fmt: skip
    # A writer of the first version has the file open, and knows nothing of the second.
    ask(path, "INSERT INTO pruned VALUES ('rgone too')")
    ask(path, "DELETE FROM runs WHERE id = 'r3'")
    told: list[Any] = []
    with writing(path, max_runs=1, on_pruned=told.extend):
        until(lambda: len(told) >= 3 and not ask(path, "SELECT run FROM pruned UNION SELECT run FROM leftovers"), "word of all")
    assert sorted(map(tuple, told)) == [("r1", "/cache", "r0"), ("rgone", None, "rgone"), ("rgone too", None, "rgone too")]
    assert [run.id for run in History(path).runs()] == ["r2"]


def test_outputs_go_with_the_last_run_that_may_need_them(path: str) -> None:
    """Whoever asked is told where a run kept outputs, and of outputs that another run may go on from only when that is gone as well."""
    told: list[Any] = []
    with writing(path, max_runs=1, on_pruned=told.extend) as writer:
        for number, cache in enumerate(["/a", "/b", "/a"]):
            writer.begin(row(f"r{number}", started=T + number, cache=cache, lineage="r0"))
            writer.end(f"r{number}", "FAILED", T + number)
            assert writer.flush(30)
        until(lambda: len(told) == 2, "word of two")
        writer.begin(row("r3", started=T + 9))
        writer.end("r3", "FAILED", T + 9)
        until(lambda: len(told) == 3, "word of the third")
    assert list(map(tuple, told)) == [("r0", "/a", None), ("r1", "/b", "r0"), ("r2", "/a", "r0")]


@pytest.mark.parametrize("after", [1, 2])
def test_who_looks_while_the_tables_are_made_finds_ours(path: str, after: int) -> None:
    """A file in which somebody makes the tables at this very moment is not taken for another program's."""
    os.makedirs(os.path.dirname(path), 0o700)
    historyschema.make_file(path)

    class Interrupted(sqlite3.Connection):
        """Has the tables made by somebody else between two questions."""

        asked = 0

        def execute(self, *given: Any) -> sqlite3.Cursor:
            if self.asked == after:
                historyschema.open_to_write(path).close()
            self.asked += 1
            return super().execute(*given)

    with closing(sqlite3.connect(path, factory=Interrupted)) as connection:
        assert historyschema.version_of(connection, path) in (0, len(historyschema.MIGRATIONS))


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps are taken or none."""
    with writing(path) as writer:
        writer.begin(row())
    good, bad = ("CREATE TABLE moods (mood TEXT)",), ("CREATE TABLE other (a)", "NO SQL")
    with monkeypatch.context() as patched:
        patched.setattr(historyschema, "MIGRATIONS", [*historyschema.MIGRATIONS, good, bad])
        with pytest.raises(HistoryError, match="cannot be read: .*syntax error"):
            History(path).runs()
    assert ask(path, "PRAGMA user_version") == [(len(historyschema.MIGRATIONS),)]
    assert ask(path, "SELECT name FROM sqlite_master WHERE name IN ('moods', 'other')") == []
    assert History(path).find(RUN).name == "fits"


def test_a_newer_file_is_refused_and_left(path: str) -> None:
    """Reader and writer say which version it has and which they know, and change nothing."""
    with writing(path) as writer:
        writer.begin(row())
    ask(path, "PRAGMA user_version = 99")
    before = Path(path).read_bytes()
    for use in (lambda: Writer(path), lambda: History(path).runs()):
        with pytest.raises(HistoryError, match="is of version 99, which a newer daskflow has written, and this one reads up to 2"):
            use()
    assert Path(path).read_bytes() == before


def test_two_writers_share_a_file(path: str) -> None:
    """Schedulers of one machine write to one file, made by whichever comes first, and each keeps its runs."""
    with writing(path) as one, writing(path) as other:
        for number in range(50):
            for name, writer in (("a", one), ("b", other)):
                writer.begin(row(f"r{name}{number}"))
                writer.report(f"r{name}{number}", name.encode())
        assert one.flush(30)
        assert other.flush(30)
        assert {run.live for run in History(path).runs()} == {True}
        assert {run.scheduler for run in History(path).runs(name="*")} == {one.scheduler, other.scheduler}
        assert one.failures == other.failures == 0
    assert [History(path).reports(f"rb{number}") for number in range(50)] == [[b"b"]] * 50


WRITE = """
    writer = Writer(sys.argv[1])
    for number in range(10**9):
        # Both are given within one batch, or close to its edge; what belongs together is given as one item.
        id = f"r{number:010x}"
        writer.begin(RunRow(id=id, name="n", entity="e", started=float(number)), b"s" * 1000)
        writer.logs(id, [(str(n), 1.0, "INFO", "line") for n in range(10)])
        if number % 100 == 0:
            writer.flush(30)
            print(number, flush=True)
"""


def test_it_is_read_while_another_process_writes(path: str) -> None:
    """A reader sees only whole things, and more of them each time it waits."""
    process = child(WRITE, path)
    try:
        history, seen = History(path), []
        for _ in range(4):
            said(process)
            runs = history.runs()
            seen.append(len(runs))
            assert {run.submission_nbytes for run in runs} == {1000}
            assert {len(history.submission(run.id) or b"") for run in runs[-20:]} == {1000}
            assert {len(history.logs(run.id)) for run in runs[:50]} <= {0, 10}
            assert {run.status for run in runs} == {"RUNNING"}
        assert seen == sorted(set(seen))
    finally:
        killed(process)


def test_what_was_written_is_there_after_a_kill(path: str) -> None:
    """The file of a writer that was killed in the middle has all that was flushed and only whole batches; its runs have failed."""
    process = child(WRITE, path)
    try:
        flushed = [int(said(process)) for _ in range(3)][-1]
    finally:
        killed(process)
    history = History(path)
    runs = history.runs()
    assert len(runs) >= flushed
    assert [run.id for run in reversed(runs)] == [f"r{number:010x}" for number in range(len(runs))]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert all(len(history.logs(run.id)) == 10 and run.submission_nbytes == 1000 for run in runs[-flushed:])
    assert {run.status for run in runs} == {"FAILED"}
    assert history.runs(status="RUNNING") == []
    found = history.find("r0000000000")
    assert found.error is not None
    assert f"process {process.pid} on " in found.error["lost"]
    assert "`daskflow recover r0000000000` goes on" in found.error["lost"]
    # The reader has changed nothing; the next one to write does.
    assert ask(path, "SELECT DISTINCT status FROM runs") == [("RUNNING",)]
    with writing(path) as writer:
        assert writer.flush(30)
    assert ask(path, "SELECT DISTINCT status FROM runs") == [("FAILED",)]
    assert history.find("r0000000000") == found


@contextmanager
def of_a_scheduler(path: str, **fields: Any) -> Iterator[RunRow]:
    """Give the run of another scheduler, of which some fields are so."""
    with writing(path) as writer:
        writer.begin(row("rother"))
        assert writer.flush(30)
    life = own("sother", time.time())._replace(**fields)
    ask(path, f"INSERT INTO schedulers VALUES ({', '.join('?' * len(life))})", *life)
    ask(path, "UPDATE runs SET scheduler = 'sother'")
    yield History(path).find("rother")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "RUNNING"),
        # A process of this machine needs no sign of life, as long as it is that process.
        ({"alive": 0.0}, "RUNNING"),
        ({"birth": "1"}, "FAILED"),
        ({"pid": 2**22 + 1}, "FAILED"),
        ({"ended": T}, "FAILED"),
        ({"host": "elsewhere", "pid": 2**22 + 1}, "RUNNING"),
        ({"host": "elsewhere", "alive": T}, "FAILED"),
        # Such as another container that has the same name.
        ({"machine": "another", "birth": "1"}, "RUNNING"),
        ({"machine": "another", "alive": T}, "FAILED"),
    ],
)
def test_a_run_goes_on_while_its_scheduler_is_there(path: str, fields: dict[str, Any], status: str) -> None:
    """On this machine the process counts, with its time of birth; elsewhere signs of life."""
    with of_a_scheduler(path, **fields) as found:
        assert found.status == status
        with writing(path) as writer:
            writer.flush(30)
        assert ask(path, "SELECT status FROM runs") == [(status,)]


def test_runs_of_a_scheduler_that_dies_are_noted_by_another_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes on writing notes after a while that another scheduler is gone: its runs can be removed, and its record is not kept."""
    monkeypatch.setattr(historyfile, "LOOK", 0.05)
    with writing(path, max_runs=1) as writer:
        process = child(WRITE, path)
        try:
            said(process)
            assert writer.flush(30)
        finally:
            killed(process)
        writer.begin(row(started=T * 2))
        until(lambda: [run.id for run in History(path).runs()] == [RUN], "the end of the others")
        until(lambda: ask(path, "SELECT id FROM schedulers") == [(writer.scheduler,)], "the end of the record")


def test_a_zombie_is_not_alive() -> None:
    """A process that has ended is gone, also where nobody has asked how it ended."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()
    until(lambda: birth_of(process.pid) is None, "the end")
    process.communicate()
    assert birth_of(process.pid) is None
    assert birth_of(os.getpid())


def test_a_scheduler_gives_signs_of_life(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so while nothing is written, and says when it ends; runs that it leaves have failed at once, though the process lives on."""
    monkeypatch.setattr(historyfile, "BEAT", 0.05)
    with writing(path) as writer:
        writer.begin(row())
        assert writer.flush(30)
        first = ask(path, "SELECT alive FROM schedulers")
        until(lambda: ask(path, "SELECT alive FROM schedulers") > first, "another sign of life")
        assert History(path).find(RUN).status == "RUNNING"
    assert History(path).find(RUN).status == "FAILED"
    ((id, ended),) = ask(path, "SELECT id, ended FROM schedulers")
    assert (id, ended is not None) == (writer.scheduler, True)


def test_the_oldest_go_when_there_are_too_many(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs that have ended only the newest stay, with all that belongs to them; of the others nothing does, and who asked is told."""
    monkeypatch.setattr(historyfile, "STEP_RUNS", 3)
    monkeypatch.setattr(historyfile, "STEP_ROWS", 4)
    told: list[str] = []
    with writing(path, max_runs=5, on_pruned=lambda gone: told.extend(one.run for one in gone)) as writer:
        writer.begin(row("rlive", started=T - 100), b"s")
        for number in range(20):
            id = f"r{number:02}"
            writer.begin(row(id, started=T + number), b"s")
            writer.report(id, b"report")
            writer.logs(id, [("a", T, "INFO", "x")] * 9)
            writer.end(id, "SUCCEEDED", T + number, result=b"r")
        until(lambda: len(told) == 16, "word of all")
        until(lambda: not ask(path, "SELECT * FROM pruned"), "the end of it")
        assert sorted(told) == [f"r{number:02}" for number in range(16)]
    history = History(path)
    kept = ["r19", "r18", "r17", "r16", "rlive"]
    assert [run.id for run in history.runs()] == kept
    for table in ("submissions", "reports", "logs", "results"):
        assert {run for (run,) in ask(path, f"SELECT run FROM {table}")} == set(kept) - ({"rlive"} if table != "submissions" else set()), (
            table
        )
    assert len(history.logs("r19")) == 9


def test_what_is_too_old_goes(path: str) -> None:
    """Runs go so long after their end; those that go on stay, whenever they began; an observer that fails changes nothing."""

    def fail(ids: list[str]) -> None:
        raise ValueError("no")

    now = time.time()
    with writing(path, max_age=3600, on_pruned=fail) as writer:
        for id, ended in (("rold", now - 4000), ("rnew", now - 3000), ("rlive", None)):
            writer.begin(row(id, started=now - 10_000))
            if ended is not None:
                writer.end(id, "SUCCEEDED", ended)
        until(lambda: {run.id for run in History(path).runs()} == {"rnew", "rlive"}, "the end of the old one")
        until(lambda: not ask(path, "SELECT * FROM pruned"), "the end of it")
        assert writer.failures == 0


def test_the_file_shrinks(path: str) -> None:
    """What pruned runs took of the disk is given back."""
    with writing(path) as writer:
        for number in range(20):
            writer.begin(row(f"r{number:02}", started=T + number), bytes(200_000))
            writer.end(f"r{number:02}", "SUCCEEDED", T)
    before = os.path.getsize(path)
    with writing(path, max_runs=1) as writer:
        until(lambda: len(History(path).runs()) == 1 and not ask(path, "SELECT * FROM pruned"), "the pruning")
    assert os.path.getsize(path) < before / 2


FULL = """
    import logging, resource, signal, os
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("daskflow.historywriter").addFilter(lambda record: print(end="", flush=True) or True)
    writer = Writer(sys.argv[1])
    writer.begin(RunRow(id="r1", name="n", entity="e", started=1.0), b"s")
    assert writer.flush(30)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    started = time.perf_counter()
    for n in range(400):
        writer.report("r1", bytes([n % 256]) * 1000)
    writer.end("r1", "SUCCEEDED", 2.0)
    took = time.perf_counter() - started
    print("flushed", writer.flush(1.5), "failures", writer.failures > 1, "quick", took < 1, flush=True)
    sys.stdin.readline()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("flushed", writer.flush(60), flush=True)
    print("closed", writer.close(60), flush=True)
"""


def test_a_full_disk_is_told_once_and_made_up_for(path: str) -> None:
    """Nothing is raised or held up; one line says it; what there was is readable; once there is room, all is written."""
    process = child(FULL, path)
    try:
        first = said(process)
        assert first.startswith(f"ERROR the history {path} cannot be written, and is tried again until it can: OperationalError: ")
        assert said(process) == "flushed False failures True quick True"
        assert History(path).find("r1").status == "RUNNING"
        assert History(path).reports("r1") == []
        output, _ = process.communicate("go on\n", timeout=120)
    finally:
        killed(process)
    lines = output.splitlines()
    assert lines[0].startswith(f"INFO the history {path} is written again, after ")
    assert lines[1:] == ["flushed True", "closed True"]
    assert process.returncode == 0
    found = History(path).find("r1")
    assert (found.status, len(History(path).reports("r1"))) == ("SUCCEEDED", 400)


READ_ONLY = """
    import codecs, fnmatch, logging, os, psutil, sqlite3, traceback, urllib.parse
    import daskflow.historyfile, daskflow.history
    from daskflow.history import History
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.INFO)
    for name in ("ascii", "utf-8"):
        # The interpreter's own files may be for root alone.
        codecs.lookup(name)
    path, folder = sys.argv[1], os.path.dirname(sys.argv[1])
    os.makedirs(folder, 0o700)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)

    def begin(writer, id):
        writer.begin(RunRow(id=id, name="n", entity="e", started=1.0))

    os.chmod(folder, 0o500)
    writer = Writer(path)
    begin(writer, "r1")
    print("flushed", writer.flush(0.5), History(path).runs(), flush=True)
    os.chmod(folder, 0o700)
    print("flushed", writer.flush(60), writer.close(60), flush=True)
    os.chmod(folder, 0o500)
    os.chmod(path, 0o400)
    print([run.id for run in History(path).runs()], flush=True)
    writer = Writer(path)
    begin(writer, "r2")
    print("flushed", writer.flush(0.5), flush=True)
    os.chmod(folder, 0o700)
    os.chmod(path, 0o600)
    print("flushed", writer.flush(60), [run.id for run in History(path).runs()], writer.close(60), flush=True)
"""


def test_a_folder_that_cannot_be_written_to() -> None:
    """Writing says what to do, once, and is made up for; whoever reads finds what there is, also where there is nothing but the file."""
    # Root can write everywhere, so somebody else does it, who may not come to where pytest's folders are.
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        path = f"{open_to_all}/kept/history.db"
        process = child(READ_ONLY, path)
        output, _ = process.communicate(timeout=120)
    told = rf"ERROR the history {path} cannot be written, .*; make the file and its folder writable, or set daskflow.history.path"
    again = rf"INFO the history {path} is written again"
    expected = [
        told,
        r"flushed False \[\]$",
        again,
        "flushed True True",
        r"\['r1'\]",
        told,
        "flushed False",
        again,
        r"flushed True \['r2', 'r1'\] True",
    ]
    lines = output.splitlines()
    assert len(lines) == len(expected), output
    for line, one in zip(lines, expected, strict=True):
        assert re.match(one, line), output


def test_a_lock_that_lasts_is_waited_for(path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """While somebody else has the file locked, readers read, and who writes tries again until it is free."""
    monkeypatch.setattr(historyschema, "BUSY", 0.05)
    with writing(path) as writer:
        writer.begin(row())
        assert writer.flush(30)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.end(RUN, "SUCCEEDED", T)
            until(lambda: writer.failures, "a failure")
            assert History(path).find(RUN).status == "RUNNING"
            other.execute("ROLLBACK")
        assert writer.flush(30)
        assert History(path).find(RUN).status == "SUCCEEDED"
    assert ["locked" in record.message for record in caplog.records if record.levelno == logging.ERROR] == [True]


def test_closing_does_not_wait_for_ever(path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A writer that cannot write ends when it is told how long to try, says so, and its thread ends."""
    monkeypatch.setattr(historyschema, "BUSY", 0.05)
    writer = Writer(path)
    assert writer.flush(30)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer._file, "write", full)
    writer.begin(row())
    assert writer.close(0.5) is False
    assert "could not be written to the end within 0.5 s" in caplog.records[-1].message
    until(lambda: not writer._thread.is_alive(), "the end of the thread")
    assert writer.close(1) is False
    writer.begin(row("r2"))
    assert History(path).runs() == []


def test_a_file_that_was_removed_is_made_anew(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may remove the file under the one who writes; what comes after that is kept in a new one."""
    monkeypatch.setattr(historyfile, "BEAT", 0.01)
    with writing(path) as writer:
        writer.begin(row("r1"))
        assert writer.flush(30)
        for name in os.listdir(os.path.dirname(path)):
            os.unlink(os.path.join(os.path.dirname(path), name))
        until(lambda: os.path.exists(path), "a new file")
        writer.begin(row("r2"))
        assert writer.flush(30)
        assert [run.id for run in History(path).runs()] == ["r2"]


def test_a_folder_that_was_removed_is_made_anew(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may remove the cache, with the history in it; what comes after that is kept, and the folder is its owner's alone."""
    monkeypatch.setattr(historyfile, "BEAT", 0.01)
    with writing(path) as writer:
        assert writer.flush(30)
        shutil.rmtree(os.path.dirname(path))
        until(lambda: os.path.exists(path), "a new file")
        writer.begin(row())
        assert writer.flush(30)
        assert [run.id for run in History(path).runs()] == [RUN]
        assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700


def test_what_follows_is_done_when_the_rest_is_written(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is to be done after a run's end waits for that to be in the file, however long; what fails then is said, and harms nothing."""
    monkeypatch.setattr(historyschema, "BUSY", 0.05)
    seen: list[Any] = []

    def fail() -> None:
        raise ValueError("no")

    with writing(path) as writer:
        writer.begin(row())
        assert writer.flush(30)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.end(RUN, "SUCCEEDED", T)
            writer.then(RUN, fail)
            writer.then(RUN, lambda: seen.append(History(path).find(RUN).status))
            until(lambda: writer.failures, "a failure")
            assert not seen
            other.execute("ROLLBACK")
        assert writer.flush(30)
    assert seen == ["SUCCEEDED"]
    assert f"what was to be done when run {RUN} had ended has failed" in caplog.text


@pytest.mark.parametrize(
    ("options", "text"), [({"max_runs": 0}, "max_runs of the history .* got 0"), ({"max_age": -1}, "max_age .* got -1")]
)
def test_limits_that_make_no_sense_are_refused(path: str, options: dict[str, Any], text: str) -> None:
    """They are refused by name, and no file is made."""
    with pytest.raises(OptionError, match=text):
        Writer(path, **options)
    assert not os.path.exists(path)


def test_readers_may_be_anywhere(path: str) -> None:
    """Threads share one, and other processes have theirs, at the same time as it is written."""
    from concurrent.futures import ThreadPoolExecutor

    with writing(path) as writer:
        write_runs(writer, 20)
        assert writer.flush(30)
        history = History(path)
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda _: len(history.runs()), range(40))) == {20}
        reading = "import sys; from daskflow.history import History; print(len(History(sys.argv[1]).runs()))"
        shown = subprocess.run([sys.executable, "-c", reading, path], capture_output=True, text=True, check=True)
        assert shown.stdout == "20\n"


def test_nothing_is_loaded_before_it_is_used() -> None:
    """The modules themselves do not import SQLite."""
    code = "import sys, daskflow.historywriter; sys.exit('sqlite3' in sys.modules or 'psutil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
