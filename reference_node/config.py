"""The configuration of a registrar node: what CONFIG.json may say, and how it is refused.

::

    {"host": "host1", "host_index": 0, "sip": {"ip": "10.77.2.1", "port": 5060},
     "servers": [{"host": "host1", "ip": "10.77.1.1", "port": 6379}, null, …], "first_server": 0,
     "password": "…", "domain": "example.org", "registrar": {…}, "log": "host1.ndjson", "seed": 1}

`servers` has an entry for every host of the scenario, null for a host without Redis: a server's place is its number.
`registrar` is that section of a scenario.
"""

from __future__ import annotations

from pathlib import Path

import pydantic

from model.errors import UsageError
from model.scenario import MAX_HOSTS, RegistrarSection


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class SipSection(_Section):
    """Where a node listens; port 0 takes any free one."""

    ip: str
    port: int = pydantic.Field(ge=0, le=65_535)


class Server(_Section):
    """One Redis server."""

    host: str
    ip: str
    port: int = pydantic.Field(ge=1, le=65_535)


class NodeConfig(_Section):
    """Configuration of a node."""

    host: str
    host_index: int = pydantic.Field(ge=0, lt=MAX_HOSTS)
    sip: SipSection
    servers: list[Server | None] = pydantic.Field(min_length=1, max_length=MAX_HOSTS)
    first_server: int = pydantic.Field(ge=0)
    password: str = ""
    domain: str = pydantic.Field(min_length=1)
    registrar: RegistrarSection = RegistrarSection()
    log: str
    seed: int

    @pydantic.model_validator(mode="after")
    def _first_server_exists(self) -> NodeConfig:
        if self.first_server >= len(self.servers) or self.servers[self.first_server] is None:
            raise ValueError("first_server must be the number of an entry of `servers` that is not null")
        return self


def read_config(path: Path) -> NodeConfig:
    """Read a configuration file.

    Raises
    ------
    UsageError
        The file is missing, is not JSON, or says something that cannot be.
    """
    try:
        return NodeConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(": ".join(filter(None, [str(path), where, first["msg"]]))) from None
