"""Array types used throughout."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float64: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.float64] | NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Matrix: TypeAlias = Any
"""A 2-D array or a SciPy sparse matrix; the stubs give the two no common base."""
