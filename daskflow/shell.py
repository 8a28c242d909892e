"""Tasks that are scripts of the shell: :class:`ShellTask`, as in Flyte's SDK.

A script is a template of Python's ``str.format``: ``{inputs.x}`` is an input, ``{outputs.y}`` the path where an output is to be
written, and ``{ctx.working_directory}`` a part of the task's context. Braces of the shell's own are written twice, as in ``${{HOME}}``.
An input is put in as it is; text that others give belongs into quotes, as ``{inputs.x!q}`` puts it.
"""

from __future__ import annotations

import collections
import os
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import threading
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Unpack

from daskflow.errors import DefinitionError, OutputError, ScriptFailed
from daskflow.interface import Interface, Outputs, Parameter
from daskflow.overrides import NAME
from daskflow.task import Task
from daskflow.taskcontext import TaskContext, current_context
from daskflow.taskoptions import TaskKeywords

# Seconds between two looks at whether the run was cancelled, and bytes of standard error that an error shows.
_POLL = 0.1
_SHOWN = 4000
# Seconds that what a script left may hold its standard error open.
_LEFT = 1.0

_CONTENTS = (str, int, float, bool, bytes)
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def kwtypes(**types: Any) -> dict[str, Any]:
    """Return names with their types.

    Examples
    --------
    >>> kwtypes(a=int, b=str)
    {'a': <class 'int'>, 'b': <class 'str'>}
    """
    return types


@dataclass(frozen=True)
class OutputLocation:
    """Where a script writes an output.

    Parameters
    ----------
    var : str
        The output's name.
    var_type : type
        Its type. Of ``str``, ``bytes``, ``int``, ``float`` and ``bool`` it is what the file holds; of ``pathlib.Path``, and of
        other types that are made of a path, it is the file or directory itself.
    location : str or os.PathLike
        The path, a template as the script is; relative ones are in the working directory. What is a path is moved from there
        to where the attempt's outputs stay.
    """

    var: str
    var_type: type
    location: str | os.PathLike[str]

    def __post_init__(self) -> None:
        if not isinstance(self.var, str) or not self.var.isidentifier():
            raise DefinitionError(f"var of OutputLocation must be a name; got {self.var!r}")
        if not isinstance(self.var_type, type) or not (issubclass(self.var_type, _CONTENTS) or hasattr(self.var_type, "__fspath__")):
            raise DefinitionError(
                f"var_type of the OutputLocation of {self.var} must be str, bytes, int, float, bool or a path's; got {self.var_type!r}"
            )
        if not isinstance(self.location, (str, os.PathLike)):
            raise DefinitionError(f"location of the OutputLocation of {self.var} must be a path; got {self.location!r}")


class _Formatter(string.Formatter):
    def convert_field(self, value: Any, conversion: Any) -> Any:
        return shlex.quote(self.format_field(value, "")) if conversion == "q" else super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, datetime) and not format_spec:
            return value.isoformat()
        if isinstance(value, os.PathLike):
            return str(os.fspath(value))
        return str(super().format_field(value, format_spec))


def _fields(template: str, owner: str) -> Iterator[str]:
    try:
        for _, name, _, _ in _Formatter().parse(template):
            if name is not None:
                yield name
    except ValueError as error:
        raise DefinitionError(f"{owner} is no template: {error}; braces of the shell's own are written twice") from None


def _check_template(template: str, owner: str, known: Mapping[str, Sequence[str]]) -> None:
    for field in _fields(template, owner):
        root, _, rest = field.partition(".")
        name = rest.partition(".")[0].partition("[")[0]
        if root not in known:
            raise DefinitionError(f"{owner} has {{{field}}}, but knows {', '.join(known)}; braces of the shell's own are written twice")
        if root != "ctx" and name not in known[root]:
            raise DefinitionError(f"{owner} has {{{field}}}; its {root} are {', '.join(known[root]) or 'none'}")


@dataclass(frozen=True)
class Script:
    """What a shell task runs.

    Attributes
    ----------
    task : str
        The task's name.
    script : str
        The template.
    outputs : tuple of OutputLocation
        What it writes.
    debug : bool
        Whether the script is printed as it is run.
    """

    task: str
    script: str
    outputs: tuple[OutputLocation, ...]
    debug: bool = False

    def __call__(self, **inputs: Any) -> Any:
        """Run it in the working directory of the task that runs in this thread; return the outputs.

        Raises
        ------
        ScriptFailed
            When it ends with an exit code other than 0.
        OutputError
            When an output is not there, or not what it is declared.
        """
        context = current_context()
        names: dict[str, Any] = {"inputs": SimpleNamespace(**inputs), "ctx": context}
        formatted = _Formatter().vformat
        folder = context.working_directory
        places = {one.var: os.path.join(folder, formatted(os.fspath(one.location), (), names)) for one in self.outputs}
        text = formatted(self.script, (), {**names, "outputs": SimpleNamespace(**places)})
        if self.debug:
            print(text, flush=True)
        _run(text, self.task, context)
        values = [_value(one, places[one.var], self.task, context) for one in self.outputs]
        return None if not values else values[0] if len(values) == 1 else tuple(values)


def _run(text: str, task: str, context: TaskContext) -> None:
    with tempfile.TemporaryDirectory(prefix="daskflow-script-") as folder:
        path = os.path.join(folder, "script.sh")
        Path(path).write_text(text, encoding="utf-8")
        process = _Process(["bash", "-e", path], context)
        code = process.result()
    context.raise_if_cancelled()
    if code:
        how = f"ended with exit code {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}"
        raise ScriptFailed(f"the script of shell task {task} {how}" + (f":\n{process.shown}" if process.shown else ""))


class _Process:
    """A script at work; killed with all that it started when the attempt does not count any more."""

    def __init__(self, command: list[str], context: TaskContext) -> None:
        self._context = context
        self._tail: collections.deque[bytes] = collections.deque()
        timeout = context.place.options.timeout
        # In a process of its own the attempt is a group already, which is killed as a whole.
        self._group = timeout is None or not timeout.killable
        self._popen = subprocess.Popen(
            command,
            cwd=context.working_directory,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0 if self._group else None,
        )
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=one, name="daskflow script", daemon=True) for one in (self._pass_on, self._wait)]
        for one in self._threads:
            one.start()

    def result(self) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        try:
            with self._context.ending_with(self.kill):
                while not self._ended.wait(_POLL):
                    if self._context.cancelled:
                        self.kill()
        finally:
            # What it left in the background would hold its standard error open.
            self.kill()
            self._ended.wait()
            code = self._popen.wait()
            for one in self._threads:
                # Outside of a group of its own, what it left goes on for as long as the attempt's process.
                one.join(None if self._group else _LEFT)
        return code

    def kill(self) -> None:
        """Kill it, with all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            if self._group:
                os.killpg(self._popen.pid, signal.SIGKILL)
            elif not self._ended.is_set():
                os.kill(self._popen.pid, signal.SIGKILL)

    def _wait(self) -> None:
        # Not reaped yet: its id, which is the group's, stays its own.
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._popen.wait()
        self._ended.set()

    def _pass_on(self) -> None:
        assert self._popen.stderr is not None
        with self._popen.stderr as stream:
            while part := os.read(stream.fileno(), 1 << 16):
                sys.stderr.write(part.decode(errors="replace"))
                self._keep(part)

    def _keep(self, part: bytes) -> None:
        self._tail.append(part)
        while sum(map(len, self._tail)) - len(self._tail[0]) >= _SHOWN:
            self._tail.popleft()

    @property
    def shown(self) -> str:
        """The end of its standard error."""
        return b"".join(self._tail)[-_SHOWN:].decode(errors="replace").strip()


def _value(output: OutputLocation, path: str, task: str, context: TaskContext) -> Any:
    if not os.path.exists(path):
        raise OutputError(f"the script of shell task {task} has not written its output {output.var} to {path}")
    if not issubclass(output.var_type, _CONTENTS):
        made: Any = output.var_type
        return made(_kept(path, context))
    data = Path(path).read_bytes()
    if issubclass(output.var_type, bytes):
        return data
    try:
        return _parsed(output.var_type, data.decode().removesuffix("\n"))
    except (ValueError, KeyError):
        raise OutputError(f"output {output.var} of shell task {task} is no {output.var_type.__name__}: {data[:100]!r}") from None


def _parsed(kind: type, text: str) -> Any:
    return _TRUTHS[text.strip().lower()] if kind is bool else kind(text)


def _kept(path: str, context: TaskContext) -> str:
    """Move what is in the working directory to where it stays."""
    folder = os.path.realpath(context.working_directory) + os.sep
    if not os.path.realpath(path).startswith(folder):
        return path
    prefix = context.raw_output_prefix
    return str(shutil.move(path, tempfile.mkdtemp(prefix="daskflow-outputs-") if "://" in prefix else prefix))


class ShellTask(Task[..., Any]):
    """A task that runs a script with bash, and stops where a command fails (``set -e``).

    Parameters
    ----------
    name : str
        The task's name; what follows its last dot is its name in addresses.
    debug : bool
        Whether the script is printed as it is run.
    script, script_file : str
        The script, or the path of a file with it, which is read now. One of them is needed.
    inputs : dict, optional
        Its inputs' types by name; see :func:`kwtypes`.
    output_locs : list of OutputLocation, optional
        What it writes. One output is given as it is, several as a named tuple.
    **options
        As for :func:`~daskflow.task.task`.

    Raises
    ------
    DefinitionError
        When something is declared wrongly, or the script names what is no input or output.
    OptionError
        As for :func:`~daskflow.task.task`.

    Examples
    --------
    >>> count = ShellTask(
    ...     name="count_words",
    ...     script="echo {inputs.text!q} | wc -w > {outputs.n}",
    ...     inputs=kwtypes(text=str),
    ...     output_locs=[OutputLocation("n", int, "n.txt")],
    ... )
    >>> count(text="it's three words")
    3
    """

    kind_name = "shell task"

    def __init__(
        self,
        name: str,
        debug: bool = False,
        script: str | None = None,
        script_file: str | os.PathLike[str] | None = None,
        inputs: Mapping[str, Any] | None = None,
        output_locs: Sequence[OutputLocation] | None = None,
        **options: Unpack[TaskKeywords],
    ) -> None:
        self.name = _checked_name(name)
        self.short_name = self.__name__ = self.__qualname__ = name.rpartition(".")[2]
        outputs = _checked_outputs(output_locs or (), name)
        text = _script(script, script_file, name)
        _check_templates(text, outputs, tuple(inputs or ()), name)
        self.interface = _interface(name, inputs or {}, outputs)
        self.fn: Any = Script(name, text, outputs, bool(debug))
        self.body = self.fn
        self.__doc__ = f"The script {name}."
        self._set_options(dict(options))

    @property
    def script(self) -> str:
        """The script's template."""
        return str(self.fn.script)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not all(NAME.match(part) for part in name.split(".")):
        raise DefinitionError(f"the name of a ShellTask must be letters, digits, '_', '-' and dots between; got {name!r}")
    return name


def _checked_outputs(outputs: Any, name: str) -> tuple[OutputLocation, ...]:
    for one in outputs:
        if not isinstance(one, OutputLocation):
            raise DefinitionError(f"output_locs of shell task {name} must be a list of OutputLocation; it has {one!r}")
    names = [one.var for one in outputs]
    twice = [one for one in names if names.count(one) > 1]
    if twice:
        raise DefinitionError(f"output_locs of shell task {name} has the output {twice[0]!r} more than once")
    return tuple(outputs)


def _script(script: str | None, path: str | os.PathLike[str] | None, name: str) -> str:
    if (script is None) == (path is None):
        raise DefinitionError(f"shell task {name} needs either script or script_file, and not both")
    if path is None:
        return str(script)
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DefinitionError(f"script_file of shell task {name} cannot be read: {error}") from None


def _check_templates(script: str, outputs: Sequence[OutputLocation], inputs: Sequence[str], name: str) -> None:
    known = {"inputs": inputs, "ctx": ()}
    _check_template(script, f"the script of shell task {name}", {**known, "outputs": [one.var for one in outputs]})
    for one in outputs:
        _check_template(os.fspath(one.location), f"the location of {one.var} of shell task {name}", known)


def _interface(name: str, inputs: Mapping[str, Any], outputs: Sequence[OutputLocation]) -> Interface:
    try:
        parameters = {one: Parameter(one, annotation) for one, annotation in inputs.items()}
    except TypeError as error:
        raise DefinitionError(f"inputs of shell task {name} has a type that cannot be used: {error}") from None
    return Interface(name, parameters, Outputs(_annotation(outputs)))


def _annotation(outputs: Sequence[OutputLocation]) -> Any:
    if len(outputs) < 2:
        return outputs[0].var_type if outputs else type(None)
    several: Any = typing.NamedTuple
    return several("Outputs", [(one.var, one.var_type) for one in outputs])
