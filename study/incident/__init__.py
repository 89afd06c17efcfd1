"""What happened last night: logs of a real incident, read, put on one clock, explained, and held against the odds.

=============  ================================================================================
`logs`         files to lines that say something: sentinels, servers, registrar nodes, Flexisip
`hosts`        whose log it is, which address is which host
`clocks`       by how much each host's clock was off, as intervals from what caused what
`settings`     what the lines tell of quorum, down-after and failover-timeout
`faults`       what broke, each inference with the lines that show it and what else it could be
`likely`       the scenario of it, and what the simulation says of such a night
`score`        how well all that works on stored runs whose faults are known
=============  ================================================================================

Left out: incidents of several groups of servers (the group with the most lines is taken), and clusters of Redis.
"""
