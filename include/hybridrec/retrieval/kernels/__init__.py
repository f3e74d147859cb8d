"""The innermost loops of retrieval, compiled; callers check what they pass.

Import all but arrays inside functions only: listing the models must not cost an import of numba.
A loop calls loops of its own file, since numba keeps compiled code by the time of a file; `dot` is the one exception.
"""
