"""One file a chapter that has a question of its own."""
