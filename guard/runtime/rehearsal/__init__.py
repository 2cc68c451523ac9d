"""``guard rules test``: markets as a script or a recording, virtual time, few and tolerant expectations."""
