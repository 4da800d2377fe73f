from __future__ import annotations

import pytest

from dataloader.base.names import conda_name, file_name_of, normalized, pypi_names, some


@pytest.mark.parametrize(
    ("project", "conda"),
    [
        ("torch", "pytorch"),
        ("numpy", "numpy"),
        ("Typing_Extensions", "typing_extensions"),
        ("importlib-metadata", "importlib-metadata"),
        ("redis", "redis-py"),
        ("tables", "pytables"),
        ("opencv-python", "py-opencv"),
    ],
)
def test_a_project_has_one_conda_identity(project: str, conda: str) -> None:
    assert conda_name(project) == conda


@pytest.mark.parametrize(
    ("project", "conda"), [("matplotlib", "matplotlib-base"), ("dask", "dask-core"), ("tensorflow", "tensorflow-base")]
)
def test_the_identity_is_the_package_with_the_files_not_its_wrapper(project: str, conda: str) -> None:
    assert conda_name(project) == conda


@pytest.mark.parametrize("project", ["cmake", "git", "nvidia-cudnn-cu12", "onnxruntime-gpu", "no-such-project-at-all"])
def test_a_project_that_conda_does_not_have_has_no_identity(project: str) -> None:
    assert conda_name(project) is None


def test_a_conda_package_of_the_same_name_may_be_something_else() -> None:
    assert pypi_names("docker") == ()
    assert conda_name("docker") == "docker-py"


def test_a_bundled_project_is_not_identified_with_its_bundle() -> None:
    names = pypi_names("jaxlib")

    assert names is not None
    assert "jax-cuda12-plugin" in names
    assert conda_name("jax-cuda12-plugin") is None


def test_an_unknown_conda_name_is_told_from_one_without_projects() -> None:
    assert pypi_names("cudnn") == ()
    assert pypi_names("a-name-nobody-has") is None
    assert pypi_names("pytorch") == ("torch",)


def test_every_identity_holds_the_project() -> None:
    for project in ("torch", "matplotlib", "redis", "ruamel-yaml", "protobuf", "xgboost"):
        conda = conda_name(project)
        assert conda is not None
        assert project in (pypi_names(conda) or ())


def test_names_are_normalised_as_pep_503_says() -> None:
    assert normalized("Ruamel.._YAML") == "ruamel-yaml"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.test/a/lib-1.0-py3-none-any.whl#sha256=0", "lib-1.0-py3-none-any.whl"),
        ("https://h.test/lib-1.0%2Bcu118-py3-none-any.whl?signature=a/b", "lib-1.0+cu118-py3-none-any.whl"),
        ("file:///a%20b/lib-1.0.tar.gz", "lib-1.0.tar.gz"),
        ("lib-1.0.tar.gz", "lib-1.0.tar.gz"),
        ("https://h.test", ""),
    ],
)
def test_a_url_leads_to_a_file_of_one_name(url: str, name: str) -> None:
    assert file_name_of(url) == name


@pytest.mark.parametrize(("count", "said"), [(0, ""), (2, "a, b"), (3, "a, b and 1 more"), (5, "a, b and 3 more")])
def test_of_many_names_the_first_are_said(count: int, said: str) -> None:
    assert some("abcde"[:count], 2) == said
