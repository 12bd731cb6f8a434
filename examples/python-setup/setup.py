from setuptools import setup

setup(
    name="python-setup",
    version="1.0.0",
    packages=["hello"],
    install_requires=["bottle>=0.13", "waitress>=3"],
    entry_points={"console_scripts": ["hello=hello:main"]},
)
