"""Proof files: written by :func:`pyconvexnn.certify`, checked by a module that stands alone."""

from pyconvexnn.proofs.checker import ProofError, check
from pyconvexnn.proofs.files import Claim, header, prove, with_columns

__all__ = ["Claim", "ProofError", "check", "header", "prove", "with_columns"]
