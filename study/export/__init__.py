"""Traces and verdicts in the formats of other people's tools.

=============  ========================================  ===================================
format         what it is                                read by
=============  ========================================  ===================================
``perfetto``   Chrome's trace event format (JSON)        ui.perfetto.dev, chrome://tracing
``shiviz``     log with vector clocks                    ShiViz
``mermaid``    sequence diagram                          Markdown on code hosts, wikis
``csv``        tidy table, a line an event (or outage)   everything
``parquet``    the same table, typed                     data frames
``junit``      verdicts of a stored comparison           CI systems
=============  ========================================  ===================================

All but the last read nothing but traces (`model.trace`), so simulated and real runs look the same in each of them.
The first three show one run, tables all runs of all files.
"""

from __future__ import annotations

FORMATS = ("perfetto", "shiviz", "mermaid", "csv", "parquet", "junit")

TABLES = ("events", "milestones", "outages")
"""What ``csv`` and ``parquet`` can hold."""
