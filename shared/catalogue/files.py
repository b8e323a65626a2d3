"""Loading the catalogue: our files, and those of an operator's folder over them.

A folder has `kinds.toml` and `vendors/*.toml`. What the operator's folder says of a code, a kind or a
register replaces what ours say of it, whole; but no hazard of ours becomes harmless.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from shared.catalogue.catalogue import Catalogue, Origin, RegisterEntry, Replaced
from shared.catalogue.checks import check_hazards, check_patterns, check_registers
from shared.catalogue.kinds import Kind, read_kinds
from shared.catalogue.rows import Made, make_rows, make_unknown
from shared.catalogue.vendors import Draft, read_vendor
from shared.errors import ConfigError
from shared.toml import Place, Problem, as_text, read_toml

SHIPPED = Path(__file__).parent
ROOT = SHIPPED.parents[1]


@dataclass
class Layer:
    """What one folder says, by what it says it of."""

    kinds: dict[str, Kind] = field(default_factory=dict[str, Kind])
    phrases: dict[str, str] = field(default_factory=dict[str, str])
    drafts: dict[str, Draft] = field(default_factory=dict[str, Draft])
    registers: dict[str, RegisterEntry] = field(default_factory=dict[str, RegisterEntry])
    digests: list[bytes] = field(default_factory=list[bytes])


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """Our catalogue, with what the folder `extra` changes of it or adds to it.

    Raises ConfigError with every problem of every file, each with its line.
    """
    problems: list[Problem] = []
    ours = _read_layer(SHIPPED, {}, problems)
    shipped, _made = _build(ours, (), problems)
    catalogue = shipped
    if extra is not None:
        _check_folder(extra, problems)
        theirs = _read_layer(extra, ours.phrases, problems)
        catalogue, made = _build(_over(ours, theirs), _replaced(ours, theirs), problems)
        own = {code: made[code] for code in theirs.drafts if code in made}
        check_hazards(shipped, catalogue, theirs.kinds, own, problems)
    if problems:
        raise ConfigError(as_text("catalogue", problems))
    return catalogue


def _read_layer(folder: Path, phrases: Mapping[str, str], problems: list[Problem]) -> Layer:
    layer = Layer(phrases=dict(phrases))
    kinds, vendors = folder / "kinds.toml", sorted(folder.glob("vendors/*.toml"))
    found = [path for path in (kinds, *vendors) if path.exists() or path.is_symlink()]
    if not found:
        told = "there is no kinds.toml and no vendors/*.toml; name a folder that has one of them"
        problems.append(Problem(Place(str(folder), 0), told))
    for path in found:
        name = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
        root = read_toml(path, problems, name=name)
        if root is None:
            continue
        layer.digests.append(blake2b(path.read_bytes()).digest())
        if path == kinds:
            file = read_kinds(root, phrases)
            layer.phrases = file.phrases
            layer.kinds = {kind.name: kind for kind in file.kinds}
            continue
        vendor = read_vendor(root)
        for draft in vendor.drafts:
            first = layer.drafts.setdefault(draft.code, draft)
            _tell_twice(draft.code, first.place, draft.place, problems)
        for entry in vendor.registers:
            first = layer.registers.setdefault(entry.register.code, entry)
            _tell_twice(f"register {entry.register.code}", first.place, entry.place, problems)
    return layer


def _check_folder(folder: Path, problems: list[Problem]) -> None:
    """Tells what lies there and is not read: a misspelled name would be silently nothing."""
    try:
        there = list(folder.iterdir()) if folder.exists() else []
        vendors = folder / "vendors"
        there += vendors.iterdir() if vendors.is_dir() else []
    except OSError as error:
        problems.append(Problem(Place(str(folder), 0), f"cannot be read: {error}"))
        return
    for path in there:
        within = path.relative_to(folder)
        is_read = within.match("vendors/*.toml") or str(within) == "kinds.toml"
        is_read = is_read or (str(within) == "vendors" and path.is_dir())
        if not is_read and not path.name.startswith(".") and path.suffix != ".md":
            told = (
                "is not read: a folder has kinds.toml and vendors/*.toml; rename it, or move it"
                " elsewhere (notes in *.md and names that begin with a full stop are left alone)"
            )
            problems.append(Problem(Place(str(path), 0), told))


def _tell_twice(what: str, first: Place, again: Place, problems: list[Problem]) -> None:
    if first != again:
        told = f"{what}: is in {first} already; leave one of the two out"
        problems.append(Problem(again, told))


def _over(ours: Layer, theirs: Layer) -> Layer:
    return Layer(
        kinds=ours.kinds | theirs.kinds,
        phrases=theirs.phrases,
        drafts=ours.drafts | theirs.drafts,
        registers=ours.registers | theirs.registers,
        digests=[*sorted(ours.digests), *sorted(theirs.digests)],
    )


def _replaced(ours: Layer, theirs: Layer) -> Iterator[Replaced]:
    for name, kind in theirs.kinds.items():
        if name in ours.kinds:
            yield Replaced("kind", name, ours.kinds[name].place, kind.place)
    for code, entry in theirs.registers.items():
        if code in ours.registers:
            yield Replaced("register", code, ours.registers[code].place, entry.place)
    for code, draft in theirs.drafts.items():
        if code in ours.drafts:
            yield Replaced("code", code, ours.drafts[code].place, draft.place)


def _build(
    layer: Layer, replaced: Iterable[Replaced], problems: list[Problem]
) -> tuple[Catalogue, dict[str, Made]]:
    made, by_level = make_rows(layer.drafts, layer.kinds, layer.phrases)
    catalogue = Catalogue(
        [row for row, draft in made.values() if draft.pattern is None],
        blake2b(b"".join(layer.digests), digest_size=6).hexdigest(),
        {name: entry.register for entry in layer.registers.values() for name in entry.names},
        patterns=[(draft.pattern, row) for row, draft in made.values() if draft.pattern],
        by_level=by_level,
        unknown=make_unknown(layer.kinds),
        kinds=layer.kinds,
        origins={
            code: Origin(draft.place, draft.register, draft.number)
            for code, (_row, draft) in made.items()
        },
        entries=layer.registers,
        replaced=replaced,
    )
    check_patterns(made)
    check_registers(catalogue, made, problems)
    return catalogue, made
