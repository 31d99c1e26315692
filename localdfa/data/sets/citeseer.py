"""CiteSeer: 3,327 papers, which cite each other, 3,703 words, 6 fields of computer science (1 MB), for modules."""

from localdfa.data import planetoid
from localdfa.data.kinds import Graph

PUBLISHED = planetoid.Published(
    "citeseer",
    md5=(
        "28486b4b9c4ee076b4eee2febd89ba86",
        "f0df7e5f859245e32987bfd224d01657",
        "c25ab826a7e95c0922ab625de705f7df",
        "356894a73b7a7eff43c3580f2fcf92a4",
        "5f88483d5f5cc2b26b987bbbfb695005",
        "70af39d4dff8aaa5c63f8dc526b16534",
    ),
    classes=(
        "AI",
        "Machine learning",
        "Information retrieval",
        "Databases",
        "Agents",
        "Human-computer interaction",
    ),
    nodes=3_327,
    features=3_703,
)


def load() -> Graph:
    """Return CiteSeer: 3,327 papers, joined by 4,552 citations, 3,703 words that occur in them or not, 6 fields.

    120 papers, 20 of each class, are learned from, 500 are for validation, 1,000 for the test (`planetoid.read`). 15 of the
    papers are in no file but that of citations: they have no words and no field, and are in no part.

    Source: P. Sen, G. Namata, M. Bilgic, L. Getoor, B. Gallagher and T. Eliassi-Rad (2008), Collective classification in
    network data, AI Magazine 29(3):93; split and files of Z. Yang, W. W. Cohen and R. Salakhutdinov (2016), Revisiting
    semi-supervised learning with graph embeddings, arXiv:1603.08861, https://github.com/kimiyoung/planetoid (MIT).
    """
    return planetoid.read(PUBLISHED)


model = load
