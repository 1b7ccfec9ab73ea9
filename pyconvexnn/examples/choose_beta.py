"""Choose the penalty by cross-validation, and see the score of each."""

from __future__ import annotations

from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

import pyconvexnn as cx


def main() -> None:
    """Print the score of every penalty in cross-validation, and the held-out score of the best."""
    data = load_diabetes()
    columns = [data.feature_names.index(name) for name in ("bmi", "bp", "s5")]
    X, y = scale(data.data[:, columns]), scale(data.target)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)

    # Paths of 8 penalties, from the largest that is useful down, on 5 folds; only the refit on all
    # rows is certified. rule="1se": the largest penalty within a standard error of the best.
    search = cx.ConvexMLPRegressorCV(betas=8, cv=5, rule="1se")
    search.fit(X, y)
    scores = zip(
        search.betas_,
        search.cv_results_["mean_test_score"],
        search.cv_results_["std_test_score"],
        strict=True,
    )
    for beta, mean, deviation in scores:
        print(f"beta {beta:9.3f}: R2 {mean:.3f}, standard deviation {deviation:.3f}")
    print(f"chosen beta: {search.beta_:.3f}")
    print(f"score of cross-validation: {search.best_score_:.3f}")
    print(f"score on held-out rows: {search.score(X_test, y_test):.3f}")
    print(f"neurons: {search.network_.n_neurons}")
    assert search.certificate_ is not None  # as certify is True
    print(f"relative gap: {search.certificate_.relative_gap:.1e}")


if __name__ == "__main__":
    main()
