"""Conversations for the demo model: invented by seed, every reply the only right one."""
