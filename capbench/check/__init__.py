"""Checking a fine-tuning method on tiny models, in seconds: does it keep to the contract that the suites rely on?"""

from capbench.check.findings import Finding
from capbench.check.method import check_method

__all__ = ["Finding", "check_method"]
