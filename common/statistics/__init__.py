"""Each computation of the study with its halves side by side: a site's sums, the server's answer.

scores, auc, delong          score histograms; AUC with its variance; paired comparison
operating_point, wilson      threshold for a sensitivity; sensitivity, specificity, PPV, NPV
moments, pruning, lasso      standardised problem; correlation pruning; LASSO path and selection
logistic, newton             sums of a logistic regression; the state machine that solves it
roc, calibration, calibration_line, decision_curve
                             curves and calibration of a finished model's scores
sums, checks, quadratic      what they share: the form of sums; checks; the L1 quadratic
"""
