"""Files and folders, told apart by their content, as one `Deployment`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model.errors import UsageError
from study.lint.deployment import (
    Broken,
    Certificate,
    ClockReport,
    Deployment,
    Firewall,
    FlexisipFile,
    Kernel,
    Record,
    ServerFile,
    Zone,
)
from study.lint.files import certificate, clock, flexisip, machine, server, zone

VERSION = "7.0"
"""Family of the servers, where nobody says it. Kind: assumed (the family that the reference sources were read in)."""

FLEXISIP_VERSION = "2.6"
"""Kind: assumed (the newest that was read)."""

HOSTS = 3
"""Hosts, where the files do not tell. Kind: recommended (deployment guide: "for a cluster of 3 nodes")."""

MOST_BYTES = 4_000_000
"""A configuration file is smaller. Kind: assumed."""

_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1f\x7f-\x9f]")
_PLACEHOLDER_OR_WORD = re.compile(r"<[^>]*>|[^\s,]+")


@dataclass(slots=True)
class _Found:
    redis: list[ServerFile] = field(default_factory=list)
    sentinels: list[ServerFile] = field(default_factory=list)
    flexisip: list[FlexisipFile] = field(default_factory=list)
    zones: list[Zone] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
    clocks: list[ClockReport] = field(default_factory=list)
    clock_files: list[str] = field(default_factory=list)
    firewalls: list[Firewall] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def deployment(paths: Sequence[Path], version: str | None = None, flexisip_version: str | None = None) -> Deployment:
    """Read files, and folders with all below them; a sub-folder's name is the host that its files are for.

    Raises
    ------
    UsageError
        A file cannot be read, or is none that the kit knows; nothing was given.
    """
    found = _Found()
    for path, host in _once(_files(paths)):
        if not _read_one(found, path, host, is_asked=path in paths):
            if path in paths:
                raise UsageError(
                    f"{path}: neither redis.conf, sentinel.conf, flexisip.conf, a zone file, a certificate, a clock's "
                    "report, nor a file of nftables or sysctl.d\n\nhint: leave it out, or check that it is the one you "
                    "mean"
                )
            found.skipped.append(str(path))
    if not (found.redis or found.sentinels or found.flexisip or found.zones):
        raise UsageError(
            f"{', '.join(map(str, paths))}: no configuration file\n  allowed: redis.conf, sentinel.conf, "
            "flexisip.conf, zone files, certificates, output of `chronyc tracking` or `ntpq -p`\n\n"
            "hint: name the files, or a folder with a sub-folder for each host"
        )
    return _joined(found, version, flexisip_version)


def _once(files: Iterator[tuple[Path, str]]) -> Iterator[tuple[Path, str]]:
    """Leave out a file that was there before: it may be named itself, and lie in a folder that is."""
    seen: set[Path] = set()
    for path, host in files:
        if path.resolve() not in seen:
            seen.add(path.resolve())
            yield path, host


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield every file with the host that it is for; empty: for all."""
    single = [path for path in paths if not path.is_dir()]
    for path in single:
        alike = [each.parent for each in single if each.name == path.name]
        yield path, path.parent.name if len(alike) > 1 and len(set(alike)) == len(alike) else ""
    for folder in paths:
        if folder.is_dir():
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.name.startswith(".") and path.suffix not in (".md", ".toml", ".key"):
                    inside = path.relative_to(folder).parts
                    yield path, inside[0] if len(inside) > 1 else ""


def _read_one(found: _Found, path: Path, host: str, is_asked: bool) -> bool:
    """True if the file is of a known kind; what is no text is refused only if it was asked for by its name."""
    text, file = _text(path), str(path)
    if text is None and is_asked:
        raise UsageError(f"{path}: not text, or larger than {MOST_BYTES // 1_000_000} MB\n\n"
                         "hint: certificates must be in PEM")  # fmt: skip
    if text is None:
        return False
    broken: list[Broken] = []
    if certificate.is_mine(text):
        one, broken = certificate.read(text, file, host)
        found.certificates += [one] if one else []
    elif clock.is_mine(text):
        found.clocks.append(clock.read(text, file, host))
    elif clock.is_configuration(text):
        found.clock_files.append(file)
    elif machine.is_firewall(text):
        found.firewalls.append(machine.read_firewall(text, file, host))
    elif machine.is_kernel(text):
        found.kernels.append(machine.read_kernel(text, file, host))
    elif flexisip.is_mine(text):
        conf, broken = flexisip.read(text, file, host)
        found.flexisip.append(conf)
    elif server.is_sentinel(text) or ("sentinel" in path.name and server.is_redis(text)):
        sentinel, broken = server.read(text, file, host)
        found.sentinels.append(sentinel)
        found.said += _unread(sentinel)
    elif zone.is_mine(text):
        records, broken = zone.read(text, file)
        found.zones.append(records)
        if origin := zone.origin_by_name(text, file):
            found.said.append(f"{file} is the zone of {origin}: its name says so, nothing in it does")
    elif server.is_redis(text):
        redis, broken = server.read(text, file, host)
        found.redis.append(redis)
        found.said += _unread(redis)
    else:
        return False
    found.broken += broken
    return True


def _unread(conf: ServerFile) -> list[str]:
    """What a file says that is not followed."""
    said = [f"{each.place} includes {' '.join(each.words)}: not read, whatever it changes"
            for each in conf.all("include")]  # fmt: skip
    named = list(dict.fromkeys(each.words[0] for each in conf.all("monitor") if each.words))
    if len(named) > 1:
        said.append(f"{conf.file} watches {', '.join(named)}: judged is {named[-1]}")
    return said


def _text(path: Path) -> str | None:
    """None if it is no text. Comments may be in an old encoding, and no program minds."""
    try:
        said = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b"\0"
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    try:
        return None if b"\0" in said else said.decode("utf-8")
    except UnicodeDecodeError:
        return None if _CONTROL.search(said) else said.decode("latin-1")


def _joined(found: _Found, version: str | None, flexisip_version: str | None) -> Deployment:
    assumptions = []
    if version is None:
        assumptions.append(f"servers and sentinels are Redis {VERSION} (--server-version says otherwise)")
    if flexisip_version is None:
        assumptions.append(f"nodes are Flexisip {FLEXISIP_VERSION} (--flexisip-version says otherwise)")
    hosts, addresses, said = _hosts(found)
    return Deployment(
        redis=tuple(found.redis),
        sentinels=tuple(found.sentinels),
        flexisip=tuple(found.flexisip),
        zones=tuple(found.zones),
        certificates=tuple(found.certificates),
        clocks=tuple(found.clocks),
        clock_files=tuple(found.clock_files),
        firewalls=tuple(found.firewalls),
        kernels=tuple(found.kernels),
        broken=tuple(found.broken),
        version=version or VERSION,
        flexisip_version=flexisip_version or FLEXISIP_VERSION,
        hosts=hosts,
        addresses=addresses,
        sentinel_count=_sentinel_count(found, hosts),
        assumptions=(
            *assumptions,
            *said,
            *found.said,
            *(f"{name} says nothing about this: not read" for name in found.skipped),
        ),
    )


def _hosts(found: _Found) -> tuple[tuple[str, ...], dict[str, str], list[str]]:
    """Hosts by name, that of the primary first; host by address; what had to be taken for granted."""
    records = [record for zone_ in found.zones for record in zone_.records]
    named = list(dict.fromkeys(each.host for each in (*found.redis, *found.sentinels, *found.flexisip) if each.host))
    targets = [record.words[3].partition(".")[0] for record in records if record.is_sip_srv]
    nodes = cluster_nodes(found.flexisip[0]) if found.flexisip else []
    hosts = named or list(dict.fromkeys(targets))
    if not named:
        spare = (f"host{number}" for number in itertools.count(1) if f"host{number}" not in hosts)
        hosts = [*hosts, *itertools.islice(spare, max(0, len(nodes) - len(hosts)))]
    said = []
    if not hosts:
        hosts = [f"host{number}" for number in range(1, HOSTS + 1)]
        said.append(f"there are {HOSTS} hosts, each with Redis, Sentinel and a node: no file says how many")
    elif not named:
        said.append(f"there are {len(hosts)} hosts ({', '.join(hosts)}), each with Redis, Sentinel and a node")
    addresses = _addresses(records, hosts)
    return tuple(_primary_first(hosts, found.redis, addresses)), addresses, said


def _addresses(records: list[Record], hosts: list[str]) -> dict[str, str]:
    """Host by address. A host may have other names too (``sip``, ``ns``): its own counts, wherever it stands."""
    named = [(record.words[0], record.owner.partition(".")[0]) for record in records if record.type in ("A", "AAAA")]
    return dict(sorted(named, key=lambda each: each[1] in hosts))


def _primary_first(hosts: list[str], files: list[ServerFile], addresses: dict[str, str]) -> list[str]:
    """The host whose file has no replicaof; else the one that the others replicate; else the first."""
    replicas = {each.host for each in files if each.last("replicaof", "slaveof")}
    free = [each.host for each in files if each.host and each.host not in replicas]
    pointed = [addresses.get(directive.words[0], directive.words[0]) for each in files
               if (directive := each.last("replicaof", "slaveof")) and directive.words]  # fmt: skip
    first = next((host for host in (*free, *pointed) if host in hosts), hosts[0])
    return [first, *(host for host in hosts if host != first)]


def cluster_nodes(file: FlexisipFile) -> list[str]:
    """Addresses of ``nodes=`` of the section ``[cluster]``; a placeholder in angle brackets is one of them."""
    said = file.last("cluster", "nodes")
    return _PLACEHOLDER_OR_WORD.findall(said.value) if said else []


def _sentinel_count(found: _Found, hosts: tuple[str, ...]) -> int:
    """By their files; one that is for all counts for each host; what a running sentinel wrote of others counts too."""
    if not found.sentinels:
        return len(hosts)
    named = [each for each in found.sentinels if each.host]
    known = max(len(each.all("known-sentinel")) for each in found.sentinels)
    return max(len(named) if len(named) == len(found.sentinels) else len(hosts), known + 1 if known else 0)
