"""Checking a fine-tuning method on tiny models, or a model: does it keep to the contract that the suites rely on?"""

from capbench.check.findings import Finding
from capbench.check.method import check_method
from capbench.check.model import check_model

__all__ = ["Finding", "check_method", "check_model"]
