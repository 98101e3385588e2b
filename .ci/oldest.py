"""Print the oldest versions that pyproject.toml allows, as constraints for pip.

Derived, so that they cannot drift from what is declared: `name[extra]>=1.2` becomes `name==1.2`.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def oldest(requirement: str) -> str:
    """`name==version` of a requirement with a lower bound only."""
    match = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", requirement)
    if match is None:
        sys.exit(f"pyproject.toml: expected 'name>=version', came {requirement!r}")
    return f"{match[1]}=={match[2]}"


requirements = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["lazy"]]
print("\n".join(sorted(set(map(oldest, requirements)))))
