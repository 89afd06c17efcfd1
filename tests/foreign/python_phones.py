"""Foreign SIP clients that are Python packages: each function is a phone that registers and then waits to be killed.

``python python_phones.py NAME TRANSPORT EXPIRY OPTIONS`` runs one; OPTIONS is JSON. What else they are told is what
their own example programs tell them; everything that decides failover stays at the package's default.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from contextlib import suppress

DOMAIN = "example.org"
INSTANCE = "a8e4a3a4-6a5b-4b0e-9d4f-0c5d8f4f2a11"


def baresip(transport: str, expiry_s: int, options: dict) -> None:
    """The baresip of the package baresip-python; with ``outbound`` it keeps its flow by RFC 5626."""
    from baresip.config import Config
    from baresip.errors import RegistrationError
    from baresip.runtime import Runtime
    from baresip.ua import UserAgent

    account = f"<sip:{options['user']}@{DOMAIN};transport={transport}>;regint={expiry_s}"
    instance = None
    if options.get("outbound"):
        account += f';sipnat=outbound;outbound="sip:{DOMAIN};transport={transport}"'
        instance = INSTANCE
    lines = [f"sip_cafile {options['ca']}", f"sip_verify_server {options['verify']}"] if options.get("ca") else []
    settings = Config(native_log_level="info", instance_id=instance, extra_config_text="\n".join(lines))

    async def live() -> None:
        runtime = Runtime()
        await runtime.start(settings)
        phone = await UserAgent.create(runtime, account)
        with suppress(RegistrationError):  # the stack itself goes on trying
            await phone.register()
        await asyncio.Event().wait()

    asyncio.run(live())


def pjsua(transport: str, expiry_s: int, options: dict) -> None:
    """The pjsua2 of the package pjsua2-python."""
    import pjsua2

    phone = pjsua2.Endpoint()
    phone.libCreate()
    settings = pjsua2.EpConfig()
    settings.uaConfig.nameserver.append("127.0.0.1")  # without one pjsip knows no SRV
    settings.uaConfig.threadCnt = 1
    settings.logConfig.consoleLevel = 4
    phone.libInit(settings)
    phone.audDevManager().setNullDev()
    way = pjsua2.TransportConfig()
    if options.get("ca"):
        way.tlsConfig.CaListFile = options["ca"]
        way.tlsConfig.verifyServer = options["verify"] == "yes"
    kinds = {
        "udp": pjsua2.PJSIP_TRANSPORT_UDP,
        "tcp": pjsua2.PJSIP_TRANSPORT_TCP,
        "tls": pjsua2.PJSIP_TRANSPORT_TLS,
    }
    phone.transportCreate(kinds[transport], way)
    phone.libStart()
    account = pjsua2.AccountConfig()
    account.idUri = f"sip:{options['user']}@{DOMAIN}"
    account.regConfig.registrarUri = f"sip:{DOMAIN};transport={transport}"
    account.regConfig.timeoutSec = expiry_s
    account.sipConfig.authCreds.append(pjsua2.AuthCredInfo("digest", "*", options["user"], 0, "secret"))
    registered = pjsua2.Account()  # it lives as long as the object does
    registered.create(account)
    threading.Event().wait()


PHONES = {"baresip-python": baresip, "pjsua": pjsua}

if __name__ == "__main__":
    name, transport, expiry, options = sys.argv[1:]
    PHONES[name](transport, int(expiry), json.loads(options))
