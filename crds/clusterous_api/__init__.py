"""The contract between CLI, operator and users: names, models and errors, without any I/O."""
