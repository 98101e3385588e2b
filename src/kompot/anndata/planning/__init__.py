"""Time and memory of an analysis before it runs (`dry_run=True`)."""
