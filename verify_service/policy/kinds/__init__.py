"""The kinds of rules that a policy may have: one module each, found here by being here."""

import importlib
import pkgutil

from verify_service.packing import Layout
from verify_service.policy.rule import Rule
from verify_service.policy.verdicts import Judged, in_general

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

KINDS: dict[str, type[Rule]] = {
    str(kind.__struct_config__.tag): kind
    for kind in sorted(Rule.__subclasses__(), key=lambda kind: (not kind.first, str(kind.__struct_config__.tag)))
}
"""By what the policy file calls them, those first that are judged first."""

LAYOUTS: tuple[type[Layout], ...] = tuple(layout for kind in KINDS.values() for layout in kind.layouts)
"""What their sources in the store take."""


def comes_first(kind: str) -> bool:
    """Whether a rule of the kind is judged before the others."""
    return kind in KINDS and KINDS[kind].first


def sentence(judged: Judged) -> str:
    """What a limit or rule said of a start, in English."""
    return KINDS[judged.kind].sentence(judged) if judged.kind in KINDS else in_general(judged)


def shown(judged: Judged) -> Judged:
    """The same figures in the units that people are shown."""
    return KINDS[judged.kind].shown(judged) if judged.kind in KINDS else judged
