"""Whose log it is, and which address is which host.

A sentinel's address is what other sentinels call its id; a server tells its own where a sentinel orders it to change
its role, and else it is the one server that its log never names as another. Files of one folder, where there are
several folders, are of one host (as for `hastudy lint`), so one known file tells the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from study.incident.logs import Entry, Evidence, Log


@dataclass(slots=True)
class Cluster:
    """Who is who.

    Attributes
    ----------
    group : str
        Name of the primary as sentinels are configured.
    host_of_file : dict of str to str
    host_of_ip : dict of str to str
    host_of_id : dict of str to str
        Of sentinels.
    primary : str
        Host of the first primary.
    unknown : list of str
        Files whose host was only guessed from their names.
    """

    group: str
    host_of_file: dict[str, str] = field(default_factory=dict)
    host_of_ip: dict[str, str] = field(default_factory=dict)
    host_of_id: dict[str, str] = field(default_factory=dict)
    primary: str = ""
    unknown: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> tuple[str, ...]:
        """All of them, in order of their names."""
        return tuple(sorted({*self.host_of_ip.values(), *self.host_of_file.values()}))

    def about(self, entry: Entry) -> str:
        """Host that an entry is about, empty if none or unknown."""
        ip = entry.address.rpartition(":")[0] or entry.address
        return self.host_of_ip.get(ip, ip if ip in self.host_of_ip.values() else "")

    def of(self, entry: Entry) -> str:
        """Host whose log has the entry."""
        return self.host_of_file[entry.file]


def identify(evidence: Evidence) -> Cluster:
    """Find out who is who."""
    logs = evidence.logs
    cluster = Cluster(_group(logs))
    servers, ip_of_id = _addresses(logs, cluster.group)
    ips = {log.name: _own_ip(log, servers, ip_of_id) for log in logs}
    folder = {log.name: _folder(log.name) for log in logs}
    has_folders = len(set(folder.values()) - {""}) > 1
    ip_of_folder = {folder[name]: ip for name, ip in ips.items() if ip} if has_folders else {}
    for name in ips:
        ips[name] = ips[name] or ip_of_folder.get(folder[name], "")
    known = sorted({*servers, *ip_of_id.values(), *(ip for ip in ips.values() if ip)}, key=_sort_key)
    folder_of_ip = {ip: name for name, ip in ip_of_folder.items()}
    cluster.host_of_ip = {ip: folder_of_ip.get(ip) or f"host{number}" for number, ip in enumerate(known, 1)}
    for log in logs:
        own = cluster.host_of_ip.get(ips[log.name])
        if own is None:
            own = folder[log.name] if has_folders else PurePath(log.name).stem
            cluster.unknown.append(log.name)
        cluster.host_of_file[log.name] = own
    cluster.host_of_id = {id_: cluster.host_of_ip[ip] for id_, ip in ip_of_id.items()}
    cluster.host_of_id |= {log.id: cluster.host_of_file[log.name] for log in logs if log.id}
    cluster.primary = cluster.host_of_ip.get(_first_primary(logs, cluster.group), "")
    return cluster


def _group(logs: Iterable[Log]) -> str:
    """Name of the group that most lines are about."""
    named = Counter(_group_of(entry) for log in logs if log.kind == "sentinel" for entry in log.entries)
    del named[""]
    return named.most_common(1)[0][0] if named else ""


def _group_of(entry: Entry) -> str:
    words = entry.words
    if entry.event == "+switch-master":
        return words[0]
    if words[:1] == ("master",) and len(words) > 1:
        return words[1]
    return words[words.index("@") + 1] if "@" in words[:-1] else ""


def _addresses(logs: Iterable[Log], group: str) -> tuple[set[str], dict[str, str]]:
    """Addresses of servers, and of sentinels by their ids."""
    servers: set[str] = set()
    by_id: dict[str, str] = {}
    for entry in (entry for log in logs if log.kind == "sentinel" for entry in log.entries):
        if entry.address and _group_of(entry) == group:
            ip = entry.address.rpartition(":")[0]
            if entry.is_sentinel:
                by_id[entry.words[1]] = ip
            else:
                servers.add(ip)
    return servers, by_id


def _own_ip(log: Log, servers: set[str], ip_of_id: dict[str, str]) -> str:
    if log.kind == "sentinel":
        return ip_of_id.get(log.id, "")
    if log.kind == "redis":
        if len(log.own) == 1:
            return next(iter(log.own))
        others = {entry.address.rpartition(":")[0] for entry in log.entries if entry.address}
        left = servers - others
        return next(iter(left)) if len(left) == 1 and others else ""
    return ""


def _first_primary(logs: Iterable[Log], group: str) -> str:
    """Address of the primary that most sentinels' logs name first (clocks differ, so their stamps do not count)."""
    named = Counter(first for log in logs if log.kind == "sentinel" if (first := _named_first(log, group)))
    return named.most_common(1)[0][0] if named else ""


def _named_first(log: Log, group: str) -> str:
    for entry in log.entries:
        if _group_of(entry) == group and entry.event == "+switch-master":
            return entry.words[1]
        if _group_of(entry) == group and entry.words[:1] == ("master",):
            return entry.address.rpartition(":")[0]
    return ""


def _folder(name: str) -> str:
    parent = PurePath(name).parent.name
    return "" if parent in ("", ".", "..") else parent


def _sort_key(ip: str) -> tuple:
    return tuple(int(part) if part.isdecimal() else 0 for part in ip.split(".")), ip
