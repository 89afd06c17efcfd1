"""Classes of SIP clients: their behaviour as data for the one machine (`model.sip_client`)."""

from __future__ import annotations

from typing import Literal

ClassName = Literal["ideal", "outbound", "linphone-5.1", "linphone-5.4", "baresip", "pjsua", "twinkle"]
"""`ideal` does what RFC 3261, 3263 and 5922 ask, `outbound` also what RFC 5626 does; the others as measured or read."""
