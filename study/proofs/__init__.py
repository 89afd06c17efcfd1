"""Proofs for all settings at once, by an SMT solver: `python -m study.proofs`."""
