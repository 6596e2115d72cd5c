"""Moves a tenant to another database while its calls go on."""

from axon_storage.moving.moves import MoveResult, MoveStep, move

__all__ = ["MoveResult", "MoveStep", "move"]
