"""What the records of the schema are made of: the base of all sections and the types that several share.

Rule    imports nothing of the room, so that a file of sections (*_keys.py) and schema.py can both build on it.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

CPUS_MAX = 512
DAY_MS = 86_400_000

Percent = Annotated[float, Meta(ge=0.0, le=1.0)]
Ms = Annotated[int, Meta(ge=0, le=DAY_MS)]
CostNs = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Jiffies = Annotated[int, Meta(ge=0, le=10_000)]
Pages = Annotated[int, Meta(ge=0, le=1_000_000)]
Calls = Annotated[int, Meta(ge=0, le=10**15)]
Positive = Annotated[float, Meta(gt=0.0, le=1e9)]
Core = Annotated[int, Meta(ge=0, le=65_535)]
Cores = str | tuple[Core, ...]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: immutable, and no key but the ones declared."""
