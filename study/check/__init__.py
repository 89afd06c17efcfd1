"""`hastudy check`: what can happen, and what cannot.

Each property is decided by visiting every state that machines and environment can reach, within bounds that are said.
`plan` chooses what is searched, `run` searches and keeps what is found over an interrupt, `detection` asks about the
ends of bounds in time, `text` shows it. What is explored and why that is enough: docs/explorer.md.
"""

SCHEMA = 2
"""Version of the JSON."""
