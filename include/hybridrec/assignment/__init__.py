"""Assign users by a hash: layers that share no user, the arms of experiments, and the options that an arm stands for."""
