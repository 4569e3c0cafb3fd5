"""Likelihoods of many answers at once: which answer of a question does the model find likeliest?"""

from llada.scoring.engine import score
from llada.scoring.question import Question, Scores, ScoringConfig

__all__ = ["Question", "Scores", "ScoringConfig", "score"]
