"""Checking a fine-tuning method on tiny models, a model, or a capability: does it keep to what the suites rely on?"""

from capbench.check.capability import check_capability
from capbench.check.findings import Finding
from capbench.check.method import check_method
from capbench.check.model import check_model

__all__ = ["Finding", "check_capability", "check_method", "check_model"]
