"""What the predecessor's files had around an environment: variables, parameters, Mesos."""
