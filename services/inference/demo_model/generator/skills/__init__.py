"""A module per kind of request; a skill makes an `Exchange`, or None where it does not fit."""
