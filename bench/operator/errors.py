"""What can go wrong with a measurement: it then has no result, and says why."""


class BenchError(Exception):
    """The measurement could not be made; the message says why."""
