"""Errors that a user can act on: one sentence naming the key or file, what was found, what is allowed."""


class ExitwaveError(Exception):
    """Base class of every error that exitwave raises on purpose."""


class ConfigError(ExitwaveError):
    """A config file is wrong: unknown key, wrong type, missing block, impossible geometry."""


class StructureError(ExitwaveError):
    """A structure cannot be built as described."""


class ShardError(ExitwaveError):
    """A shard is missing, damaged or does not hold what was asked for."""


class DatasetError(ExitwaveError):
    """A dataset cannot be drawn: empty query, impossible split, unknown column."""


class TrainingError(ExitwaveError):
    """A training cannot start or has diverged."""


class MicrographError(ExitwaveError):
    """A micrograph or its mask cannot be used."""


class ScanError(ExitwaveError):
    """A scan of diffraction patterns, or its probe, cannot be used."""


class LatticeError(ExitwaveError):
    """No lattice can be fitted: too few disks, or all in a line."""


class LiteratureError(ExitwaveError):
    """A source of literature, or a part of one, cannot be read."""


class FetchError(ExitwaveError):
    """What is public cannot be fetched: no network, or something else came."""


class WriteError(ExitwaveError):
    """A file cannot be written: disk full, quota, permissions."""


class RunError(ExitwaveError):
    """A run cannot start: another one is at work in its results folder, or nothing can be written there."""
