"""Pages as a web page for people: no script, everything that came from outside escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import cast

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<title>Bakvakt: pages</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
p { color: var(--soft); margin: 0 0 1.5rem; }
a { color: inherit; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: .5rem 1rem .5rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.time { font-variant-numeric: tabular-nums; white-space: nowrap; }
small { color: var(--soft); display: block; }
b.grade { display: inline-block; width: 1.6rem; text-align: center; border-radius: .3rem;
  background: #777; color: #fff; }
b.A { background: #b3261e; } b.B { background: #b25e00; } b.C { background: #1f6f8b; }
</style>
</head>
<body>
<h1>Pages</h1>
"""

Row = tuple[str, int, object]
"""When it came, how often, and what it says."""


def page_table(rows: Sequence[Row]) -> str:
    """The rows in the order given. What a page does not say is left blank."""
    if not rows:
        return _HEAD + "<p>None has come yet. This page looks again by itself.</p>"
    about = (
        f"<p>The last {len(rows)}, newest first, times in UTC."
        ' Whole, as they came: <a href="/pages">/pages</a></p>'
    )
    head = "<tr><th>Came<th>Grade<th>What<th>Where<th>Who<th>Due<th>Times</tr>"
    return f"{_HEAD}{about}<table>{head}{''.join(map(_row, rows))}</table>"


def _row(row: Row) -> str:
    received_at, count, page = row
    fields = cast(Mapping[str, object], page if isinstance(page, dict) else {"title": page})
    grade = _text(fields, "grade")
    cells = (
        f'<td class="time">{_time(received_at)}',
        f'<td><b class="grade {grade}">{grade}</b>' if grade else "<td>",
        f"<td>{_title(fields)}<small>{_text(fields, 'code')}</small>",
        f"<td>{_text(fields, 'site_id')}"
        f"<small>{_text(fields, 'emu_id')} {_text(fields, 'component')}</small>",
        f"<td>{_text(fields, 'person')}<small>{_text(fields, 'reason')}</small>",
        f'<td class="time">{_due(fields.get("due"))}',
        f"<td>{count}",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _title(fields: Mapping[str, object]) -> str:
    title, url = _text(fields, "title") or "Page", _text(fields, "url")
    # Any other scheme could be a script.
    if url.startswith(("http://", "https://")):
        return f'<a href="{url}">{title}</a>'
    return title


def _due(due: object) -> str:
    if not isinstance(due, dict):
        return ""
    clocks = cast(dict[str, object], due)
    return "<br>".join(f"{escape(name)} {_time(str(at))}" for name, at in clocks.items())


def _time(at: str) -> str:
    """To the second, which is what people read."""
    return escape(at.replace("T", " ").partition(".")[0].removesuffix("Z"))


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return "" if value is None else escape(str(value))
