"""PubMed: 19,717 papers on diabetes, which cite each other, 500 words, 3 types of it (9 MB), for modules."""

from localdfa.data import planetoid
from localdfa.data.kinds import Graph

PUBLISHED = planetoid.Published(
    "pubmed",
    md5=(
        "d6ecf5ffbdc9f8b181962d6829c7a8ac",
        "ab5def164b4c5b33e215b6397a84ee4b",
        "30d5abd15cf10e46ebd9514b256e0347",
        "3082e367753e3a81c457f644316ca17d",
        "601ee2ffa59197989ff7267383a4ea46",
        "57cdfacfa20179b9b92e077fba394d1c",
    ),
    classes=(
        "Experimental",
        "Type 1",
        "Type 2",
    ),
    nodes=19_717,
    features=500,
)


def load() -> Graph:
    """Return PubMed: 19,717 papers on diabetes, joined by 44,324 citations, tf-idf of 500 words, 3 types of diabetes.

    60 papers, 20 of each class, are learned from, 500 are for validation, 1,000 for the test (`planetoid.read`).

    Source: G. Namata, B. London, L. Getoor and B. Huang (2012), Query-driven active surveying for collective classification,
    Workshop on Mining and Learning with Graphs; split and files of Z. Yang, W. W. Cohen and R. Salakhutdinov (2016), Revisiting
    semi-supervised learning with graph embeddings, arXiv:1603.08861, https://github.com/kimiyoung/planetoid (MIT).
    """
    return planetoid.read(PUBLISHED)


model = load
