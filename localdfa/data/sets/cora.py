"""Cora: 2,708 papers, which cite each other, 1,433 words, 7 fields of machine learning (0.5 MB), for modules."""

from localdfa.data import planetoid
from localdfa.data.kinds import Graph

PUBLISHED = planetoid.Published(
    "cora",
    md5=(
        "c9083193a57057dd1238321e140194d7",
        "125d70817fe1fdbfdcad991995e81579",
        "b29c36916768e1d2f55391c1aa9317ac",
        "48bf43f54fa5b86089a4bd0299795f10",
        "b37c419cec179f45834467630c278e4c",
        "9b822cae1d01f41e8bf8782e20367c0e",
    ),
    classes=(
        "Theory",
        "Reinforcement learning",
        "Genetic algorithms",
        "Neural networks",
        "Probabilistic methods",
        "Case based",
        "Rule learning",
    ),
    nodes=2_708,
    features=1_433,
)


def load() -> Graph:
    """Return Cora: 2,708 papers, joined by 5,278 citations, 1,433 words that occur in them or not, 7 fields.

    140 papers, 20 of each class, are learned from, 500 are for validation, 1,000 for the test (`planetoid.read`).

    Source: P. Sen, G. Namata, M. Bilgic, L. Getoor, B. Gallagher and T. Eliassi-Rad (2008), Collective classification in
    network data, AI Magazine 29(3):93; split and files of Z. Yang, W. W. Cohen and R. Salakhutdinov (2016), Revisiting
    semi-supervised learning with graph embeddings, arXiv:1603.08861, https://github.com/kimiyoung/planetoid (MIT).
    """
    return planetoid.read(PUBLISHED)


model = load
