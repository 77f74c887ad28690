"""`verify.toml` as it is written: its tables, and what is wrong with one that cannot be read."""

import fnmatch
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from verify_service import phone
from verify_service.alerting import AlertsConfig
from verify_service.duration import decode_hook
from verify_service.errors import ConfigError
from verify_service.hints import hint
from verify_service.messages.own import Languages, Notices, Replies, Templates
from verify_service.model import Lane
from verify_service.operators import ConsoleConfig, OperatorConfig
from verify_service.routing import Name, Route, Section, SenderConfig
from verify_service.tenants import TenantConfig

PublicUrl = Annotated[
    str, Meta(pattern=r"^https?://[^\s/]+[^\s?#]*\Z", description="write it whole, such as https://verify.example.com")
]


class Facades(Section, frozen=True):
    """Which vendors' own APIs are mounted."""

    twilio: bool = True


class NumberOfTests(Section, frozen=True):
    """Numbers with a fixed code for app reviewers and test suites: never sent to, and counted as `limits` says."""

    match: Annotated[str, Meta(pattern=r"^\+[0-9]{4,15}\*?\Z", description="write it such as +1415555*")]
    code: Annotated[str, Meta(pattern=r"^[0-9]{4,10}\Z", description="4 to 10 digits")]
    until: date
    limits: Lane = "none"

    def covers(self, e164: str, now: int) -> bool:
        """However the phone is written; `until` is the last day, in UTC."""
        named = any(fnmatch.fnmatchcase(each, self.match) for each in phone.spellings(e164))
        return named and datetime.fromtimestamp(now / 1000, UTC).date() <= self.until


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    tenants: dict[Name, TenantConfig] = {}
    providers: dict[Name, dict[str, Any]] = {}
    public_url: PublicUrl | None = None
    senders: dict[Name, SenderConfig] = {}
    routes: tuple[Route, ...] = ()
    test_numbers: tuple[NumberOfTests, ...] = ()
    templates: Templates = {}
    replies: Replies = {}
    notices: Notices = {}
    languages: Languages = {}
    allow_test_numbers: bool = False
    allow_fake: bool = False
    facades: Facades = Facades()
    operators: tuple[OperatorConfig, ...] = ()
    console: ConsoleConfig = ConsoleConfig()
    alerts: AlertsConfig = AlertsConfig()


def read(path: Path) -> File:
    """What stands in a file. Raises ConfigError with the key at fault."""
    try:
        table = msgspec.toml.decode(path.read_bytes())
        return msgspec.convert(table, File, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_named(error, table)}{hint(error, File)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read: it is not UTF-8 text") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: tables or lists are nested too deeply; no key of it needs that") from None


def _named(error: msgspec.ValidationError, table: dict[str, Any]) -> str:
    """The error with the name of the entry at fault, where msgspec says only that it is one of a table's."""
    said = str(error)
    if found := re.search(r"\$\.(\w+)\[\.\.\.\]", said):
        for name, entry in table[found[1]].items():
            try:
                msgspec.convert({found[1]: {name: entry}}, File, dec_hook=decode_hook)
            except msgspec.ValidationError:
                return said.replace("[...]", f".{name}", 1)
    return said
