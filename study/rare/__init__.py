"""`hastudy rare`: how often does a cluster fail over although its primary lives, when that is rarer than once in years?

`options` reads the command line, `causes` what disturbs the cluster; `estimate` runs the splitting (`sim.splitting`)
over the simulated cluster, `summary` and `text` show what came out. `chain` is a small Markov chain of the same kind,
by which the splitting is checked against exact solutions; `storm` has it solved by another program.
"""
