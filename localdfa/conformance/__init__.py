"""What every model has to hold to, one file of tests a family: ``pytest --pyargs localdfa.conformance``.

The tests run over all models that the registry finds, so that those of installed packages are among them. Models in files of
one's own are held to them where ``LOCALDFA_SPEC`` names a spec that names these files:

    LOCALDFA_SPEC=mine.toml pytest --pyargs localdfa.conformance -k softsign

They need pytest, which localdfa itself does not. What holds of one model alone, that its formula is the right one for
instance, is for that model's own test.
"""
