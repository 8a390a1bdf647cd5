"""A model of deployments larger than one machine: a simulation from measured costs."""
