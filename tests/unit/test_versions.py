"""Families of versions: each is described, and a server finds its own."""

from __future__ import annotations

from typing import get_args

import pytest

from model import redis_server
from model.scenario import ServerSection
from model.versions import DIFFERENCES, Version, family_of, names_of_differences


def test_every_family_is_described():
    assert tuple(DIFFERENCES) == get_args(Version)


def test_the_default_family_is_described_from_its_own_sources():
    family = DIFFERENCES[ServerSection().version]
    assert (family.source, family.kind) == ("Redis 7.0.15", "vendor default")


@pytest.mark.parametrize("family", DIFFERENCES)
def test_a_family_is_assumed_exactly_when_another_ones_sources_were_read(family):
    described = DIFFERENCES[family]
    flavour, _, version = described.source.partition(" ")
    own = family_of(flavour.lower(), version.partition("-")[0])
    assert (described.kind == "vendor default") == (own == family)


def test_the_peculiarities_of_6_2_are_its_own():
    """What 7.0 changed has stayed so; a family without a flag behaves like 7.0."""
    peculiar = ("relative_expiry", "restart_forgets_history", "misconf_spares_replicas", "demotion_drops_replicas")
    for family, described in DIFFERENCES.items():
        assert {getattr(described, name) for name in peculiar} == {family == "6.2"}, family


def test_syncs_of_one_flush():
    assert {family: each.flush_syncs for family, each in DIFFERENCES.items() if each.flush_syncs != 2} == {"7.0": 3}


def test_the_machine_has_a_flag_for_each_difference_of_a_server():
    flags = {field.name for field in redis_server.REDIS.fields} & set(names_of_differences())
    assert flags == {"restart_forgets_history", "misconf_spares_replicas", "demotion_drops_replicas"}


@pytest.mark.parametrize(
    ("flavour", "version", "family"),
    [
        ("redis", "6.2.14", "6.2"),
        ("redis", "7.0.15", "7.0"),
        ("redis", "8.2.3", "8.2"),
        ("valkey", "8.1.8", "valkey-8.1"),
        ("valkey", "9.1.2", "valkey-9.1"),
        ("redis", "5.0.14", None),
        ("valkey", "6.2.0", None),
        ("dragonfly", "7.0.0", None),
        ("redis", "", None),
    ],
)
def test_a_server_finds_its_family(flavour, version, family):
    assert family_of(flavour, version) == family
