"""Every recipe of every registered family goes through every contract; there is no list of exceptions."""

from trainwright import catalog as registry


def pytest_generate_tests(metafunc):
    if "title" in metafunc.fixturenames:
        metafunc.parametrize("title", list(registry.recipes()))
    if "family" in metafunc.fixturenames:
        metafunc.parametrize("family", list(registry.families().values()), ids=lambda f: f.name)
