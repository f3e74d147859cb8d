"""The networks of the torch models; every module imports torch, so only functions import them."""
