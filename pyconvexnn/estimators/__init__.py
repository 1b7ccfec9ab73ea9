"""scikit-learn estimators: check, build problems, solve, recover, certify."""

from pyconvexnn.estimators.classifier import ConvexMLPClassifier
from pyconvexnn.estimators.classifier_cv import ConvexMLPClassifierCV
from pyconvexnn.estimators.regressor import ConvexMLPRegressor
from pyconvexnn.estimators.regressor_cv import ConvexMLPRegressorCV

__all__ = [
    "ConvexMLPClassifier",
    "ConvexMLPClassifierCV",
    "ConvexMLPRegressor",
    "ConvexMLPRegressorCV",
]
