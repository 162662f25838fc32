"""Counters added up over all processes, for whoever collects a part of the record."""

from dataclasses import dataclass


@dataclass
class Sums:
    """Counters of all processes, added up."""

    by_name: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.by_name[name]
