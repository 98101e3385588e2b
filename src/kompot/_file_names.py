"""Names that both h5ad and zarr files can hold, letter for letter.

A file keeps a name as part of a path. What the formats make of names that do not suit them, in each of obs, var,
layers, obsp, varm, uns and the columns of tables in varm (seen with anndata 0.12 and 0.13, zarr formats 2 and 3):

| in or as a name | h5ad | zarr | here |
|---|---|---|---|
| `/` | another path, or an error | error | `_` |
| backslash | kept | another path: zarr takes it for `/` | `_` |
| NUL | name cut off there, or an error | error | `_` |
| half of a surrogate pair | error | error, or kept | `_` |
| `.`, `..`, nothing | unreadable, or an error | error, or lost | each dot `_`; `_` for nothing |
| `.zarray`, `.zattrs`, `.zgroup`, `.zmetadata`, `zarr.json` | kept | a file of zarr's own | each dot `_` |
| more than 255 bytes of UTF-8 | kept | error: a folder has this name | shortened, with a hash |
| `_index`, the name of the index (columns of tables) | error | error | numbered |

Everything else is kept: spaces, other dots, colons, control characters, upper and lower case, any script.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import count

LONGEST = 255
"""Bytes of a name, as UTF-8: what file systems allow for a folder."""

COLUMNS_TAKEN = frozenset({"_index"})
"""Names that no column can have, because AnnData keeps the index under them."""

_REASONS = {
    "/": "contain '/', which separates groups in h5ad and zarr files",
    "\\": "contain a backslash, which zarr takes for '/'",
    "\0": "contain the NUL character, at which h5ad cuts names off",
}
_SURROGATE = "contain half of a surrogate pair, for which UTF-8 has no form"
_UNWRITABLE = re.compile("[/\\\\\0\ud800-\udfff]")
_PATHS = frozenset({"", ".", ".."})
_FILES_OF_ZARR = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"})
_DIGITS = 8


def n_bytes(name: str) -> int:
    """Length of a name in a file."""
    return len(name.encode("utf-8", "surrogatepass"))


def why_unwritable(name: str, longest: int = LONGEST) -> str | None:
    """What a name must not do or be that it does or is; None for one that files can hold.

    Examples
    --------
    >>> why_unwritable("CD4/CD8"), why_unwritable("CD4 CD8")
    ("contain '/', which separates groups in h5ad and zarr files", None)
    """
    found = _UNWRITABLE.search(name)
    if found:
        return _REASONS.get(found.group(), _SURROGATE)
    if name in _PATHS:
        return f"be {name!r}, which is no name in h5ad and zarr files"
    if name in _FILES_OF_ZARR:
        return f"be {name!r}, a file of zarr's own"
    if n_bytes(name) > longest:
        return f"have more than {longest} bytes in h5ad and zarr files (it has {n_bytes(name)})"
    return None


def safe_name(name: str) -> str:
    """A name as files can hold it: itself if they can, else see the table above.

    Examples
    --------
    >>> safe_name("CD4+ T cell"), safe_name("CD4/CD8"), safe_name(".."), safe_name("")
    ('CD4+ T cell', 'CD4_CD8', '__', '_')
    """
    text = safe_part(name)
    if text in _PATHS or text in _FILES_OF_ZARR:
        text = text.replace(".", "_") or "_"
    return shortened(text, LONGEST)


def safe_part(text: str) -> str:
    """Text as files can hold it within a longer name."""
    return _UNWRITABLE.sub("_", text)


def shortened(name: str, room: int) -> str:
    """A name of at most `room` bytes (of 8 or more); one that is longer ends in a hash of it, so that two stay two.

    Examples
    --------
    >>> shortened("Young", 20), shortened("Young, treated for a week", 20)
    ('Young', 'Young, trea_80e76b47')
    """
    encoded = name.encode("utf-8", "surrogatepass")
    if len(encoded) <= room:
        return name
    start = encoded[: max(0, room - _DIGITS - 1)].decode("utf-8", "ignore")
    digest = hashlib.sha256(encoded).hexdigest()[:_DIGITS]
    return f"{start}_{digest}" if start else digest


def fitted(parts: Sequence[str], room: int) -> list[str]:
    """Parts of a name, one or two, with at most `room` bytes together: the longer gives way first."""
    sizes = [n_bytes(part) for part in parts]
    if sum(sizes) <= room:
        return list(parts)
    share = room // len(parts)
    return [shortened(part, max(share, room - min(sizes))) for part in parts]


def numbered(name: str, taken: Collection[str]) -> str:
    """The name, or the first of `name_2`, `name_3`, ... that is not taken.

    Examples
    --------
    >>> numbered("a_b", {"a_b", "a_b_2"})
    'a_b_3'
    """
    if name not in taken:
        return name
    return next(text for i in count(2) if (text := shortened(f"{name}_{i}", LONGEST)) not in taken)


def distinct_names(labels: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """A name for each label that files can hold: the label itself where it can be, else its `safe_name`.

    Parameters
    ----------
    labels
        Different texts.
    taken
        Names that none of them can have.

    Returns
    -------
    dict[str, str]
        Name of each label, in their order. Names that would be equal are numbered; the order of the labels does not
        matter.

    Examples
    --------
    >>> distinct_names(["B/T", "NK cell", "B_T"])
    {'B/T': 'B_T_2', 'NK cell': 'NK cell', 'B_T': 'B_T'}
    """
    labels = list(labels)
    names = {label: label for label in labels if label not in taken and why_unwritable(label) is None}
    used = {*taken, *names}
    for label in sorted(set(labels) - set(names)):
        names[label] = numbered(safe_name(label), used)
        used.add(names[label])
    return {label: names[label] for label in labels}
