"""Write what the program knows of the cluster file's keys: `make docs`. A test compares.

docs/cluster-file.schema.json, for editors, and docs/cluster-file-changes.md, on changes.
"""

from pathlib import Path

from clusterous_cli.cluster.file import fields, schema

HERE = Path(__file__).parent
HEAD = """# What a change of the cluster file does

Made by `make docs` from what the program goes by. `clusterous plan` tells of the very change, and
changes nothing. Whatever is refused is refused before anything is made, with the value that the
cluster has. What each key may be: [cluster-file.md](cluster-file.md).

| Key | A change is | What it is | What `create` does with a change |
|---|---|---|---|
"""


def made() -> dict[Path, str]:
    """Return the files as they should be."""
    rows = "\n".join(fields.row(key) for key in fields.FIELDS)
    return {
        HERE / "cluster-file.schema.json": schema.text(),
        HERE / "cluster-file-changes.md": f"{HEAD}{rows}\n",
    }


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
