"""A node's configuration from a file in Flexisip's own syntax, as far as the two share keys.

So that a deployment's ``flexisip.conf`` can be tried on this node as it is: keys that mean the same here are taken
over, with Flexisip's defaults; keys of the same sections that have no effect here are named; any other key is warned
about, with the closest one that is known.

Only one Redis server is named there; the others are learnt from ``INFO replication``, as Flexisip does.

Left out: ``db-implementation=internal`` and TLS to Redis, which are refused; includes; sections of other servers.
"""

from __future__ import annotations

import configparser
import difflib
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.errors import UsageError
from reference_node import config_file
from reference_node.node.config import NodeConfig

REGISTRAR, AUTHENTICATION, ROUTER = "module::Registrar", "module::Authentication", "module::Router"

DEFAULT_TRANSPORT = "sip:*"
"""Where Flexisip listens when nothing is said. Kind: vendor default."""

INFO_PERIOD_S = 60
"""Flexisip's ``redis-slave-check-period``, s. Kind: vendor default."""

_S_OF_UNIT = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}

# Keys with an effect: what kind of value they have.
_KEYS: dict[str, dict[str, str]] = {
    "global": {
        "transports": "words", "aliases": "words", "idle-timeout": "seconds",
        "tls-certificates-file": "text", "tls-certificates-private-key": "text", "tls-certificates-ca-file": "text",
    },
    REGISTRAR: {
        "enabled": "flag", "reg-domains": "words", "max-contacts-by-aor": "number",
        "max-contacts-per-registration": "number", "unique-id-parameters": "words", "max-expires": "seconds",
        "min-expires": "seconds", "default-expires": "seconds", "force-expires": "seconds",
        "db-implementation": "text", "redis-server-domain": "text", "redis-server-port": "number",
        "redis-auth-password": "text", "redis-slave-check-period": "seconds", "redis-use-slaves-as-backup": "flag",
        "redis-connection": "text",
    },
    "cluster": {"enabled": "flag", "nodes": "words", "internal-transport": "text"},
    AUTHENTICATION: {
        "enabled": "flag", "auth-domains": "words", "realm": "text", "available-algorithms": "words",
        "nonce-expires": "seconds", "file-path": "text",
    },
    ROUTER: {"call-fork-timeout": "seconds", "call-fork-current-branches-timeout": "seconds"},
}  # fmt: skip

# Keys of the same sections that Flexisip knows and that have no effect here.
_IDLE: dict[str, set[str]] = {
    "global": {
        "unique-id", "transaction-timeout", "keepalive-interval", "proxy-to-proxy-keepalive-interval",
        "connection-establishment-timeout", "watchdog-notify-interval", "log-level", "log-directory",
    },
    REGISTRAR: {
        "filter", "reg-on-response", "enable-gruu", "static-records-file", "static-records-timeout",
        "redis-auth-user", "redis-subscription-keep-alive-check-period", "redis-tls-certificate", "redis-tls-key",
        "redis-tls-cafile", "redis-server-timeout", "redis-record-serializer", "service-route",
        "message-expires-param-name", "register-expire-randomizer-max",
    },
    "cluster": {"cluster-domain"},
    AUTHENTICATION: {"filter", "db-implementation"},
    ROUTER: {
        "filter", "enabled", "fork-late", "call-fork-urgent-timeout", "message-fork-late", "message-delivery-timeout",
        "message-accept-timeout", "fallback-route", "use-global-domain", "resolve-routes", "parent-domain-fallback",
    },
}  # fmt: skip

_OTHER_SECTIONS = re.compile(
    r"module::\w+|stun-server|event-logs|presence-server|conference-server|regevent-server|b2bua-server.*|"
    r"inter-domain-connections|mdns-register|monitor|flexiapi"
)
"""Sections for other parts of Flexisip."""


def read_flexisip_conf(path: Path) -> tuple[NodeConfig, list[str]]:
    """Read a file; gives the configuration and what is to be said about the rest of the file.

    Raises
    ------
    UsageError
        The file cannot be read, or a value is wrong or cannot be had here.
    """
    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#",), interpolation=None, strict=False, empty_lines_in_values=False
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the library's way to keep case
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}\n  allowed: [section] and key=value lines") from None
    reader = _Reader(path, parser)
    config = config_file.check(NodeConfig, str(path), reader.node())
    return config, reader.remarks()


class _Reader:
    """A parsed file, and what it means."""

    def __init__(self, path: Path, parser: configparser.ConfigParser) -> None:
        self._path, self._parser = path, parser

    def node(self) -> dict[str, Any]:
        """The configuration of a node."""
        get = self._value
        if not get(REGISTRAR, "enabled", True):
            self._refuse(REGISTRAR, "enabled", "true", "this program is a registrar first")
        kind = get(REGISTRAR, "db-implementation", "internal")
        if not kind.startswith("redis"):
            self._refuse(REGISTRAR, "db-implementation", "redis", "this node keeps registrations in Redis only")
        if get(REGISTRAR, "redis-connection", "tcp") != "tcp":
            self._refuse(REGISTRAR, "redis-connection", "tcp", "TLS to Redis is not to be had here")
        domains = get(REGISTRAR, "reg-domains", ["localhost"])
        period_s = get(REGISTRAR, "redis-slave-check-period", INFO_PERIOD_S)
        host = socket.gethostname()
        server = {
            "host": get(REGISTRAR, "redis-server-domain", "localhost"),
            "ip": get(REGISTRAR, "redis-server-domain", "localhost"),
            "port": get(REGISTRAR, "redis-server-port", 6379),
        }
        return {
            "host": host,
            "host_index": 0,
            "transports": get("global", "transports", [DEFAULT_TRANSPORT]),
            "tls": {
                "certificate": get("global", "tls-certificates-file", ""),
                "key": get("global", "tls-certificates-private-key", ""),
                "authorities": get("global", "tls-certificates-ca-file", ""),
            },
            "aliases": get("global", "aliases", []),
            "servers": [server],
            "learns_servers": get(REGISTRAR, "redis-use-slaves-as-backup", True),
            "first_server": 0,
            "password": get(REGISTRAR, "redis-auth-password", ""),
            "domain": domains[0],
            "domains": domains[1:],
            "registrar": {
                "policy": "flexisip-2.6",
                "info_period_ms": round(1_000 * period_s),
                "wait_poll_ms": round(1_000 * period_s),
            },
            "limits": self._limits(),
            "auth": self._auth(domains[0]),
            "cluster": {
                "enabled": get("cluster", "enabled", False),
                "nodes": get("cluster", "nodes", []),
                "internal_transport": get("cluster", "internal-transport", ""),
            },
            "router": {
                "fork_s": get(ROUTER, "call-fork-timeout", 90.0),
                "group_s": get(ROUTER, "call-fork-current-branches-timeout", 10.0),
            },
            "streams": {"idle_s": get("global", "idle-timeout", 3_600.0)},
            "log": "",
            "program_log": "-",
            "seed": 0,
        }

    def remarks(self) -> list[str]:
        """What is to be said about keys without effect here."""
        said = []
        for section in self._parser.sections():
            if section not in _KEYS:
                said.append(self._remark_on_section(section))
                continue
            for key in self._parser[section]:
                if key in _IDLE[section]:
                    said.append(f"{self._path}: [{section}] {key} has no effect here")
                elif key not in _KEYS[section]:
                    near = difflib.get_close_matches(key, [*_KEYS[section], *_IDLE[section]], n=1)
                    hint = f"; did you mean {near[0]}?" if near else ""
                    said.append(f"{self._path}: [{section}] {key} is unknown to this node{hint}")
        return said

    def _remark_on_section(self, section: str) -> str:
        near = difflib.get_close_matches(section, list(_KEYS), n=1, cutoff=0.8)
        if near or _OTHER_SECTIONS.fullmatch(section) is None:
            hint = f"; did you mean [{near[0]}]?" if near else ""
            return f"{self._path}: [{section}] is unknown to this node{hint}"
        return f"{self._path}: [{section}] has no effect here"

    def _limits(self) -> dict[str, Any]:
        get = self._value
        forced = get(REGISTRAR, "force-expires", 0)
        limits: dict[str, Any] = {
            "max_contacts_by_aor": get(REGISTRAR, "max-contacts-by-aor", 12),
            "max_contacts_per_registration": get(REGISTRAR, "max-contacts-per-registration", 12),
            "min_expires_s": int(forced or get(REGISTRAR, "min-expires", 60)),
            "max_expires_s": int(forced or get(REGISTRAR, "max-expires", 86_400)),
            "default_expires_s": int(forced or get(REGISTRAR, "default-expires", 600)),
        }
        names = get(REGISTRAR, "unique-id-parameters", [])
        return {**limits, "unique_id_parameters": names} if names else limits

    def _auth(self, domain: str) -> dict[str, Any]:
        get = self._value
        realms = get(AUTHENTICATION, "auth-domains", [domain])
        auth: dict[str, Any] = {
            "enabled": get(AUTHENTICATION, "enabled", False),
            "realm": get(AUTHENTICATION, "realm", "") or realms[0],
            "nonce_s": int(get(AUTHENTICATION, "nonce-expires", 3_600)),
            "users_file": get(AUTHENTICATION, "file-path", ""),
        }
        algorithms = get(AUTHENTICATION, "available-algorithms", [])
        return {**auth, "algorithms": algorithms} if algorithms else auth

    def _value(self, section: str, key: str, default: Any) -> Any:
        """Value of a key, or the default where it is absent or empty."""
        text = self._parser.get(section, key, fallback="").strip()
        if not text:
            return default
        read, allowed = _READERS[_KEYS[section][key]]
        try:
            return read(text)
        except (ValueError, KeyError):
            return self._refuse(section, key, allowed, "see Flexisip's own documentation of the key")

    def _refuse(self, section: str, key: str, allowed: str, hint: str) -> Any:
        given = "" if "password" in key else f" is {self._parser.get(section, key, fallback='(not given)')!r}"
        raise UsageError(f"{self._path}: [{section}] {key}{given}\n  allowed: {allowed}\n\nhint: {hint}")


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]+)\s*([a-z]*)", text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _S_OF_UNIT[match[2]]


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "words": (str.split, "words with spaces between them"),
    "text": (str, "text"),
    "number": (int, "a whole number"),
    "seconds": (_seconds, "seconds, or a number with ms, s, min, h or d"),
    "flag": (_flag, "true or false"),
}
