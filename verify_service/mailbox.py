"""Email addresses that are one mailbox, and domains that are one owner's, as providers have it: `mailboxes.toml`."""

from importlib.resources import files

import msgspec


class _Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One name at any of `domains` is one mailbox, whatever characters of `ignored` stand in it."""

    domains: tuple[str, ...]
    ignored: str = ""


class _Public(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    domains: frozenset[str]


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`mailboxes.toml`."""

    provider: tuple[_Provider, ...]
    public: _Public


_FACTS = msgspec.toml.decode(files("verify_service").joinpath("mailboxes.toml").read_bytes(), type=_Facts)
PROVIDERS = {domain: provider for provider in _FACTS.provider for domain in provider.domains}


def identity(address: str) -> str:
    """What the owner of an address is known by: in lower case, and in the one spelling of the mailbox where its
    provider is known to have several. Two addresses that may be two people's are never one."""
    name, _, domain = address.lower().rpartition("@")
    provider = PROVIDERS.get(domain)
    if provider is None:
        return f"{name}@{domain}"
    plain = name.partition("+")[0].translate({ord(each): None for each in provider.ignored})
    return f"{plain or name}@{provider.domains[0]}"


def counted(address: str) -> str:
    """What a limit on mailboxes counts: the identity without what follows a +, at any provider (RFC 5233). Where a + is
    a letter like any other, two people may share it; so it names nobody."""
    name, _, domain = identity(address).rpartition("@")
    return f"{name.partition('+')[0] or name}@{domain}"


def shared_domain(address: str) -> str | None:
    """The domain of an address where its mailboxes have an owner in common; None at a provider that gives one to
    anybody."""
    domain = address.lower().rpartition("@")[2]
    return None if domain in _FACTS.public.domains else domain
