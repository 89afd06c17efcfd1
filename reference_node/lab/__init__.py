"""Real clusters, started and broken: servers, networks of namespaces, faults, probers, logs turned into traces."""
