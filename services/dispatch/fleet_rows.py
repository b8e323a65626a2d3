"""The lines of a file, as JSON lines or CSV, as fields whose values are JSON. Pure."""

import csv
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import msgspec

# Room for 200 units with the longest names. An EMU's record, and a fact with it, is one Kafka record.
MAX_LINE_BYTES = 256 * 1024

# What decoding raises for bytes that are no JSON.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
# Columns whose cells are JSON.
_JSON_COLUMNS = ("units", "revision")


class Row(NamedTuple):
    """A line: its fields as JSON, or why there are none."""

    number: int
    fields: Mapping[str, bytes]
    problem: str | None = None


# ---- JSON lines ----


def split_json(body: bytes) -> Iterator[Row]:
    begin, number = 0, 0
    while begin < len(body):
        end = body.find(b"\n", begin)
        end = len(body) if end < 0 else end
        number += 1
        line = body[begin:end].strip()
        begin = end + 1
        if line:
            yield _read_json(number, line)


def _read_json(number: int, line: bytes) -> Row:
    if len(line) > MAX_LINE_BYTES:
        return Row(number, {}, f"has {len(line)} bytes; at most {MAX_LINE_BYTES} are taken")
    try:
        fields = _decode_object(line)
    except msgspec.ValidationError:
        return Row(number, {}, 'is no JSON object; a line is {"emu_id": "...", "site_id": "..."}')
    except NOT_JSON as error:
        return Row(number, {}, f"is no JSON: {error}; each line is one EMU as a JSON object")
    return Row(number, {name: bytes(raw) for name, raw in fields.items()})


# ---- CSV ----


def split_csv(body: bytes, known: Collection[str], required: Collection[str]) -> Iterator[Row]:
    """The first line names the columns, some of `known`, `required` ones among them; an empty cell is null.

    Excel's byte order mark and semicolons are taken.
    """
    header = body[: body.find(b"\n") + 1 or len(body)]
    delimiter = ";" if header.count(b";") > header.count(b",") else ","
    rows = csv.reader(_text_lines(body), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    number = 1
    try:
        for cells in rows:
            if columns is None:
                columns = [cell.strip() for cell in cells]
                problems = list(_check_columns(columns, known, required))
                yield from (Row(number, {}, problem) for problem in problems)
                if not set(required) <= set(columns):
                    return
            elif any(cells):
                yield _read_cells(number, columns, cells, known)
            number = rows.line_num + 1
    except UnicodeDecodeError:
        yield Row(rows.line_num + 1, {}, "is not UTF-8; save the file as CSV in UTF-8")
    except csv.Error as error:
        yield Row(number, {}, f"is no CSV: {error}; what follows was not read")


def _text_lines(body: bytes) -> Iterator[str]:
    """One by one: to decode 250 MB at once would hold up all others. Raises UnicodeDecodeError."""
    begin = len(BOM_UTF8) if body.startswith(BOM_UTF8) else 0
    while begin < len(body):
        end = body.find(b"\n", begin) + 1 or len(body)
        yield body[begin:end].decode()
        begin = end


def _check_columns(
    columns: list[str], known: Collection[str], required: Collection[str]
) -> Iterator[str]:
    for name in dict.fromkeys(columns):
        if name not in known:
            yield f"{name!r}: there is no such column; there are {', '.join(known)}"
        elif columns.count(name) > 1:
            yield f"the column {name} is there twice"
    for name in required:
        if name not in columns:
            yield f"the column {name} is missing; the first line names the columns"


def _read_cells(number: int, columns: list[str], cells: list[str], known: Collection[str]) -> Row:
    if len(cells) != len(columns):
        return Row(
            number, {}, f"has {len(cells)} cells, the first line names {len(columns)} columns"
        )
    size_bytes = sum(len(cell.encode()) for cell in cells)
    if size_bytes > MAX_LINE_BYTES:
        return Row(number, {}, f"has {size_bytes} bytes; at most {MAX_LINE_BYTES} are taken")
    return Row(
        number,
        {
            name: _as_json(name, cell.strip())
            for name, cell in zip(columns, cells, strict=True)
            if name in known
        },
    )


def _as_json(name: str, cell: str) -> bytes:
    if not cell:
        return b"null"
    return cell.encode() if name in _JSON_COLUMNS else _encode(cell)
