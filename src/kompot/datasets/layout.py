"""Coordinates in two dimensions for pictures, from the diffusion components.

The first two non-constant components of a branching trajectory draw a Y with thin arms. A share of the third
one is added to the horizontal axis, so that the arms become bands in which single cells can be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ARM_WIDTH = 0.15
_SCALE = 5.0  # about the range that UMAP pictures have


def planar_layout(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates for a picture.

    Parameters
    ----------
    components
        Diffusion components, shape (n_cells, n_components), columns of unit length, the first one constant.

    Returns
    -------
    Shape (n_cells, 2), without a unit; about -15 to 15.
    """
    n_cells = components.shape[0]
    standard = components[:, 1:4] * np.sqrt(n_cells) * _SCALE
    mixing = np.array([[1.0, 0.0], [0.0, 1.0], [_ARM_WIDTH, 0.0]])
    return np.asarray(standard @ mixing[: standard.shape[1]])
