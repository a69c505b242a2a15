"""The packages. All else stands in pyproject.toml, which cannot name some packages by search and others in another folder."""

from setuptools import find_namespace_packages, find_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["capbench*"]),
        *(f"capbench.{name}" for name in find_packages(include=["suites*"])),
    ],
    package_dir={"capbench.suites": "suites"},
)
