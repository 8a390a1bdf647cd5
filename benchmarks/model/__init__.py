"""A model of deployments larger than one machine: a simulation that is fed with measured costs."""
