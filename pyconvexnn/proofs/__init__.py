"""Proof files: written by :func:`pyconvexnn.certify`, checked by a module that stands alone."""

from pyconvexnn.proofs.checker import ProofError, check
from pyconvexnn.proofs.files import Claim, prove, with_columns

__all__ = ["Claim", "ProofError", "check", "prove", "with_columns"]
