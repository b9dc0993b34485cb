"""How the operator speaks with the API server: calls, lists, watches, the queue that they fill."""
