def simulate(network,setting,inputs,targets=None): raise NotImplementedError
