"""The classifier in scikit-learn's pipeline and grid search, saved and loaded with joblib."""

from __future__ import annotations

import tempfile
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pyconvexnn as cx


def main() -> None:
    """Print the penalty chosen, the scores, and whether the loaded model predicts the same."""
    X, y = load_wine(return_X_y=True, as_frame=True)  # a DataFrame: column names are kept
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)

    # certify=False: the folds of a search need no proof.
    model = make_pipeline(
        StandardScaler(), cx.ConvexMLPClassifier("gated_relu", patterns=300, certify=False)
    )
    grid = {"convexmlpclassifier__beta": [0.1, 1.0, 10.0]}
    search = GridSearchCV(model, grid, cv=3).fit(X, y)
    print(f"chosen beta: {search.best_params_['convexmlpclassifier__beta']}")
    print(f"score of cross-validation: {search.best_score_:.3f}")

    best = search.best_estimator_.set_params(convexmlpclassifier__certify=True).fit(X, y)
    print(f"score on held-out rows: {best.score(X_test, y_test):.3f}")
    print(f"relative gap over these patterns: {best[-1].certificate_.relative_gap:.1e}")

    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(best, Path(folder, "model.joblib"))
        loaded = joblib.load(Path(folder, "model.joblib"))  # only files that you trust
    same = np.array_equal(loaded.predict_proba(X_test), best.predict_proba(X_test))
    print(f"same probabilities when loaded: {same}")


if __name__ == "__main__":
    main()
