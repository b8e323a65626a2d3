"""What a file of EMUs changes: pure functions of what is known and what is said."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import asdict, replace

from services.dispatch.fleet_file import EmuLine
from shared.documents.emu import EmuRecord, Unit


class Site(NamedTuple):
    """A site as its row has it. What an EMU has from it stands in the EMU's record as well."""

    site_id: str
    name: str | None = None
    customer_id: str | None = None
    desk: str = "default"
    policy: str = "default"
    time_zone: str = "UTC"
    area: str | None = None

    def is_told_as(self, other: "Site") -> bool:
        """Whether the EMUs' records say the same of both."""
        return self._replace(name=None) == other._replace(name=None)


_SITE_DEFAULTS = Site("")._asdict()
_EMU_DEFAULTS: Mapping[str, Any] = {
    "state": "in_service",
    "model": None,
    "firmware": None,
    "serial": None,
    "units": tuple[Unit, ...](),
}


def change_site(known: Site | None, site_id: str, says: Mapping[str, Any]) -> Site:
    """The site after what a file says of it."""
    said = {("name" if name == "site_name" else name): value for name, value in says.items()}
    return (known or Site(site_id))._replace(**_with_defaults(said, _SITE_DEFAULTS))


def change_emu(known: EmuRecord | None, line: EmuLine | None, site: Site) -> EmuRecord:
    """The EMU after what a line says of it, at `site`; the revision grows where anything differs.

    `line` None: only its site has changed. One of `known` and `line` is there.
    """
    fields: dict[str, Any] = site._asdict()
    del fields["name"]
    if line is not None:
        own = {name: value for name, value in line.says.items() if name in _EMU_DEFAULTS}
        fields |= {"emu_id": line.emu_id, **_with_defaults(own, _EMU_DEFAULTS)}
    if known is None:
        return EmuRecord(revision=1, **fields)
    changed = replace(known, **fields)
    return known if changed == known else replace(changed, revision=known.revision + 1)


def differences(known: EmuRecord | None, new: EmuRecord) -> dict[str, tuple[Any, Any]]:
    """Each field that differs, before and after; of a new EMU each that says something."""
    before = asdict(known) if known is not None else {}
    return {
        name: (before.get(name), value)
        for name, value in asdict(new).items()
        if name not in {"emu_id", "revision"} and before.get(name) != value
    }


def _with_defaults(said: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """None stands for a field's default."""
    return {name: defaults[name] if value is None else value for name, value in said.items()}
