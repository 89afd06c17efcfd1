"""Readers of configuration files, one module a kind: each turns text into what `study.lint.deployment` declares.

A reader knows its kind by its content (`is_mine`), keeps every line's number, and never refuses a line that the program
itself might take: what it cannot read becomes `Broken`, and a rule says what follows.
"""
