"""Who owns a worker's waiting: `tasks` for engines on an event loop, `threads` for engines that block."""
