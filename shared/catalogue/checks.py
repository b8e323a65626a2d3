"""What can be wrong with the catalogue as a whole, though each file is right by itself."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations

from shared.catalogue.catalogue import Catalogue, RegisterEntry, Row
from shared.catalogue.kinds import Kind
from shared.catalogue.patterns import as_meant, is_pattern, parse_pattern
from shared.catalogue.rows import Made
from shared.catalogue.vendors import Draft
from shared.toml import Problem

OWN_NUMBER = re.compile(r"0|[1-9][0-9]*|\{[a-z][a-z0-9_]*\}")


def check_patterns(made: Mapping[str, Made]) -> None:
    """No code may be an instance of two patterns."""
    by_outline = defaultdict[tuple[str, ...], list[Made]](list)
    for one in made.values():
        if one.draft.pattern is not None:
            by_outline[one.draft.pattern.outline].append(one)
    for alike in by_outline.values():
        for first, second in combinations(alike, 2):
            one, other = first.draft.pattern, second.draft.pattern
            if one is not None and other is not None and one.overlaps(other):
                second.draft.table.tell(
                    f"some codes are also instances of {one.text} in {first.draft.place};"
                    " write numbers for names so that each code has one row"
                )


def check_registers(
    catalogue: Catalogue, made: Mapping[str, Made], problems: list[Problem]
) -> None:
    """No name may be two registers', no register or code within another's, no bit reserved and coded.

    A register speaks of all codes that begin with its code, or with a raw name of it, and a full stop
    (docs/adr/0008).
    """
    by_name: dict[str, RegisterEntry] = {}
    for entry in catalogue.entries.values():
        for name, shown in _names_of(entry).items():
            first = by_name.setdefault(name, entry)
            if first is not entry:
                told = (
                    f"{shown} is a name of {first.register.code} in {first.place}"
                    " already; name another, or leave it out"
                )
                problems.append(Problem(entry.place, told))
    for entry in catalogue.entries.values():
        _check_nesting(entry, by_name, problems)
    for one in made.values():
        _check_scope(one.draft, by_name)
        _check_reserved(one.draft, catalogue.entries)


def _names_of(entry: RegisterEntry) -> dict[str, str]:
    """All that codes of the register may begin with, and how each is told."""
    names = {entry.register.code: f"register {entry.register.code}"}
    for model, point in entry.names:
        names.setdefault(f"{model}.{point}", f"{model}, {point}")
    return names


def _check_nesting(
    entry: RegisterEntry, by_name: Mapping[str, RegisterEntry], problems: list[Problem]
) -> None:
    told = set[str]()
    for name, shown in _names_of(entry).items():
        for beginning in _beginnings(name):
            outer = by_name.get(beginning)
            if outer is not None and outer is not entry and outer.register.code not in told:
                told.add(outer.register.code)
                text = (
                    f"{shown}: begins with {beginning} of {outer.place} and a full stop, so"
                    " the one would clear the other's codes; give it another name"
                )
                problems.append(Problem(entry.place, text))


def _check_scope(draft: Draft, by_name: Mapping[str, RegisterEntry]) -> None:
    """A code that a register speaks of is one of its own: a bit or value, or all of them by a pattern."""
    for beginning in (*_beginnings(draft.code), draft.code):
        rest = draft.code[len(beginning) + 1 :]
        for name, entry in _find_registers(beginning, draft, by_name):
            if entry.register.form == "levels":
                is_own = name == entry.register.code and not rest
            else:
                is_own = OWN_NUMBER.fullmatch(rest) is not None
            if not is_own:
                draft.table.tell(
                    f"is {name} of {entry.place}, or begins with it and a full stop, so each report"
                    " of that register would clear it; give it another name"
                )
                return


def _find_registers(
    beginning: str, draft: Draft, by_name: Mapping[str, RegisterEntry]
) -> list[tuple[str, RegisterEntry]]:
    """The registers of that name; where names in braces are in it, of all that it may stand for."""
    if draft.pattern is None or not is_pattern(beginning):
        name = as_meant(beginning) if draft.pattern else beginning
        return [(name, by_name[name])] if name in by_name else []
    pattern = parse_pattern(beginning)
    return [found for found in by_name.items() if pattern.has_instance(found[0])]


def _beginnings(name: str) -> Iterator[str]:
    """What is before each of its full stops."""
    return (name[:at] for at, character in enumerate(name) if character == ".")


def _check_reserved(draft: Draft, entries: Mapping[str, RegisterEntry]) -> None:
    register, _dot, number = draft.code.rpartition(".")
    entry = entries.get(register)
    if entry is not None and number.isdecimal() and int(number) in entry.reserved:
        draft.table.tell(
            f"{draft.code} is reserved in the register of {entry.place}; leave it out there or here"
        )


def check_hazards(
    ours: Catalogue,
    merged: Catalogue,
    kinds: Mapping[str, Kind],
    made: Mapping[str, Made],
    problems: list[Problem],
) -> None:
    """What an operator says of our hazards: they stay hazards, of the same grade or a graver one.

    `kinds` and `made` are the operator's own, `merged` is what both folders give.
    """
    for kind in kinds.values():
        if kind.name in ours.kinds:
            for told in _softened(ours.kinds[kind.name], kind):
                problems.append(Problem(kind.place, f"{kind.name}: {told}"))
    for code, (row, draft) in made.items():
        was = ours.find_written(code)
        if was is not None and _is_softer(was, row):
            draft.table.tell(_must_stay(was, row))
        else:
            for told in _softened_levels(code, ours, merged):
                draft.table.tell(told)
    for code, entry in merged.entries.items():
        old = ours.entries.get(code)
        if old is not None and old is not entry and _has_hazard(old, ours):
            for told in _hidden(old, entry, merged):
                problems.append(Problem(entry.place, f"register {code}: {told}"))


def _is_softer(was: Row, now: Row) -> bool:
    return was.hazard and (not now.hazard or now.grade > was.grade)


def _must_stay(was: Row, now: Row) -> str:
    return (
        f"{was.kind}, grade {was.grade}, is a hazard and must stay one of that grade or a"
        f" graver one; {now.kind} at level {now.level} is grade {now.grade}"
        f"{'' if now.hazard else ', and no hazard'}"
    )


def _softened_levels(code: str, ours: Catalogue, merged: Catalogue) -> Iterator[str]:
    """What the values of a register of form `levels` mean, where the register is ours."""
    old, new = ours.entries.get(code), merged.entries.get(code)
    if old is None or new is None:
        return
    for value, level in old.register.levels.items():
        was = ours.look_up(code, level)
        now = merged.look_up(code, new.register.levels.get(value))
        if _is_softer(was, now):
            yield f"value {value}: {_must_stay(was, now)}"


def _has_hazard(entry: RegisterEntry, catalogue: Catalogue) -> bool:
    code, levels = entry.register.code, entry.register.levels.values()
    return any(
        catalogue.look_up(row.code, level).hazard
        for row in catalogue.rows
        if (origin := catalogue.origin(row.code)) is not None and origin.register == code
        for level in (None, *levels)
    )


def _hidden(old: RegisterEntry, new: RegisterEntry, merged: Catalogue) -> Iterator[str]:
    """By what hazards of our register would no longer be read (a reserved one is told anyway)."""
    register, now = old.register, new.register
    where = f"has hazards in {old.place}"
    if lost := [name for name in old.names if merged.registers.find(*name).code != register.code]:
        shown = ", ".join(f'["{model}", "{point}"]' for model, point in lost)
        yield f"{where}, so it must keep its names; add {shown} to `names`"
    if now.form != register.form:
        yield f"{where}, so it must keep its form; write [[{register.form}]], not [[{now.form}]]"
    if now.not_implemented != register.not_implemented:
        word = register.not_implemented
        how = (
            "leave `not_implemented` out" if word is None else f"write not_implemented = 0x{word:X}"
        )
        yield f"{where}, so no other word may say nothing; {how}"


def _softened(old: Kind, new: Kind) -> Iterator[str]:
    if missing := old.hazard_levels - new.hazard_levels:
        yield f"is a hazard at level {', '.join(sorted(missing))}; write so, it must stay one"
    for level, component in sorted(old.terms.keys() | new.terms.keys(), key=str):
        was, now = old.terms_of(level, component), new.terms_of(level, component)
        if level not in old.hazard_levels or was is None:
            continue
        where = f"level {level}" + (f" of {component}" if component else "")
        if now is None:
            yield f"has no {where}; write it with grade {was.grade} or a graver one"
        elif now.grade > was.grade:
            yield f"{where} is grade {was.grade}, a hazard's is never lowered; write {was.grade}"
