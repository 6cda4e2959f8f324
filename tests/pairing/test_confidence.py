"""Evidence for and against the best solution, and its calibration."""

import numpy as np
import pytest

from codedpo_plugin.pairing.confidence import calibrate, evidence
from codedpo_plugin.ranking.pass_matrix import NO_VALUE, NOT_RUN, REFUSED
from codedpo_plugin.recipe import Calibration
from helpers.matrices import problem


def test_refused_inputs_are_no_evidence_of_being_wrong():
    """A solution that raises ValueError on an input that the problem may not allow does not
    differ there; one that crashes does."""
    refuses = [[0, 0, 0]] * 8 + [[0, 0, REFUSED]]
    crashes = [[0, 0, 0]] * 8 + [[0, 0, NO_VALUE]]
    assert evidence(problem(refuses, [0, 0, 0]).matrix, 0).differs[8] == 0
    assert evidence(problem(crashes, [0, 0, 0]).matrix, 0).differs[8] > 0


def test_inputs_on_which_a_program_was_not_run_do_not_count():
    outputs = [[0, 0, 3, 3]] * 6 + [[0, 0, NOT_RUN, NOT_RUN], [1, 1, NOT_RUN, NOT_RUN]]
    found = evidence(problem(outputs, [0, 0]).matrix, 0)
    assert found.cluster.tolist() == [True] * 7 + [False]


def test_calibration_follows_many_labels_and_hardly_moves_for_few():
    rng = np.random.default_rng(0)
    prior, true = Calibration(), Calibration(intercept=0.5, slope=2.0)
    margins = rng.random(4000)
    right = rng.random(4000) < [true.probability(margin) for margin in margins]
    many, few = calibrate(margins, right, prior), calibrate(margins[:5], right[:5], prior)
    assert abs(many.probability(0.5) - true.probability(0.5)) < 0.05
    assert abs(few.probability(0.5) - prior.probability(0.5)) < 0.3
    assert calibrate(margins[:0], right[:0], prior).probability(0.3) == pytest.approx(
        prior.probability(0.3)
    )
