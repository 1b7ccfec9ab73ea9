"""scikit-learn estimators: validate, build a problem, solve, recover, certify."""

from __future__ import annotations

from pyconvexnn.estimators.classifier import ConvexMLPClassifier
from pyconvexnn.estimators.regressor import ConvexMLPRegressor

__all__ = ["ConvexMLPClassifier", "ConvexMLPRegressor"]
