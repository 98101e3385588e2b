"""Labels that make trouble in files, and some that only look so."""

from hypothesis import strategies as st

KEPT = [
    *["CD4+ T cell", "a.b", ".a", "a.", "...", " ", "a:b<c>d|e?f*g", 'say "a"', "a\nb", "\x01", "categories", "0", "c"],
    *["é", "e\u0301", "T", "t", "\u202eabc", "😀", "__a", "zarr", "x" * 255, "ä" * 127],
]
"""Names that both formats hold in every place."""

TEXTS = st.text(st.sampled_from("ab/\\.\0\ud800\udc00 _2é"), max_size=5) | st.text("aé/", min_size=250, max_size=300)
"""Mostly what they do not."""
