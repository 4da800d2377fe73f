"""Which framework a symbol is from, by its name: its C++ namespace, or the prefix of its C interface."""

from __future__ import annotations

from typing import Final

_NAMESPACES: Final = {
    "c10": "torch",
    "at": "torch",
    "torch": "torch",
    "caffe2": "torch",
    "tensorflow": "tensorflow",
    "tsl": "tensorflow",
}
"""C++ namespace -> distribution that defines it."""
_PREFIXES: Final = {"aoti_torch_": "torch", "TF_": "tensorflow"}
"""Beginning of a C name -> distribution that defines it."""
CUDA_PARTS: Final = {"libc10_cuda.so": "torch", "libtorch_cuda.so": "torch", "libtorch_cuda_linalg.so": "torch"}
"""Library that only the builds of a distribution for CUDA have -> that distribution."""


def framework_of(symbol: str) -> str | None:
    """The distribution that defines a symbol, where its name says so.

    >>> framework_of("_ZN3c1010TensorImplD1Ev"), framework_of("aoti_torch_dtype_bool"), framework_of("memcpy")
    ('torch', 'torch', None)
    """
    for prefix, project in _PREFIXES.items():
        if symbol.startswith(prefix):
            return project
    found = (project for namespace, project in _NAMESPACES.items() if f"{len(namespace)}{namespace}" in symbol)
    return next(found, None) if symbol.startswith("_Z") else None


def distributions_of(project: str) -> frozenset[str]:
    """What a framework is called on PyPI and in conda's channels."""
    return frozenset({project, "pytorch"} if project == "torch" else {project})
