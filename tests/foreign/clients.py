"""The foreign SIP clients: whether they are here, and how each is told to be a phone of ``example.org``.

A client gets the account, the transport, an expiry and the certificate authority; everything that decides failover
stays at its default, for that default is what is measured. One has a variant: ``baresip-outbound`` is baresip told to
keep its flow by RFC 5626, which it does not do by itself.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rig import DOMAIN

USER = "alice"
PHONES = Path(__file__).with_name("python_phones.py")


@dataclass(frozen=True, slots=True)
class Order:
    """What a client is to be.

    Attributes
    ----------
    transport : str
        ``udp``, ``tcp`` or ``tls``.
    expiry_s : int
        Expiry that it asks for, s.
    verify : str
        ``default`` leaves the check of certificates as the client has it, ``yes`` and ``no`` ask for it.
    """

    transport: str
    expiry_s: int = 60
    verify: str = "default"


@dataclass(frozen=True, slots=True)
class Client:
    """A foreign SIP client.

    Attributes
    ----------
    name : str
    transports : tuple of str
        Those it can use.
    hint : str
        How to install it.
    version : Callable
        Its version, or None where it is not installed.
    command : Callable
        Writes its settings for an `Order` into a folder; returns how to start it.
    """

    name: str
    transports: tuple[str, ...]
    hint: str
    version: Callable[[], str | None]
    command: Callable[[Order, Path], list[str]]


def _of_package(package: str) -> Callable[[], str | None]:
    def version() -> str | None:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    return version


def _of_program(program: str, debian: str) -> Callable[[], str | None]:
    def version() -> str | None:
        if not shutil.which(program):
            return None
        asked = ["dpkg-query", "--show", "--showformat=${Version}", debian]
        return subprocess.run(asked, capture_output=True, text=True).stdout or "unknown"

    return version


def _python_phone(name: str, **options: object) -> Callable[[Order, Path], list[str]]:
    def command(order: Order, folder: Path) -> list[str]:
        check = {} if order.verify == "default" else {"ca": str(folder / "ca.pem"), "verify": order.verify}
        given = json.dumps({"user": USER, **options, **check})
        return [sys.executable, str(PHONES), name, order.transport, str(order.expiry_s), given]

    return command


def _baresip(order: Order, folder: Path) -> list[str]:
    modules = next(Path("/usr/lib").glob("**/baresip/modules"))
    settings = [f"module_path {modules}", "module stdio.so", "module_app account.so", "module_app menu.so"]
    if order.verify != "default":
        settings += [f"sip_cafile {folder / 'ca.pem'}", f"sip_verify_server {order.verify}"]
    account = f"<sip:{USER}@{DOMAIN};transport={order.transport}>;auth_pass=secret;regint={order.expiry_s}"
    (folder / "config").write_text("\n".join(settings) + "\n")
    (folder / "accounts").write_text(account + "\n")
    return ["baresip", "-f", str(folder), "-v"]


def _linphone(order: Order, folder: Path) -> list[str]:
    proxy = f"<sip:{DOMAIN};transport={order.transport}>"
    check = [] if order.verify == "default" else [f"verify_server_certs={int(order.verify == 'yes')}"]
    sections = {
        "sip": ["default_proxy=0", "sip_port=-1", "sip_tcp_port=-1", "sip_tls_port=-1", f"root_ca={folder / 'ca.pem'}"]
        + check,
        "net": ["mtu=1300"],
        "auth_info_0": [f"username={USER}", "passwd=secret", f"realm={DOMAIN}", f"domain={DOMAIN}"],
        "proxy_0": [
            f"reg_proxy={proxy}",
            f"reg_route={proxy}",
            f"reg_identity=sip:{USER}@{DOMAIN}",
            f"reg_expires={order.expiry_s}",
            "reg_sendregister=1",
            "publish=0",
        ],
    }
    text = "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())
    (folder / "linphonerc").write_text(text)
    (folder / ".local/share/linphone").mkdir(parents=True, exist_ok=True)  # it hangs where it cannot open its database
    return ["linphonec", "-c", str(folder / "linphonerc"), "-d", "6", "-l", str(folder / "linphone.log")]


def _twinkle(order: Order, folder: Path) -> list[str]:
    home = folder / ".twinkle"
    home.mkdir(exist_ok=True)
    settings = [
        f"user_name={USER}",
        f"user_domain={DOMAIN}",
        "auth_name=" + USER,
        "auth_pass=secret",
        f"registration_time={order.expiry_s}",
        "register_at_startup=yes",
        f"sip_transport={order.transport}",
    ]
    (home / "twinkle.lck").unlink(missing_ok=True)  # of an instance that was killed
    (home / f"{USER}.cfg").write_text("\n".join(settings) + "\n")
    (home / "twinkle.sys").write_text("sip_port=5060\nstart_user_profile=" + USER + "\n")
    return ["twinkle-console", f"{USER}.cfg"]


CLIENTS = {
    client.name: client
    for client in (
        Client(
            "linphone",
            ("udp", "tcp", "tls"),
            "apt install linphone-cli",
            _of_program("linphonec", "linphone-cli"),
            _linphone,
        ),
        Client(
            "baresip",
            ("udp", "tcp", "tls"),
            "apt install baresip-core",
            _of_program("baresip", "baresip-core"),
            _baresip,
        ),
        Client(
            "baresip-python",
            ("udp", "tcp", "tls"),
            "pip install baresip-python",
            _of_package("baresip-python"),
            _python_phone("baresip-python"),
        ),
        Client(
            "baresip-outbound",
            ("udp", "tcp", "tls"),
            "pip install baresip-python",
            _of_package("baresip-python"),
            _python_phone("baresip-python", outbound=True),
        ),
        Client(
            "pjsua",
            ("udp", "tcp", "tls"),
            "pip install pjsua2-python",
            _of_package("pjsua2-python"),
            _python_phone("pjsua"),
        ),
        Client(
            "twinkle",
            ("udp", "tcp"),
            "apt install twinkle-console",
            _of_program("twinkle-console", "twinkle-console"),
            _twinkle,
        ),
    )
}
