"""Reports of a run: terminal tables and files, rebuilt from `Results` alone (no torch; heavy imports happen on use)."""

from __future__ import annotations

from capbench.report.natural import natural_table
from capbench.report.terminal import capability_table, claim_table, claims_in_short
from capbench.report.variants import variant_table
from capbench.report.write import check_directory, load, write

__all__ = [
    "capability_table",
    "check_directory",
    "claim_table",
    "claims_in_short",
    "load",
    "natural_table",
    "variant_table",
    "write",
]
