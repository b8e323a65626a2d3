"""Pages as a web page for people: no script, everything that came from outside escaped."""

from collections.abc import Sequence
from html import escape
from typing import cast

# Shown in columns of their own, as far as a page has them; the rest is shown below the title.
TITLE_FIELDS = ("title", "text", "summary", "subject")
PLACE_FIELDS = ("site_id", "emu_id", "component")

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<title>Bakvakt: pages</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
p.about { color: var(--soft); margin: 0 0 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.time, td.count { font-variant-numeric: tabular-nums; white-space: nowrap; }
b.grade { display: inline-block; width: 1.6rem; text-align: center; border-radius: .3rem;
  background: #777; color: #fff; }
b.A { background: #b3261e; } b.B { background: #b25e00; } b.C { background: #1f6f8b; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0;
  font-size: .85rem; color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>Pages</h1>
"""

Row = tuple[str, int, object]
"""When it came, how often, and what it says."""


def page_table(rows: Sequence[Row]) -> str:
    """The rows in the order given."""
    if not rows:
        return _HEAD + '<p class="about">None has come yet. This page looks again by itself.</p>'
    about = f'<p class="about">The last {len(rows)}, newest first.</p>'
    head = "<tr><th>Came (UTC)<th>Grade<th>Page<th>Where<th>Times</tr>"
    return f"{_HEAD}{about}<table>{head}{''.join(map(_row, rows))}</table>"


def _row(row: Row) -> str:
    received_at, count, page = row
    fields = cast(dict[str, object], page) if isinstance(page, dict) else {"page": page}
    title_field = next((name for name in TITLE_FIELDS if fields.get(name)), None)
    title = _text(fields[title_field]) if title_field else "Page"
    place = "<br>".join(_text(fields[name]) for name in PLACE_FIELDS if fields.get(name))
    shown = {title_field, "grade", *PLACE_FIELDS}
    rest = "".join(
        f"<dt>{escape(name)}<dd>{_text(value)}"
        for name, value in fields.items()
        if name not in shown and value is not None
    )
    grade = _text(fields.get("grade") or "")
    badge = f'<b class="grade {grade}">{grade}</b>' if grade else ""
    return (
        f'<tr><td class="time">{escape(received_at.removesuffix("Z").replace("T", " "))}'
        f"<td>{badge}<td>{title}<dl>{rest}</dl><td>{place}"
        f'<td class="count">{count}</tr>'
    )


def _text(value: object) -> str:
    return escape(value if isinstance(value, str) else str(value))
