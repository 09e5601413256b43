"""Dropout for recurrent networks, all of it outside the recurrence, so that the fused kernels stay.

Shape suffixes: B rows, T places, F features, V vocabulary size, E embedding size.
"""

from torch import Tensor
from torch.nn.functional import dropout


def locked_dropout(x_BTF: Tensor, rate: float) -> Tensor:
    """`x_BTF` with the same features of a row dropped at every place.

    Source: Gal & Ghahramani 2016 (variational dropout).  What is dropped anew at each place can be
    made up for at the next; what is gone for a whole poem cannot.
    """
    mask_B1F = dropout(x_BTF.new_ones(x_BTF.shape[0], 1, x_BTF.shape[2]), rate)
    return x_BTF * mask_B1F


def embedding_dropout(embedding_VE: Tensor, rate: float) -> Tensor:
    """The matrix with whole rows dropped: some characters are blank for a batch.

    Source: Gal & Ghahramani 2016; Merity, Keskar & Socher 2018 (AWD-LSTM).
    """
    return embedding_VE * dropout(embedding_VE.new_ones(embedding_VE.shape[0], 1), rate)


def weight_dropout(weight: Tensor, rate: float) -> Tensor:
    """A hidden-to-hidden matrix with weights dropped for a whole batch.

    Source: Wan et al. 2013 (DropConnect); Merity, Keskar & Socher 2018 for recurrent weights.
    """
    return dropout(weight, rate)
