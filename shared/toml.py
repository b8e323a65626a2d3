"""TOML files that people edit, read so that every error says the file, the line and what to write instead.

`tomllib` gives values without their places. So the text is scanned once more, for the places of tables and
keys alone (`scan`); a value inside an inline table or an array has the place of the key before it.
"""

import re
import tomllib
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_type_hints

import msgspec

ShapeT = TypeVar("ShapeT", bound=msgspec.Struct)

KeyPath = tuple[str | int, ...]
"""From the root to a value: keys of tables, numbers in arrays of tables."""

MAX_SHOWN = 60  # characters of a wrong value


class Place(NamedTuple):
    """A line of a file; line 0 is the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}" if self.line else self.file


class Problem(NamedTuple):
    """What is wrong, and where."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class Table:
    """A table of a file: its values, and where each of them stands."""

    def __init__(
        self,
        file: str,
        values: Mapping[str, object],
        lines: Mapping[KeyPath, int],
        problems: list[Problem],
        path: KeyPath = (),
    ) -> None:
        self._file = file
        self._lines = lines
        self._path = path
        self.values = values
        self.problems = problems

    def place(self, key: str | None = None) -> Place:
        """Where the table begins, or where one of its keys is."""
        path = self._path if key is None else (*self._path, key)
        while path and path not in self._lines:
            path = path[:-1]
        return Place(self._file, self._lines.get(path, 1))

    def tell(self, text: str, key: str | None = None) -> None:
        """Note what is wrong with the table, or with one of its keys."""
        path = self._path if key is None else (*self._path, key)
        name = ".".join(str(part) for part in path if isinstance(part, str))
        self.problems.append(Problem(self.place(key), f"{name}: {text}" if name else text))

    def read(
        self,
        shape: type[ShapeT],
        *,
        base: Mapping[str, object] | None = None,
        besides: Collection[str] = (),
        instead: Mapping[str, object] | None = None,
    ) -> ShapeT | None:
        """The keys as `shape` wants them; None where a key that it needs is missing or wrong.

        `instead`: with what to go on for keys that are needed, so that what follows is told too.
        Whatever is wrong is told, and left as it is in `base` or by default: unknown keys (but not those
        in `besides`), wrong values, missing keys. The description in a field's `msgspec.Meta` says what
        to write.
        """
        fields = _fields(shape)
        self.tell_unknown((*fields, *besides))
        found = dict(base or {})
        stand_ins = instead or {}
        complete = True
        for name, (hint, required) in fields.items():
            if name in self.values:
                try:
                    found[name] = msgspec.convert(self.values[name], hint)
                except msgspec.ValidationError:
                    self.tell_wrong(name, _description(hint) or "something else")
                    complete = complete and (name in found or not required or name in stand_ins)
            elif required and name not in found:
                self.tell(f"has no `{name}`; write {name} = {_description(hint) or '...'}")
                complete = complete and name in stand_ins
        return shape(**cast("dict[str, Any]", {**stand_ins, **found})) if complete else None

    def tell_wrong(self, key: str, how: str) -> None:
        """A value that cannot be; `how` says what to write."""
        shown = show(self.values[key])
        self.tell(f"{shown} cannot be; write {how}", key)

    def tell_unknown(self, known: Collection[str]) -> None:
        """Keys that mean nothing here."""
        for key in self.values:
            if key not in known:
                self.tell(f"unknown key; {suggest(key, known)}", key)

    def table(self, key: str) -> "Table":
        """A table within; empty where there is none, and told where it is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.tell(f"{show(value)} cannot be; write a table, such as [{key}]", key)
            value = {}
        return self._within(cast("dict[str, object]", value), key)

    def tables(self, key: str) -> Iterator["Table"]:
        """The tables of an array of tables; none where there is none, and told where it is none."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            self.tell(f"{show(value)} cannot be; write [[{key}]] above each of them", key)
            return
        for number, item in enumerate(cast("list[object]", value)):
            if isinstance(item, dict):
                yield self._within(cast("dict[str, object]", item), key, number)
            else:
                self.tell(f"{show(item)} cannot be; write [[{key}]] above each of them", key)

    def _within(self, values: Mapping[str, object], *path: str | int) -> "Table":
        return Table(self._file, values, self._lines, self.problems, (*self._path, *path))


def read_toml(path: Path, problems: list[Problem], *, name: str) -> Table | None:
    """The file's root table; None: it cannot be read, which is told. `name` is what errors call it."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(Place(name, 0), f"cannot be read: {error}"))
        return None
    lines, repeated = scan(text)
    if repeated:  # tomllib would tell the first of them only, and not where it was before
        for again in repeated:
            key = ".".join(str(part) for part in again.path if isinstance(part, str))
            told = f"{key}: is in line {again.first} already; leave one of the two out"
            problems.append(Problem(Place(name, again.line), told))
        return None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(_not_toml(name, text, str(error)))
        return None
    except (ValueError, RecursionError) as error:
        problems.append(Problem(Place(name, _find_line(text)), f"cannot be read: {error}"))
        return None
    return Table(name, values, lines, problems)


def as_text(kind: str, problems: list[Problem]) -> list[str]:
    """One sentence for each, by file and line; `kind` is the sort of file (`policy`)."""
    return [f"{kind} {problem}" for problem in sorted(set(problems))]


def suggest(word: str, known: Collection[str]) -> str:
    """`did you mean ...?` where something known is close to the word, else what there is."""
    close = get_close_matches(word, known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join(known)}"


def show(value: object) -> str:
    """A value as a person would write it, cut if it is long."""
    shown = msgspec.json.encode(value, enc_hook=str).decode()
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."


def _not_toml(name: str, text: str, error: str) -> Problem:
    where = re.search(r" \(at line (\d+), column (\d+)\)$", error)
    line = int(where[1]) if where else text.count("\n") + 1
    said = error[: where.start()] if where else error.removesuffix(" (at end of document)")
    column = f", column {where[2]}" if where else ""
    hint = 'write `key = "value"` on a line of its own, texts in double quotes'
    return Problem(Place(name, line), f"is not TOML: {said}{column}; {hint}")


def _find_line(text: str) -> int:
    """Where tomllib gives up without saying so: the end of the shortest beginning on which it does."""
    lines = text.splitlines(keepends=True)
    return bisect_left(
        range(len(lines)), True, key=lambda count: _is_too_much("".join(lines[:count]))
    )


def _is_too_much(text: str) -> bool:
    """Whether a number is too long, or brackets are too deep, before anything is no TOML."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    except (ValueError, RecursionError):
        return True
    return False


class _Field(NamedTuple):
    hint: Any
    required: bool


@cache
def _fields(shape: type[msgspec.Struct]) -> dict[str, _Field]:
    hints = get_type_hints(shape, include_extras=True)
    return {
        field.name: _Field(hints[field.name], field.required)
        for field in msgspec.structs.fields(shape)
    }


def _description(hint: Any) -> str | None:
    """Of the type itself, or of a part of it (`Annotated[int, Meta(...)] | None`)."""
    for part in (*getattr(hint, "__metadata__", ()), *get_args(hint)):
        found = part.description if isinstance(part, msgspec.Meta) else _description(part)
        if found:
            return found
    return None


class Repeated(NamedTuple):
    """A table or key that was there before."""

    path: KeyPath
    first: int
    line: int


KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*(\.?)""")
# A value ends with its line, but not inside a string, nor inside brackets.
TOKEN = re.compile(
    r'''
    (?P<string> """ (?:[^\\]|\\.)*? "{3,5} | \'\'\' .*? \'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*' )
    | (?P<comment> \#[^\n]* ) | (?P<open> [\[{] ) | (?P<close> [\]}] ) | (?P<end> \n )
    | [^"'\#\[\]{}\n]+ | .
    ''',
    re.DOTALL | re.VERBOSE,
)


def scan(text: str) -> tuple[dict[KeyPath, int], list[Repeated]]:
    """The line of each table and key, and those that are there twice.

    Never raises: what is not TOML is passed over to the end of its line.
    """
    return _Scan(text).run()


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[KeyPath, int] = {}
        self._repeated: list[Repeated] = []
        self._noted: set[KeyPath] = set()
        self._arrays: dict[KeyPath, int] = {}
        self._table: KeyPath = ()

    def run(self) -> tuple[dict[KeyPath, int], list[Repeated]]:
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                self._read_header()
            elif self._text[self._at] in " \t\r\n":
                self._go_to(self._at + 1)
                continue
            elif not self._text.startswith("#", self._at):
                self._read_key()
            self._skip_value()
        return self._lines, self._repeated

    def _read_header(self) -> None:
        is_array = self._text.startswith("[[", self._at)
        keys, end = self._keys(self._at + (2 if is_array else 1))
        if not keys or not self._text.startswith("]", end):
            return
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._newest((*path, key))
        path = (*path, keys[-1])
        if is_array:
            self._arrays[path] = self._arrays.get(path, -1) + 1
            self._lines.setdefault(path, self._line)
            path = self._newest(path)
        self._note(path)
        self._table = path
        self._go_to(self._text.index("]", end) + (2 if is_array else 1))

    def _read_key(self) -> None:
        keys, end = self._keys(self._at)
        if keys and self._text.startswith("=", end):
            for depth in range(1, len(keys)):
                self._lines.setdefault((*self._table, *keys[:depth]), self._line)
            self._note((*self._table, *keys))
            self._go_to(end + 1)

    def _keys(self, at: int) -> tuple[list[str], int]:
        """A dotted key, and where it ends; no keys where there is none."""
        keys: list[str] = []
        while found := KEY.match(self._text, at):
            raw, at = found[1], found.end()
            try:
                keys.append(tomllib.loads(f"k = {raw}")["k"] if raw[0] in "\"'" else raw)
            except tomllib.TOMLDecodeError:
                return [], at
            if not found[2]:
                return keys, at
        return [], at

    def _newest(self, path: KeyPath) -> KeyPath:
        """Within an array of tables a header speaks of its newest table."""
        return (*path, self._arrays[path]) if path in self._arrays else path

    def _note(self, path: KeyPath) -> None:
        first = self._lines.setdefault(path, self._line)
        if path in self._noted:
            self._repeated.append(Repeated(path, first, self._line))
        self._noted.add(path)

    def _skip_value(self) -> None:
        """To the line's end behind the value, over strings, comments and lines within brackets."""
        depth = 0
        while found := TOKEN.match(self._text, self._at):
            self._go_to(found.end())
            depth += (found.lastgroup == "open") - (found.lastgroup == "close")
            if found.lastgroup == "end" and depth <= 0:
                return

    def _go_to(self, at: int) -> None:
        self._line += self._text.count("\n", self._at, at)
        self._at = at
