"""Names become ids that end unambiguously; the trie's arrays say what a dictionary of prefixes says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.llm.by_name.trie import Names, NameTrie
from ml.llm.tokens import LineTokenizer

AWKWARD = ["Heatmax, Inc.", "Heatmax", "'47 Brand", "5.11", "Dr.\tMartens ", "100% Pure", "Ünïq", "(A)", "x" * 80]
Ids = list[tuple[int, ...]]
catalogues = st.lists(
    st.lists(st.integers(1, 3), min_size=0, max_size=5).map(lambda ids: (*ids, 0)), min_size=1, max_size=25, unique=True
)


def trie_of(ids: Ids) -> NameTrie:
    return NameTrie.of([np.array(name) for name in ids])


def prefixes(trie: NameTrie) -> Ids:
    """The token path to each node."""
    paths: Ids = [()]
    for node in range(len(trie)):
        paths += [(*paths[node], int(trie.token[child])) for child in range(trie.first[node], trie.first[node + 1])]
    return paths


def test_a_name_joined_to_a_prompt_has_the_ids_of_the_text(tiny_base: Path) -> None:
    tokenizer = LineTokenizer(tiny_base)
    names = Names.of(AWKWARD, tokenizer)
    prompt = "user: 25-34, CA\nbought: Nike, shoes\n"
    for row, name in zip(names.of_advertiser, AWKWARD, strict=True):
        joined = np.concatenate([tokenizer.encode_text(prompt), names.cue, names.ids[row]])
        text = f"{prompt}bought: {' '.join(name.split())[:60]}\n"
        np.testing.assert_array_equal(joined, tokenizer.encode_text(text))


def test_names_that_read_the_same_share_a_leaf(tiny_base: Path) -> None:
    names = Names.of(["Nike", "Puma", " Nike", "y" * 70, "y" * 75], LineTokenizer(tiny_base))
    assert names.of_advertiser.tolist() == [0, 1, 0, 2, 2]
    assert len(names.ids) == 3


@given(catalogues)
@settings(max_examples=150, deadline=None)
def test_arrays_say_what_a_dictionary_of_prefixes_says(ids: Ids) -> None:
    trie = trie_of(ids)
    paths = prefixes(trie)
    assert sorted(paths) == sorted({name[:n] for name in ids for n in range(len(name) + 1)})
    for node, path in enumerate(paths):
        below = [row for row, name in enumerate(ids) if name[: len(path)] == path]
        assert trie.depth[node] == len(path)
        assert trie.high[node] - trie.low[node] == len(below)
        assert trie.name[node] == (ids.index(path) if path in ids else -1)
        following = [other for other in paths if other[:-1] == path and other]
        assert sorted(paths[c] for c in trie.children(np.array([node]))[1]) == sorted(following)


@given(catalogues)
@settings(max_examples=100, deadline=None)
def test_ancestors_and_forced_runs(ids: Ids) -> None:
    trie = trie_of(ids)
    paths, nodes = prefixes(trie), np.arange(len(trie))
    found = trie.leads_to(nodes[:, None], nodes[None])
    for a, b in np.ndindex(*found.shape):
        assert found[a, b] == (paths[b][: len(paths[a])] == paths[a])
    assert not trie.leads_to(np.array([-1]), nodes).any()
    place, run = trie.runs(nodes)
    for node in nodes:
        path = [node]
        while trie.first[path[-1] + 1] - trie.first[path[-1]] == 1:
            path.append(trie.first[path[-1]])
        assert run[place == node].tolist() == path
        assert trie.end[node] == path[-1]


@pytest.mark.parametrize("ids", [[], [(1,), (1, 2)], [(1, 2), (1, 2)]])
def test_what_is_no_trie_of_names_is_refused(ids: Ids) -> None:
    with pytest.raises(BadInput):
        trie_of(ids)
