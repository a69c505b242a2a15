"""A user's method."""

import copy

from capbench import fit, next_token_loss


def loss(model, batch, task):
    return 2 * next_token_loss(model, batch, task)


def tune(model, task, config):
    """Fine-tuning with a loss of its own, which keeps no state."""
    tuned = copy.deepcopy(model)
    fit(tuned, task, config, loss=loss, resumable=True)
    return tuned
