"""Ask the NVIDIA driver what it is, and print the answer as JSON.

Run as a script in a process of its own: loading a driver library may hang or crash, and both must stay answers.
Imports nothing but ctypes, json and sys.
"""

from __future__ import annotations

import ctypes
import json

# CUdevice_attribute in cuda.h.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_CUDA = ("libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1")
_NVML = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")


def _load(names: tuple[str, ...]) -> ctypes.CDLL | None:
    """The first of the libraries that is there."""
    return next((library for library in map(_load_one, names) if library), None)


def _load_one(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _dotted(number: int) -> str:
    """12020 -> ``"12.2"``, as cuda.h encodes it."""
    return f"{number // 1000}.{number % 1000 // 10}"


def ask_nvml() -> dict[str, object]:
    """Driver, CUDA version and GPUs from NVML; empty when it is not there or does not answer."""
    nvml = _load(_NVML)
    if nvml is None or nvml.nvmlInit_v2() != 0:
        return {}
    answer: dict[str, object] = {}
    text = ctypes.create_string_buffer(96)
    if nvml.nvmlSystemGetDriverVersion(text, len(text)) == 0:
        answer["driver"] = text.value.decode()
    number, minor = ctypes.c_int(), ctypes.c_int()
    if (
        hasattr(nvml, "nvmlSystemGetCudaDriverVersion_v2")
        and nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(number)) == 0
    ):
        answer["cuda"] = _dotted(number.value)
    count = ctypes.c_uint()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    gpus = []
    for index in range(count.value):
        device = ctypes.c_void_p()
        if (
            nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) == 0
            and nvml.nvmlDeviceGetName(device, text, len(text)) == 0
            and nvml.nvmlDeviceGetCudaComputeCapability(device, ctypes.byref(number), ctypes.byref(minor)) == 0
        ):
            gpus.append([text.value.decode(), f"{number.value}.{minor.value}"])
    return answer | {"gpus": gpus}


def ask_libcuda(*, devices: bool) -> dict[str, object]:
    """CUDA version from libcuda, which counts a forward-compatibility package in; with ``devices`` the GPUs too."""
    cuda = _load(_CUDA)
    number, count, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    # A toolkit's stub library answers with an error.
    if cuda is None or cuda.cuDriverGetVersion(ctypes.byref(number)) != 0 or number.value == 0:
        return {}
    answer: dict[str, object] = {"cuda": _dotted(number.value)}
    if not devices or cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return answer
    gpus = []
    text, major, minor = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_int()
    for index in range(count.value):
        if cuda.cuDeviceGet(ctypes.byref(device), index) == 0 and cuda.cuDeviceGetName(text, len(text), device) == 0:
            cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
            cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
            gpus.append([text.value.decode(), f"{major.value}.{minor.value}"])
    return answer | {"gpus": gpus}


def main() -> None:
    """Print ``{"driver": ..., "cuda": ..., "gpus": [[name, capability], ...]}`` with what was found."""
    nvml = ask_nvml()
    print(json.dumps(nvml | ask_libcuda(devices="gpus" not in nvml)))  # noqa: T201 -- the answer of the process


if __name__ == "__main__":
    main()
