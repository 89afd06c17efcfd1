"""What the systems are: machines, scenarios, traces and measures. Imports none of the other packages."""
