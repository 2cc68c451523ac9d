"""Programs that tests start: they need packages that only those tests install."""

collect_ignore = ["action_child.py"]
