"""The heavy half: it makes the networks (PyTorch, extra ``[train]``); the light half never imports it."""
