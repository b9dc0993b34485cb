"""What commands that change a cluster take from their words."""

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.commands import changing


@pytest.mark.parametrize(
    ("words", "size"),
    [("100", 100), ("100g", 100), ("40 GiB", 40), ("2TiB", 2048), ("16tb", 16384)],
)
def test_a_size_is_said_in_gib(words: str, size: int) -> None:
    reef = config.parse("name: reef\nvolume: {size: 30, iops: 4000}\n")

    grown = changing.grown(reef, words)

    assert (grown.volume.size, grown.volume.iops) == (size, 4000)


@pytest.mark.parametrize(
    ("volume", "words", "says"),
    [
        ("ebs", "much", "'much' is no size; say GiB"),
        ("ebs", "+5", "is no size"),
        ("ebs", "0", "0 GiB cannot be had: a volume has 1 to 16384"),
        ("ebs", "17T", "17408 GiB cannot be had"),
        ("efs", "100", "it grows and shrinks with its data"),
        ("none", "100", "was made without a shared volume"),
    ],
)
def test_what_cannot_be_grown_is_told(volume: str, words: str, says: str) -> None:
    reef = config.parse(f"name: reef\nvolume: {volume}\n")

    with pytest.raises(UserError, match=says.replace("+", r"\+")):
        changing.grown(reef, words)


def test_a_number_of_thousands_of_digits_is_told() -> None:
    with pytest.raises(UserError, match=r"999999999… machines are too many"):
        changing.amount(["9" * 5000, "cpu"], None)
