"""Vendor files: from codes and registers to what they mean. The form of the files is in docs/catalogue.md."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from shared.catalogue.catalogue import RegisterEntry
from shared.catalogue.keys import (
    FORMS,
    CodesKeys,
    Form,
    GroupKeys,
    GroupT,
    HeaderKeys,
    LevelsKeys,
    Names,
    RegisterKeys,
    RowKeys,
    SourceKeys,
    WordKeys,
)
from shared.catalogue.numbers import check_word, read_levels, read_number, read_reserved
from shared.catalogue.patterns import (
    Pattern,
    as_meant,
    fill,
    is_pattern,
    names_in,
    parse_pattern,
)
from shared.catalogue.registers import Register, RegisterForm, Reserved
from shared.catalogue.words import Level
from shared.documents.fault import Grade
from shared.toml import Place, Table, suggest

NONE_RESERVED = Reserved()
# What to go on with where a group does not say it, so that its rows are read all the same.
ANY_WORD: dict[str, object] = {"word_bits": 64}
ANY_LEVELS: dict[str, object] = {**ANY_WORD, "values": {}}
MAX_CODE = 128  # as reports may have (shared.documents.report)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it was written, before its kind is looked up."""

    code: str
    pattern: Pattern | None
    kind: str
    level: Level
    component: str
    reporter: str | None
    """The component of the register or group that reports it."""
    title: str
    meaning: str
    grade: Grade | None
    reason: str | None
    effect: str | None
    """Takes the place of what the kind's reason says after its colon."""
    clears_by: str | None
    source: str
    register: str | None
    number: int | None
    levels: frozenset[Level]
    """What else the value of its register may tell."""
    table: Table

    @property
    def place(self) -> Place:
        return self.table.place()


class VendorFile(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says."""

    vendor: str
    drafts: list[Draft]
    registers: list[RegisterEntry]


def read_vendor(root: Table) -> VendorFile:
    """All rows and registers of a file; what is wrong is told."""
    header = root.read(HeaderKeys, besides=("sources", *FORMS))
    reader = _Reader(header.vendor if header else "", _read_sources(root))
    for form in FORMS:
        for table in root.tables(form):
            reader.read_group(form, table)
    return VendorFile(vendor=reader.vendor, drafts=reader.drafts, registers=reader.registers)


def _read_sources(root: Table) -> dict[str, str]:
    """How a row names its source, by the source's key."""
    table = root.table("sources")
    found: dict[str, str] = {}
    for key in table.values:
        source = table.table(key).read(SourceKeys)
        found[key] = f"{source.name} ({source.licence})" if source else ""
    if not found:
        root.tell('names no source; write [sources.main] with name = "..." and licence = "..."')
    return found


class _Reader:
    """Reads the groups of one file."""

    def __init__(self, vendor: str, sources: Mapping[str, str]) -> None:
        self.vendor = vendor
        self.drafts: list[Draft] = []
        self.registers: list[RegisterEntry] = []
        self._sources = sources

    def read_group(self, form: Form, table: Table) -> None:
        """What a group lacks stands in the way of no row: those are read with something in its stead."""
        rows = table.table("rows")
        if form == "codes":
            if group := table.read(CodesKeys, besides=("rows",)):
                self._read_codes(group, table, rows)
        elif form == "levels":
            if group := table.read(LevelsKeys, besides=("rows",), instead=ANY_LEVELS):
                self._read_levels(group, table, rows)
        elif group := table.read(
            RegisterKeys,
            besides=("rows", "reserved"),
            instead=ANY_WORD | {"register": f"without a name, line {table.place().line}"},
        ):
            self._read_register(form, group, table, rows)

    def _read_codes(self, group: CodesKeys, table: Table, rows: Table) -> None:
        group = self._with_usual(group, table)
        for key in rows.values:
            self._read_row(
                _Written(f"{group.prefix}{key}", _last_part(key)), group, rows.table(key)
            )

    def _read_levels(self, group: LevelsKeys, table: Table, rows: Table) -> None:
        group = self._with_usual(group, table)
        check_word(table, group.not_implemented, group.word_bits)
        levels = dict(read_levels(group, table.table("values")))
        for key in rows.values:
            row = rows.table(key)
            code = f"{group.prefix}{key}"
            if is_pattern(code):
                row.tell("names in braces are for [[codes]]; write a row for each register")
                continue
            register = Register(
                code=as_meant(code),
                form="levels",
                not_implemented=group.not_implemented,
                levels=levels,
            )
            self._note_register(register, as_meant(key), group, place=row.place())
            told = frozenset[Level](levels.values())
            written = _Written(code, _last_part(key), register=register.code, levels=told)
            self._read_row(written, group, row)

    def _read_register(
        self, form: RegisterForm, group: RegisterKeys, table: Table, rows: Table
    ) -> None:
        group = self._with_usual(group, table)
        check_word(table, group.not_implemented, group.word_bits)
        code = f"{group.prefix}{group.register}"
        if is_pattern(code):
            table.tell(
                "names in braces are for [[codes]]; write a table for each register", "register"
            )
            return
        reserved = read_reserved(table.table("reserved"), form, group.word_bits)
        register = Register(
            code=as_meant(code),
            form=form,
            reserved=reserved,
            not_implemented=group.not_implemented,
        )
        self._note_register(
            register,
            as_meant(group.register),
            group,
            place=table.place(),
            names=group.names,
            reserved=reserved,
        )
        for key in rows.values:
            number = read_number(key, form, group.word_bits, rows)
            if number is not None:
                written = _Written(f"{code}.{number}", None, register=register.code, number=number)
                self._read_row(written, group, rows.table(key))

    def _with_usual(self, group: GroupT, table: Table) -> GroupT:
        """With the prefix and the source that a group has where it does not say."""
        if group.grade is not None and group.reason is None and group.effect is None:
            table.tell('has a grade of its own and does not say why; write effect = "..."', "grade")
        return msgspec.structs.replace(
            group,
            prefix=f"{self.vendor}:" if group.prefix is None else group.prefix,
            source=self._find_source(group.source, table),
        )

    def _find_source(self, key: str | None, table: Table) -> str:
        if key is None and len(self._sources) > 1:
            table.tell(
                f"does not name its source; write source = one of {', '.join(self._sources)}"
            )
        elif key is not None and key not in self._sources:
            table.tell_wrong("source", f"a key of [sources]: {suggest(key, self._sources)}")
        return self._sources.get(key or next(iter(self._sources), ""), "")

    def _note_register(
        self,
        register: Register,
        name: str,
        group: WordKeys,
        *,
        place: Place,
        names: Names = (),
        reserved: Reserved = NONE_RESERVED,
    ) -> None:
        """`vebus/VebusError` of victron is also called (`victron:vebus`, `VebusError`)."""
        usual = [(self.vendor, name)]
        if parting := re.search("[./]", name):
            usual.append((f"{self.vendor}:{name[: parting.start()]}", name[parting.end() :]))
        self.registers.append(
            RegisterEntry(
                register=register,
                names=tuple(dict.fromkeys((*usual, *names))),
                word_bits=group.word_bits,
                reserved=reserved,
                place=place,
            )
        )

    def _read_row(self, written: "_Written", group: GroupKeys, table: Table) -> None:
        pattern = _read_pattern(written.code, table)
        own_names = set(pattern.names) if pattern else set[str]()
        builtin = {"bit": written.number, "value": written.number}
        wanted = sorted(names_in(group.meaning or "") - own_names - {*builtin, "title"})
        row = table.read(RowKeys, besides=wanted)
        if row is None or (pattern is None and is_pattern(written.code)):
            return
        title = row.title or written.title
        values = builtin | {"title": title} | _read_values(wanted, table)
        parts = (fill(group.meaning or "", values), row.meaning or "")
        meaning = " ".join(part for part in parts if part)
        _check_names((title or "", meaning), own_names, table)
        # A pattern's names are filled in, and its doubled braces read, where a code is an instance of it.
        meant = str if pattern else as_meant
        draft = _make_draft(
            written,
            group,
            row,
            code=meant(written.code),
            pattern=pattern,
            title=meant(title or ""),
            meaning=meant(meaning),
            table=table,
        )
        _check_row(row, draft)
        # Also where something is missing, so that its kind is looked up: nothing is built of it then.
        self.drafts.append(draft)


class _Written(msgspec.Struct, frozen=True):
    """What a row's key says."""

    code: str
    """As it is written: with names in braces, and braces twice."""
    title: str | None
    """What it is called where the row has no title, likewise."""
    register: str | None = None
    number: int | None = None
    levels: frozenset[Level] = frozenset()


def _last_part(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _read_pattern(code: str, table: Table) -> Pattern | None:
    if not is_pattern(code):
        return None
    try:
        return parse_pattern(code)
    except ValueError as error:
        table.tell(f"is no pattern: {error}")
        return None


def _read_values(wanted: Iterable[str], table: Table) -> dict[str, object]:
    """The keys that the group's meaning asks for."""
    for name in sorted(wanted):
        if not isinstance(table.values.get(name), str | int):
            table.tell(f"has no `{name}`, which the meaning above names; write {name} = ...")
    return {name: table.values.get(name) for name in wanted}


def _make_draft(
    written: _Written,
    group: GroupKeys,
    row: RowKeys,
    *,
    code: str,
    pattern: Pattern | None,
    title: str,
    meaning: str,
    table: Table,
) -> Draft:
    """What the row says, else what its group says; empty what neither does."""
    return Draft(
        code=code,
        pattern=pattern,
        kind=row.kind,
        level=row.level or group.level,
        component=row.component or group.component or "",
        reporter=group.component,
        title=title,
        meaning=meaning,
        grade=row.grade or group.grade,
        reason=row.reason or (None if row.effect else group.reason),
        effect=row.effect or group.effect,
        clears_by=row.clears_by or group.clears_by,
        source=group.source or "",
        register=written.register,
        number=written.number,
        levels=written.levels,
        table=table,
    )


def _check_row(row: RowKeys, draft: Draft) -> None:
    table = draft.table
    if not draft.title and "title" not in table.values:
        table.tell('has no `title`; write title = "...", the name that the vendor gives it')
    if not draft.component and "component" not in table.values:
        table.tell("has no `component`; write it in the row, or above for all rows")
    if not draft.meaning and "meaning" not in table.values:
        table.tell('has no `meaning`; write meaning = "...", for the row or for all rows')
    if row.grade is not None and row.reason is None and row.effect is None:
        table.tell('a grade of its own needs its reason; write reason = "..."', "grade")
    if row.reason is not None and row.effect is not None:
        table.tell("stands beside `reason`; leave one of the two out", "effect")
    if len(draft.code) > MAX_CODE or not draft.code.isprintable():
        table.tell(f"is not a code that reports can have; at most {MAX_CODE} printable characters")


def _check_names(texts: tuple[str, ...], names: set[str], table: Table) -> None:
    if unknown := set[str]().union(*map(names_in, texts)) - names:
        there = ", ".join(f"{{{name}}}" for name in sorted(names)) or "no name in braces"
        table.tell(
            f"{{{min(unknown)}}} is not in the code; there is {there}; write braces of the text twice"
        )
