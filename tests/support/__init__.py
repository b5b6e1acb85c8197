"""What the tests share: the runner, the broker under test, a WebSocket client that can do everything a peer may do."""
