"""What is wrong with a set of configuration files, each fault with what it costs: `hastudy lint`.

`read` parses files and tells what they are, `deployment` holds them together, `rules` judge, `figures` say how many
seconds or how likely, `understood` writes the scenario, `generate` goes the other way.
"""
