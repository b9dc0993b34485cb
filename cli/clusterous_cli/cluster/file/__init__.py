"""The cluster file's keys: what each is and what a change of it does, as a schema, written out."""
