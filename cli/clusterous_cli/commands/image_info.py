"""`clusterous image-info NAME[:TAG]`, as it was called before there was `image info`."""

from clusterous_cli.commands import image

command = image.info
