"""The command line of `lint` and of `generate`."""

from __future__ import annotations

import argparse
import ipaddress
import re
import secrets
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from model.errors import UsageError
from model.versions import Version
from study.lint.figures import RUNS

if TYPE_CHECKING:
    from study.lint.generate import Secrets


PASSWORD = re.compile(r"[\w.~+/=@%^-]+", re.ASCII)
"""What means itself in redis.conf and in flexisip.conf: no quotes, no spaces, no backslash, no #."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `lint`."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, nargs="+",
        help="redis.conf, sentinel.conf, flexisip.conf, zone files, certificates (PEM), output of `chronyc "
        "tracking` or `ntpq -p`, files of nftables and sysctl.d; or a folder with a sub-folder for each host",
    )  # fmt: skip
    add_versions(parser)
    parser.add_argument("--runs", type=int, default=RUNS, help="simulated runs of each figure (default %(default)s)")
    parser.add_argument("--sarif", type=Path, metavar="FILE", help="also write SARIF 2.1.0")


def add_versions(parser: argparse.ArgumentParser) -> None:
    """Declare what files do not say of themselves."""
    parser.add_argument("--server-version", metavar="FAMILY", help="such as 6.2, 7.0, 8.2, valkey-8.1")
    parser.add_argument("--flexisip-version", metavar="VERSION", help="such as 2.3, 2.6")


def add_generate(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `generate`, besides the scenario."""
    parser.add_argument("--domain", default="example.org", help="the SIP domain (default %(default)s)")
    parser.add_argument("--address", action="append", default=[], metavar="HOST=ADDRESS",
                        help="of each host; repeatable (default: addresses for documentation)")  # fmt: skip
    parser.add_argument("--secrets", type=Path, metavar="FILE",
                        help='passwords (TOML: redis = "...", sentinel = "..."); else drawn at random')  # fmt: skip


def read_addresses(given: list[str]) -> dict[str, str]:
    """Address by host.

    Raises
    ------
    UsageError
        Not HOST=ADDRESS, or no address.
    """
    found = {}
    for each in given:
        host, _, address = each.partition("=")
        try:
            found[host] = str(ipaddress.ip_address(address))
        except ValueError:
            raise UsageError(f"--address is {each!r}\n  allowed: HOST=ADDRESS, an address of IPv4 or IPv6\n\n"
                             "hint: for example --address host1=10.0.0.1") from None  # fmt: skip
    return found


def read_secrets(path: Path | None) -> Secrets:
    """Passwords from a file; drawn from the system's random numbers where there is none.

    Raises
    ------
    UsageError
        The file cannot be read, or does not hold two passwords.
    """
    from study.lint.generate import Secrets

    if path is None:
        return Secrets(secrets.token_hex(32), secrets.token_hex(32))
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}\n\nhint: openssl rand -hex 32 makes a password") from None
    if sorted(said) != ["redis", "sentinel"] or not all(PASSWORD.fullmatch(str(each)) for each in said.values()):
        raise UsageError(f'{path}: not two passwords\n  allowed: redis = "..." and sentinel = "...", of letters, '
                         "digits and _ . ~ + / = @ % ^ -\n\n"
                         "hint: openssl rand -hex 32 makes one")  # fmt: skip
    return Secrets(said["redis"], said["sentinel"])


def check_versions(args: argparse.Namespace) -> None:
    """Refuse a family of servers that is not modelled.

    Raises
    ------
    UsageError
        There is no such family, or too few runs.
    """
    if args.set:
        raise UsageError("--set changes a scenario, and there are configuration files here\n\nhint: change the files, "
                         "or simulate the scenario that --out DIR writes")  # fmt: skip
    if args.flexisip_version and not re.fullmatch(r"\d+(\.\d+)*", args.flexisip_version):
        raise UsageError(f"--flexisip-version is {args.flexisip_version!r}\n  allowed: numbers, dots between them\n\n"
                         "hint: as `flexisip --version` says, for example 2.3")  # fmt: skip
    known = get_args(Version)
    if args.server_version and args.server_version not in known:
        raise UsageError(f"--server-version is {args.server_version!r}\n  allowed: {', '.join(known)}\n\n"
                         "hint: the first two numbers of `redis-server --version`")  # fmt: skip
    if not 20 <= args.runs <= 100_000:
        raise UsageError(f"--runs is {args.runs}\n  allowed: 20 to 100000\n\nhint: {RUNS} is enough for most")
