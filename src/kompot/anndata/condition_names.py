"""Conditions as they occur in names of fields, told apart where their labels would give the same text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from anndata import AnnData

from kompot._file_names import numbered, safe_part
from kompot.anndata.extract import different_labels, label_column


def clean_label(label: object) -> str:
    r"""A condition label as part of a field name: space, hyphen, dot and slash become underscores.

    So does what files cannot hold within a name (`kompot._file_names`).

    Examples
    --------
    >>> clean_label("wild type"), clean_label(0.5), clean_label("a\0b")
    ('wild_type', '0_5', 'a_b')
    """
    return safe_part(_spaced(label))


def _spaced(label: object) -> str:
    """The same, with what files cannot hold."""
    return re.sub(r"[ \-./]", "_", str(label))


def condition_names(adata: AnnData, groupby: str, *chosen: Any) -> tuple[str, ...]:
    """What stands for conditions in the names of fields: `clean_label`, with a number where it would be ambiguous.

    A label keeps its cleaned text if that can be written and no other label chosen has the same. All others are
    numbered among the labels of the column, in the order of their texts: so a condition has the same name in every run
    that needs the number, whichever way round it is compared.

    Parameters
    ----------
    adata, groupby
        The object and its column of conditions.
    chosen
        Labels of a run.

    Returns
    -------
    tuple[str, ...]
        Different texts, in the order of the labels.

    Examples
    --------
    >>> import pandas as pd
    >>> obs = pd.DataFrame({"kind": ["T cell", "T-cell", "B"]}, index=list("abc"))
    >>> adata = AnnData(obs=obs)
    >>> condition_names(adata, "kind", "T-cell", "T cell"), condition_names(adata, "kind", "B", "T-cell")
    (('T_cell_2', 'T_cell'), ('B', 'T_cell'))
    """
    among_all = _numbered_labels([*different_labels(label_column(adata, groupby, "groupby")), *chosen])
    cleaned = list(map(clean_label, chosen))
    return tuple(
        text if cleaned.count(text) == 1 and _is_kept(label) else among_all[_identity(label)]
        for label, text in zip(chosen, cleaned, strict=True)
    )


def _identity(label: Any) -> tuple[str, str]:
    """What tells labels apart and orders them: 1 and "1" are two."""
    return str(label), type(label).__name__


def _is_kept(label: Any) -> bool:
    """Whether a label needs no replacement beyond that of spaces, hyphens, dots and slashes."""
    return _spaced(label) == clean_label(label)


def _numbered_labels(labels: Iterable[Any]) -> dict[tuple[str, str], str]:
    """A name for each label, those first that keep their text."""
    ordered = sorted({_identity(label): label for label in labels}.items(), key=lambda item: item[0])
    # By text, so that of several labels the first in order keeps it.
    kept = {clean_label(label): who for who, label in reversed(ordered) if _is_kept(label)}
    names = {who: text for text, who in kept.items()}
    taken = set(kept)
    for who, label in ordered:
        if who not in names:
            names[who] = numbered(clean_label(label), taken)
            taken.add(names[who])
    return names
