"""Rate networks in PyTorch, on the CPU or a GPU: exact BP, FA, DFA and IFA, and the local rule, as batched tensor code.

`stack` is a network as torch.nn modules, cut where feedback enters; `rules` turns a mini-batch into the gradients that an
optimiser of torch.optim follows; `learner` trains one network of a spec, or several of one shape at once. Nothing of the
core is imported: a network comes as its spec, its initial weights and its B.
"""
