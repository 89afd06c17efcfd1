"""SIP itself: messages and their fields, framing, transports, transactions, digest, certificates.

Knows neither registrar nor client; both are built on it.
"""
