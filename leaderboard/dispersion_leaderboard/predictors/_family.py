"""Family as a fixed effect: how much of what a signal leaves unexplained is the family's."""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm
from scipy import stats

from dispersion_leaderboard.predictors._folds import sums_by_group
from dispersion_leaderboard.predictors._results import FamilyEffect
from dispersion_leaderboard.predictors._rows import Rows


def family_effect(rows: Rows, labels: tuple[str, ...]) -> FamilyEffect | None:
    """Least squares with and without a constant for every family; None where too few models are left to tell.

    Centring within families stands for the constants (Frisch and Waugh): the same slopes and residuals.
    """
    sizes = np.bincount(rows.families)
    means = sums_by_group(np.column_stack([rows.target, rows.features]), rows.families, len(sizes)) / sizes[:, None]
    within = np.column_stack([rows.target, rows.features]) - means[rows.families]
    varied = np.ptp(within[:, 1:], axis=0) > 1e-9 * np.maximum(np.ptp(rows.features, axis=0), 1e-300)
    total = float(((rows.target - rows.target.mean()) ** 2).sum())
    without = sm.OLS(rows.target, sm.add_constant(rows.features, has_constant="add")).fit()
    rank = int(np.linalg.matrix_rank(within[:, 1:][:, varied])) if varied.any() else 0
    df_residual = len(rows.target) - len(sizes) - rank
    df_families = int(without.df_resid) - df_residual
    if df_residual < 1 or df_families < 1 or total <= 0:
        return None
    slopes, slope_p = np.full((2, rows.features.shape[1]), np.nan)
    if rank:
        fitted = sm.OLS(within[:, 0], within[:, 1:][:, varied])
        left = float(fitted.fit().ssr)
        clustered = fitted.fit(cov_type="cluster", cov_kwds={"groups": rows.families}, use_t=True)
        slopes[varied], slope_p[varied] = clustered.params, clustered.pvalues
    else:
        left = float((within[:, 0] ** 2).sum())
    if left <= 1e-12 * total:
        return None
    f = max((float(without.ssr) - left) / df_families, 0) / (left / df_residual)
    return FamilyEffect(
        f=f,
        df_families=df_families,
        df_residual=df_residual,
        p=float(stats.f.sf(f, df_families, df_residual)),
        r2_without=1 - float(without.ssr) / total,
        r2_with=1 - left / total,
        features=labels,
        slopes=tuple(map(float, slopes)),
        slope_p=tuple(map(float, slope_p)),
    )
