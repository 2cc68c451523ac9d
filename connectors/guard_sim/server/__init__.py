"""The child process: a server that speaks an exchange's REST and websocket protocol."""
